"""What each network may take of what all share. Pure but for its own table.

The table is in memory alone and holds no address: a mark is a keyed hash of a network,
and the key is the process's own. Time is an argument.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

# What one can choose its addresses from: a hoster's smallest network, and what every
# site is given that asks for one.
_NETWORK_BITS = {4: 24, 6: 48}
_MARK_OCTETS = 16


class Shares:
    """For each network at most so much at once, which comes back evenly over a time.

    `spans` are pairs of that amount and that time in seconds; all of them count. So
    within such a time nobody takes more than twice the amount, and half of that if it
    goes on. `key` (1 to 64 octets) is random and of this process. Of the `size`
    networks that a table holds, the one that took longest ago is forgotten first.
    """

    def __init__(
        self, spans: Sequence[tuple[int, float]], key: bytes, size: int = 10_000
    ) -> None:
        self._spans = tuple(spans)
        self._longest = max(seconds for _, seconds in spans)
        self._key = key
        self._size = size
        # By mark: when it took last, and what was missing then of each span's amount.
        self._marks: OrderedDict[bytes, tuple[float, tuple[float, ...]]] = OrderedDict()

    def take(self, peer: str, amount: int, now: float) -> bool:
        """Take so much for a peer's network (its address, "" for none).

        False, and nothing is taken, where that would be too much.
        """
        mark = self._mark(peer)
        missing = self._missing(mark, now)
        if any(
            one + amount > most
            for one, (most, _) in zip(missing, self._spans, strict=True)
        ):
            return False
        self._keep(mark, missing, amount, now)
        return True

    def charge(self, peer: str, amount: int, now: float) -> None:
        """Take so much whether it is there or not: it is missing all the longer."""
        mark = self._mark(peer)
        self._keep(mark, self._missing(mark, now), amount, now)

    def _missing(self, mark: bytes, now: float) -> list[float]:
        since, missing = self._marks.get(mark, (now, (0.0,) * len(self._spans)))
        gone = max(0.0, now - since)
        return [
            max(0.0, one - gone * most / seconds)
            for one, (most, seconds) in zip(missing, self._spans, strict=True)
        ]

    def _keep(
        self, mark: bytes, missing: Sequence[float], amount: int, now: float
    ) -> None:
        self._marks[mark] = now, tuple(one + amount for one in missing)
        self._marks.move_to_end(mark)
        while len(self._marks) > self._size or self._is_stale(now):
            self._marks.popitem(last=False)

    def _is_stale(self, now: float) -> bool:
        """Tell whether the one that took longest ago has all of it back by now."""
        mark, (since, _) = next(iter(self._marks.items()))
        return now - since > self._longest and not any(self._missing(mark, now))

    def _mark(self, peer: str) -> bytes:
        return hashlib.blake2b(
            network(peer).encode(), key=self._key, digest_size=_MARK_OCTETS
        ).digest()


def network(peer: str) -> str:
    """Return the network of an address as text; what is none is one by itself."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ip_network((address, _NETWORK_BITS[address.version]), strict=False))
