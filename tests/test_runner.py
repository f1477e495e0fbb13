"""The runner, on a clock of the test's own: what leaves when, and what faults do."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from postmand.config import Delays, Relay
from postmand.interfaces import Copy, Outgoing, Recipient, StoreBusyError
from postmand.internet import HeldBackError, ICourier, Leg, Reply, Report
from postmand.queue.clock import QueueClock
from postmand.queue.pace import Pace, PutOff
from postmand.queue.pool import Pool
from postmand.queue.runner import Runner
from postmand.rules.delay import due
from postmand.rules.retry import EXPIRED
from tests.contracts.memory import MemoryStore
from tests.contracts.memory_queue import MemoryQueue

pytestmark = pytest.mark.long

START = 1_700_006_400  # 2023-11-15 00:00:00 UTC
TICK = 30
HOUR, DAY = 3_600, 86_400
TAKEN = Reply(250, "2.0.0", "kept")
LATER = Reply(451, "4.7.1", "greylisted")
NEVER = Reply(550, "5.1.1", "nobody here")


def always(reply):
    """Return a courier's answer: the same reply for each recipient."""
    return lambda parcel: Report(dict.fromkeys(parcel.leg.recipients, reply))


class Watched:
    """A queue whose calls are counted; some of them are made to fail, or to hang."""

    def __init__(self, queue):
        self.queue = queue
        self.calls = Counter()
        self.asked = []
        self.broken = {}
        self.hung = {}

    def __getattr__(self, name):
        method = getattr(self.queue, name)

        def call(*arguments):
            self.calls[name] += 1
            self.asked.append((name, arguments))
            if name in self.broken:
                return fail(self.broken[name]())
            if name in self.hung:
                return self.hung[name]
            return method(*arguments)

        return call


@implementer(ICourier)
class Courier:
    """Answers as the test says; `sent` is what it was given, in order."""

    def __init__(self):
        self.sent = []
        self.most = 0
        self.open = 0
        self.answer = always(TAKEN)

    def send(self, parcel):
        """Answer, and let go of the body."""
        self.sent.append(parcel.leg)
        self.open += 1
        self.most = max(self.most, self.open)
        report = self.answer(parcel)
        if not isinstance(report, Deferred):
            report = fail(report) if isinstance(report, Exception) else succeed(report)
        return report.addBoth(self._close, parcel)

    def _close(self, report, parcel):
        self.open -= 1
        parcel.body.close()
        return report

    def names(self):
        """Return the messages sent, in order, by the number in their sender."""
        return [int(leg.name) for leg in self.sent]


class RunnerCase(SynchronousTestCase):
    """A queue, a courier and a runner at midnight."""

    def setUp(self):
        """Nothing waits yet."""
        self.clock = Clock()
        self.wall = 0.0
        store = MemoryStore()
        self.member = store.add("jondoe", b"secret")
        self.memory = MemoryQueue(store._kept)
        self.memory.most = 100_000
        self.kept = store._kept
        self.queue = Watched(self.memory)
        self.courier = Courier()
        self.counts = Counter()
        self.released = []
        self.bounced = []
        self.arrived = []
        self.delays = Delays()
        self.relay = Relay()
        self.settings = {}
        self.random = Random(7)
        self.runner = self.a_runner()

    def tearDown(self):
        """No failure went past the runner's own log."""
        self.assertEqual(self.flushLoggedErrors(), [])

    def a_runner(self):
        """Return a runner on the queue, as a start of the node makes it."""
        self.queue_clock = QueueClock(
            lambda: START + self.clock.seconds() + self.wall, self.clock.seconds
        )
        pace = Pace(tick_seconds=TICK, at_once=16, relay=self.relay)
        return Runner(
            self.queue,
            Pool(self.queue, self.delays, self.random),
            self.courier,
            self.release,
            self.bounce,
            now=self.queue_clock.now,
            reactor=self.clock,
            random=self.random,
            pace=evolve(pace, **self.settings),
            count=self.count,
            arrived=self.arrived.extend,
        )

    def count(self, name, number):
        """Count what the runner tells."""
        self.counts[name] += number

    def put(self, number=1, mode="none", domains=(b"example.org",), account=None):
        """Hand a message in, named by a number."""
        found = due(mode, self.queue_clock.base(), self.delays, self.random)
        self.memory.put(
            Outgoing(
                account=account or number,
                name=str(number),
                recipients=tuple(b"a@" + domain for domain in domains),
                fields=(),
                message_id=b"<x@mail.i2p>",
                body=(b"text\r\n",),
                due=found.due,
                pooled=found.pooled,
            )
        )

    async def release(self, item):
        """Make legs, as the post office does."""
        held = await self.queue.open(item)
        held.body.close()
        now = self.queue_clock.now()
        made = [
            Leg(
                account=self.member.account,
                name=held.name,
                sender=b"jondoe@i2pmail.org",
                domain=one.partition(b"@")[2],
                recipients=(one,),
                header=b"Subject: x\r\n\r\n",
                until=now + self.relay.give_up_seconds,
            )
            for one in held.recipients
        ]
        await self.queue.release(item, made, now)
        self.released.append(int(held.name))

    async def bounce(self, leg, failures):
        """Make a bounce."""
        self.bounced.append((int(leg.name), dict(failures)))
        member = self.member
        to = Recipient(member.account, member.name, member.public_key, 0)
        return Copy(to, b"Subject: failed %s\r\n\r\n" % leg.name.encode(), ())

    def mailbox(self):
        """Return the headers of what is in the member's mailbox."""
        return [one.header for one in self.kept.messages.values()]

    def pass_(self, seconds, step=TICK):
        """Let time pass in steps."""
        for _ in range(int(seconds // step)):
            self.clock.advance(step)

    def waiting(self):
        """Return how many messages and legs are in the queue."""
        return len(self.memory.items)


class DelayTests(RunnerCase):
    """Each mode leaves when it is due and not before."""

    def left_at(self, mode):
        """Return the seconds after the hand-in at which a message left."""
        self.put(mode=mode)
        self.runner.start()
        begun = self.clock.seconds()
        while not self.courier.sent:
            self.clock.advance(TICK)
            self.assertLess(self.clock.seconds(), 3 * DAY)
        return self.clock.seconds() - begun

    def test_none(self):
        """With the next tick; that is also the first one."""
        self.put()
        self.runner.start()
        self.assertEqual(self.courier.names(), [1])
        self.put(2)
        self.assertEqual(self.courier.names(), [1])
        self.clock.advance(TICK)
        self.assertEqual(self.courier.names(), [1, 2])
        self.assertEqual(self.waiting(), 0)

    def test_defer(self):
        """After 2,000 s, before 4,000 and a tick."""
        left = self.left_at("defer")
        self.assertTrue(2_000 <= left <= 4_000 + TICK, left)

    def test_batch(self):
        """At noon sharp: the tick at which it is due."""
        self.assertEqual(self.left_at("batch"), 12 * HOUR)

    def test_pool_alone(self):
        """Nobody hides it: it leaves at its deadline."""
        self.assertEqual(self.left_at("pool"), 24 * HOUR)

    def test_pool_hidden(self):
        """As soon as enough others are there, all of them at once."""
        self.runner.start()
        for number in range(1, 8):
            self.put(number, "pool")
            self.pass_(10 * TICK)
        self.assertEqual(self.released, [])
        self.put(8, "pool")
        self.clock.advance(TICK)
        self.assertEqual(sorted(self.released), [*range(1, 9)])

    def test_wall_jumps_a_day(self):
        """What is due within the day leaves a tick after the other, not at once."""
        for number in range(1, 201):
            self.put(number, "defer")
        self.runner.start()
        self.pass_(300)
        self.wall += DAY
        found = []
        for _ in range(12):
            before = len(self.released)
            self.clock.advance(TICK)
            found.append(len(self.released) - before)
        self.assertEqual(sum(found), 200)
        self.assertLess(max(found), 80)
        self.assertEqual(found[0], 0)

    def test_wall_jumps_back_a_day(self):
        """What waits does not wait a day longer."""
        self.put(1, "defer")
        self.runner.start()
        self.wall -= DAY
        self.pass_(4_000 + TICK)
        self.assertEqual(self.released, [1])


class TickTests(RunnerCase):
    """What leaves together, in which order, and how much at a time."""

    def test_shuffled(self):
        """The order of a tick is the generator's: not of hand-in, nor of dues."""
        for number in range(1, 51):
            self.put(number)
            self.clock.advance(120)
        self.runner.start()
        order = [*range(1, 51)]
        self.assertEqual(sorted(self.released), order)
        self.assertNotEqual(self.released, order)
        self.assertNotEqual(self.courier.names(), order)
        self.assertNotEqual(self.courier.names(), self.released)
        # A quarter or so of its places apart: not merely neighbours swapped.
        apart = [abs(self.released.index(one) + 1 - one) for one in order]
        self.assertGreater(sum(apart) / 50, 8)

    def test_legs_are_shuffled(self):
        """Those of a page, whatever order the queue gives them in."""
        pages = []
        self.random.shuffle = lambda page: (pages.append([*page]), page.reverse())
        for number in range(1, 51):
            self.put(number)
        self.runner.start()
        _, page = [one for one in pages if one]
        self.assertEqual(len(page), 50)
        begun = [call[1][0] for call in self.queue.asked if call[0] == "begin"]
        self.assertEqual(begun, [leg.item for leg in page[::-1]])

    def test_larger_batch_goes_on_with_the_next_tick(self):
        """So many a tick and no more; nothing is forgotten."""
        self.settings = {"most_a_tick": 40}
        self.runner = self.a_runner()
        for number in range(1, 101):
            self.put(number)
        self.runner.start()
        self.assertEqual(len(self.released), 40)
        self.clock.advance(TICK)
        self.assertEqual(len(self.released), 80)
        self.clock.advance(TICK)
        self.assertEqual(sorted(self.released), [*range(1, 101)])

    def test_few_at_a_time(self):
        """Releases run beside each other, but only some."""
        gates = []

        async def release(item):
            gates.append(Deferred())
            await gates[-1]

        self.release = release
        self.runner = self.a_runner()
        for number in range(1, 11):
            self.put(number)
        self.runner.start()
        self.assertEqual(len(gates), 4)
        gates[0].callback(None)
        self.assertEqual(len(gates), 5)

    def test_ticks_do_not_overlap(self):
        """A tick that lasts is followed by the next regular one, not by two."""
        gate = Deferred()
        real = self.release

        async def release(item):
            await gate
            await real(item)

        self.release = release
        self.runner = self.a_runner()
        self.put(1)
        self.runner.start()
        self.pass_(5 * TICK)
        self.assertEqual(self.queue.calls["due"], 1)
        self.clock.advance(10)
        gate.callback(None)
        self.assertEqual(self.released, [1])
        self.clock.advance(TICK - 11)
        self.assertEqual(self.queue.calls["due"], 1)
        self.clock.advance(1)
        self.assertEqual(self.queue.calls["due"], 2)

    def test_release_that_never_ends(self):
        """It is given up; the ticks go on, and relay did not stop meanwhile."""

        async def release(item):
            await Deferred()

        self.release = release
        self.runner = self.a_runner()
        self.put(1)
        self.runner.start()
        self.pass_(300)
        relayed = self.queue.calls["legs_due"]
        self.assertGreater(relayed, 5)
        self.pass_(330)
        self.assertGreater(self.queue.calls["due"], 1)
        self.assertEqual(self.counts["release-fault"], 1)

    def test_cost_of_a_tick(self):
        """As many calls whether ten wait or two thousand."""
        costs = []
        for number in (10, 2_000):
            for one in range(number):
                self.put(one + 1, "batch")
            self.runner = self.a_runner()
            self.runner.start()
            self.queue.calls.clear()
            self.pass_(10 * TICK)
            costs.append(dict(self.queue.calls))
            self.successResultOf(Deferred.fromCoroutine(self.runner.stop()))
        self.assertEqual(costs[0], costs[1])
        self.assertLessEqual(sum(costs[0].values()), 40)

    def test_bounded_pages(self):
        """No call asks for more than the tick's measure."""
        for number in range(1, 301):
            self.put(number)
        self.runner.start()
        for name, arguments in self.queue.asked:
            if name in ("due", "legs_due"):
                self.assertLessEqual(arguments[1], 1_200)
                self.assertTrue(all(len(busy) <= 2 for busy in arguments[2:]))
        self.assertLessEqual(self.courier.most, 16)
        self.assertEqual(self.waiting(), 0)
        self.assertTrue(all(body.closed for body in self.memory.given))


class FaultTests(RunnerCase):
    """What raises, and what is away, holds nobody else up."""

    def test_message_that_always_raises(self):
        """The others leave; it is tried seldom, and leaves when it can."""
        real = self.release
        tries = []
        broken = [True]

        async def release(item):
            name = self.memory.items[item].content.name
            if name == "13" and broken:
                tries.append(self.clock.seconds())
                raise RuntimeError("its subject is secret")
            await real(item)

        self.release = release
        self.settings = {"most_a_tick": 5}
        self.runner = self.a_runner()
        self.put(13)
        self.runner.start()
        for number in range(20, 60):
            self.put(number)
            self.clock.advance(TICK)
        self.assertEqual(sorted(self.released), [*range(20, 60)])
        self.pass_(DAY)
        gaps = [after - before for before, after in pairwise(tries)]
        self.assertEqual(gaps, sorted(gaps))
        self.assertLess(len(tries), 16)
        self.assertEqual(self.counts["release-fault"], len(tries))
        broken.clear()
        self.pass_(DAY // 4)
        self.assertIn(13, self.released)

    def test_all_raise(self):
        """A few lines are logged, and those behind come to their turn all the same."""
        told = []

        async def release(item):
            told.append(item)
            raise RuntimeError

        self.release = release
        self.settings = {"most_a_tick": 20}
        self.runner = self.a_runner()
        for number in range(60):
            self.put(number + 1)
        self.runner.start()
        self.pass_(2 * TICK)
        self.assertEqual(len(told), len(set(told)))
        self.assertEqual(len(told), 60)

    def test_message_that_is_gone(self):
        """Dropped between the list and its release: no fault."""
        self.put(1)
        (item,) = self.memory.items

        async def release(_):
            del self.memory.items[item]
            raise LookupError

        self.release = release
        self.runner = self.a_runner()
        self.runner.start()
        self.assertEqual(self.counts["release-fault"], 0)

    def test_message_that_is_held_back(self):
        """It is no fault and not asked for again; it is counted apart."""
        real = self.release

        async def release(item):
            if self.memory.items[item].content.name == "13":
                await self.queue.hold(item)
                raise HeldBackError
            await real(item)

        self.release = release
        self.runner = self.a_runner()
        for number in (13, 14):
            self.put(number)
        with capturedLogs() as events:
            self.runner.start()
            self.pass_(HOUR)
        self.assertEqual((self.released, self.queue.calls["hold"]), ([14], 1))
        self.assertEqual((self.counts["held"], self.counts["released"]), (1, 1))
        self.assertEqual(self.counts["release-fault"], 0)
        self.assertEqual((self.waiting(), events), (1, []))

    def test_store_busy_at_each_call(self):
        """Whatever is asked: nothing is lost, and the tick after goes on."""
        for name in (
            "in_flight",
            "due",
            "pool",
            "open",
            "release",
            "legs_due",
            "begin",
        ):
            with self.subTest(name):
                self.setUp()
                self.put(1)
                self.queue.broken[name] = StoreBusyError
                self.runner.start()
                self.pass_(5 * TICK)
                self.assertEqual(self.courier.sent, [])
                self.assertEqual(self.counts["store-busy"] > 0, True)
                self.assertLessEqual(self.queue.calls[name], 20)
                self.queue.broken.clear()
                self.clock.advance(TICK)
                self.assertEqual(self.courier.names(), [1])
                self.assertEqual(self.waiting(), 0)

    def test_store_busy_in_a_large_tick(self):
        """What has begun notes it; the rest of the tick is left to the next one."""
        self.queue.broken["open"] = StoreBusyError
        for number in range(1, 51):
            self.put(number)
        self.runner.start()
        self.assertLessEqual(self.queue.calls["open"], 4)
        self.queue.broken.clear()
        self.clock.advance(TICK)
        self.assertEqual(len(self.released), 50)

    def test_no_leg_opens(self):
        """Some faults a tick, each logged, and no more."""
        self.queue.broken["begin"] = RuntimeError
        for number in range(1, 101):
            self.put(number)
        self.runner.start()
        self.assertEqual(self.queue.calls["begin"], 10)
        self.clock.advance(TICK)
        self.assertEqual(self.queue.calls["begin"], 20)
        self.assertEqual(self.counts["leg-fault"], 20)

    def test_pool_that_raises(self):
        """What is not in the pool leaves all the same."""
        self.queue.broken["pool"] = RuntimeError
        self.put(1)
        self.runner.start()
        self.assertEqual(self.courier.names(), [1])
        self.assertEqual(self.counts["pool-fault"], 1)

    def test_tick_that_raises(self):
        """The loop goes on."""
        self.queue.broken["due"] = RuntimeError
        self.put(1)
        self.runner.start()
        self.pass_(2 * TICK)
        self.assertEqual(self.counts["tick-fault"], 3)
        self.queue.broken.clear()
        self.clock.advance(TICK)
        self.assertEqual(self.courier.names(), [1])

    def test_leg_that_does_not_open(self):
        """It is put off, and does not stand in the way of the others."""
        real = self.memory.begin
        tried = []

        class Queue(Watched):
            def begin(self, item):
                if self.queue.items[item].content.name == "13":
                    tried.append(item)
                    return fail(RuntimeError())
                return real(item)

        self.queue = Queue(self.memory)
        self.settings = {"page": 1}
        self.runner = self.a_runner()
        for number in range(10, 20):
            self.put(number)
        self.runner.start()
        self.pass_(10 * TICK)
        self.assertEqual(self.waiting(), 1)
        self.assertLess(len(tried), 5)

    def test_logs_say_no_names(self):
        """A fault's line has its place, and nothing of the message."""

        async def broken(*_):
            raise RuntimeError("jondoe@example.org")

        self.courier.answer = lambda _: RuntimeError("jondoe@example.org")
        self.put(1)
        with capturedLogs() as events:
            self.runner.start()
            self.successResultOf(Deferred.fromCoroutine(self.runner.stop()))
            self.release = self.bounce = broken
            self.runner = self.a_runner()
            self.put(2)
            self.courier.answer = always(NEVER)
            self.runner.start()
            self.pass_(HOUR)
        lines = "\n".join(formatEvent(event) for event in events)
        for line in ("released", "the courier failed", "a bounce could not"):
            self.assertIn(line, lines)
        self.assertNotIn("jondoe", lines)
        self.assertNotIn("example.org", lines)
        for item in self.memory.items:
            self.assertNotIn(str(item), lines)


class RelayTests(RunnerCase):
    """From release to the last reply."""

    def test_hanging_leg(self):
        """One that is never answered holds its own slot; all others pass."""
        hang = Deferred()
        self.courier.answer = lambda parcel: (
            hang if parcel.leg.name == "1" else always(TAKEN)(parcel)
        )
        for number in range(1, 201):
            self.put(number)
        self.runner.start()
        self.pass_(2 * HOUR)
        self.assertEqual(sorted(set(self.courier.names())), [*range(1, 201)])
        self.assertEqual(len(self.courier.sent), 200)
        self.assertEqual(self.waiting(), 1)
        hang.callback(Report({b"a@example.org": TAKEN}))
        self.assertEqual(self.waiting(), 0)

    def test_hanging_domain(self):
        """One that never answers has half the slots at most; the rest is others'."""
        self.courier.answer = lambda parcel: (
            Deferred() if parcel.leg.domain == b"tar.pit" else always(TAKEN)(parcel)
        )
        for number in range(1, 101):
            self.put(number, domains=(b"tar.pit",))
        for number in range(101, 151):
            self.put(number)
        self.runner.start()
        self.pass_(HOUR)
        names = self.courier.names()
        self.assertEqual(len([one for one in names if one <= 100]), 8)
        self.assertEqual(sorted(one for one in names if one > 100), [*range(101, 151)])
        # What waits for its domain is not begun to learn that.
        self.assertEqual(self.queue.calls["begin"], 8 + 50)

    def test_slots(self):
        """No more are on their way than there are slots; each answer lets one in."""
        hung = []

        def answer(parcel):
            hung.append((parcel.leg, Deferred()))
            return hung[-1][1]

        self.courier.answer = answer
        for number in range(1, 61):
            self.put(number, domains=(b"%d.example" % number,))
        self.runner.start()
        self.pass_(HOUR)
        self.assertEqual(len(hung), 16)
        for leg, answered in hung:
            answered.callback(Report({leg.recipients[0]: TAKEN}))
            self.assertEqual(self.courier.open, min(16, self.waiting()))
        self.assertEqual(len(hung), 60)
        self.assertEqual((self.courier.most, self.waiting()), (16, 0))

    def test_gateways_hang_and_then_are_away(self):
        """What hangs is no answer: each tick one more leg looks, beside it."""
        self.courier.answer = lambda parcel: (
            Deferred() if len(self.courier.sent) <= 5 else Report()
        )
        for number in range(1, 61):
            self.put(number, domains=(b"%d.example" % number,))
        self.runner.start()
        self.assertEqual(len(self.courier.sent), 6)
        self.pass_(4 * TICK)
        self.assertEqual(len(self.courier.sent), 10)
        self.courier.answer = always(TAKEN)
        self.pass_(HOUR)
        self.assertEqual(self.waiting(), 5)

    def test_dropped_before_it_begins(self):
        """An operator dropped a leg after it was listed: no fault."""
        self.courier.answer = always(LATER)
        self.put(1)
        self.runner.start()
        self.pass_(60)
        (item,) = self.memory.items
        self.queue.broken["begin"] = LookupError
        self.memory.items[item].due = 0
        self.clock.advance(TICK)
        self.assertEqual(self.queue.calls["begin"], 2)
        self.assertEqual(self.counts["leg-fault"], 0)
        self.pass_(120)
        # It is still listed: then it is a fault.
        self.assertEqual(self.counts["leg-fault"], 1)

    def test_due_again_at_once(self):
        """A leg that the queue gives again is not tried twice in a tick."""
        self.courier.answer = always(LATER)
        real = self.memory.settle
        self.patch(
            MemoryQueue,
            "settle",
            lambda queue, item, leg, due, bounce: real(item, leg, 0, bounce),
        )
        self.put(1)
        self.runner.start()
        self.assertEqual(len(self.courier.sent), 1)
        self.clock.advance(TICK)
        self.assertEqual(len(self.courier.sent), 2)

    def test_unreached_beside_answers(self):
        """One leg without luck stops nobody, while others are answered."""
        self.settings = {"at_once": 2}
        self.runner = self.a_runner()
        hung = []

        def answer(_):
            hung.append(Deferred())
            return hung[-1]

        self.courier.answer = answer
        for number in range(1, 11):
            self.put(number, domains=(b"%d.example" % number,))
        self.runner.start()
        unlucky, other = hung
        other.callback(Report(doubtful=True))
        unlucky.callback(Report())
        self.assertEqual(len(hung), 4)
        self.assertEqual(self.counts["unreached"], 1)

    def test_thousands_for_a_hanging_domain(self):
        """However many wait for one that never answers, all others pass.

        And what waits is not touched: not begun, not marked, not written.
        """
        self.courier.answer = lambda parcel: (
            Deferred() if parcel.leg.domain == b"tar.pit" else always(TAKEN)(parcel)
        )
        for number in range(1, 2_001):
            self.put(number, domains=(b"tar.pit",))
        self.runner.start()
        self.pass_(10 * TICK)
        self.assertEqual(len(self.released), 2_000)
        for number in range(2_001, 2_051):
            self.put(number, domains=(b"%d.example" % number,))
        self.pass_(10 * TICK)
        names = self.courier.names()
        self.assertEqual(sorted(names[8:]), [*range(2_001, 2_051)])
        self.assertEqual(self.queue.calls["begin"], 8 + 50)
        self.assertEqual(self.queue.calls["settle"], 50)

    def test_several_hanging_domains(self):
        """The queue is told of those that are busy, and of no more than there are."""
        self.courier.answer = lambda parcel: Deferred()
        self.settings = {"at_once": 6}
        self.runner = self.a_runner()
        for number in range(1, 41):
            self.put(number, domains=(b"one.pit", b"two.pit"))
        self.runner.start()
        self.pass_(HOUR)
        sent = Counter(leg.domain for leg in self.courier.sent)
        self.assertEqual(sent, {b"one.pit": 3, b"two.pit": 3})
        busy = [call[1][2] for call in self.queue.asked if call[0] == "legs_due"]
        self.assertLessEqual(max(map(len, busy)), 2)

    def test_freed_while_the_queue_is_asked(self):
        """A domain that answers in that moment is not left out until the next tick."""
        hung = []

        def answer(parcel):
            hung.append(Deferred())
            return hung[-1]

        self.courier.answer = answer
        for number in range(1, 21):
            self.put(number)
        self.runner.start()
        self.assertEqual(len(hung), 8)
        asking = self.queue.hung["legs_due"] = Deferred()
        self.clock.advance(TICK)
        del self.queue.hung["legs_due"]
        hung[0].callback(Report({b"a@example.org": TAKEN}))
        self.assertEqual(len(hung), 8)
        asking.callback([])
        self.assertEqual(len(hung), 9)

    def test_domain_that_answers_again(self):
        """Those that waited for their domain follow, each once."""
        hung = []

        def answer(parcel):
            hung.append(Deferred())
            return hung[-1]

        self.courier.answer = answer
        for number in range(1, 41):
            self.put(number)
        self.runner.start()
        self.pass_(HOUR)
        self.assertEqual(len(hung), 8)
        self.courier.answer = always(TAKEN)
        for one in hung:
            one.callback(Report({b"a@example.org": TAKEN}))
        self.assertEqual(sorted(self.courier.names()), [*range(1, 41)])
        self.assertEqual(self.waiting(), 0)

    def test_gateways_away_for_a_day(self):
        """Little is asked meanwhile; then all is delivered, in a fair order."""
        self.courier.answer = lambda _: Report()
        self.runner.start()
        for number in range(1, 301):
            self.put(number)
            self.pass_(240)
        self.pass_(DAY - 300 * 240)
        tries = len(self.courier.sent)
        # A single leg a tick looks whether that has changed.
        self.assertLessEqual(tries, DAY // TICK + 16)
        self.assertEqual(self.counts["unreached"], tries)
        self.assertEqual(self.waiting(), 300)
        self.courier.sent.clear()
        self.courier.answer = always(TAKEN)
        self.pass_(600)
        order = self.courier.names()
        self.assertEqual(sorted(order), [*range(1, 301)])
        self.assertEqual(self.waiting(), 0)
        self.assertEqual(self.bounced, [])
        self.assertTrue(all(leg.attempts == 0 for leg in self.courier.sent))

    def test_back_at_once(self):
        """The tick after the gateways are back sends everything that is due."""
        self.courier.answer = lambda _: Report()
        for number in range(1, 101):
            self.put(number)
        self.runner.start()
        self.assertLessEqual(len(self.courier.sent), 16)
        self.pass_(2 * TICK)
        self.courier.answer = always(TAKEN)
        self.clock.advance(TICK)
        self.assertGreaterEqual(self.counts["delivered"], 80)

    def test_recipients_apart(self):
        """Each domain is a leg, and what one refuses is no other's matter."""
        self.courier.answer = lambda parcel: always(
            NEVER if parcel.leg.domain == b"a.example" else TAKEN
        )(parcel)
        self.put(1, domains=(b"a.example", b"b.example"))
        self.runner.start()
        self.assertEqual(self.bounced, [(1, {b"a@a.example": NEVER})])
        self.assertEqual(self.counts["delivered"], 1)
        self.assertEqual(self.counts["failed"], 1)

    def test_permanent_failure(self):
        """A bounce is in the mailbox, and nothing is left."""
        self.courier.answer = always(NEVER)
        self.put(1)
        self.runner.start()
        self.assertEqual(self.mailbox(), [b"Subject: failed 1\r\n\r\n"])
        self.assertEqual(self.arrived, [self.member.account])
        self.assertEqual(self.waiting(), 0)

    def test_temporary_failure(self):
        """Tried again when it is due, and then delivered."""
        self.courier.answer = always(LATER)
        self.put(1)
        self.runner.start()
        self.pass_(420)
        self.assertEqual(len(self.courier.sent), 1)
        self.courier.answer = always(TAKEN)
        self.pass_(1_020)
        self.assertEqual(len(self.courier.sent), 2)
        self.assertEqual(self.waiting(), 0)
        self.assertEqual(self.counts["deferred"], 1)

    def test_five_days(self):
        """Refused for now, for five days: some dozen tries, then one bounce."""
        self.courier.answer = always(LATER)
        self.put(1)
        self.runner.start()
        self.pass_(5 * DAY - 600, 60)
        self.assertEqual(self.bounced, [])
        tries = len(self.courier.sent)
        self.assertTrue(18 < tries < 50, tries)
        self.pass_(DAY, 60)
        self.assertEqual(self.bounced, [(1, {b"a@example.org": LATER})])
        self.assertEqual(self.waiting(), 0)
        self.assertEqual(len(self.mailbox()), 1)

    def test_five_days_without_a_gateway(self):
        """The bounce says that the time is over."""
        self.courier.answer = lambda _: Report()
        self.put(1)
        self.runner.start()
        self.pass_(5 * DAY + HOUR, 300)
        self.assertEqual(self.bounced, [(1, {b"a@example.org": EXPIRED})])
        self.assertEqual(self.waiting(), 0)

    def test_courier_that_raises(self):
        """A fault of ours is a doubtful try: again later, the body let go."""
        self.courier.answer = lambda _: CancelledError()
        self.put(1)
        self.runner.start()
        self.assertEqual(self.waiting(), 1)
        self.assertEqual(self.counts["leg-fault"], 1)
        self.courier.answer = always(TAKEN)
        self.pass_(HOUR)
        self.assertEqual(self.waiting(), 0)
        self.assertTrue(all(body.closed for body in self.memory.given))


class SettlingTests(RunnerCase):
    """A verdict is never lost while the process lives."""

    def test_store_busy_after_delivery(self):
        """It is not sent again; the verdict is written when the store can."""
        self.queue.broken["settle"] = StoreBusyError
        self.put(1)
        self.runner.start()
        self.pass_(HOUR)
        self.assertEqual(len(self.courier.sent), 1)
        self.assertEqual(self.counts["delivered"], 0)
        # Each minute at most, an hour long.
        self.assertLess(self.queue.calls["settle"], 80)
        self.queue.broken.clear()
        self.pass_(60)
        self.assertEqual(self.waiting(), 0)
        self.assertEqual(self.counts["delivered"], 1)

    def test_late_verdicts_hold_no_slot(self):
        """Legs that can not be settled leave theirs to others, up to a bound."""
        self.queue.broken["settle"] = RuntimeError
        for number in range(1, 301):
            self.put(number)
        self.runner.start()
        self.pass_(10 * TICK)
        self.assertEqual(len(self.courier.sent), 256)
        self.queue.broken.clear()
        self.pass_(2 * HOUR)
        self.assertEqual(sorted(self.courier.names()), [*range(1, 301)])
        self.assertEqual(self.waiting(), 0)

    def test_dropped_meanwhile(self):
        """An operator dropped it while it was sent: nothing to write, no fault."""
        hang = Deferred()
        self.courier.answer = lambda _: hang
        self.put(1)
        self.runner.start()
        self.memory.items.clear()
        hang.callback(Report({b"a@example.org": TAKEN}))
        self.assertEqual(self.counts["settle-fault"], 0)
        self.pass_(HOUR)
        self.assertEqual(self.queue.calls["settle"], 1)

    def test_bounce_that_raises(self):
        """The recipient stays in the queue until its sender can be told."""
        real, broken = self.bounce, [True]

        async def bounce(leg, failures):
            if broken:
                raise RuntimeError
            return await real(leg, failures)

        self.bounce = bounce
        self.runner = self.a_runner()
        self.courier.answer = lambda parcel: Report(
            {b"a@example.org": NEVER if parcel.leg.attempts < 3 else LATER}
        )
        self.put(1)
        self.runner.start()
        self.pass_(DAY)
        self.assertEqual(self.waiting(), 1)
        self.assertTrue(2 < self.counts["bounce-fault"] < 10)
        broken.clear()
        self.pass_(DAY)
        self.assertEqual(len(self.mailbox()), 1)
        self.assertEqual(self.waiting(), 0)

    def test_store_busy_at_the_bounce(self):
        """It is asked for again, and there is one bounce."""
        real, busy = self.bounce, [True]

        async def bounce(leg, failures):
            if busy:
                raise StoreBusyError
            return await real(leg, failures)

        self.bounce = bounce
        self.runner = self.a_runner()
        self.courier.answer = always(NEVER)
        self.put(1)
        self.runner.start()
        self.pass_(10 * TICK)
        busy.clear()
        self.pass_(120)
        self.assertEqual(len(self.courier.sent), 1)
        self.assertEqual(len(self.mailbox()), 1)


class RestartTests(RunnerCase):
    """A stop and a start lose nothing and double nothing but what they must."""

    def stop(self):
        """Stop the runner."""
        return Deferred.fromCoroutine(self.runner.stop())

    def test_restart_in_the_midst(self):
        """Stopped between any two ticks, started anew: each message once."""
        for number in range(1, 201):
            self.put(number, "defer", domains=(b"a.example", b"b.example"))
        for _ in range(40):
            self.runner.start()
            self.pass_(120)
            self.successResultOf(self.stop())
            self.runner = self.a_runner()
        self.assertEqual(sorted(self.released), [*range(1, 201)])
        self.assertEqual(sorted(self.courier.names()), sorted([*range(1, 201)] * 2))
        self.assertEqual(self.waiting(), 0)

    def test_stop_waits_for_what_is_on_its_way(self):
        """An answer that comes in time is written."""
        hang = Deferred()
        self.courier.answer = lambda _: hang
        self.put(1)
        self.runner.start()
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.clock.advance(5)
        hang.callback(Report({b"a@example.org": TAKEN}))
        self.successResultOf(stopped)
        self.assertEqual(self.waiting(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_does_not_wait_for_ever(self):
        """What hangs is cancelled, keeps its mark, and is told of at the next start."""
        self.courier.answer = lambda _: Deferred()
        self.put(1)
        self.runner.start()
        stopped = self.stop()
        self.clock.advance(10)
        self.successResultOf(stopped)
        self.assertEqual(self.queue.calls["settle"], 0)
        self.assertEqual(self.counts["leg-fault"], 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.courier.answer = always(TAKEN)
        self.runner = self.a_runner()
        with capturedLogs() as events:
            self.runner.start()
        (line,) = map(formatEvent, events)
        self.assertEqual(
            line,
            "messages that were on their way when the node ended, and may arrive "
            "twice: 1",
        )
        self.assertEqual(self.counts["interrupted"], 1)
        self.assertEqual(self.courier.names(), [1, 1])
        self.assertEqual(self.waiting(), 0)

    def test_stopped_before_anybody_answered(self):
        """A leg that a courier gives back as it stops was not tried: it is due."""
        hang = Deferred()
        self.courier.answer = lambda _: hang
        self.put(1)
        self.runner.start()
        self.runner.cease()
        hang.callback(Report())
        self.successResultOf(self.stop())
        self.assertEqual(self.counts["unreached"], 0)
        (item,) = self.memory.items.values()
        self.assertEqual(
            (item.trying, item.due <= self.queue_clock.now()), (False, True)
        )
        self.courier.answer = always(TAKEN)
        self.runner = self.a_runner()
        self.runner.start()
        self.assertEqual(self.counts["interrupted"], 0)
        self.assertEqual((self.courier.names(), self.waiting()), ([1, 1], 0))

    def test_stopped_with_an_answer(self):
        """What was answered while it stops counts as ever."""
        for report in (Report({b"a@example.org": LATER}), Report(doubtful=True)):
            self.setUp()
            hang = Deferred()
            self.courier.answer = lambda _, hang=hang: hang
            self.put(1)
            self.runner.start()
            self.runner.cease()
            hang.callback(report)
            self.successResultOf(self.stop())
            (item,) = self.memory.items.values()
            self.assertGreater(item.due, self.queue_clock.now())

    def test_stop_in_a_tick(self):
        """No release is begun after it; one that hangs is cancelled."""
        begun = []

        async def release(item):
            begun.append(item)
            await Deferred()

        self.release = release
        self.runner = self.a_runner()
        for number in range(1, 11):
            self.put(number)
        self.runner.start()
        stopped = self.stop()
        self.clock.advance(10)
        self.successResultOf(stopped)
        self.assertEqual(len(begun), 4)
        self.assertEqual(self.counts["release-fault"], 0)
        self.assertEqual(self.waiting(), 10)
        self.pass_(HOUR)
        self.assertEqual(len(begun), 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_each_call_hangs(self):
        """Wherever a leg's task stands, a stop ends it, and calls it no fault."""
        for name in ("begin", "settle"):
            with self.subTest(name):
                self.setUp()
                self.put(1)
                hung = Deferred()
                self.queue.hung[name] = hung
                self.runner.start()
                stopped = self.stop()
                self.clock.advance(10)
                self.successResultOf(stopped)
                faults = [one for one in self.counts if one.endswith("fault")]
                self.assertEqual(faults, [])
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_begun_while_it_stops(self):
        """A leg that opens after the stop goes back unsent and unmarked."""
        begun = Deferred()
        real = self.memory.begin
        self.patch(
            MemoryQueue,
            "begin",
            lambda queue, item: begun.addCallback(lambda _: real(item)),
        )
        self.put(1)
        self.runner.start()
        stopped = self.stop()
        begun.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.courier.sent, [])
        self.assertEqual([one.trying for one in self.memory.items.values()], [False])
        self.assertTrue(all(body.closed for body in self.memory.given))

    def test_stop_with_a_verdict_that_waits(self):
        """The store is busy to the end: the mark says that it was on its way."""
        self.queue.broken["settle"] = StoreBusyError
        self.put(1)
        self.runner.start()
        stopped = self.stop()
        self.pass_(60, 1)
        self.successResultOf(stopped)
        self.queue.broken.clear()
        self.runner = self.a_runner()
        self.runner.start()
        self.assertEqual(self.counts["interrupted"], 1)

    def test_nothing_before_the_recall(self):
        """While the store can not say what was on its way, nothing is sent."""
        self.courier.answer = always(LATER)
        self.put(1)
        self.runner.start()
        self.successResultOf(self.stop())
        self.put(2)
        self.queue.broken["in_flight"] = StoreBusyError
        self.runner = self.a_runner()
        self.runner.start()
        self.pass_(HOUR)
        self.assertEqual((self.released, self.courier.names()), ([1], [1]))
        self.queue.broken.clear()
        self.clock.advance(TICK)
        self.assertEqual(
            (self.released, sorted(self.courier.names())), ([1, 2], [1, 1, 2])
        )


def test_put_off_doubles_and_forgets() -> None:
    """Longer with each failure, up to the longest; bounded, oldest out."""
    off = PutOff(first=10.0, longest=35.0, size=2)
    assert [off.put(1, 0.0) for _ in range(2)] == [1, 2]
    assert off.holds(1, 19.9)
    assert not off.holds(1, 20.0)
    off.put(1, 100.0)
    assert off.holds(1, 134.9)
    assert not off.holds(1, 135.0)
    off.put(2, 100.0)
    off.put(3, 100.0)
    assert not off.holds(1, 100.0)
    assert (off.holds(2, 100.0), off.holds(3, 100.0), len(off)) == (True, True, 2)
    off.forget(2)
    assert not off.holds(2, 100.0)
