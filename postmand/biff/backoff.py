"""How long to wait before something is tried again: longer each time, never alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """Doubles from `first` to `longest` seconds, and takes half to all of that."""

    def __init__(
        self, random: Random, first: float = 2.0, longest: float = 300.0
    ) -> None:
        self._random = random
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """Return the seconds to wait now; the next wait is longer."""
        seconds = self._next
        self._next = min(seconds * 2, self._longest)
        return seconds * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin with the first wait again."""
        self._next = self._first
