"""Mail to the gateways: the conversation, and what comes of it when it breaks."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.delivery.transaction import Transaction
from postmand.internet import ICourier, Reply, Report
from tests.delivery_peer import (
    HANG_UP,
    HEADER,
    OFFERS,
    SILENCE,
    Net,
    Pieces,
    parcel,
)

ALICE, BOB, CAROL = (b"%s@example.org" % name for name in (b"alice", b"bob", b"carol"))
TAKEN = Reply(250, "2.0.0", "taken")


def codes(report: Report) -> dict[bytes, int]:
    return {recipient: reply.code for recipient, reply in report.replies.items()}


class CourierCase(SynchronousTestCase):
    """What the tests below share."""

    def sent(self, net: Net, *recipients: bytes, **more: Any) -> Report:
        """Send one parcel and return its report."""
        sending = net.courier.send(parcel(*recipients, **more))
        net.run()
        return self.successResultOf(sending)


class ConversationTests(CourierCase):
    """One gateway that behaves."""

    def test_the_seam(self) -> None:
        """The courier is what the runner asks for."""
        self.assertTrue(ICourier.providedBy(Net().courier))

    def test_octet_for_octet(self) -> None:
        """All that is said: no name of the machine, the envelope in one burst."""
        net = Net()
        written: list[bytes] = []
        sending = net.courier.send(parcel(ALICE, BOB, body=(b".dot\r\n", b"..\r\n")))
        while not sending.called:
            net.clock.advance(0)
            written.append(net.doors["a"].peer.wire.value())
            net.doors["a"].peer.turn()
        self.assertEqual(
            [octets for octets in written if octets],
            [
                b"EHLO localhost\r\n",
                b"MAIL FROM:<jondoe@i2pmail.org> SIZE=%d\r\n"
                b"RCPT TO:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
                % (len(HEADER) + 10),
                HEADER + b"..dot\r\n...\r\n.\r\n",
            ],
        )
        report = self.successResultOf(sending)
        self.assertEqual(report, Report({ALICE: TAKEN, BOB: TAKEN}))

    def test_a_turn_a_message(self) -> None:
        """With PIPELINING what waits goes along with the dot: a turn for each."""
        net = Net(connections_per_gateway=1)
        first = [net.courier.send(parcel()) for _ in range(2)]
        hello = net.run()
        more = [net.courier.send(parcel()) for _ in range(20)]
        self.assertEqual(net.run(), 21)
        self.assertEqual(hello, 5)  # greeting, EHLO, envelope, two bodies
        for sending in first + more:
            self.assertEqual(self.successResultOf(sending).replies[ALICE], TAKEN)
        self.assertEqual(net.doors["a"].calls, 1)

    def test_step_by_step(self) -> None:
        """Without PIPELINING no command leaves before the one before is answered."""
        net = Net(connections_per_gateway=1)
        net.doors["a"].offers = (b"8BITMIME",)
        sendings = [net.courier.send(parcel(ALICE, BOB)) for _ in range(2)]
        self.assertEqual(net.run(), 2 + 2 * 5)
        for sending in sendings:
            report = self.successResultOf(sending)
            self.assertEqual(codes(report), {ALICE: 250, BOB: 250})
        self.assertNotIn(b"SIZE", net.doors["a"].messages[0].mail)

    def test_one_refused(self) -> None:
        """Who is refused at RCPT has that reply; the others get the message."""
        for offers in (OFFERS, ()):
            net = Net()
            net.doors["a"].offers = offers
            net.doors["a"].says[b"RCPT TO:<bob"] = b"550 5.1.1 <bob> who?"
            report = self.sent(net, ALICE, BOB, CAROL)
            self.assertEqual(codes(report), {ALICE: 250, BOB: 550, CAROL: 250})
            self.assertEqual(report.replies[BOB], Reply(550, "5.1.1", "<bob> who?"))
            self.assertEqual(net.doors["a"].messages[0].recipients, [ALICE, CAROL])

    def test_all_refused(self) -> None:
        """With nobody accepted there is no body, and the next message begins anew."""
        for offers in (OFFERS, ()):
            net = Net(connections_per_gateway=1)
            net.doors["a"].offers = offers
            net.doors["a"].says[b"RCPT TO:<bob"] = b"550 5.1.1 who?"
            self.assertEqual(codes(self.sent(net, BOB)), {BOB: 550})
            self.assertEqual(codes(self.sent(net, ALICE)), {ALICE: 250})
            self.assertIn(b"RSET", net.doors["a"].peer.commands)
            self.assertEqual(net.doors["a"].calls, 1)

    def test_all_refused_and_354(self) -> None:
        """A server that wants data for nobody gets the lone dot (RFC 2920 3.1)."""
        net = Net()
        net.doors["a"].says |= {b"RCPT": b"550 5.1.1 who?", b"DATA": b"354 go on"}
        self.assertEqual(codes(self.sent(net, ALICE, BOB)), {ALICE: 550, BOB: 550})
        self.assertEqual(net.doors["a"].messages, [])
        net.doors["a"].peer.says.clear()
        self.assertEqual(codes(self.sent(net, ALICE)), {ALICE: 250})
        self.assertEqual(net.doors["a"].messages[0].data, HEADER + b"Hello.\r\n")
        self.assertEqual(net.doors["a"].calls, 1)

    def test_refused_after_the_dot(self) -> None:
        """One reply to the dot counts for all who were accepted."""
        net = Net()
        net.doors["a"].says |= {
            b".": b"550-5.7.1 no\r\n550 5.7.1 spam",
            b"RCPT TO:<b": b"450 4.2.1 later",
        }
        report = self.sent(net, ALICE, BOB, CAROL)
        self.assertEqual(codes(report), {ALICE: 550, BOB: 450, CAROL: 550})
        self.assertEqual(report.replies[ALICE], Reply(550, "5.7.1", "no spam"))
        self.assertEqual(net.counts, [])

    def test_lmtp(self) -> None:
        """LMTP answers for each recipient (RFC 2033), with the next envelope behind."""
        net = Net(lmtp=True, connections_per_gateway=1)
        net.doors["a"].says[b". bob@example.org"] = b"552 5.2.2 full"
        sendings = [net.courier.send(parcel(ALICE, BOB, CAROL)) for _ in range(3)]
        self.assertEqual(net.run(), 2 + 1 + 3)
        for sending in sendings:
            report = self.successResultOf(sending)
            self.assertEqual(codes(report), {ALICE: 250, BOB: 552, CAROL: 250})
        self.assertEqual(net.doors["a"].peer.commands[0], b"LHLO localhost")

    def test_lmtp_data_for_nobody(self) -> None:
        """How many replies would come then is not said: a new connection is made."""
        net = Net(lmtp=True)
        net.doors["a"].says |= {b"RCPT": b"550 5.1.1 who?", b"DATA": b"354 go on"}
        self.assertEqual(codes(self.sent(net, ALICE)), {ALICE: 550})
        net.doors["a"].says.clear()
        self.assertEqual(codes(self.sent(net, ALICE)), {ALICE: 250})
        self.assertEqual((net.doors["a"].calls, net.counts), (2, []))

    def test_eight_bit(self) -> None:
        """BODY=8BITMIME is said where it is needed, or may be in a long body."""
        for body, needed in (
            ((b"plain\r\n",), False),
            ((b"caf\xc3\xa9\r\n",), True),
            ((b"x" * 64 + b"\r\n",) * 2_000, True),
        ):
            net = Net()
            self.assertEqual(codes(self.sent(net, ALICE, body=body)), {ALICE: 250})
            mail = net.doors["a"].messages[0].mail
            self.assertEqual(b" BODY=8BITMIME" in mail, needed)

    def test_utf8(self) -> None:
        """SMTPUTF8 is said where an address needs it and the gateway offers it."""
        net = Net()
        net.doors["a"].offers = (*OFFERS, b"SMTPUTF8")
        rene = "rené@example.org".encode()
        self.assertEqual(codes(self.sent(net, ALICE, rene)), {ALICE: 250, rene: 250})
        self.assertTrue(net.doors["a"].messages[0].mail.endswith(b" SMTPUTF8"))
        self.sent(net, ALICE)
        self.assertNotIn(b"SMTPUTF8", net.doors["a"].messages[1].mail)

    def test_utf8_not_offered(self) -> None:
        """Who needs it is refused without being asked for, the others get the mail."""
        rene = "rené@example.org".encode()
        net = Net()
        report = self.sent(net, ALICE, rene)
        self.assertEqual(codes(report), {ALICE: 250, rene: 553})
        self.assertEqual(report.replies[rene].enhanced, "5.6.7")
        self.assertTrue(report.replies[rene].ours)
        self.assertFalse(report.replies[ALICE].ours)
        self.assertEqual(net.doors["a"].messages[0].recipients, [ALICE])
        self.assertEqual(codes(self.sent(net, rene)), {rene: 553})
        header = "Subject: é\r\n\r\n".encode()
        report = self.sent(net, ALICE, header=header)
        self.assertEqual(report.replies[ALICE].enhanced, "5.6.9")
        self.assertTrue(report.replies[ALICE].ours)
        self.assertEqual(len(net.doors["a"].messages), 1)

    def test_address_with_commands(self) -> None:
        """An address that holds a line end is never written."""
        net = Net()
        evil = b"x@example.org>\r\nRSET\r\n<"
        report = self.sent(net, evil, ALICE)
        self.assertEqual(codes(report), {evil: 553, ALICE: 250})
        self.assertNotIn(b"RSET", net.doors["a"].peer.commands)
        self.assertEqual(codes(self.sent(Net(), evil)), {evil: 553})

    def test_quit_when_idle(self) -> None:
        """A connection is kept for a minute, and left with QUIT."""
        net = Net()
        self.sent(net)
        net.wait(59)
        self.assertFalse(net.doors["a"].peer.wire.closed)
        net.wait(2)
        self.assertEqual(net.doors["a"].peer.commands[-1], b"QUIT")
        self.assertTrue(net.doors["a"].peer.wire.closed)
        self.assertEqual(codes(self.sent(net)), {ALICE: 250})
        self.assertEqual((net.doors["a"].calls, net.counts), (2, []))


class BodyTests(CourierCase):
    """The body: in pieces, as fast as the gateway reads, or not at all."""

    LONG = (b"x" * 1_022 + b"\r\n") * 64  # 64 KiB

    def test_read_as_it_leaves(self) -> None:
        """No more of a long body is read than the transport takes."""
        net = Net()
        long = parcel(body=[self.LONG] * 100)
        sending = net.courier.send(long)
        net.run()  # the body begins: StringTransport takes all that is written
        self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
        self.assertEqual(net.doors["a"].messages[0].data, HEADER + self.LONG * 100)

        net = Net()
        body = Pieces(*[self.LONG] * 100)
        long = parcel(body=[self.LONG] * 100)
        object.__setattr__(long, "body", body)
        sending = net.courier.send(long)
        peer = self.up_to_the_body(net)
        peer.wire.narrow = True
        for step in range(1, 40):
            self.assertLessEqual(body.given, (2 * step + 1) * len(self.LONG))
            peer.turn()
            self.assertLessEqual(len(peer.wire.value()), 3 * len(self.LONG))
            peer.wire.client.resumeProducing()
        peer.wire.narrow = False
        peer.wire.client.resumeProducing()
        net.run()
        self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
        self.assertTrue(body.closed)

    def up_to_the_body(self, net: Net) -> Any:
        """Let the peer answer until the next thing it says is 354."""
        peer = net.doors["a"].peer
        peer.turn()
        peer.turn()
        return peer

    def stuck(self, seconds: float) -> tuple[Net, Deferred[Report]]:
        """Let so much time pass since the gateway stopped reading the body."""
        net = Net("ab", connections_per_gateway=1)
        sending = net.courier.send(parcel(body=[self.LONG] * 100))
        peer = self.up_to_the_body(net)
        peer.wire.narrow = True
        net.run()
        peer.wire.client.resumeProducing()
        net.wait(seconds)
        return net, sending

    def test_stuck_at_its_beginning(self) -> None:
        """What is still held of a body goes to the next gateway."""
        net = Net("ab", connections_per_gateway=1)
        sending = net.courier.send(parcel(body=[self.LONG] * 100))
        self.up_to_the_body(net).wire.narrow = True
        net.wait(301)
        self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
        self.assertEqual(net.doors["b"].messages[0].data, HEADER + self.LONG * 100)
        self.assertEqual(net.counts, ["gateway-away"])

    def test_a_gateway_that_does_not_read(self) -> None:
        """It is given up after the patience for a reply; nothing was sent whole."""
        net, sending = self.stuck(299)
        self.assertNoResult(sending)
        net.wait(2)
        self.assertEqual(self.successResultOf(sending), Report())
        self.assertEqual(net.counts, ["gateway-away"])
        self.assertEqual(net.doors["a"].messages, [])

    def test_refused_before_its_end(self) -> None:
        """A reply in the middle of the body is taken, and no dot is sent."""
        net, sending = self.stuck(0)
        wire = net.doors["a"].peer.wire
        wire.client.dataReceived(b"552 5.3.4 too much\r\n")
        net.clock.advance(0)
        report = self.successResultOf(sending)
        self.assertEqual(report.replies, {ALICE: Reply(552, "5.3.4", "too much")})
        self.assertTrue(wire.closed)
        self.assertNotIn(b"\r\n.\r\n", wire.value())
        self.assertEqual(net.counts, [])

    def test_welcomed_before_its_end(self) -> None:
        """A 250 before the dot is not believed."""
        net, sending = self.stuck(0)
        net.doors["a"].peer.wire.client.dataReceived(b"250 2.0.0 taken\r\n")
        net.run()
        self.assertEqual(self.successResultOf(sending), Report())

    def test_a_body_that_can_not_be_read(self) -> None:
        """The fault is told to who sent the parcel; the gateway gets no dot."""
        for pieces in (
            [RuntimeError("disk")],
            [self.LONG, RuntimeError("disk")],
            [self.LONG, b"short\r\n"],
        ):
            net = Net()
            long = parcel(body=[self.LONG] * 3)
            body = Pieces(*pieces)
            object.__setattr__(long, "body", body)
            sending = net.courier.send(long)
            net.run()
            self.failureResultOf(sending)
            self.assertTrue(body.closed)
            self.assertEqual((net.doors["a"].messages, net.counts), ([], []))
            self.assertEqual(codes(self.sent(net)), {ALICE: 250})

    def test_closed_whatever_comes(self) -> None:
        """The body is let go of with every report."""
        for says in ({}, {b"MAIL": b"550 5.1.8 no"}, {b".": HANG_UP}, {b"": HANG_UP}):
            net = Net()
            net.doors["a"].says |= says
            one = parcel()
            sending = net.courier.send(one)
            net.run()
            self.successResultOf(sending)
            self.assertTrue(one.body.closed)  # type: ignore[attr-defined]


# What is said before each point of the conversation, and whether the dot is out then.
POINTS = [
    (b"", False),
    (b"EHLO", False),
    (b"MAIL", False),
    (b"RCPT TO:<alice", False),
    (b"RCPT TO:<bob", False),
    (b"DATA", False),
    (b".", True),
]
TROUBLES = {
    "hangs up": HANG_UP,
    "is silent": SILENCE,
    "closes": b"421 4.3.2 closing",
    "raves": b"\x00\xff what",
    "raves on": b"x" * 100_000,
    "is endless": b"250-more\r\n" * 1_000,
    "contradicts itself": b"250-yes\r\n550 no",
    "says too much": b"250 yes\r\n250 yes\r\n250 yes\r\n250 yes\r\n250 yes\r\n250 yes",
}


@pytest.mark.long
@pytest.mark.parametrize("offers", [OFFERS, ()], ids=["pipelined", "step by step"])
@pytest.mark.parametrize("trouble", list(TROUBLES))
@pytest.mark.parametrize(
    ("point", "dotted"), POINTS, ids=[p[0].decode() for p in POINTS]
)
def test_trouble(
    point: bytes, dotted: bool, trouble: str, offers: tuple[bytes, ...]
) -> None:
    """Before the dot the next gateway takes the mail; after it, it may be twice.

    No reply is lost that came, a 421 to the dot says that nothing was taken, and what
    was accepted by one gateway is never given to another.
    """
    net = Net("ab", connections_per_gateway=1)
    first, second = net.doors.values()
    first.says[point] = TROUBLES[trouble]
    first.offers = offers
    sending = net.courier.send(parcel(ALICE, BOB))
    net.wait(400)
    assert sending.called
    report: Report = sending.result  # type: ignore[attr-defined]
    if trouble == "says too much" and dotted:
        # The first of these replies was the one to the dot.
        assert codes(report) == {ALICE: 250, BOB: 250}
        assert not report.doubtful
        assert len(first.messages) == 1
        assert second.messages == []
    elif dotted and trouble != "closes":
        assert report == Report(doubtful=True)
        assert second.messages == []
        assert net.counts == ["gateway-away", "doubtful"]
    else:
        assert codes(report) == {ALICE: 250, BOB: 250}
        assert not report.doubtful
        assert len(second.messages) == 1
        assert second.messages[0].data == HEADER + b"Hello.\r\n"
        assert net.counts == ["gateway-away"]


class DoubtTests(CourierCase):
    """After the dot."""

    def test_lmtp_half_answered(self) -> None:
        """Who was answered has the reply; the others are in doubt."""
        net = Net("ab", lmtp=True)
        net.doors["a"].says |= {b". bob": HANG_UP, b"RCPT TO:<carol": b"550 5.1.1 who?"}
        report = self.sent(net, ALICE, BOB, CAROL)
        self.assertEqual(codes(report), {ALICE: 250, CAROL: 550})
        self.assertTrue(report.doubtful)
        self.assertEqual(net.counts, ["gateway-away", "doubtful"])

    def test_patience_grows_with_the_message(self) -> None:
        """A long message may still be on its way when its dot was written."""
        net = Net(reply_seconds=10)
        net.doors["a"].says[b"."] = SILENCE
        sending = net.courier.send(parcel(body=[b"x" * 62 + b"\r\n"] * 16_384))
        net.wait(1_000)
        self.assertNoResult(sending)
        net.wait(60)
        self.assertTrue(self.successResultOf(sending).doubtful)

    def test_a_drip(self) -> None:
        """Octets that make no reply buy no time."""
        net = Net(reply_seconds=60)
        net.doors["a"].says[b"."] = SILENCE
        sending = net.courier.send(parcel())
        net.run()
        for _ in range(61):
            net.doors["a"].peer.wire.client.dataReceived(b"2")
            net.wait(1)
        self.assertTrue(self.successResultOf(sending).doubtful)

    def test_the_next_is_not_in_doubt(self) -> None:
        """Of two in one burst only the one whose dot is out may come twice."""
        net = Net("ab", connections_per_gateway=1)
        net.doors["a"].says[b"."] = HANG_UP
        net.doors["b"].state = "shut"
        sendings = [net.courier.send(parcel(one)) for one in (ALICE, BOB)]
        net.run()
        self.assertTrue(self.successResultOf(sendings[0]).doubtful)
        self.assertEqual(self.successResultOf(sendings[1]), Report())
        self.assertEqual(net.doors["a"].peer.commands[-2][:7], b"RCPT TO")


class SeveralTests(CourierCase):
    """Several gateways: in turn, the next at once, and nobody held up by one."""

    def test_in_turn(self) -> None:
        """One message after the other goes to one gateway after the other."""
        net = Net("abc")
        for _ in range(12):
            self.sent(net)
        taken = [len(door.messages) for door in net.doors.values()]
        self.assertEqual(taken, [4, 4, 4])

    def test_the_first_is_drawn(self) -> None:
        """Which gateway is the first after a start is chance."""
        first = set()
        for seed in range(20):
            net = Net("abc", rng=Random(seed))
            self.sent(net)
            first |= {name for name, door in net.doors.items() if door.messages}
        self.assertEqual(first, {"a", "b", "c"})

    def test_the_next_when_one_is_away(self) -> None:
        """A gateway that refuses connections is left aside; nobody waits for it."""
        net = Net("ab")
        net.doors["a"].state = "shut"
        for _ in range(5):
            self.assertEqual(codes(self.sent(net)), {ALICE: 250})
        self.assertEqual(net.doors["a"].calls, 1)
        self.assertEqual(net.counts, ["gateway-away"])

    def test_away_for_longer_each_time(self) -> None:
        """It is tried again after 300 s, 600 s and so on, then after no more."""
        net = Net("a")
        net.doors["a"].state = "shut"
        for seconds in (300, 600, 1_200, 2_400, 4_800, 4_800):
            calls = net.doors["a"].calls
            self.assertEqual(self.sent(net), Report())
            self.assertEqual(net.doors["a"].calls, calls + 1)
            net.clock.advance(seconds - 1)
            self.assertEqual(self.sent(net), Report())
            self.assertEqual(net.doors["a"].calls, calls + 1)
            net.clock.advance(1)
        net.doors["a"].state = "open"
        self.assertEqual(codes(self.sent(net)), {ALICE: 250})
        net.doors["a"].state = "shut"
        net.wait(70)
        self.sent(net)
        net.clock.advance(300)
        net.doors["a"].state = "open"
        self.assertEqual(codes(self.sent(net)), {ALICE: 250})

    def test_all_away(self) -> None:
        """With every gateway away the answer comes at once, and nothing is read."""
        net = Net("ab")
        for door in net.doors.values():
            door.state = "shut"
        self.assertEqual(self.sent(net), Report())
        one = parcel()
        self.assertEqual(self.successResultOf(net.courier.send(one)), Report())
        self.assertEqual(one.body.given, 0)  # type: ignore[attr-defined]
        self.assertTrue(one.body.closed)  # type: ignore[attr-defined]
        self.assertEqual([door.calls for door in net.doors.values()], [1, 1])

    def test_no_gateway(self) -> None:
        """Without any there is a report all the same."""
        self.assertEqual(self.sent(Net("")), Report())

    def test_one_that_hangs(self) -> None:
        """It holds up what it was given, until its time is over; others pass by."""
        net = Net("ab", connections_per_gateway=1)
        net.doors["a"].says[b"MAIL"] = SILENCE
        first = net.courier.send(parcel())
        net.run()
        for _ in range(10):
            self.assertEqual(codes(self.sent(net)), {ALICE: 250})
        net.wait(299)
        self.assertNoResult(first)
        net.wait(2)
        self.assertEqual(codes(self.successResultOf(first)), {ALICE: 250})
        self.assertEqual(len(net.doors["b"].messages), 11)

    def test_one_that_never_greets(self) -> None:
        """What was not given to it goes by another, a lone mail after ten seconds."""
        for state, says in (("open", SILENCE), ("dark", b"")):
            net = Net("ab")
            net.doors["a"].state = state
            net.doors["a"].says[b""] = says
            first = net.courier.send(parcel())
            net.wait(9)
            self.assertNoResult(first)
            net.wait(2)
            self.assertEqual(codes(self.successResultOf(first)), {ALICE: 250})
            for _ in range(10):
                sending = net.courier.send(parcel())
                net.wait(11)
                self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
            net.wait(301)
            self.assertEqual(net.counts, ["gateway-away"])

    def test_all_hang(self) -> None:
        """The report comes when the last one's time is over, and comes then."""
        net = Net("ab")
        for door in net.doors.values():
            door.state = "dark"
        sendings = [net.courier.send(parcel()) for _ in range(10)]
        net.wait(119)
        for sending in sendings:
            self.assertNoResult(sending)
        net.wait(12)
        for sending in sendings:
            self.assertEqual(self.successResultOf(sending), Report())

    def test_connections_are_bounded(self) -> None:
        """No gateway gets more connections at once than is set."""
        net = Net("ab", connections_per_gateway=2)
        sendings = [net.courier.send(parcel()) for _ in range(16)]
        net.run()
        for sending in sendings:
            self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
        self.assertEqual([door.calls for door in net.doors.values()], [2, 2])

    def test_no_second_connection(self) -> None:
        """A gateway that takes one connection is used by that one."""
        net = Net("a")
        net.doors["a"].says[b"DATA"] = SILENCE
        first = net.courier.send(parcel())
        net.run()
        net.doors["a"].says |= {b"": b"421 4.7.0 too many connections"}
        second = net.courier.send(parcel())
        net.run()
        self.assertEqual((net.doors["a"].calls, net.counts), (2, []))
        peer = net.doors["a"].peers[0]
        peer.says.clear()
        peer._silent, peer._in_data = False, True
        peer.wire.client.dataReceived(b"354 go on\r\n")
        net.run()
        for sending in (first, second):
            self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})

    def test_a_worn_connection(self) -> None:
        """One that was closed while idle is made anew; that is nobody's fault."""
        for end in (HANG_UP, b"421 4.4.2 timeout"):
            net = Net("a")
            self.sent(net)
            net.doors["a"].peers[0].says[b"MAIL"] = end
            self.assertEqual(codes(self.sent(net)), {ALICE: 250})
            self.assertEqual((net.doors["a"].calls, net.counts), (2, []))

    def test_closed_while_idle(self) -> None:
        """The same, told before anything was sent."""
        net = Net("a")
        self.sent(net)
        net.doors["a"].peers[0].wire.hang_up()
        net.run()
        self.assertEqual(codes(self.sent(net)), {ALICE: 250})
        self.assertEqual((net.doors["a"].calls, net.counts), (2, []))

    def test_closed_after_each(self) -> None:
        """A gateway that takes one message a connection gets them one by one."""
        net = Net("a", connections_per_gateway=1)
        net.doors["a"].offers = ()
        net.doors["a"].says[b"RSET"] = HANG_UP

        sendings = [net.courier.send(parcel()) for _ in range(4)]
        for _ in range(4):
            while net.doors["a"].peers and not net.doors["a"].peers[-1].messages:
                net.clock.advance(0)
                net.doors["a"].peers[-1].turn()
            net.doors["a"].peers[-1].wire.hang_up()
            net.clock.advance(0)
        net.run()
        for sending in sendings:
            self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
        self.assertEqual(len(net.doors["a"].messages), 4)


class RefusalTests(CourierCase):
    """What a gateway says of itself or of us is not said of the message."""

    OWN = (
        (b"", b"554 5.7.1 go away"),
        (b"EHLO", b"502 5.5.1 what?"),
        (b"EHLO", b"550 5.7.1 who are you"),
        (b"MAIL", b"530 5.7.0 authenticate"),
        (b"MAIL", b"550 5.7.1 not for you"),
        (b"MAIL", b"452 4.3.1 disk full"),
        (b"MAIL", b"503 5.5.1 nested"),
        (b"RCPT", b"554 5.7.1 relay access denied"),
        (b"RCPT", b"454 4.7.1 relay access denied"),
        (b"RCPT", b"451 4.3.0 trouble"),
        (b"DATA", b"451 4.3.0 trouble"),
        (b"DATA", b"554 5.7.1 not for you"),
    )

    def test_another_is_asked(self) -> None:
        """One gateway's own refusal sends the mail to the next, at once."""
        for point, reply in self.OWN:
            for offers in (OFFERS, ()):
                net = Net("ab")
                net.doors["a"].says[point] = reply
                net.doors["a"].offers = offers
                report = self.sent(net, ALICE, BOB)
                self.assertEqual(codes(report), {ALICE: 250, BOB: 250}, reply)
                self.assertEqual(len(net.doors["b"].messages), 1)

    def test_one_alone_sends_nothing_back(self) -> None:
        """Where one gateway is all there is, its word is a temporary one."""
        for point, reply in self.OWN:
            net = Net("a")
            net.doors["a"].says[point] = reply
            for told in self.sent(net, ALICE, BOB).replies.values():
                self.assertFalse(told.permanent, reply)
                self.assertFalse(told.delivered, reply)
                self.assertEqual(told.enhanced[0], "4")

    def test_all_agree(self) -> None:
        """What every one of several gateways refuses for good is refused for good."""
        net = Net("ab")
        for door in net.doors.values():
            door.says[b"RCPT TO:<a"] = b"554 5.7.1 no relaying there"
        report = self.sent(net, ALICE)
        self.assertEqual(report.replies[ALICE].code, 554)
        self.assertEqual(net.counts, [])
        net.doors["b"].says[b"RCPT TO:<a"] = b"454 4.7.1 later"
        net.doors["b"].peer.says.update(net.doors["b"].says)
        self.assertEqual(self.sent(net, ALICE).replies[ALICE].code // 100, 4)

    def test_one_refuses_one_is_away(self) -> None:
        """The one that is away might take it."""
        net = Net("ab")
        net.doors["a"].says[b"RCPT"] = b"554 5.7.1 no relaying there"
        net.doors["b"].state = "shut"
        report = self.sent(net, ALICE)
        self.assertEqual(
            report.replies[ALICE], Reply(454, "4.7.1", "no relaying there")
        )

    def test_some_refused_some_delivered(self) -> None:
        """Nobody who has the message is given it again by the next gateway."""
        net = Net("ab")
        net.doors["a"].says[b"RCPT TO:<bob"] = b"554 5.7.1 no relaying there"
        net.doors["a"].says[b"RCPT TO:<carol"] = b"550 5.1.1 who?"
        report = self.sent(net, ALICE, BOB, CAROL)
        self.assertEqual(codes(report), {ALICE: 250, BOB: 250, CAROL: 550})
        self.assertEqual(net.doors["b"].messages[0].recipients, [BOB])

    def test_out_of_one_gateways_reach(self) -> None:
        """A gateway that can not reach a domain from where it is: the next is asked."""
        net = Net("ab")
        net.doors["a"].says[b"."] = b"458 4.4.4 out of reach"
        report = self.sent(net, ALICE, BOB)
        self.assertEqual(codes(report), {ALICE: 250, BOB: 250})
        self.assertEqual([net.doors[name].calls for name in "ab"], [1, 1])
        self.assertFalse(report.doubtful)
        # It works, and has the next message.
        self.assertEqual(codes(self.sent(net, ALICE)), {ALICE: 250})
        self.assertEqual(net.counts, [])

    def test_out_of_all_gateways_reach(self) -> None:
        """Then it is tried later: another gateway may be set up by then."""
        for names in ("a", "ab"):
            net = Net(names)
            for door in net.doors.values():
                door.says[b"."] = b"458 4.4.4 out of reach"
            report = self.sent(net, ALICE)
            self.assertEqual(report.replies[ALICE], Reply(451, "4.4.4", "out of reach"))

    def test_the_message_is_refused(self) -> None:
        """A refusal of the message at MAIL is every recipient's, and final."""
        for reply in (b"552 5.3.4 too big", b"550 5.1.8 bad sender", b"550 no"):
            net = Net("ab")
            net.doors["a"].says[b"MAIL"] = reply
            report = self.sent(net, ALICE, BOB)
            self.assertEqual(set(codes(report).values()), {int(reply[:3])})
            self.assertEqual(net.doors["b"].calls, 0)
            self.assertEqual(net.counts, [])

    def test_a_gateway_that_will_not_have_us(self) -> None:
        """It is left aside, like one that is away."""
        net = Net("ab")
        net.doors["a"].says[b"MAIL"] = b"530 5.7.0 authenticate"
        for _ in range(6):
            self.sent(net)
        self.assertEqual(net.doors["a"].calls, 1)
        self.assertEqual(net.counts, ["gateway-away"])

    def test_not_reached_by_all(self) -> None:
        """Who is left over when the gateways are gone is told as unreached."""
        net = Net("ab")
        net.doors["a"].says |= {b"RCPT TO:<bob": b"550 5.1.1 who?", b"DATA": HANG_UP}
        net.doors["b"].state = "shut"
        report = self.sent(net, ALICE, BOB)
        self.assertEqual(codes(report), {ALICE: 451, BOB: 550})
        self.assertEqual(report.replies[ALICE].enhanced, "4.4.1")


class StopTests(CourierCase):
    """The end of the node."""

    def test_idle(self) -> None:
        """Idle connections are left with QUIT."""
        net = Net("ab")
        self.sent(net)
        stopping = net.courier.stop()
        net.run()
        self.successResultOf(stopping)
        self.assertEqual(net.doors["a"].peer.commands[-1], b"QUIT")
        self.successResultOf(net.courier.stop())
        self.assertEqual(self.sent(net), Report())
        self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_never_used(self) -> None:
        """Nothing is waited for where there is nothing."""
        net = Net("ab")
        self.successResultOf(net.courier.stop())
        self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_while_sending(self) -> None:
        """What was begun is finished, what waits is reported as not sent."""
        net = Net("a", connections_per_gateway=1)
        sendings = [net.courier.send(parcel()) for _ in range(5)]
        for _ in range(3):
            net.clock.advance(0)
            net.doors["a"].peer.turn()
        stopping = net.courier.stop()
        net.run()
        self.successResultOf(stopping)
        reports = [self.successResultOf(sending) for sending in sendings]
        taken = sum(bool(report.replies) for report in reports)
        self.assertEqual(taken, len(net.doors["a"].messages))
        self.assertEqual(reports[-1], Report())
        self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_a_gateway_that_hangs(self) -> None:
        """Ten seconds, then it is cut: what was dotted is in doubt."""
        for point, doubtful in ((b"", False), (b"MAIL", False), (b".", True)):
            net = Net("a")
            net.doors["a"].says[point] = SILENCE
            sending = net.courier.send(parcel())
            net.run()
            stopping = net.courier.stop()
            net.wait(9)
            net.wait(2)
            self.successResultOf(stopping)
            self.assertEqual(self.successResultOf(sending), Report(doubtful=doubtful))
            self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_while_dialling(self) -> None:
        """A connection that has not come about is not waited for."""
        net = Net("a")
        net.doors["a"].state = "dark"
        sending = net.courier.send(parcel())
        self.successResultOf(net.courier.stop())
        self.assertEqual(self.successResultOf(sending), Report())
        self.assertEqual((net.counts, net.clock.getDelayedCalls()), ([], []))


class LogTests(CourierCase):
    """What is written down."""

    def log(self) -> list[str]:
        """Return the lines that ours write from now on."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_namespace", "").startswith("postmand"):
                lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return lines

    def test_a_fault_of_ours(self) -> None:
        """It is logged without values, and the mail goes another way."""
        lines = self.log()
        net = Net("ab")
        evil = parcel()
        with patch.object(Transaction, "hear_mail", side_effect=[ValueError(ALICE), 1]):
            sending = net.courier.send(evil)
            net.run()
        self.assertEqual(codes(self.successResultOf(sending)), {ALICE: 250})
        self.assertEqual(len(lines), 2)
        self.assertIn("a conversation with a gateway failed: ValueError [", lines[0])
        self.assertNotIn("alice", lines[0])
        self.assertEqual(lines[1], "gateway 1 is away: fault")

    def test_a_number_and_a_reason(self) -> None:
        """Once for each trouble: no address, no reply, no recipient."""
        lines = self.log()
        net = Net("a")
        self.sent(net)
        net.doors["a"].peer.says[b"."] = b"what is alice@example.org"
        self.sent(net)
        net.doors["a"].state = "shut"
        for _ in range(3):
            net.clock.advance(10_000)
            self.sent(net)
        net.doors["a"].state = "open"
        net.clock.advance(10_000)
        self.sent(net)
        self.assertEqual(
            lines,
            [
                "gateway 1 is away: no-reply",
                "gateway 1 is away: no-connection",
                "gateway 1 is back",
            ],
        )
