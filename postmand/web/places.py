"""Who has a place at the pages, and who gives one up when there is none left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Places(Generic[T]):
    """Places: `most` in all, `per_peer` of them for one peer.

    Where none is left, one is taken from the peer that has the most: that whose holder
    is waited for longest without a whole request. So nobody shuts the pages by sitting
    in them. Whoever is being answered keeps the place.

    `end` ends a holder; its place is left already.
    """

    def __init__(self, most: int, per_peer: int, end: Callable[[T], None]) -> None:
        self._most = most
        self._per_peer = per_peer
        self._end = end
        self._holders: dict[T, str] = {}
        self._taken: Counter[str] = Counter()
        # By peer, the longest first; the number says since when, among all.
        self._waited: dict[str, dict[T, int]] = {}
        self._numbers = count()

    def take(self, peer: str) -> bool:
        """Make room for one more of a peer's; False where there is none to be made."""
        if self._taken[peer] >= self._per_peer:
            return self._free(peer)
        if len(self._holders) >= self._most:
            return self._free(self._largest())
        return True

    def sit(self, one: T, peer: str) -> None:
        """Give the place to its holder, who is waited for from now on."""
        self._holders[one] = peer
        self._taken[peer] += 1
        self.wait(one)

    def wait(self, one: T) -> None:
        """Note that the holder is waited for anew."""
        peer = self._holders.get(one)
        if peer is not None:
            self.serve(one)
            self._waited.setdefault(peer, {})[one] = next(self._numbers)

    def serve(self, one: T) -> None:
        """Note that the holder is answered, and is not waited for."""
        peer = self._holders.get(one, "")
        waited = self._waited.get(peer, {})
        waited.pop(one, None)
        if not waited:
            self._waited.pop(peer, None)

    def leave(self, one: T) -> None:
        """Give the place back; one that was taken away already is none."""
        self.serve(one)
        peer = self._holders.pop(one, None)
        if peer is None:
            return
        self._taken[peer] -= 1
        if not self._taken[peer]:
            del self._taken[peer]

    def _largest(self) -> str:
        """Return the peer with most places of those who are waited for."""

        def size(peer: str) -> tuple[int, int]:
            return self._taken[peer], -next(iter(self._waited[peer].values()))

        return max(self._waited, key=size, default="")

    def _free(self, peer: str) -> bool:
        waited = self._waited.get(peer)
        if not waited:
            return False
        one = next(iter(waited))
        self.leave(one)
        self._end(one)
        return True
