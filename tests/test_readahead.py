"""What is read before its client asks for it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import Stored
from postmand.postoffice.readahead import ReadAhead


@define
class Rest:
    """The rest of a long body."""

    closed: bool = False

    def close(self) -> None:
        """Note it."""
        self.closed = True


@define(eq=False)
class Box:
    """A mailbox that answers when it is told to; `gone` are removed messages."""

    sizes: Sequence[int]
    gone: set[int] = field(factory=set)
    asked: list[tuple[Sequence[int], Deferred[Sequence[Stored]]]] = field(factory=list)
    runs: list[list[int]] = field(factory=list)
    rests: dict[int, Rest] = field(factory=dict)

    def read(self, indexes: Sequence[int]) -> Deferred[Sequence[Stored]]:
        """Take what is asked for."""
        deferred: Deferred[Sequence[Stored]] = Deferred()
        self.runs.append(list(indexes))
        self.asked.append((indexes, deferred))
        return deferred

    def answer(self) -> None:
        """Answer what was asked first."""
        indexes, deferred = self.asked.pop(0)
        if self.gone.intersection(indexes):
            deferred.errback(LookupError())
            return
        stored = []
        for index in indexes:
            self.rests[index] = Rest()
            stored.append(Stored(b"%d" % index, b"", self.rests[index]))
        deferred.callback(stored)


class ReadAheadTests(SynchronousTestCase):
    """Runs are read in time, are bounded, and are let go."""

    def taken(self, box: Box, ahead: ReadAhead, index: int) -> bytes:
        """Take a message; the box answers only while nothing else helps."""
        taking = Deferred.fromCoroutine(ahead.take(index))
        while not taking.called:
            box.answer()
        return self.successResultOf(taking).header

    def test_next_run_comes_while_this_one_is_sent(self) -> None:
        """In order, the next run is asked for before it is needed."""
        box = Box([10_000] * 100)
        ahead = ReadAhead(box.read, box.sizes)
        waited = 0
        for index in range(100):
            taking = Deferred.fromCoroutine(ahead.take(index))
            if not taking.called:
                waited += 1
                box.answer()
            self.assertEqual(self.successResultOf(taking).header, b"%d" % index)
            if box.asked and index % 5 == 4:
                box.answer()
        self.assertEqual(waited, 1)
        self.assertEqual([one for run in box.runs for one in run], list(range(100)))

    def test_first_alone(self) -> None:
        """Who takes one message has one run read, and one that is out of order one."""
        box = Box([100] * 100)
        ahead = ReadAhead(box.read, box.sizes)
        self.taken(box, ahead, 0)
        self.assertEqual(len(box.runs), 1)
        self.taken(box, ahead, 70)
        self.assertEqual(box.runs[1:], [[70]])

    def test_bounds(self) -> None:
        """A run is bounded in octets and in number; a larger message goes alone."""
        for size in (1, 100, 20_000, 200_000, 2**31):
            box = Box([size] * 200)
            ahead = ReadAhead(box.read, box.sizes)
            for index in range(20):
                self.taken(box, ahead, index)
                held = sum(not rest.closed for rest in box.rests.values())
                coming = sum(len(indexes) for indexes, _ in box.asked)
                ready = held - index - 1 + coming
                self.assertLessEqual(ready, 2 * 32)
                self.assertLessEqual((ready - 2) * size, 2 * 262_144)
            self.assertLessEqual(max(map(len, box.runs)), 32)

    def test_any_order(self) -> None:
        """Whatever is asked for is what is given, and nothing stays open."""
        chance = random.Random(1)
        box = Box([chance.choice([50, 5_000, 300_000]) for _ in range(60)])
        ahead = ReadAhead(box.read, box.sizes)
        given = []
        for _ in range(40):
            first = chance.randrange(60)
            for index in range(first, min(60, first + chance.randrange(1, 20))):
                self.assertEqual(self.taken(box, ahead, index), b"%d" % index)
                given.append(box.rests[index])
        ahead.close()
        while box.asked:
            box.answer()
        left = [one for one in box.rests.values() if one not in given]
        self.assertEqual([one.closed for one in left], [True] * len(left))

    def test_gone(self) -> None:
        """What another hand removed is told for itself; its neighbours are read."""
        box = Box([100] * 50, gone={3, 40})
        ahead = ReadAhead(box.read, box.sizes)
        for index in range(50):
            if index in box.gone:
                taking = Deferred.fromCoroutine(ahead.take(index))
                while not taking.called:
                    box.answer()
                self.failureResultOf(taking, LookupError)
            else:
                self.assertEqual(self.taken(box, ahead, index), b"%d" % index)

    def test_closed_while_it_comes(self) -> None:
        """What arrives for a session that is over is closed at once."""
        box = Box([20_000] * 50)
        ahead = ReadAhead(box.read, box.sizes)
        for index in range(10):
            self.taken(box, ahead, index)
        self.assertTrue(box.asked)
        ahead.close()
        box.answer()
        open_ones = [n for n, rest in box.rests.items() if not rest.closed]
        self.assertEqual(open_ones, list(range(10)))
