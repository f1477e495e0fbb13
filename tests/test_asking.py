"""The host's courier asks what became of a message before it sends it again."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Gateway, Relay
from postmand.delivery.gateway import Courier
from postmand.internet import Parcel, Reply, Report
from tests.delivery_peer import HANG_UP, OFFERS, SILENCE, InOrder, Net, parcel

ALICE, BOB = b"alice@example.org", b"bob@example.org"
TAKEN = Reply(250, "2.0.0", "taken")
UNKNOWN = b"550 5.5.0 unknown"
NAME = b"XASK %016x" % 1


class AskingNet(Net):
    """Gateways of ours; `later` begins the courier anew, as a restart does."""

    def __init__(self, names: str = "a", **more: Any) -> None:
        super().__init__(names, lmtp=True, **more)
        for door in self.doors.values():
            door.offers = (*OFFERS, b"XASK")
            door.says = {b"XASK": UNKNOWN}
        self.restart()

    def restart(self, now: int | None = 0) -> None:
        """Begin with a courier that remembers nothing, at a moment of the queue's."""
        self.courier = Courier(
            [Gateway(f"unix:{name}", lmtp=True) for name in self.doors],
            Relay(reply_seconds=20.0, away_seconds=10.0, give_up_seconds=1_000),
            name=b"localhost",
            identity=b"",
            dial=lambda string: self.doors[string.removeprefix("unix:")],
            reactor=self.clock,
            rng=InOrder(),
            count=self.counts.append,
            now=None if now is None else lambda: now,
        )

    def asked(self, name: str) -> int:
        """Return how often a gateway was asked."""
        return sum(peer.commands.count(NAME) for peer in self.doors[name].peers)

    def sent(self, name: str) -> int:
        """Return how often a gateway was sent the message."""
        peers = self.doors[name].peers
        return sum(one.startswith(b"MAIL") for peer in peers for one in peer.commands)


class AskingTests(SynchronousTestCase):
    """After a try of which nobody knows what came."""

    def send(self, net: AskingNet, *to: bytes, until: int = 10**9) -> Report:
        """Send and return the report."""
        made = parcel(*to)
        made = Parcel(1, evolve(made.leg, until=until), made.body_bytes, made.body)
        sending = net.courier.send(made)
        net.wait(30)
        return self.successResultOf(sending)

    def doubtful(self, says: bytes = HANG_UP, *to: bytes) -> AskingNet:
        """Make a net in which the answer was lost, and the gateway is back."""
        net = AskingNet("ab")
        door = net.doors["a"]
        door.says = {b".": says, b"XASK": UNKNOWN}
        self.assertTrue(self.send(net, *to).doubtful)
        door.says = {b"XASK": UNKNOWN}
        net.wait(60)
        return net

    def test_named(self) -> None:
        """A transaction has the item's name; a strange server is not told it."""
        net = AskingNet()
        self.send(net)
        (mail,) = [one for one in net.doors["a"].peer.commands if b"MAIL" in one]
        self.assertIn(b" ENVID=0000000000000001", mail)
        net = AskingNet()
        net.doors["a"].offers = OFFERS
        self.send(net)
        self.assertNotIn(b"ENVID", b"".join(net.doors["a"].peer.commands))
        self.assertEqual(net.asked("a"), 0)

    def test_it_was_taken(self) -> None:
        """What the gateway says is the verdict, and the message is not sent again."""
        for says in (HANG_UP, SILENCE):
            net = self.doubtful(says)
            told = b"250 <alice@example.org> 250 2.0.0 taken"
            net.doors["a"].says = {b"XASK": told}
            self.assertEqual(self.send(net), Report({ALICE: TAKEN}))
            self.assertEqual((net.asked("a"), net.sent("a"), net.sent("b")), (1, 1, 0))

    def test_it_is_unknown(self) -> None:
        """Then it is sent again, to whichever gateway is next."""
        net = self.doubtful()
        self.assertEqual(self.send(net).replies[ALICE].code, 250)
        self.assertEqual((net.asked("a"), net.asked("b")), (1, 0))
        self.assertEqual(net.sent("a") + net.sent("b"), 2)
        self.send(net)
        self.assertEqual(net.asked("a"), 1, "there is no doubt any more")

    def test_each_recipient(self) -> None:
        """Final replies are kept; who was put off is tried again now."""
        net = self.doubtful(HANG_UP, ALICE, BOB)
        told = b"250-<alice@example.org> 550 5.1.1 who?\r\n"
        told += b"250 <bob@example.org> 450 4.2.0 greylisted"
        net.doors["a"].says = {b"XASK": told}
        report = self.send(net, ALICE, BOB)
        self.assertEqual(report.replies[ALICE], Reply(550, "5.1.1", "who?"))
        self.assertEqual(report.replies[BOB].code, 250)

    def test_many_recipients(self) -> None:
        """As many as a gateway takes are told in one answer, and none is sent again."""
        to = [b"%s%d@example.org" % (b"x" * 60, number) for number in range(500)]
        net = self.doubtful(HANG_UP, *to)
        lines = [b"250-<%s> 550 5.1.1 %s" % (one, b"who " * 20) for one in to]
        lines[-1] = lines[-1].replace(b"250-", b"250 ")
        net.doors["a"].says = {b"XASK": b"\r\n".join(lines)}
        report = self.send(net, *to)
        self.assertEqual({one.code for one in report.replies.values()}, {550})
        self.assertEqual(len(report.replies), len(to))
        self.assertEqual(net.sent("a") + net.sent("b"), 1)

    def test_strange_answers(self) -> None:
        """Nobody gets a reply that is none, or is somebody else's."""
        for told in (
            b"250 <bob@example.org> 250 2.0.0 taken",
            b"250 <alice@example.org> 250",
            b"250 alice@example.org 250 2.0.0 taken",
            b"250 ok",
            b"451 4.3.0 later",
        ):
            net = self.doubtful()
            net.doors["a"].says = {b"XASK": told}
            self.assertEqual(self.send(net).replies[ALICE].code, 250)
            self.assertEqual(net.sent("a") + net.sent("b"), 2, told)

    def test_under_way(self) -> None:
        """A gateway without a verdict yet has it: nobody else gets it; ask again."""
        for says in ({b".": b"459 4.4.0 under way"}, {b". alice": b"459 4.4.0 u w"}):
            net = AskingNet("ab")
            net.doors["a"].says = says
            self.assertEqual(self.send(net), Report(doubtful=True))
            (peer,) = net.doors["a"].peers
            told = b"250 <alice@example.org> 459 4.4.0 under way"
            peer.says = {b"XASK": told}
            self.assertEqual(self.send(net), Report(doubtful=True))
            told = b"250 <alice@example.org> 250 2.0.0 taken"
            peer.says = {b"XASK": told}
            self.assertEqual(self.send(net), Report({ALICE: TAKEN}))
            self.assertEqual((net.sent("a"), net.sent("b")), (1, 0))

    def test_it_can_not_be_asked(self) -> None:
        """While it may remember, no other gateway is sent the message; then one is."""
        net = self.doubtful()
        net.doors["a"].state = "shut"
        self.assertEqual(self.send(net), Report(doubtful=True))
        self.assertEqual(net.sent("b"), 0)
        net.clock.advance(3_600)
        self.assertEqual(self.send(net).replies[ALICE].code, 250)
        self.assertEqual(net.sent("b"), 1)

    def test_lost_while_asked(self) -> None:
        """A connection that goes at the question leaves the doubt."""
        net = self.doubtful()
        net.doors["a"].says = {b"XASK": HANG_UP}
        self.assertEqual(self.send(net), Report(doubtful=True))
        self.assertEqual(net.sent("b"), 0)

    def test_after_a_restart(self) -> None:
        """What was released before it is asked about everywhere, once."""
        net = AskingNet("ab")
        net.doors["b"].says[b"XASK"] = b"250 <alice@example.org> 250 2.0.0 taken"
        net.restart(now=500)
        self.assertEqual(self.send(net, until=1_400), Report({ALICE: TAKEN}))
        self.assertEqual((net.sent("a"), net.sent("b")), (0, 0))
        self.send(net, until=1_400)
        self.assertLessEqual(net.asked("a"), 1)
        self.assertEqual(net.asked("b"), 1)

    def test_released_since(self) -> None:
        """What was released since then is sent at once; all is, after an hour."""
        net = AskingNet("ab")
        net.restart(now=500)
        self.send(net, until=1_600)
        net.restart(now=500)
        net.clock.advance(3_601)
        self.send(net, until=1_400)
        self.assertEqual((net.asked("a"), net.asked("b")), (0, 0))

    def test_away_after_a_restart(self) -> None:
        """Who can not be asked is done without: nothing is known to be there."""
        net = AskingNet("ab")
        net.restart(now=500)
        net.doors["a"].state = "shut"
        self.assertEqual(self.send(net, until=1_400).replies[ALICE].code, 250)
        self.assertEqual((net.asked("b"), net.sent("b")), (1, 1))


@pytest.mark.parametrize("offers", [OFFERS, ()])
def test_asked_between_others(offers: tuple[bytes, ...]) -> None:
    """A question goes along with other mail, with and without PIPELINING."""
    net = AskingNet("a")
    net.restart(now=500)
    net.doors["a"].offers = (*offers, b"XASK")
    parcels = [parcel() for _ in range(10)]
    sendings = [
        net.courier.send(
            Parcel(1 + n, evolve(one.leg, until=1_400 + n), one.body_bytes, one.body)
        )
        for n, one in enumerate(parcels)
    ]
    net.wait(5)
    assert all(one.result.replies[ALICE] == TAKEN for one in sendings)
    assert net.sent("a") == 10
