"""The gateway's way to its mail host: lines, questions, crates, and the spool's end."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import verify

from postmand.config import Inbound
from postmand.delivery import host
from postmand.delivery.forwarding import Forwarding
from postmand.delivery.host import _Slices
from postmand.inbound import IHost
from postmand.internet import Reply
from postmand.servers.hostlink import HostSession
from postmand.store.sealed_spool import SealedSpool
from tests.host_net import Net
from tests.link_office import MOST, sealed
from tests.sessions import Work

pytestmark = pytest.mark.long

ALICE = b"carol@example.org", b"alice@mail.i2p", 500
BOB = b"", b"bob@mail.i2p", 500


class NetCase(SynchronousTestCase):
    """A host and a gateway."""

    def net(self, *of: Any, **options: Any) -> Net:
        """Make both; the lines are not up yet."""
        net = Net(*of, **options)
        self.addCleanup(net.house.close)
        return net

    def code(self, asked: Deferred[Reply]) -> tuple[int, str]:
        """Return what came of it; it has to have come."""
        reply = self.successResultOf(asked)
        return reply.code, reply.enhanced


class LineTests(NetCase):
    """The lines are kept up, or it is said at once that there are none."""

    def test_seam(self) -> None:
        """It is an IHost."""
        verify.verifyObject(IHost, self.net().host)

    def test_kept_up(self) -> None:
        """As many as configured; one that is lost comes again in about a second."""
        net = self.net(3).started()
        self.assertEqual(len(net.open), 3)
        self.assertFalse(net.host.away)
        net.advance(100)
        net.open[0].cut()
        self.assertEqual(len(net.open), 2)
        self.assertFalse(net.host.away)
        net.advance(3)
        self.assertEqual(len(net.open), 3)

    def test_kept_warm(self) -> None:
        """An hour of nothing to do ends no line, and is not dialled again."""
        net = self.net().started()
        net.advance(3_600)
        self.assertEqual(len(net.wires), 2)
        self.assertEqual(len(net.open), 2)
        self.assertFalse(net.host.away)

    def test_away(self) -> None:
        """Without a line all is answered at once, and nothing is kept for later."""
        net = self.net()
        net.down = True
        net.started()
        self.assertTrue(net.host.away)
        self.assertEqual(self.code(net.host.recipient(*ALICE)), (451, "4.4.1"))
        self.assertEqual(self.code(net.host.hand_over(sealed())), (451, "4.4.1"))
        net.down = False
        net.advance(400)
        self.assertEqual(net.house.office.asked, [])
        self.assertFalse(net.host.away)

    def test_gaps_grow(self) -> None:
        """A host that stays away is dialled more and more seldom, never regularly."""
        net = self.net(1)
        net.down = True
        net.started()
        net.advance(4 * 3_600)
        gaps = [b - a for a, b in zip(net.dials, net.dials[1:], strict=False)]
        self.assertLess(gaps[0], 4)
        self.assertGreater(min(gaps[-10:]), 149)
        self.assertLess(max(gaps), 451)
        self.assertGreater(len({round(gap) for gap in gaps[-10:]}), 5)
        self.assertIn("host-away", net.counted)

    def test_one_is_back(self) -> None:
        """Who notes first that the host is back has the others come at once."""
        net = self.net(3)
        net.down = True
        net.started()
        net.advance(4 * 3_600)
        net.down = False
        while net.host.away:
            net.advance(1)
        net.advance(5)
        self.assertEqual(len(net.open), 3)

    def test_tunnel_that_often_ends(self) -> None:
        """A line that nobody asked anything stood all the same: no growing gaps."""
        net = self.net().started()
        for _ in range(20):
            net.advance(20)
            net.cut()
            net.advance(5)
            self.assertEqual(len(net.open), 2)

    def test_greets_and_goes(self) -> None:
        """A host that greets and hangs up is dialled more and more seldom."""
        net = self.net(1).started()
        for _ in range(7_200):
            net.cut()
            net.advance(1)
        self.assertLess(len(net.dials), 40)

    def test_dialling_hangs(self) -> None:
        """A connection that does not come about is given up after a minute."""
        net = self.net(1)
        net.hangs = True
        net.started()
        net.advance(61)
        net.hangs = False
        net.advance(5)
        self.assertFalse(net.host.away)

    def test_mute_host(self) -> None:
        """A host that takes and never answers is away within a minute or two."""
        net = self.net().started()
        net.mute = True
        asked = net.host.recipient(*ALICE)
        net.advance(59)
        self.assertNoResult(asked)
        net.advance(2)
        self.assertEqual(self.code(asked)[0], 451)
        net.advance(200)
        self.assertTrue(net.host.away)

    def test_log(self) -> None:
        """It is logged once that the host is away and once that it is back."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        net = self.net().started()
        net.advance(200)
        net.down = True
        net.cut()
        net.advance(600)
        net.down = False
        net.advance(400)
        told = [event["log_format"] for event in events]
        self.assertEqual(
            told, ["the mail host is away: {reason}", "the mail host is back"]
        )
        self.assertEqual(events[0]["reason"], "no-connection")

    def test_stop(self) -> None:
        """Stopping says QUIT, ends what waits, and leaves nothing behind."""
        net = self.net().started()
        done = net.host.stop()
        net.run()
        self.successResultOf(done)
        self.assertEqual(net.open, [])
        self.assertEqual(self.code(net.host.recipient(*ALICE))[0], 451)
        self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_stop_while_dialling(self) -> None:
        """So does stopping without a host."""
        for down, hangs in ((True, False), (False, True)):
            net = self.net()
            net.down, net.hangs = down, hangs
            net.started()
            self.successResultOf(net.host.stop())
            self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_stop_with_a_mute_host(self) -> None:
        """A host that does not let us go is cut after ten seconds."""
        net = self.net().started()
        net.mute = True
        handing = net.host.hand_over(sealed())
        done = net.host.stop()
        net.advance(21)
        self.successResultOf(done)
        self.assertEqual(self.code(handing)[0], 451)
        self.assertEqual(net.clock.getDelayedCalls(), [])


class QuestionTests(NetCase):
    """Recipients are asked live."""

    def test_answers(self) -> None:
        """The host's word comes back."""
        net = self.net().started()
        asked = [net.host.recipient(*who) for who in (ALICE, BOB, ALICE)]
        net.run()
        self.assertEqual([self.code(one)[0] for one in asked], [250, 550, 250])
        self.assertEqual(net.house.office.asked[0], (1, b"alice@mail.i2p", 500))

    def test_in_a_stream(self) -> None:
        """A hundred at once take one turn, not a hundred."""
        net = self.net().started()
        asked = [net.host.recipient(*(ALICE, BOB)[n % 2]) for n in range(100)]
        net.run(3)
        codes = [self.code(one)[0] for one in asked]
        self.assertEqual(codes, [250, 550] * 50)

    def test_more_than_fit(self) -> None:
        """Two hundred wait for their place on a line, and all are answered."""
        net = self.net().started()
        asked = [net.host.recipient(*ALICE) for _ in range(200)]
        net.run()
        self.assertEqual({self.code(one)[0] for one in asked}, {250})

    def test_capped(self) -> None:
        """Over the cap nothing leaves; a minute later it does."""
        net = self.net(2, 3).started()
        asked = [net.host.recipient(*ALICE) for _ in range(4)]
        net.run()
        self.assertEqual([self.code(one)[0] for one in asked], [250, 250, 250, 451])
        self.assertEqual(len(net.house.office.asked), 3)
        self.assertEqual(net.counted, ["questions-capped"])
        net.advance(63)
        again = net.host.recipient(*ALICE)
        net.run()
        self.assertEqual(self.code(again)[0], 250)

    def test_hosts_cap(self) -> None:
        """The host's own cap comes back as it says it."""
        net = self.net(inbound=Inbound(questions_per_hour=1)).started()
        asked = [net.host.recipient(*ALICE) for _ in range(2)]
        net.run()
        self.assertEqual(
            sorted(map(self.code, asked)), [(250, "2.1.5"), (451, "4.7.1")]
        )

    def test_no_address(self) -> None:
        """What would be a command of its own is not said."""
        net = self.net().started()
        for bad in (
            b"a@b>\r\nRSET", b"a\n@b", b"a\0@b", b"a" * 513, b"a@b> SIZE=1 <x",
            b"a@b> SIZE=1", b"a b@c", b"<a@b>", b"a@",
        ):  # fmt: skip
            for asked in ((bad, ALICE[1], 1), (ALICE[0], bad, 1)):
                reply = self.successResultOf(net.host.recipient(*asked))
                self.assertEqual(reply.code, 553)
        net.run()
        self.assertEqual(net.house.office.asked, [])

    def test_odd_addresses(self) -> None:
        """Quoted, bare and 8-bit names pass as they are."""
        net = self.net(1).started()
        odd = b'"a> b"@example.org', b"postmaster", "jörg@müller.example".encode()
        asked = [net.host.recipient(one, ALICE[1], 1) for one in (*odd, b"")]
        asked += [net.host.recipient(b"", one, 1) for one in odd]
        net.run()
        codes = [self.code(one)[0] for one in asked]
        self.assertEqual(codes, [250] * 4 + [550] * 3)
        empty = net.host.recipient(b"", b"", 1)
        self.assertEqual(self.code(empty), (553, "5.1.3"))

    def test_too_large(self) -> None:
        """The host's SIZE is known: such a question need not be asked."""
        net = self.net().started()
        asked = net.host.recipient(ALICE[0], ALICE[1], MOST + 1)
        self.assertEqual(self.code(asked), (552, "5.3.4"))

    def test_what_the_host_takes(self) -> None:
        """What it announced last is known, when it is away too."""
        net = self.net()
        self.assertTrue(net.host.takes(10 * MOST))
        net.started()
        self.assertEqual([net.host.takes(MOST + one) for one in (0, 1)], [True, False])
        net.down = True
        net.cut()
        self.assertFalse(net.host.takes(MOST + 1))

    def test_line_lost(self) -> None:
        """A question on a lost line is asked on another, once."""
        net = self.net().started()
        net.mute = True
        asked = net.host.recipient(*ALICE)
        net.run()
        first = next(wire for wire in net.open if wire.ends[1].octets)
        first.cut()
        net.mute = False
        net.run()
        self.assertEqual(self.code(asked)[0], 250)

    def test_all_lines_lost(self) -> None:
        """When the last line goes, who waits hears it at once."""
        net = self.net().started()
        net.mute = net.down = True
        asked = net.host.recipient(*ALICE)
        net.run()
        net.cut()
        self.assertEqual(self.code(asked)[0], 451)


class CrateTests(NetCase):
    """Crates are handed over whole, and once."""

    def test_taken(self) -> None:
        """The host's word comes back, whatever it is."""
        net = self.net().started()
        for says in (Reply(250, "2.0.0", "Ok"), Reply(452, "4.2.2", "Full")):
            net.house.office.says = says
            handing = net.host.hand_over(sealed())
            net.run()
            self.assertEqual(self.successResultOf(handing), says)
        net.house.office.says = Reply(250, "2.0.0", "Ok")
        junk = net.host.hand_over(b"junk")
        net.run()
        self.assertEqual(self.code(junk), (554, "5.6.0"))

    def test_the_word_that_somebody_waits(self) -> None:
        """The host is told who waits; whoever has gone on by then does not."""
        net = self.net(1).started()
        net.host.hand_over(sealed(b"live"))
        net.house.office.held = True
        net.run()
        late = net.host.hand_over(sealed(b"late"))
        late.addErrback(lambda _: None)
        net.run()
        late.cancel()
        kept = sealed(b"kept")
        net.host.carry(len(kept), lambda: _Slices(kept))
        net.host.hand_over(sealed(b"live again"))
        for _ in range(3):
            net.house.office.waiting.pop().callback(Reply(250, "2.0.0", "Ok"))
            net.run()
        self.assertEqual(net.house.office.bodies, [b"live", b"kept", b"live again"])
        self.assertEqual(net.house.office.live, [True, False, True])

    def test_nobody_waits_and_the_link_goes(self) -> None:
        """A crate whose caller had gone on is not brought again: it was kept."""
        net = self.net(1).started()
        net.house.office.held = True
        handing = net.host.hand_over(sealed())
        handing.addErrback(lambda _: None)
        net.run()
        handing.cancel()
        net.cut()
        net.advance(10)
        self.assertEqual((len(net.open), len(net.house.office.taken)), (1, 1))

    def test_a_host_that_knows_no_such_word(self) -> None:
        """An older one is not told what it would not understand."""
        self.patch(HostSession, "extensions", lambda _: [b"CHUNKING"])
        net = self.net().started()
        handing = net.host.hand_over(sealed())
        net.run()
        self.assertEqual(self.code(handing)[0], 250)
        self.assertEqual(net.house.office.live, [False])

    def at_20_kilobytes_a_second(self, net: Net, seconds: int) -> None:
        """Let time pass over a slow link."""
        net.most = 20_480
        for _ in range(seconds):
            for wire in net.open:
                wire.carry(net.most, replies=True)
            net.clock.advance(1)

    def test_withdrawn(self) -> None:
        """When no caller waits any more the host does not get the rest."""
        net = self.net(most=30_000_000).started()
        handing = net.host.hand_over(sealed(os.urandom(4_096) * 4_000))
        self.at_20_kilobytes_a_second(net, 539)
        self.assertNoResult(handing)
        net.clock.advance(1)
        self.assertEqual(self.code(handing), (451, "4.3.2"))
        net.most = 10**9
        net.advance(10)
        self.assertEqual(net.house.office.taken, [])
        self.assertEqual((len(net.wires), len(net.open)), (3, 2))
        again = net.host.hand_over(sealed(b"small"))
        net.run()
        self.assertEqual(self.code(again)[0], 250)

    def test_withdrawn_before_it_began(self) -> None:
        """One that waits for a line is not begun with; the one before it goes on."""
        self.patch(host, "_BEGIN", 1_000.0)
        net = self.net(most=30_000_000).started()
        octets = sealed(os.urandom(4_096) * 4_000)
        first = net.host.carry(len(octets), lambda: _Slices(octets))
        second = net.host.hand_over(sealed(b"second"))
        self.at_20_kilobytes_a_second(net, 539)
        self.assertNoResult(second)
        net.clock.advance(1)
        self.assertEqual(self.code(second), (451, "4.3.2"))
        self.at_20_kilobytes_a_second(net, 400)
        self.assertEqual(self.code(first)[0], 250)
        self.assertEqual((len(net.wires), len(net.house.office.taken)), (2, 1))

    def test_at_its_pace(self) -> None:
        """A slow tunnel: no more is read than it carries, and time grows with size."""
        net = self.net().started()
        net.most = 20_480
        body = os.urandom(900_000)
        handing = net.host.hand_over(sealed(body))
        while not handing.called:
            for wire in net.open:
                self.assertLess(len(wire.ends[0].octets), 200_000)
                wire.carry(net.most, replies=True)
            net.clock.advance(8)
        self.assertGreater(net.clock.seconds(), 300)
        self.assertEqual(self.code(handing)[0], 250)
        self.assertEqual(net.house.office.bodies, [body])

    def test_25_megabytes_at_20_kilobytes_a_second(self) -> None:
        """It takes twenty minutes and arrives once; questions do not wait for it."""
        net = self.net(most=30_000_000).started()
        net.most = 20_480
        body = os.urandom(4_096) * 6_400
        octets = sealed(body)
        handing = net.host.carry(len(octets), lambda: _Slices(octets))
        asked: list[Deferred[Reply]] = []
        while not handing.called:
            if net.clock.seconds() % 60 == 0:
                asked.append(net.host.recipient(*ALICE))
            for wire in net.open:
                wire.carry(net.most, replies=True)
            net.clock.advance(1)
        self.assertGreater(net.clock.seconds(), 1_200)
        self.assertEqual(self.code(handing)[0], 250)
        self.assertEqual({self.code(one)[0] for one in asked}, {250})
        self.assertTrue(net.house.office.bodies == [body])
        self.assertEqual(len(net.wires), 2)

    def test_a_line_for_questions(self) -> None:
        """While crates are on their way, one line of several answers questions."""
        net = self.net().started()
        net.house.office.held = True
        handing = [net.host.hand_over(sealed(b"%d" % n)) for n in range(3)]
        net.run()
        asked = net.host.recipient(*ALICE)
        net.run()
        self.assertEqual(self.code(asked)[0], 250)
        self.assertEqual(len(net.house.office.taken), 1)
        while net.house.office.waiting:
            net.house.office.waiting.pop().callback(Reply(250, "2.0.0", "Ok"))
            net.run()
        self.assertEqual([self.code(one)[0] for one in handing], [250] * 3)

    def test_lost_reply(self) -> None:
        """Taken, and the reply lost: asked again on another line, delivered once."""
        net = self.net().started()
        net.mute = True
        handing = net.host.hand_over(sealed())
        net.run()
        self.assertEqual(len(net.house.office.taken), 1)
        next(wire for wire in net.open if wire.ends[1].octets).cut()
        net.mute = False
        net.run()
        self.assertEqual(self.code(handing)[0], 250)
        self.assertEqual(len(net.house.office.taken), 1)

    def test_lost_again(self) -> None:
        """After two lost lines it is the caller's turn to try again."""
        net = self.net(3).started()
        net.mute = True
        handing = net.host.hand_over(sealed())
        for _ in range(2):
            net.run()
            next(wire for wire in net.open if wire.ends[1].octets).cut()
        self.assertEqual(self.code(handing)[0], 451)

    def test_cut_in_the_middle(self) -> None:
        """Half a crate is sent again from its start."""
        net = self.net().started()
        net.most = 10_000
        body = os.urandom(300_000)
        handing = net.host.hand_over(sealed(body))
        net.run(5)
        max(net.open, key=lambda wire: len(wire.ends[0].octets)).cut()
        net.most = 10**9
        net.run()
        self.assertEqual(self.code(handing)[0], 250)
        self.assertEqual(net.house.office.bodies, [body])

    def test_refused_before_its_end(self) -> None:
        """A large crate over the host's cap: not sent to its end for nothing."""
        net = self.net(inbound=Inbound(bytes_per_hour=65_536)).started()
        net.most = 4_096
        handing = net.host.hand_over(sealed(os.urandom(900_000)))
        turns = 0
        while not handing.called:
            turns += 1
            net.run(1)
        self.assertEqual(self.code(handing), (451, "4.7.1"))
        self.assertLess(turns, 60)
        net.most = 10**9
        net.advance(5)
        self.assertEqual(len(net.open), 2)

    def test_no_line_takes_it(self) -> None:
        """A crate that no line begins with in two minutes is to come again."""
        net = self.net().started()
        net.house.office.held = True
        net.host.hand_over(sealed(b"first"))
        second = net.host.hand_over(sealed(b"second"))
        net.advance(119)
        self.assertNoResult(second)
        net.advance(2)
        self.assertEqual(self.code(second), (451, "4.3.2"))

    def test_too_many_wait(self) -> None:
        """What waits is bounded."""
        net = self.net().started()
        net.house.office.held = True
        handing = [net.host.hand_over(sealed()) for _ in range(66)]
        self.assertEqual(self.code(handing[-1]), (451, "4.3.2"))
        self.assertNoResult(handing[64])

    def test_cannot_be_read(self) -> None:
        """A fault of ours in reading is the caller's, and no half crate is taken."""

        class Broken:
            def next(self) -> Deferred[bytes]:
                return fail(OSError(5, "I/O error"))

            def close(self) -> None:
                pass

        class Short(Broken):
            def next(self) -> Deferred[bytes]:
                return succeed(b"")

        class Long(Broken):
            def next(self) -> Deferred[bytes]:
                return succeed(b"x" * 101)

        net = self.net().started()
        for chunks, error in ((Broken, OSError), (Short, EOFError), (Long, EOFError)):
            handing = net.host.carry(100, chunks)  # type: ignore[arg-type]
            net.run()
            self.failureResultOf(handing, error)
            net.advance(10)
        self.assertEqual(net.house.office.taken, [])
        self.assertEqual(len(net.open), 2)


class ForwardingTests(NetCase):
    """What lies in the sealed spool is brought to the host."""

    def setUp(self) -> None:
        """Make a spool; its disk has tests of its own, and need not be waited for."""
        self.patch(os, "fsync", lambda _: None)
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.wall = 1e9
        self.spool = SealedSpool(Path(directory.name), 1_000, 10**9, lambda: self.wall)
        self.spool.open()
        self.addCleanup(self.spool.close)
        self.counted: list[str] = []

    def forwarding(self, net: Net) -> Forwarding:
        """Make it, and start it."""
        made = Forwarding(
            self.spool,
            net.host,
            reactor=net.clock,
            rng=Random(4),
            in_thread=Work(),
            count=self.counted.append,
        )
        made.start()
        return made

    def put(self, *bodies: bytes) -> None:
        """Put crates there."""
        for body in bodies:
            self.spool.add([sealed(body)])

    def test_emptied(self) -> None:
        """The oldest first; what is taken is gone from the disk."""
        net = self.net().started()
        bodies = [b"%d" % number for number in range(20)]
        self.put(*bodies)
        self.forwarding(net)
        net.advance(1)
        self.assertEqual(net.house.office.bodies, bodies)
        self.assertEqual(self.spool.waiting(), [])
        self.assertEqual(self.counted, ["forwarded"] * 20)

    def test_woken(self) -> None:
        """A crate that comes goes at once when it is told of, else in seconds."""
        net = self.net().started()
        forwarding = self.forwarding(net)
        self.put(b"one")
        forwarding.wake()
        net.run()
        self.assertEqual(net.house.office.bodies, [b"one"])
        self.put(b"two")
        net.advance(8)
        self.assertEqual(net.house.office.bodies, [b"one", b"two"])

    def test_host_away(self) -> None:
        """They wait for a host that is away, and come when it is back."""
        net = self.net()
        net.down = True
        net.started()
        self.put(b"one", b"two")
        self.forwarding(net)
        net.advance(3_600)
        self.assertEqual(len(self.spool.waiting()), 2)
        net.down = False
        net.advance(460)
        self.assertEqual(net.house.office.bodies, [b"one", b"two"])
        self.assertEqual(self.spool.waiting(), [])

    def test_not_now(self) -> None:
        """A 4xx is kept and tried after growing gaps, which no two crates share."""
        net = self.net().started()
        net.house.office.says = Reply(452, "4.2.2", "Full")
        self.put(b"one")
        self.forwarding(net)
        net.advance(6 * 3_600)
        tries = len(net.house.office.taken)
        self.assertGreater(tries, 7)
        self.assertLess(tries, 20)
        self.assertEqual(self.counted, [])
        net.house.office.says = Reply(250, "2.0.0", "Ok")
        net.advance(2 * 3_600)
        self.assertEqual(self.counted, ["forwarded"])
        self.assertEqual(self.spool.waiting(), [])

    def test_link_fails_again_and_again(self) -> None:
        """The last try may have arrived: the next comes while the host knows that."""
        net = self.net().started()
        came = []

        def lost(gateway: int, crate: Any, *, live: bool) -> Deferred[Reply]:
            came.append(net.clock.seconds())
            return succeed(Reply(451, "4.4.2", "The mail host does not answer"))

        net.house.office.accept = lost
        self.put(b"one")
        self.forwarding(net)
        net.advance(8 * 3_600)
        gaps = [after - before for before, after in pairwise(came)]
        self.assertGreater(len(gaps), 12)
        self.assertGreater(max(gaps), 600)
        self.assertLess(max(gaps), 1_900)

    def test_one_does_not_hold_up_others(self) -> None:
        """While one is kept back the others go."""
        net = self.net().started()
        accept = net.house.office.accept

        def picky(gateway: int, crate: Any, *, live: bool) -> Deferred[Reply]:
            if crate.body[0].startswith(b"bad"):
                return succeed(Reply(451, "4.3.0", "Later"))
            return accept(gateway, crate, live=live)

        net.house.office.accept = picky
        self.put(b"bad", b"one", b"two")
        self.forwarding(net)
        net.advance(10)
        self.assertEqual(net.house.office.bodies, [b"one", b"two"])
        self.assertEqual(len(self.spool.waiting()), 1)

    def test_never(self) -> None:
        """A 5xx ends it: nobody here could tell the sender. It is counted."""
        net = self.net().started()
        self.spool.add([b"junk"])
        self.put(b"one")
        self.forwarding(net)
        net.advance(1)
        self.assertEqual(self.counted, ["crate-refused", "forwarded"])
        self.assertEqual(self.spool.waiting(), [])

    def test_not_about_the_mail(self) -> None:
        """A 5xx for the line that announces a crate, or before its end, loses none."""
        large = os.urandom(3_000_000)
        for refusal in (b"501 5.5.4 what?", b"500 what?", b"552 5.3.4 too large"):
            net = self.net(most=8_000_000).started()
            self.put(large)

            def refuse(session: Any, argument: bytes, said: bytes = refusal) -> None:
                del argument
                session.send(said)
                session.close()

            with mock.patch.object(HostSession, "_bdat", refuse):
                forwarding = self.forwarding(net)
                net.advance(10)
            self.assertEqual(len(self.spool.waiting()), 1, refusal)
            net.advance(3_600)
            self.assertEqual(net.house.office.bodies, [large])
            self.successResultOf(forwarding.stop())
        self.assertEqual(self.counted, ["forwarded"] * 3)

    def test_larger_than_the_host_takes(self) -> None:
        """Two ends that disagree on what is too large lose no mail: it waits."""
        net = self.net().started()
        self.put(b"x" * 30_000)
        net.house.link.max_crate_bytes = 20_000
        self.forwarding(net)
        net.advance(60)
        self.assertEqual((self.counted, len(self.spool.waiting())), ([], 1))
        net.house.link.max_crate_bytes = 2_000_000
        net.advance(3_600)
        self.assertEqual(self.counted, ["forwarded"])

    def test_many_refused_at_once(self) -> None:
        """A host that becomes away in between does not deepen the stack."""
        net = self.net(1).started()
        for _ in range(900):
            self.spool.add([b"junk"])
        self.forwarding(net)
        net.advance(5)
        self.assertEqual(self.counted, ["crate-refused"] * 900)

    def test_five_days(self) -> None:
        """What the host puts off for five days goes then, and not before."""
        net = self.net().started()
        net.house.office.says = Reply(452, "4.2.2", "Full")
        self.put(b"one")
        self.forwarding(net)
        for _ in range(119):
            net.advance(3_600)
        self.assertEqual(len(self.spool.waiting()), 1)
        for _ in range(4):
            net.advance(3_600)
        self.assertEqual(self.counted, ["crate-expired"])
        self.assertEqual(self.spool.waiting(), [])

    def test_a_clock_that_jumps(self) -> None:
        """However old a crate seems, it is brought: no clock empties the spool."""
        net = self.net().started()
        self.wall -= 30 * 86_400
        self.put(b"one", b"two")
        self.wall += 60 * 86_400
        self.put(b"three")
        net.house.office.says = Reply(451, "4.3.0", "Later")
        self.forwarding(net)
        net.advance(10)
        self.assertEqual(len(self.spool.waiting()), 3)
        net.house.office.says = Reply(250, "2.0.0", "Ok")
        net.advance(200)
        self.assertEqual(self.counted, ["forwarded"] * 3)

    def test_host_away_for_long(self) -> None:
        """Days without the host are none that it had a crate in: it gets them all."""
        net = self.net().started()
        net.house.office.says = Reply(451, "4.3.0", "Later")
        self.put(b"one")
        forwarding = self.forwarding(net)
        net.advance(10)
        net.down = True
        net.cut()
        for _ in range(200):
            net.advance(3_600)
        self.put(b"two")
        forwarding.wake()
        net.down = False
        net.advance(460)
        self.assertEqual(len(self.spool.waiting()), 2)
        net.house.office.says = Reply(250, "2.0.0", "Ok")
        net.advance(4_000)
        self.assertEqual(self.counted, ["forwarded"] * 2)

    def test_lost_and_found(self) -> None:
        """Every line cut at the worst moment again and again: each comes once."""
        net = self.net().started()
        bodies = [b"%d" % number for number in range(30)]
        self.put(*bodies)
        self.forwarding(net)
        rng = Random(5)
        for turn in range(4_000):
            net.mute = turn < 600 and rng.random() < 0.5
            net.run(3)
            if turn < 600 and rng.random() < 0.2 and net.open:
                rng.choice(net.open).cut()
            net.clock.advance(0.4)
            if not self.spool.waiting():
                break
        self.assertEqual(sorted(net.house.office.bodies), sorted(bodies))
        self.assertEqual(self.spool.waiting(), [])
        self.assertEqual(self.counted, ["forwarded"] * 30)

    def test_disk_fails(self) -> None:
        """A crate that can not be read is logged without a name, and kept."""
        net = self.net().started()
        self.put(b"one")
        (name,) = [one.name for one in self.spool.waiting()]
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)

        def broken(name: str) -> Any:
            raise OSError(5, "I/O error", name)

        read, self.spool.read = self.spool.read, broken  # type: ignore[method-assign]
        self.forwarding(net)
        net.advance(5)
        self.assertEqual(self.counted, ["crate-unread"])
        self.assertNotIn(name, str(events))
        self.spool.read = read  # type: ignore[method-assign]
        net.advance(100)
        self.assertEqual(net.house.office.bodies, [b"one"])

    def test_removed_by_another(self) -> None:
        """Who put it there took it back: no fault."""
        net = self.net().started()
        self.put(b"one")
        waiting = self.spool.waiting()
        self.spool.remove(waiting[0].name)
        self.spool.waiting = lambda: waiting  # type: ignore[method-assign]
        forwarding = self.forwarding(net)
        net.advance(1)
        self.assertEqual((self.counted, net.house.office.taken), ([], []))
        self.successResultOf(forwarding.stop())

    def test_stop(self) -> None:
        """Stopping waits for what is underway and begins nothing."""
        net = self.net().started()
        net.house.office.held = True
        self.put(b"one", b"two")
        forwarding = self.forwarding(net)
        net.run()
        done = forwarding.stop()
        self.assertNoResult(done)
        net.house.office.waiting.pop().callback(Reply(250, "2.0.0", "Ok"))
        net.run()
        self.successResultOf(done)
        net.advance(60)
        self.assertEqual(net.house.office.bodies, [b"one"])
