"""Work that blocks, one piece at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from postmand.membership import BusyError

T = TypeVar("T")

MOST_WAITING = 32
MOST_OF_ONE = 2
"""Of one account: people press one button at a time."""


class Turnstile:
    """Runs what blocks in a thread, one call at a time; of too many the last fails.

    A login behind it waits for one call at the most, and no two change the register at
    once: its lock holds off other processes, not other threads.
    """

    def __init__(
        self, in_thread: Callable[..., Deferred[Any]], most: int = MOST_WAITING
    ) -> None:
        self._in_thread = in_thread
        self._most = most
        self._lock = DeferredLock()
        self._waiting: Counter[str] = Counter()

    async def take(self, name: str, function: Callable[..., T], *arguments: Any) -> T:
        """Return what the function returns, called for the account of that name.

        Raises BusyError where too many wait, of this account or in all.
        """
        full = self._waiting.total() >= self._most
        if full or self._waiting[name] >= MOST_OF_ONE:
            raise BusyError
        self._waiting[name] += 1
        try:
            done: Deferred[T] = self._lock.run(self._in_thread, function, *arguments)
            return await done
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name]
