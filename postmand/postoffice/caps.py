"""How much each gateway may bring and ask: it may be in other hands by now."""

from __future__ import annotations

from collections.abc import Callable

_HOUR = 3_600.0


class HourlyCap:
    """So much an hour for each gateway, filled up steadily.

    One that has rested for an hour may use it all at once. In memory only: there are
    as many entries as gateways.
    """

    def __init__(self, most: int, seconds: Callable[[], float]) -> None:
        self._most = float(most)
        self._seconds = seconds
        self._left: dict[int, tuple[float, float]] = {}

    def take(self, gateway: int, amount: int = 1) -> bool:
        """Use up some; False, and nothing used, where that much is not left.

        More than an hour's worth at once is let through when all of it is left.
        """
        now = self._seconds()
        left, since = self._left.get(gateway, (self._most, now))
        left += max(0.0, now - since) * self._most / _HOUR
        left = min(left, self._most)
        fits = left >= min(float(amount), self._most)
        self._left[gateway] = (max(0.0, left - amount) if fits else left), now
        return fits
