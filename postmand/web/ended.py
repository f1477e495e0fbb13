"""Sessions that were ended by hand before their cookie's time: remembered so long."""

from __future__ import annotations

from collections import OrderedDict

_MOST = 100_000


class Ended:
    """Ids of ended sessions, for `seconds` each: so long their cookies could live."""

    def __init__(self, seconds: int, most: int = _MOST) -> None:
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[bytes, int] = OrderedDict()

    def add(self, identity: bytes, now: int) -> None:
        """Remember that a session is over; forget those whose time has come."""
        while self._until:
            first = next(iter(self._until))
            if self._until[first] > now and len(self._until) < self._most:
                break
            del self._until[first]
        self._until[identity] = now + self._seconds

    def __contains__(self, identity: bytes) -> bool:
        """Whether the session was ended."""
        return identity in self._until
