"""The rules that are compared: the node's own, and others of the same shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Protocol

from attrs import field, frozen

from benchmarks.anonymity import observer
from benchmarks.anonymity.alternatives import Judge
from benchmarks.anonymity.model import HandIn
from benchmarks.anonymity.observer import Posterior, Release
from postmand.config import Delays
from postmand.internet import IQueue, Pooled
from postmand.queue.pool import Pool
from postmand.rules import delay, mixing
from postmand.rules.delay import Due

HOUR = 3_600
TICK = 30
NEVER = 2**40
_ALL = 2**40


class Leaving(Protocol):
    """What the runner asks of a pool."""

    async def leaving(self, now: int) -> list[int]:
        """Return what leaves."""


class Rule(Protocol):
    """One of the rules, with its settings.

    `wakes` is after how many seconds it looks at its pool of its own accord, 0: never.
    """

    @property
    def label(self) -> str:
        """What the table calls it."""

    @property
    def wakes(self) -> int:
        """See the class."""

    def due(self, now: int, random: Random) -> Due:
        """Return when what is handed in now is due."""

    def pool(self, queue: IQueue, random: Random) -> Leaving:
        """Return the pool that the runner is to ask."""

    def posteriors(
        self,
        hand_ins: Sequence[HandIn],
        releases: Sequence[Release],
        own: frozenset[int],
    ) -> list[Posterior]:
        """Return what the observer makes of it; `own` as in `observer.memoryless`."""


@frozen
class Ours:
    """A delay of the node, with its settings: nothing here but the node's own code."""

    label: str
    mode: str
    rules: Delays = field(factory=Delays)
    wakes: int = 0

    def due(self, now: int, random: Random) -> Due:
        """Return when what is handed in now is due."""
        return delay.due(self.mode, now, self.rules, random)

    def pool(self, queue: IQueue, random: Random) -> Leaving:
        """Return the node's pool."""
        return Pool(queue, self.rules, random)

    def posteriors(
        self,
        hand_ins: Sequence[HandIn],
        releases: Sequence[Release],
        own: frozenset[int],
    ) -> list[Posterior]:
        """Run the rule again, but for the delay that is drawn by lot."""
        if self.mode == "defer":
            return _uniform(
                hand_ins,
                releases,
                own,
                self.rules.defer_min_seconds,
                self.rules.defer_max_seconds,
            )
        return _replayed(self, hand_ins, releases, self._leaving)

    def _leaving(self, waiting: Sequence[Pooled], now: int, lots: Random) -> list[int]:
        if self.mode != "pool":
            return [mail.item for mail in waiting if mail.due <= now]
        seen = first_of_each(waiting, mixing.MOST)
        return mixing.leaving(seen, now, self.rules, lots)


@frozen
class Pooling:
    """A rule over what waits, which leaves nothing to chance but which of equals."""

    label: str
    leaving: Judge
    deadline: int = 0
    wakes: int = 0

    def due(self, now: int, random: Random) -> Due:
        """Return the same deadline as the node's pool has, or none."""
        if self.deadline:
            rules = Delays(pool_hours=self.deadline)
            return delay.due("pool", now, rules, random)
        return Due(NEVER, pooled=True)

    def pool(self, queue: IQueue, random: Random) -> Leaving:
        """Return a pool that asks the rule."""
        return _Asking(queue, self.leaving, random)

    def posteriors(
        self,
        hand_ins: Sequence[HandIn],
        releases: Sequence[Release],
        own: frozenset[int],  # noqa: ARG002 - a replay knows without
    ) -> list[Posterior]:
        """Run the rule again."""
        return _replayed(self, hand_ins, releases, self.leaving)


@frozen
class Lottery(Pooling):
    """A rule over what waits, which draws by lot what leaves, each as likely."""

    def posteriors(
        self,
        hand_ins: Sequence[HandIn],
        releases: Sequence[Release],
        own: frozenset[int],
    ) -> list[Posterior]:
        """All inside are alike."""
        return observer.memoryless(hand_ins, releases, own)


class _Asking:
    """A pool with another rule in it."""

    def __init__(self, queue: IQueue, judge: Judge, random: Random) -> None:
        self._queue = queue
        self._judge = judge
        self._random = random

    async def leaving(self, now: int) -> list[int]:
        """Return what leaves."""
        return self._judge(await self._queue.pool(_ALL), now, self._random)


@frozen
class Exponential:
    """A Poisson mix: each mail its own delay, with a mean of so many hours."""

    label: str
    hours: float
    wakes: int = 0

    def due(self, now: int, random: Random) -> Due:
        """Draw one."""
        return Due(now + math.ceil(random.expovariate(1 / (self.hours * HOUR))))

    def pool(self, queue: IQueue, random: Random) -> Leaving:
        """Return a pool; nothing is in it."""
        return _Asking(queue, _nothing, random)

    def posteriors(
        self,
        hand_ins: Sequence[HandIn],
        releases: Sequence[Release],
        own: frozenset[int],
    ) -> list[Posterior]:
        """Without memory: whoever is inside is as likely to leave."""
        return observer.memoryless(hand_ins, releases, own)


@frozen
class Uniform:
    """Each mail its own delay, any up to so many hours."""

    label: str
    hours: float
    wakes: int = 0

    def due(self, now: int, random: Random) -> Due:
        """Draw one."""
        return Due(now + random.randrange(int(self.hours * HOUR)))

    def pool(self, queue: IQueue, random: Random) -> Leaving:
        """Return a pool; nothing is in it."""
        return _Asking(queue, _nothing, random)

    def posteriors(
        self,
        hand_ins: Sequence[HandIn],
        releases: Sequence[Release],
        own: frozenset[int],
    ) -> list[Posterior]:
        """Match them."""
        return _uniform(hand_ins, releases, own, 0, int(self.hours * HOUR))


def _uniform(
    hand_ins: Sequence[HandIn],
    releases: Sequence[Release],
    own: frozenset[int],
    shortest: int,
    longest: int,
) -> list[Posterior]:
    # A due is a whole minute, and the tick that finds it comes up to TICK later; the
    # time of hand-in was cut to the second.
    last = longest + delay.MINUTE + TICK
    return observer.matching(
        hand_ins, releases, lambda age: float(age >= shortest - 1), last, own
    )


def _nothing(*_: object) -> list[int]:
    return []


def _replayed(
    rule: Rule,
    hand_ins: Sequence[HandIn],
    releases: Sequence[Release],
    leaving: Judge,
) -> list[Posterior]:
    # The observer's own lots: what they decide, tells nothing of accounts.
    lots = Random(0)
    mails = [
        Pooled(
            item=item,
            owner=b"%d" % mail.account,
            size_class=mixing.size_class(mail.octets),
            due=rule.due(int(mail.at), lots).due,
        )
        for item, mail in enumerate(hand_ins)
    ]
    return observer.replay(
        hand_ins,
        releases,
        lambda inside, at: leaving([mails[item] for item in inside], int(at), lots),
    )


def first_of_each(waiting: Sequence[Pooled], most: int) -> list[Pooled]:
    """Return what IQueue.pool would: the first `most` by due of each account, class."""
    seen: dict[tuple[bytes, int], int] = {}
    first = []
    for mail in sorted(waiting, key=lambda mail: mail.due):
        key = mail.owner, mail.size_class
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= most:
            first.append(mail)
    return first
