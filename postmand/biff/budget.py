"""How much one nick may ask of the bot. In memory only, and bounded."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from attrs import define


class Answer(Enum):
    """What becomes of a command."""

    TAKEN = 1
    # Dropped, and the sender is told once.
    TOO_FAST = 2
    DROPPED = 3


@define
class _Account:
    left: float
    since: float
    warned: bool = False


class Budget:
    """So many commands at once, and one more every few seconds, a nick.

    A silence long enough to earn half of `most` ends a warning. The nick that asked
    longest ago is forgotten first.
    """

    def __init__(
        self, most: int = 6, every_seconds: float = 10.0, size: int = 4_096
    ) -> None:
        self._most = most
        self._every = every_seconds
        self._size = size
        self._nicks: OrderedDict[bytes, _Account] = OrderedDict()

    def take(self, nick: bytes, now: float) -> Answer:
        """Take one command of this (folded) nick; `now` in seconds of any epoch."""
        account = self._account(nick, now)
        if account.left >= 1.0:
            account.left -= 1.0
            return Answer.TAKEN
        return _refused(account)

    def refuse(self, nick: bytes, now: float) -> Answer:
        """Refuse a command whatever is left; it costs nothing."""
        return _refused(self._account(nick, now))

    def renamed(self, old: bytes, new: bytes, now: float) -> None:
        """Let who was called `old` go on with what is left; both are folded.

        Whoever has used up a nick's budget does not get it back by another's.
        """
        if old == new or old not in self._nicks:
            return
        left, right = self._account(old, now), self._account(new, now)
        del self._nicks[old]
        right.left = min(left.left, right.left)
        right.warned = left.warned or right.warned

    def _account(self, nick: bytes, now: float) -> _Account:
        """Return what a nick has by now."""
        account = self._nicks.pop(nick, None) or _Account(float(self._most), now)
        self._nicks[nick] = account
        if len(self._nicks) > self._size:
            self._nicks.popitem(last=False)
        earned = max(0.0, now - account.since) / self._every
        account.left = min(float(self._most), account.left + earned)
        account.since = now
        if account.left >= self._most / 2:
            account.warned = False
        return account


def _refused(account: _Account) -> Answer:
    if account.warned:
        return Answer.DROPPED
    account.warned = True
    return Answer.TOO_FAST
