"""Mail to the gateways: the conversation, and what comes of it when it breaks."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.internet import ICourier, Reply, Report
from tests.delivery_peer import (
    HANG_UP,
    HEADER,
    OFFERS,
    SENDER,
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
        self.assertEqual(net.doors["a"].messages[0].recipients, [ALICE])
        self.assertEqual(codes(self.sent(net, rene)), {rene: 553})
        header = "Subject: é\r\n\r\n".encode()
        report = self.sent(net, ALICE, header=header)
        self.assertEqual(report.replies[ALICE].enhanced, "5.6.9")
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
        peer.wire.client.pauseProducing()
        peer.turn()
        self.assertLessEqual(body.given, 3 * len(self.LONG))
        self.assertLessEqual(len(peer.wire.value()), 3 * len(self.LONG))
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
        peer.wire.client.pauseProducing()
        net.wait(seconds)
        return net, sending

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
