"""What becomes of a message behind the gateway's last dot: the link, or the disk."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.gateway_door import Door


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
