"""How much the runner does at a time, and what it leaves alone for a while."""

from __future__ import annotations

from collections import OrderedDict

from attrs import frozen

from postmand.config import Relay


@frozen
class Pace:
    """The runner's bounds.

    `most_a_tick` messages are released in one tick, and those of a larger batch with
    the next ones: they are shuffled as one set and opened, written anew and signed at
    some milliseconds each, which a tick of half a minute has time for. Of ids no more
    than that are in memory. `at_once` legs are on their way at the same time, and
    `page` legs are asked for together. `stop_seconds` is how long a stop waits for
    what is on its way.
    """

    tick_seconds: float
    at_once: int
    relay: Relay
    most_a_tick: int = 1_000
    releases_at_once: int = 4
    release_seconds: float = 600.0
    page: int = 100
    stop_seconds: float = 10.0


class PutOff:
    """Items that failed, each left alone for a time that doubles with every failure.

    In memory only, and bounded: the one that failed longest ago is forgotten first.
    Times are seconds of any epoch.
    """

    def __init__(
        self, first: float = 60.0, longest: float = 21_600.0, size: int = 4_096
    ) -> None:
        self._first = first
        self._longest = longest
        self._size = size
        self._items: OrderedDict[int, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: int) -> bool:
        """Whether `item` failed and did not go well since."""
        return item in self._items

    def put(self, item: int, now: float) -> int:
        """Leave `item` alone for a while; return how often it has failed."""
        failures = self._items.pop(item, (0, 0.0))[0] + 1
        pause = min(self._longest, self._first * 2.0 ** min(failures - 1, 32))
        self._items[item] = failures, now + pause
        if len(self._items) > self._size:
            self._items.popitem(last=False)
        return failures

    def holds(self, item: int, now: float) -> bool:
        """Whether `item` is to be left alone at `now`."""
        return item in self._items and now < self._items[item][1]

    def forget(self, item: int) -> None:
        """The item went well."""
        self._items.pop(item, None)
