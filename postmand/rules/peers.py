"""What tells one peer from another, and how many connections each may have.

All of it lives in memory and is never written.
"""

from __future__ import annotations

from collections import Counter


def peer_key(address: object) -> str:
    """Return what tells one peer from another; `address` is Twisted's, or None.

    Through I2P it is a unique-local 127.x address or the destination; behind one shared
    tunnel all peers have the same.
    """
    return str(getattr(address, "destination", None) or getattr(address, "host", ""))


class Seats:
    """Places of a server: `most` in all, `per_peer` of them for one peer."""

    def __init__(self, most: int, per_peer: int) -> None:
        self._most = most
        self._per_peer = per_peer
        self._taken = 0
        self._peers: Counter[str] = Counter()

    def take(self, peer: str) -> bool:
        """Take a place, if there is one; it has to be left again."""
        # A Counter's answer for somebody unknown leaves nothing behind.
        if self._taken >= self._most or self._peers[peer] >= self._per_peer:
            return False
        self._taken += 1
        self._peers[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        """Give a place back."""
        self._taken -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]
