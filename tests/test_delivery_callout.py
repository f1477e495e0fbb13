"""Whether the sender's own server knows the address: asked, and no mail sent."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.delivery.callout import Caller
from tests.delivery_peer import HANG_UP, SILENCE, Door, Net

BOB = b"bob@example.org"
ONE, OTHER = "a", "b"  # as the net calls its doors


class CalloutTest(SynchronousTestCase):
    """Two servers of a domain, and who asks them."""

    def setUp(self) -> None:
        """Make both."""
        self.net = Net(ONE + OTHER)
        self.dialled: list[tuple[str, int]] = []
        self.caller = Caller("mx.i2pmail.org", self.dial, 2500, self.net.clock)

    def dial(self, address: str, port: int) -> Door:
        """Lead to the server at an address."""
        self.dialled.append((address, port))
        return self.net.doors[address]

    def call(self, *places: str) -> Deferred[str]:
        """Ask; let everybody speak that does."""
        calling = self.caller.call(BOB, places or (ONE,))
        self.net.run()
        return calling

    def told(self, *places: str) -> str:
        """Return what is found; nothing goes on then, and no connection is left."""
        word = self.successResultOf(self.call(*places))
        peers = [peer for door in self.net.doors.values() for peer in door.peers]
        self.assertEqual([peer.wire.closed for peer in peers], [True] * len(peers))
        self.assertEqual([one.messages for one in peers], [[]] * len(peers))
        self.net.clock.advance(0)
        self.assertEqual(self.net.clock.getDelayedCalls(), [])
        return word

    def test_accepted(self) -> None:
        """The null sender, the one recipient, no DATA; and it ends in order."""
        self.assertEqual(self.told(), "accepted")
        peer = self.net.doors[ONE].peer
        self.assertEqual(
            peer.commands,
            [
                b"EHLO mx.i2pmail.org",
                b"MAIL FROM:<>",
                b"RCPT TO:<bob@example.org>",
            ],
        )
        self.assertEqual(peer.wire.value(), b"QUIT\r\n")
        self.assertTrue(peer.wire.orderly)
        self.assertEqual(self.dialled, [(ONE, 2500)])

    def test_codes_of_rcpt(self) -> None:
        """For good is for good; who says to come again has not said."""
        for code, word in (
            (b"251 forwards", "accepted"),
            (b"550 5.1.1 unknown", "refused"),
            (b"553 no", "refused"),
            (b"450 4.2.1 greylisted", "failed"),
            (b"354 what", "failed"),
        ):
            self.net.doors[ONE].says = {b"RCPT": code}
            self.assertEqual(self.told(), word, code)

    def test_refused_before(self) -> None:
        """Who refuses us has not spoken of the address."""
        for line in (b"", b"EHLO", b"MAIL"):
            for code in (b"554 go away", b"421 closing", b"450 later"):
                self.net.doors[ONE].says = {line: code}
                self.assertEqual(self.told(), "failed", (line, code))
                self.assertNotIn(b"RCPT", self.commands(ONE))

    def commands(self, place: str) -> bytes:
        """Return what the last connection to a server was told."""
        return b"\n".join(self.net.doors[place].peers[-1].commands)

    def test_lost(self) -> None:
        """A connection that is lost on the way tells nothing."""
        for line in (b"", b"EHLO", b"MAIL", b"RCPT"):
            self.net.doors[ONE].says = {line: HANG_UP}
            self.assertEqual(self.told(), "failed", line)

    def test_no_reply(self) -> None:
        """What is no reply of SMTP's is none."""
        self.net.doors[ONE].says = {b"RCPT": b"yes"}
        self.assertEqual(self.told(), "failed")

    def test_silence(self) -> None:
        """Ten seconds it may think of each reply, and no longer."""
        for line in (b"", b"EHLO", b"MAIL", b"RCPT"):
            self.net.doors[ONE].says = {line: SILENCE}
            calling = self.call()
            self.net.wait(9)
            self.assertNoResult(calling)
            self.net.wait(2)
            self.assertEqual(self.successResultOf(calling), "failed", line)
            self.assertTrue(self.net.doors[ONE].peers[-1].wire.closed)
            self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def test_dark(self) -> None:
        """A server that is not reached is waited for as long, and then not any more."""
        self.net.doors[ONE].state = "dark"
        calling = self.call()
        self.net.wait(9)
        self.assertNoResult(calling)
        self.net.wait(2)
        self.assertEqual(self.successResultOf(calling), "failed")
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def test_next_address(self) -> None:
        """Where one says nothing of the address, the next is asked."""
        other = self.net.doors[OTHER]
        other.says = {b"RCPT": b"550 unknown"}
        self.net.doors[ONE].state = "shut"
        self.assertEqual(self.told(ONE, OTHER), "refused")
        self.net.doors[ONE].state = "open"
        self.net.doors[ONE].says = {b"RCPT": b"450 later"}
        self.assertEqual(self.told(ONE, OTHER), "refused")
        self.assertEqual([place for place, _ in self.dialled], [ONE, OTHER] * 2)

    def test_first_word_holds(self) -> None:
        """Who was told is not told again by another."""
        for code, word in ((b"250 ok", "accepted"), (b"550 unknown", "refused")):
            self.net.doors[ONE].says = {b"RCPT": code}
            self.assertEqual(self.told(ONE, OTHER), word)
        self.assertEqual(self.net.doors[OTHER].calls, 0)

    def test_nowhere(self) -> None:
        """Nobody to ask, or nobody who says it: nothing is known."""
        self.assertEqual(self.successResultOf(self.caller.call(BOB, ())), "failed")
        for door in self.net.doors.values():
            door.state = "shut"
        self.assertEqual(self.told(ONE, OTHER), "failed")
