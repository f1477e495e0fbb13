"""Which gateways may have a message from an earlier try, and have to be asked."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from postmand.internet import Parcel

# So long a gateway remembers, in seconds, and for so many messages we do.
_HOUR = 3_600.0
_MOST = 10_000


@define
class _Doubt:
    gateways: set[int] = field(factory=set)
    until: float = 0.0


class Doubts:
    """Doubts by item, in memory. Only the gateways in `numbers` can be asked.

    After a start nothing is remembered of what was under way before: what was released
    before it is asked about everywhere, once, for as long as gateways remember. `now`
    is the queue's clock, by which a leg tells when it was released; without it none is
    asked about for that reason.
    """

    def __init__(
        self,
        numbers: Iterable[int],
        give_up_seconds: int,
        seconds: Callable[[], float],
        now: Callable[[], int] | None,
    ) -> None:
        self._numbers = frozenset(numbers)
        self._give_up = give_up_seconds
        self._seconds = seconds
        self._doubts: OrderedDict[int, _Doubt] = OrderedDict()
        self._until = seconds() + _HOUR
        self._started = None if now is None else now()
        self._seen: set[int] = set()

    def add(self, item: int, gateway: int) -> None:
        """Note that a gateway may have a message."""
        if gateway not in self._numbers:
            return
        doubt = self._doubts.setdefault(item, _Doubt())
        doubt.gateways.add(gateway)
        doubt.until = self._seconds() + _HOUR
        self._doubts.move_to_end(item)
        while len(self._doubts) > _MOST:
            self._doubts.popitem(last=False)

    def cleared(self, item: int, gateway: int) -> None:
        """Note that a gateway has said what it knows."""
        doubt = self._doubts.get(item)
        if doubt is not None:
            doubt.gateways.discard(gateway)
            if not doubt.gateways:
                del self._doubts[item]

    def about(self, item: int) -> frozenset[int]:
        """Return the gateways known to have been sent a message, and not to answer."""
        doubt = self._doubts.get(item)
        if doubt is None:
            return frozenset()
        if doubt.until <= self._seconds():  # the gateway has forgotten it, too
            del self._doubts[item]
            return frozenset()
        return frozenset(doubt.gateways)

    def to_ask(self, parcel: Parcel) -> set[int]:
        """Return the gateways to be asked before a parcel is sent."""
        known = set(self.about(parcel.item))
        if self._seconds() >= self._until:
            self._seen.clear()
            return known
        first = parcel.item not in self._seen
        self._seen.add(parcel.item)
        released = parcel.leg.until - self._give_up
        if first and self._started is not None and released < self._started:
            return known | self._numbers
        return known
