"""The mail host's server for gateways, on a clock and without a socket."""

from __future__ import annotations

import os
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Gateway, Inbound
from postmand.internet import Reply
from postmand.link import Pinned, new_identity, pin_of
from tests.link_office import MOST, HostHouse, bdat, crate, sealed
from tests.sessions import Session, reply_codes
from tests.test_link import End
from tests.tls_pair import TLSPair

pytestmark = pytest.mark.long

HOST, FIRST, SECOND, STRANGER = (new_identity() for _ in range(4))
PINNED = tuple(
    Gateway(f"tcp:127.0.0.1:{port}", pin_of(identity))
    for port, identity in ((2526, FIRST), (2528, SECOND))
)
QUESTION = b"MAIL FROM:<carol@example.org> SIZE=500\r\nRCPT TO:<%s>\r\nRSET\r\n"


class HouseCase(SynchronousTestCase):
    """A host, and sessions of the one gateway that needs no key."""

    def house(self, *of: Any, **options: Any) -> HostHouse:
        """Make a host."""
        self.clock = Clock()
        house = HostHouse(self.clock, *of, **options)
        self.addCleanup(house.close)
        return house

    def session(self, house: HostHouse) -> Session:
        """Let a gateway connect, and say EHLO."""
        session = Session(house.link.listening(), self.clock)  # type: ignore[arg-type]
        session.line(b"EHLO gateway")
        return session


class QuestionTests(HouseCase):
    """RCPT is answered by the office, live."""

    def test_hello(self) -> None:
        """The host says its configured name, and BDAT; nothing of AUTH or DATA."""
        house = self.house()
        session = Session(house.link.listening(), self.clock)  # type: ignore[arg-type]
        self.assertEqual(session.said, b"220 mail.i2p ESMTP I2PNet Mailservice\r\n")
        said = session.line(b"EHLO x")
        for word in (b"CHUNKING", b"BINARYMIME", b"PIPELINING", b"SIZE %d" % MOST):
            self.assertIn(b"-" + word if word != b"BINARYMIME" else word, said)
        self.assertNotIn(b"AUTH", said)
        for verb in (b"DATA", b"AUTH PLAIN", b"VRFY alice", b"HELO x"):
            self.assertEqual(session.codes(verb + b"\r\nNOOP\r\n"), [500, 250])

    def test_questions_in_a_stream(self) -> None:
        """Known and unknown, many in one burst, each answered in its turn."""
        house = self.house()
        session = self.session(house)
        burst = (QUESTION % b"alice@mail.i2p" + QUESTION % b"bob@mail.i2p") * 3
        self.assertEqual(session.codes(burst), [250, 250, 250, 250, 550, 250] * 3)
        self.assertEqual(house.office.asked[0], (1, b"alice@mail.i2p", 500))
        self.assertIn(b"550 5.1.1 No such mailbox\r\n", session.said)
        # The office counts its own refusals, by their reasons.
        self.assertEqual(house.counts.snapshot(), {})

    def test_many_refusals(self) -> None:
        """A gateway asks for the whole world: its session lives as long as its cap."""
        house = self.house(refusals=5)
        session = self.session(house)
        codes = session.codes(QUESTION % b"bob@mail.i2p" * 50)
        self.assertEqual(codes, [250, 550, 250] * 50)
        self.assertTrue(session.open)

    def test_cap_of_questions(self) -> None:
        """A stolen gateway learns of so many recipients an hour and of no more.

        Over all its connections, and the office is not asked beyond.
        """
        house = self.house(inbound=Inbound(questions_per_hour=4))
        one, other = self.session(house), self.session(house)
        for number in range(4):
            session = (one, other)[number % 2]
            self.assertEqual(session.codes(QUESTION % b"a@mail.i2p"), [250, 550, 250])
        for session in (one, other, self.session(house)):
            self.assertEqual(
                session.codes(QUESTION % b"alice@mail.i2p"), [250, 451, 250]
            )
        self.assertIn(b"451 4.7.1", other.said)
        self.assertEqual(len(house.office.asked), 4)
        self.clock.advance(3_000)
        self.assertEqual(
            self.session(house).codes(QUESTION % b"alice@mail.i2p"), [250, 451, 250]
        )
        self.clock.advance(700)
        self.assertEqual(
            self.session(house).codes(QUESTION % b"alice@mail.i2p"), [250, 250, 250]
        )

    def test_too_large(self) -> None:
        """A size over the host's is refused before a recipient is judged."""
        house = self.house()
        session = self.session(house)
        mail = b"MAIL FROM:<> SIZE=%d\r\n" % (MOST + 1)
        self.assertEqual(session.codes(mail), [552])


class CrateTests(HouseCase):
    """BDAT hands over what the office accepts."""

    def test_taken(self) -> None:
        """A crate is opened and accepted, and the reply is the office's."""
        house = self.house()
        session = self.session(house)
        self.assertEqual(session.codes(bdat(sealed())), [250])
        self.assertEqual(house.office.taken, [(1, crate())])
        house.office.says = Reply(452, "4.2.2", "The mailbox is full")
        self.assertEqual(
            session.send(bdat(sealed(b"x"))), b"452 4.2.2 The mailbox is full\r\n"
        )
        house.office.says = Reply(554, "5.7.1", "No")
        self.assertEqual(session.codes(bdat(sealed(b"y"))), [554])

    def test_who_waits(self) -> None:
        """LIVE says that somebody waits; without it nobody does; else it is no BDAT."""
        house = self.house()
        session = self.session(house)
        self.assertIn(b"250-XLIVE\r\n", session.said)
        for word, live in (
            (b"LAST", False),
            (b"LAST LIVE", True),
            (b"last  live", True),
        ):
            octets = sealed(word)
            said = session.codes(b"BDAT %d %s\r\n" % (len(octets), word) + octets)
            self.assertEqual((said, house.office.live.pop()), ([250], live))
        for word in (b"LIVE", b"LAST LIVE LIVE", b"LAST DEAD", b"LASTLIVE"):
            session = self.session(house)
            self.assertEqual(session.codes(b"BDAT 3 %s\r\nabc" % word), [501])
            self.assertFalse(session.open)

    def test_a_refusal_that_was_heard_is_reported_once_it_is_kept(self) -> None:
        """The same crate live, and then kept: the office hears both."""
        house = self.house()
        house.office.says = Reply(550, "5.7.1", "No")
        octets = sealed()
        session = self.session(house)
        live = b"BDAT %d LAST LIVE\r\n" % len(octets) + octets
        self.assertEqual(session.codes(live), [550])
        self.assertEqual(session.codes(bdat(octets)), [550])
        self.assertEqual(house.office.live, [True, False])

    def test_in_crumbs(self) -> None:
        """However it is cut on the way, and what follows it is a command again."""
        house = self.house()
        for chunk in (1, 7, 1_000):
            session = self.session(house)
            octets = bdat(sealed(b"%d" % chunk)) + b"NOOP\r\n" + bdat(sealed(b"2nd"))
            self.assertEqual(reply_codes(session.send(octets, chunk)), [250, 250, 250])
        self.assertEqual(house.office.bodies[-2:], [b"1000", b"2nd"])

    def test_a_large_one_spills(self) -> None:
        """Beyond what may be in memory it goes to the disk, and nothing stays there."""
        house = self.house(spool_bytes=4_096)
        session = self.session(house)
        body = os.urandom(900_000)
        house.work.held = True
        session.send(bdat(sealed(body)))
        self.assertTrue(house.work.waiting)
        self.assertFalse(house.office.taken)
        while house.work.step() or session.arriving:
            session.pump()
        self.assertEqual(house.office.bodies, [body])
        self.assertTrue(session.said.endswith(b"250 2.0.0 Ok: kept\r\n"))
        self.assertEqual(house.memory._free, house.limits.body_memory)

    def test_garbage(self) -> None:
        """What does not open is refused for good, and the session goes on."""
        house = self.house()
        session = self.session(house)
        whole = sealed()
        for octets in (os.urandom(5_000), whole[:-1], b"x", whole[:20]):
            self.assertEqual(
                session.send(bdat(octets)), b"554 5.6.0 The crate does not open\r\n"
            )
        self.assertEqual(session.codes(b"BDAT 0 LAST\r\nNOOP\r\n"), [554, 250])
        self.assertEqual(session.codes(bdat(whole)), [250])
        self.assertEqual(len(house.office.taken), 1)

    def test_malformed(self) -> None:
        """Where the end of a chunk is not known, nothing after it is a command."""
        for command in (
            b"BDAT", b"BDAT LAST", b"BDAT -1 LAST", b"BDAT 5", b"BDAT 5 FIRST",
            b"BDAT 5 LAST LAST", b"BDAT 5LAST", b"BDAT " + b"9" * 30 + b" LAST",
            b"BDAT 0x5 LAST", b"BDAT \xb2 LAST",
        ):  # fmt: skip
            house = self.house()
            session = self.session(house)
            codes = session.codes(command + b"\r\nRSET\r\nNOOP\r\n")
            self.assertEqual(codes, [501], command)
            self.assertFalse(session.open)

    def test_too_large(self) -> None:
        """A crate larger than any is not waited for, nor is what is in it refused."""
        session = self.session(self.house())
        said = session.send(b"BDAT 99999999 LAST\r\nNOOP\r\n")
        self.assertEqual((said[:10], reply_codes(said)), (b"452 4.3.4 ", [452]))
        self.assertFalse(session.open)

    def test_before_hello(self) -> None:
        """Nothing is taken from who did not greet."""
        house = self.house()
        session = Session(house.link.listening(), self.clock)  # type: ignore[arg-type]
        self.assertEqual(session.codes(bdat(sealed())), [503])
        self.assertFalse(session.open)

    def test_cap_of_messages(self) -> None:
        """Beyond the cap it is said at once, before the octets came; they go by."""
        house = self.house(inbound=Inbound(messages_per_hour=2))
        session = self.session(house)
        for _ in range(2):
            self.assertEqual(session.codes(bdat(sealed())), [250])
        octets = bdat(sealed())
        self.assertEqual(
            session.send(octets[:100]),
            b"451 4.7.1 Too much mail this hour; try again later\r\n",
        )
        self.assertEqual(session.codes(octets[100:] + b"NOOP\r\n"), [250])
        self.assertEqual(len(house.office.taken), 2)
        self.clock.advance(3_700)
        self.assertEqual(self.session(house).codes(bdat(sealed())), [250])

    def test_cap_of_octets(self) -> None:
        """So many octets an hour, whoever many messages they are."""
        house = self.house(inbound=Inbound(bytes_per_hour=65_536))
        session = self.session(house)
        large = sealed(b"x" * 40_000)
        self.assertEqual(session.codes(bdat(large)), [250])
        self.assertEqual(session.codes(bdat(large)), [451])
        self.assertEqual(session.codes(bdat(sealed())), [250])

    def test_recipients_are_questions(self) -> None:
        """A crate for many asks for many: else reports would tell who is a member."""
        house = self.house(inbound=Inbound(questions_per_hour=4))
        session = self.session(house)
        three = [b"%d@mail.i2p" % number for number in range(3)]
        self.assertEqual(session.codes(bdat(sealed(b"x", *three))), [250])
        self.assertEqual(session.codes(bdat(sealed(b"y", *three))), [451])
        self.assertIn(b"451 4.7.1 Too many questions", session.said)
        self.assertEqual(session.codes(QUESTION % b"alice@mail.i2p"), [250, 250, 250])
        self.assertEqual(session.codes(QUESTION % b"alice@mail.i2p"), [250, 451, 250])
        self.assertEqual(house.office.bodies, [b"x"])
        refused = house.counts.snapshot()["refused", "gateway-questions"]
        self.assertEqual(refused, 2)

    def test_doubles_ask_nothing(self) -> None:
        """A crate that is here already is no question more."""
        house = self.house(inbound=Inbound(questions_per_hour=1))
        session, octets = self.session(house), bdat(sealed())
        self.assertEqual(session.codes(octets * 3), [250, 250, 250])
        self.assertEqual(len(house.office.taken), 1)

    def test_lost_reply(self) -> None:
        """The connection goes before the answer: kept, and not twice when it comes."""
        house = self.house()
        octets = bdat(sealed())
        house.office.held = True
        session = self.session(house)
        session.send(octets)
        session.drop()
        again = self.session(house)
        self.assertEqual(again.codes(octets), [])
        self.assertEqual(len(house.office.taken), 1)
        house.office.waiting.pop().callback(Reply(250, "2.0.0", "Ok: kept"))
        again.pump()
        self.assertTrue(again.said.endswith(b"250 2.0.0 Ok: kept\r\n"))
        self.assertEqual(self.session(house).codes(octets), [250])
        self.assertEqual(len(house.office.taken), 1)
        self.assertEqual(self.session(house).codes(bdat(sealed())), [])
        self.assertEqual(len(house.office.taken), 2)

    def test_remembered_for_an_hour(self) -> None:
        """So long since it last came; after that it is taken as another."""
        house = self.house()
        octets = bdat(sealed())
        for wait, taken in ((0, 1), (3_500, 1), (3_500, 1), (3_700, 2)):
            self.clock.advance(wait)
            self.assertEqual(self.session(house).codes(octets), [250])
            self.assertEqual(len(house.office.taken), taken)

    def test_a_refusal_is_not_remembered(self) -> None:
        """What was refused for now, or failed by our fault, is tried again."""
        house = self.house()
        session = self.session(house)
        octets = bdat(sealed())
        house.office.says = Reply(451, "4.3.0", "Later")
        self.assertEqual(session.codes(octets), [451])
        house.office.fails = ZeroDivisionError("alice@mail.i2p")
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.assertEqual(session.codes(octets), [451])
        globalLogPublisher.removeObserver(events.append)
        self.assertTrue(events)
        self.assertNotIn("alice", str([event.get("fault") for event in events]))
        house.office.fails = None
        house.office.says = Reply(250, "2.0.0", "Ok")
        self.assertEqual(session.codes(octets), [250])

    def test_cut_in_the_middle(self) -> None:
        """Half a crate is nothing, and leaves nothing in memory or on the disk."""
        house = self.house(spool_bytes=4_096)
        session = self.session(house)
        session.send(bdat(sealed(os.urandom(900_000)))[:600_000])
        session.drop()
        self.assertFalse(house.office.taken)
        self.assertEqual(house.memory._free, house.limits.body_memory)
        self.assertEqual(os.listdir(house.directory.name), [])

    def test_disk_full(self) -> None:
        """A full disk is told at the end, and the session goes on."""
        house = self.house(spool_bytes=4_096)
        session = self.session(house)
        house.work.fails = OSError(28, "No space")
        self.assertEqual(session.codes(bdat(sealed(os.urandom(900_000)))), [452])
        house.work.fails = None
        self.assertEqual(session.codes(bdat(sealed())), [250])

    def test_hardly_moving(self) -> None:
        """A crate that creeps is given up; a slow tunnel's is not."""
        house = self.house(body_seconds=60, body_bytes_per_second=100)
        octets = bdat(sealed(os.urandom(90_000)))
        session = self.session(house)
        for start in range(0, len(octets), 200 * 30):
            session.send(octets[start : start + 200 * 30])
            session.advance(30)
        self.assertEqual(len(house.office.taken), 1)
        creeping = self.session(house)
        for start in range(0, 1_000, 100):
            if creeping.open:
                creeping.send(octets[start : start + 100])
                creeping.advance(30)
        self.assertIn(b"421 4.4.2", creeping.said)
        self.assertEqual(len(house.office.taken), 1)

    def test_few_open_at_once(self) -> None:
        """Four crates are open in memory; others wait sealed."""
        house = self.house()
        house.office.held = True
        sessions = [self.session(house) for _ in range(6)]
        for number, session in enumerate(sessions):
            session.send(bdat(sealed(b"%d" % number)))
        self.assertEqual(len(house.office.taken), 4)
        house.office.waiting.pop(0).callback(Reply(250, "2.0.0", "Ok"))
        self.assertEqual(len(house.office.taken), 5)

    def test_connections(self) -> None:
        """One gateway has so many connections; the next is told, and closed."""
        house = self.house()
        sessions = [self.session(house) for _ in range(24)]
        more = Session(house.link.listening(), self.clock)  # type: ignore[arg-type]
        self.assertEqual(reply_codes(more.said), [220, 421])
        self.assertFalse(more.open)
        sessions[0].drop()
        self.assertEqual(self.session(house).codes(b"NOOP\r\n"), [250])

    def test_no_word_of_mail_is_logged(self) -> None:
        """A whole session, refusals too, leaves no line in the log."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        session = self.session(self.house())
        session.send(QUESTION % b"bob@mail.i2p" + bdat(sealed()) + bdat(b"junk"))
        session.line(b"QUIT")
        self.assertEqual(events, [])


class KeyTests(SynchronousTestCase):
    """Who comes in, over TLS in memory."""

    def setUp(self) -> None:
        """Make a host with two gateways."""
        self.clock = Clock()
        self.retired: set[str] = set()
        self.house = HostHouse(
            self.clock,
            PINNED,
            identity=HOST,
            retired=lambda pin: pin in self.retired,
        )
        self.addCleanup(self.house.close)

    def meet(self, identity: bytes, house: HostHouse | None = None) -> TLSPair:
        """A gateway connects."""
        factory = (house or self.house).link.listening()
        pair = TLSPair(Pinned(identity, pin_of(HOST)), End(), factory, self.clock)
        pair.run()
        return pair

    def ask(self, pair: TLSPair, octets: bytes) -> list[int]:
        """Send; return the codes of what is answered."""
        before = len(pair.client.heard)
        if pair.client.reason is None:
            pair.client.transport.write(octets)
        pair.run()
        return reply_codes(pair.client.heard[before:])

    def test_each_has_its_number(self) -> None:
        """The key tells the office which gateway it is."""
        for identity in (SECOND, FIRST):
            pair = self.meet(identity)
            self.ask(pair, b"EHLO x\r\n" + QUESTION % b"alice@mail.i2p")
            self.assertEqual(self.ask(pair, bdat(sealed())), [250])
        self.assertEqual([asked[0] for asked in self.house.office.asked], [2, 1])
        self.assertEqual([taken[0] for taken in self.house.office.taken], [2, 1])

    def test_caps_are_each_ones_own(self) -> None:
        """One gateway's questions do not use up another's."""
        house = HostHouse(
            self.clock, PINNED, Inbound(questions_per_hour=1), identity=HOST
        )
        self.addCleanup(house.close)
        for identity, code in ((FIRST, 250), (FIRST, 451), (SECOND, 250)):
            pair = self.meet(identity, house)
            self.ask(pair, b"EHLO x\r\n")
            codes = self.ask(pair, QUESTION % b"alice@mail.i2p")
            self.assertEqual(codes, [250, code, 250])

    def test_stranger(self) -> None:
        """Another key hears nothing, not even a name."""
        pair = self.meet(STRANGER)
        self.assertEqual(pair.client.heard, b"")
        self.assertIsNotNone(pair.client.reason)
        self.assertEqual(self.house.link._seats._taken, 0)

    def test_no_tls(self) -> None:
        """Who speaks in the clear hears nothing that could be read."""
        session = Session(self.house.link.listening(), self.clock)  # type: ignore[arg-type]
        session.line(b"EHLO " + b"x" * 100)
        self.assertNotIn(b"220", session.said)
        self.assertNotIn(b"mail.i2p", session.said)
        self.assertFalse(session.open)

    def test_silent_stranger(self) -> None:
        """Who begins no handshake is cut, and hears nothing."""
        session = Session(self.house.link.listening(), self.clock)  # type: ignore[arg-type]
        session.advance(121)
        self.assertEqual((session.said, session.open), (b"", False))

    def test_reads_through_the_handshake(self) -> None:
        """Nothing pauses the connection before the handshake is done."""
        session = Session(self.house.link.listening(), self.clock)  # type: ignore[arg-type]
        self.assertTrue(session.wire.reading)

    def test_shut_out(self) -> None:
        """From one moment to the next: not a word more, and it is let in no more."""
        first, other = self.meet(FIRST), self.meet(SECOND)
        self.assertEqual(self.ask(first, b"EHLO x\r\n"), [250])
        self.retired.add(pin_of(FIRST))
        self.assertEqual(self.ask(first, QUESTION % b"alice@mail.i2p"), [])
        self.assertIsNotNone(first.client.reason)
        self.assertEqual(self.meet(FIRST).client.heard, b"")
        self.assertEqual(self.ask(other, b"EHLO x\r\n"), [250])
        self.assertEqual(self.house.office.asked, [])

    def test_silent_sessions(self) -> None:
        """Who says nothing is cut within a second, or two; the other is not."""
        pairs = [self.meet(FIRST), self.meet(SECOND), self.meet(FIRST)]
        self.clock.advance(5)
        self.retired.add(pin_of(FIRST))
        self.clock.advance(1)
        for pair in pairs:
            pair.run()
        gone = [pair.client.reason is not None for pair in pairs]
        self.assertEqual(gone, [True, False, True])

    def test_in_the_middle_of_a_crate(self) -> None:
        """What it was just bringing is not taken."""
        pair = self.meet(FIRST)
        self.assertEqual(self.ask(pair, b"EHLO x\r\n"), [250])
        octets = bdat(sealed(b"x" * 5_000))
        self.assertEqual(self.ask(pair, octets[:-1]), [])
        self.retired.add(pin_of(FIRST))
        self.clock.advance(1)
        self.assertEqual(self.ask(pair, octets[-1:]), [])
        self.assertIsNotNone(pair.client.reason)
        self.assertEqual(self.house.office.taken, [])

    def test_let_in_again(self) -> None:
        """Who is no longer shut out comes in as before."""
        self.retired.add(pin_of(FIRST))
        self.assertEqual(self.meet(FIRST).client.heard, b"")
        self.retired.clear()
        self.assertEqual(self.ask(self.meet(FIRST), b"EHLO x\r\n"), [250])

    def test_nobody_there(self) -> None:
        """Without a session nothing is looked up."""
        pair = self.meet(FIRST)
        pair.client.transport.loseConnection()
        pair.run()
        self.clock.advance(700)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_retired_before_the_start(self) -> None:
        """A gateway that left the configuration is a stranger."""
        house = HostHouse(self.clock, PINNED[1:], identity=HOST)
        self.addCleanup(house.close)
        self.assertEqual(self.meet(FIRST, house).client.heard, b"")
        self.assertTrue(self.meet(SECOND, house).client.heard.startswith(b"220 "))

    def test_who_is_retired_can_not_be_told(self) -> None:
        """Then nobody is let in, until it can be told again; and it is logged."""
        broken = [True]

        def retired(_: str) -> bool:
            if broken:
                raise OSError
            return False

        house = HostHouse(self.clock, PINNED, identity=HOST, retired=retired)
        self.addCleanup(house.close)
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.assertEqual(self.meet(FIRST, house).client.heard, b"")
        self.assertTrue(any("shut out" in event.get("where", "") for event in events))
        broken.clear()
        self.assertTrue(self.meet(FIRST, house).client.heard.startswith(b"220 "))

    def test_full_house(self) -> None:
        """A connection too many is closed before a handshake, without a fault."""
        house = HostHouse(self.clock, PINNED, identity=HOST, connections=1)
        self.addCleanup(house.close)
        self.meet(FIRST, house)
        self.assertIsNone(house.link.listening().buildProtocol(None))  # type: ignore[arg-type]
