"""Sessions that were ended by hand before their cookie's time: remembered so long."""

from __future__ import annotations

from collections import OrderedDict

_MOST = 100_000
_MOST_OF_ONE = 1_000


class Ended:
    """Ids of ended sessions, for `seconds` each: so long their cookies could live.

    There is room for `most`, and for `most_of_one` account's: who logs in and out
    without end has none but ends of their own forgotten. Strangers are account 0.
    """

    def __init__(
        self, seconds: int, most: int = _MOST, most_of_one: int = _MOST_OF_ONE
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._most_of_one = most_of_one
        self._of: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._by_account: dict[int, OrderedDict[bytes, None]] = {}

    def add(self, identity: bytes, account: int, now: int) -> None:
        """Remember that a session is over; forget those whose time has come."""
        self._forget(identity)
        while self._of:
            first, (_, until) = next(iter(self._of.items()))
            if until > now and len(self._of) < self._most:
                break
            self._forget(first)
        own = self._by_account.get(account, ())
        if len(own) >= self._most_of_one:
            self._forget(next(iter(own)))
        self._of[identity] = (account, now + self._seconds)
        self._by_account.setdefault(account, OrderedDict())[identity] = None

    def __contains__(self, identity: bytes) -> bool:
        """Whether the session was ended."""
        return identity in self._of

    def _forget(self, identity: bytes) -> None:
        if identity not in self._of:
            return
        account, _ = self._of.pop(identity)
        own = self._by_account[account]
        del own[identity]
        if not own:
            del self._by_account[account]
