"""What becomes of a message behind the gateway's last dot: the link, or the disk."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from postmand.message.dkim import BodyHash
from tests.gateway_door import GOOD, PEER, Call, Door


class SizeTests(SynchronousTestCase):
    """Who is told 250 is not found later to have sent too much."""

    def test_larger_than_the_host_takes(self) -> None:
        """It is refused at its dot, whichever way it would have gone."""
        line = b"x" * 62 + b"\r\n"
        for octets in (10_000, 400_000):
            door = Door()
            door.world.most = 9_000
            call = door.data()
            call.send(b"A: b\r\n\r\n" + line * (octets // len(line)) + b".\r\n")
            self.assertIn(b"\r\n552 5.3.4 ", call.said)
            self.assertEqual((door.world.kept, door.world.taken), ([], []))

    def test_as_large_as_the_host_takes(self) -> None:
        """The octets are those the host counts: header and body as they go there."""
        message = b"A: b\r\n\r\nHello.\r\n"
        for most, code in ((len(message), b"250"), (len(message) - 1, b"552")):
            door = Door()
            door.world.most = most
            call = door.data()
            call.send(message + b".\r\n")
            self.assertEqual(call.said.rsplit(b"\r\n", 2)[1][:3], code)


class SlowLinkTests(SynchronousTestCase):
    """A tunnel passes 20 KB a second; a crate should go over it once."""

    def test_what_a_tunnel_takes_in_time_is_handed_over(self) -> None:
        """13 seconds' worth is the host's to answer for; 20 seconds' are kept first."""
        line = b"x" * 62 + b"\r\n"
        for octets, kept in ((240_000, 0), (400_000, 1)):
            door = Door()
            call = door.data()
            call.send(b"A: b\r\n\r\n" + line * (octets // len(line)) + b".\r\n")
            self.assertTrue(call.said.endswith(b"250 2.0.0 Ok: kept\r\n"))
            self.assertEqual(len(door.world.kept), kept)
            self.assertEqual(len(door.world.taken), 1 - kept)


class SlowJudgingTests(SynchronousTestCase):
    """A message's sender chooses whose DNS is asked about it, and that may be slow."""

    LARGE = b"A: b\r\n\r\n" + b"x" * 70_000 + b"\r\n.\r\n"
    OTHER = IPv4Address("TCP", "203.0.113.77", 31_025)

    def begun(self, door: Door, address: object = PEER) -> Call:
        """Bring a message up to its last dot."""
        call = door.call(address)
        call.send(b"EHLO mail.example.org\r\n")
        call.send(b"MAIL FROM:<b@example.org>\r\n")
        call.send(b"RCPT TO:<a@i2pmail.org>\r\nDATA\r\n")
        call.send(self.LARGE)
        return call

    def test_no_room_is_held(self) -> None:
        """While DNS is asked about one large message, others are taken over."""
        door = Door(limits={"wash_memory": 65_536})
        door.world.judging = []
        slow = self.begun(door)
        self.assertEqual(len(door.world.judging), 1)
        door.world.judging = None
        self.assertTrue(self.begun(door).said.endswith(b"250 2.0.0 Ok: kept\r\n"))
        self.assertTrue(slow.said.endswith(b"<CR><LF>.<CR><LF>\r\n"))

    def test_no_body_is_held(self) -> None:
        """What is judged is the hash of the body, made before anybody is asked."""
        door = Door()
        signed = b"DKIM-Signature: v=1\r\n\r\ntext\r\n"
        door.data().send(signed + b".\r\n")
        (judged,) = door.world.judged
        self.assertEqual(judged[4], BodyHash([b"text\r\n"]).digest())

    def test_share_of_a_network(self) -> None:
        """Of one network four are judged at once; another one's is, too."""
        door = Door()
        door.world.judging = []
        calls = [self.begun(door) for _ in range(6)]
        self.assertEqual(len(door.world.judging), 4)
        self.begun(door, self.OTHER)
        self.assertEqual(len(door.world.judging), 5)
        for _ in range(7):
            door.world.judging.pop(0).callback(GOOD)
        for call in calls:
            call.pump()
            self.assertTrue(call.said.endswith(b"250 2.0.0 Ok: kept\r\n"))

    def test_no_turn(self) -> None:
        """Who has no turn for long is asked to come again, before it does so itself."""
        door = Door()
        door.world.judging = []
        calls = [self.begun(door) for _ in range(5)]
        calls[4].advance(121)
        self.assertIn(b"451 4.3.0 ", calls[4].said)
        self.assertNotIn(b"451 4.3.0 ", calls[3].said)
        door.world.judging[0].callback(GOOD)
        self.assertEqual(len(door.world.judging), 4)
