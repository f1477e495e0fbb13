"""Room for what is large, given out in the order in which it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred


class Room:
    """So many octets, for messages that are in memory while they are washed.

    What asks for more than there is at all waits until it is alone.
    """

    def __init__(self, octets: int) -> None:
        self._size = octets
        self._free = octets
        self._waiting: deque[tuple[int, Deferred[None]]] = deque()

    @asynccontextmanager
    async def of(self, octets: int) -> AsyncIterator[None]:
        """Hold so many octets; wait for them first, and for who came before."""
        taken = min(octets, self._size)
        if self._waiting or taken > self._free:
            turn: Deferred[None] = Deferred()
            self._waiting.append((taken, turn))
            await turn
        else:
            self._free -= taken
        try:
            yield
        finally:
            self._free += taken
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            taken, turn = self._waiting.popleft()
            self._free -= taken
            turn.callback(None)
