"""The node's queue, pool and runner on a simulated clock, from hand-in to release."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from random import Random
from typing import NoReturn

from attrs import frozen
from twisted.internet.task import Clock
from zope.interface import implementer

from benchmarks.anonymity.model import FLOODER, HandIn
from benchmarks.anonymity.observer import Release
from benchmarks.anonymity.rules import NEVER, TICK, Rule
from postmand.config import Relay
from postmand.interfaces import Copy, Outgoing
from postmand.internet import ICourier, Parcel
from postmand.queue.clock import QueueClock
from postmand.queue.pace import Pace
from postmand.queue.runner import Runner
from postmand.rules.mixing import size_class
from tests.contracts.memory import _Kept
from tests.contracts.memory_queue import MemoryQueue

_PACE = Pace(tick_seconds=float(TICK), at_once=1, relay=Relay())
_WHOLE = 60


@frozen
class Course:
    """What became of the hand-ins: what the observer sees, and what really was.

    `mails` are the indices of the hand-ins that were released, in the order of
    `releases`. What still waits at the end is in neither.
    """

    hand_ins: Sequence[HandIn]
    releases: Sequence[Release]
    mails: Sequence[int]

    @property
    def own(self) -> frozenset[int]:
        """The places among the releases of the flooder's mails."""
        return frozenset(
            place
            for place, mail in enumerate(self.mails)
            if self.hand_ins[mail].account == FLOODER
        )


def run(rule: Rule, hand_ins: Sequence[HandIn], random: Random) -> Course:
    """Hand in, let time pass until all that ever leaves has left, and look on."""
    return _Node(rule, hand_ins, random).run()


@implementer(ICourier)
class _NoCourier:
    """Releases are looked at; nothing is left to be sent."""

    def send(self, parcel: Parcel) -> NoReturn:
        raise AssertionError(parcel)


async def _no_bounce(*_: object) -> Copy | None:
    return None


class _Node:
    """A node in memory: the store is the contract suite's, all else is the node's."""

    def __init__(self, rule: Rule, hand_ins: Sequence[HandIn], random: Random) -> None:
        self._rule = rule
        self._hand_ins = hand_ins
        self._random = random
        self._clock = Clock()
        self._queue = MemoryQueue(_Kept(limit=0), most=len(hand_ins) + 1)
        self._time = QueueClock(self._clock.seconds, self._clock.seconds)
        self._runner = Runner(
            self._queue,
            rule.pool(self._queue, random),
            _NoCourier(),
            self._release,
            _no_bounce,
            now=self._time.now,
            reactor=self._clock,
            random=random,
            pace=_PACE,
            count=_counted,
        )
        self._mails: list[int] = []
        self._releases: list[Release] = []
        self._ticks: list[int] = []

    def run(self) -> Course:
        """Go from one moment at which something may happen to the next."""
        self._runner.start()
        for index, mail in enumerate(self._hand_ins):
            self._ticks_until(mail.at)
            self._pass(mail.at)
            self._hand_in(index, mail)
        self._ticks_until(float("inf"))
        return Course(self._hand_ins, self._releases, self._mails)

    def _ticks_until(self, end: float) -> None:
        while self._ticks and self._ticks[0] <= end:
            tick = heapq.heappop(self._ticks)
            self._pass(tick)
            if not self._ticks and self._rule.wakes and self._goes_on():
                heapq.heappush(self._ticks, _next(tick + 1, self._rule.wakes))

    def _goes_on(self) -> bool:
        # After the last hand-in a pool that keeps some back would be asked for ever.
        return bool(self._queue.items) and self._clock.seconds() < self._hand_ins[-1].at

    def _pass(self, until: float) -> None:
        """Let time pass; of the ticks in which nothing is to be done, skip all."""
        last_tick = until // TICK * TICK
        for moment in (last_tick, until):
            if moment > self._clock.seconds():
                self._clock.advance(moment - self._clock.seconds())

    def _hand_in(self, index: int, mail: HandIn) -> None:
        due = self._rule.due(self._time.base(), self._random)
        self._queue.put(
            Outgoing(
                account=mail.account + 1,
                name=str(index),
                recipients=(),
                fields=(),
                message_id=b"",
                body=[bytes(mail.octets)],
                due=due.due,
                pooled=due.pooled,
            )
        )
        ticks = {_next(mail.at, TICK)}
        if due.due < NEVER:
            ticks.add(_next(max(due.due, mail.at), _WHOLE))
        if self._rule.wakes:
            ticks.add(_next(mail.at, self._rule.wakes))
        for tick in ticks:
            heapq.heappush(self._ticks, tick)

    async def _release(self, item: int) -> None:
        index = int(self._queue.items.pop(item).content.name)
        self._mails.append(index)
        kind = size_class(self._hand_ins[index].octets)
        self._releases.append(Release(self._clock.seconds(), kind))


def _next(after: float, step: int) -> int:
    """Return the first multiple of `step` that is not before."""
    return -(-int(after // 1 + (after % 1 > 0)) // step) * step


def _counted(name: str, _: int) -> None:
    """Fail where the runner counts a fault: the figures would be wrong."""
    if name != "released":
        raise AssertionError(name)
