"""How often somebody failed of late: a count that fades. Pure but for its own table."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Penalties:
    """Counts of failures by key, halved every `half_life` seconds.

    The table is bounded: the key that failed longest ago is forgotten first. It lives
    in memory only.
    """

    def __init__(self, half_life: float = 60.0, size: int = 10_000) -> None:
        self._half_life = half_life
        self._size = size
        self._marks: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def of(self, key: Hashable, now: float) -> float:
        """Return the count for `key` as it stands at `now` (seconds, any epoch)."""
        count, since = self._marks.get(key, (0.0, now))
        return float(count * 0.5 ** (max(0.0, now - since) / self._half_life))

    def add(self, key: Hashable, now: float) -> None:
        """Count one failure."""
        self._marks[key] = (self.of(key, now) + 1.0, now)
        self._marks.move_to_end(key)
        if len(self._marks) > self._size:
            self._marks.popitem(last=False)
