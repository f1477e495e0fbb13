"""A crate comes twice when the answer to the first was lost: it is delivered once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from twisted.internet.defer import Deferred

from postmand.internet import Reply

_SECONDS = 3_600.0


class Doubles:
    """What was taken of late, by key: in memory, for an hour, at most `most`."""

    def __init__(self, seconds: Callable[[], float], most: int = 10_000) -> None:
        self._seconds = seconds
        self._most = most
        self._taken: OrderedDict[Hashable, tuple[float, Reply]] = OrderedDict()
        self._underway: dict[Hashable, list[Deferred[None]]] = {}

    async def once(
        self, key: Hashable, accept: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """Return the answer to `key`: that of `accept`, or the one given before.

        A refusal is not remembered. What comes while the same is being accepted waits
        for that, and is accepted itself if it came to nothing.
        """
        while key in self._underway:
            waiting: Deferred[None] = Deferred()
            self._underway[key].append(waiting)
            await waiting
        self._forget()
        if key in self._taken:
            # Whose answer is lost again and again comes again and again.
            reply = self._taken.pop(key)[1]
            self._taken[key] = self._seconds(), reply
            return reply
        self._underway[key] = []
        try:
            reply = await accept()
            if reply.delivered:
                self._taken[key] = self._seconds(), reply
        finally:
            for waiting in self._underway.pop(key):
                waiting.callback(None)
        return reply

    def _forget(self) -> None:
        """Drop what is old, and the oldest of too many."""
        since = self._seconds() - _SECONDS
        while self._taken:
            _, (taken, _reply) = next(iter(self._taken.items()))
            if taken > since and len(self._taken) < self._most:
                return
            self._taken.popitem(last=False)
