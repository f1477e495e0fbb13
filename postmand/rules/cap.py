"""So many in so long a time and no more, over any such time. Pure but for its sum."""

from __future__ import annotations

from collections import deque

# A time is cut into so many slices; what is in a slice counts until the whole has gone.
_SLICES = 60


class Cap:
    """At most `most` in any `seconds`. Times are a caller's, and do not run back."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._slice = seconds / _SLICES
        self._taken: deque[tuple[int, int]] = deque()
        self._sum = 0

    def take(self, amount: int, now: float) -> bool:
        """Take so much; False, and nothing is taken, where that would be too much."""
        current = int(now // self._slice)
        while self._taken and self._taken[0][0] < current - _SLICES:
            self._sum -= self._taken.popleft()[1]
        if self._sum + amount > self._most:
            return False
        self._sum += amount
        if self._taken and self._taken[-1][0] == current:
            amount += self._taken.pop()[1]
        self._taken.append((current, amount))
        return True
