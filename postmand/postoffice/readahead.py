"""What is read before its client asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from postmand.interfaces import Stored

if TYPE_CHECKING:
    from twisted.python.failure import Failure

# How much is read in one go, for a client that collects in order.
_MESSAGES = 32
_OCTETS = 262_144

Read = Callable[[Sequence[int]], Awaitable[Sequence[Stored]]]


class ReadAhead:
    """Messages of a mailbox by their index: a run at hand, and the next on its way.

    Runs are read for a client that asks in order: one while the one before is sent.
    `read` is asked for at most 32 messages or 256 KiB at a time, or for one message;
    `sizes` are the messages'. Calls of `take` follow each other.
    """

    def __init__(self, read: Read, sizes: Sequence[int]) -> None:
        self._read = read
        self._sizes = sizes
        self._ready: dict[int, Stored] = {}
        self._coming: Deferred[None] = succeed(None)
        self._last = -1
        self._closed = False

    async def take(self, index: int) -> Stored:
        """Return a message; raises LookupError where another hand removed it."""
        in_order = index == self._last + 1
        if index not in self._ready:
            await self._coming
        if index not in self._ready:
            await self._begin(self._run(index) if in_order else [index])
        self._last = index
        stored = self._ready.pop(index)
        if self._closed:
            self._drop()
        elif in_order and index:
            # Some only look at the first.
            self._prepare(max(self._ready, default=index) + 1)
        return stored

    def close(self) -> None:
        """Let go of what was read and not asked for; nothing more is read ahead."""
        self._closed = True
        self._drop()

    def _run(self, index: int) -> Sequence[int]:
        """Return the indexes to read at once, beginning with `index`."""
        octets = 0
        end = index
        while end < len(self._sizes) and end - index < _MESSAGES:
            octets += self._sizes[end]
            if octets > _OCTETS and end > index:
                break
            end += 1
        return range(index, end)

    async def _begin(self, wanted: Sequence[int]) -> None:
        """Read these now; what else was ready is let go."""
        self._drop()
        try:
            self._ready = await self._mapped(wanted)
        except LookupError:
            # Another hand removed one of them, perhaps not the first.
            self._ready = await self._mapped(wanted[:1])

    def _prepare(self, following: int) -> None:
        """Have the next run read while this one is sent, once half of it is."""
        if not self._coming.called or following >= len(self._sizes):
            return
        if 2 * sum(self._sizes[index] for index in self._ready) <= _OCTETS:
            reading = Deferred.fromCoroutine(self._mapped(self._run(following)))
            self._coming = reading.addCallbacks(self._arrived, self._missed)

    async def _mapped(self, wanted: Sequence[int]) -> dict[int, Stored]:
        return dict(zip(wanted, await self._read(wanted), strict=True))

    def _arrived(self, run: dict[int, Stored]) -> None:
        self._ready |= run
        if self._closed:
            self._drop()

    def _missed(self, _: Failure) -> None:
        """Leave it: whoever takes such a message reads it again, and is told why."""

    def _drop(self) -> None:
        ready, self._ready = self._ready, {}
        for stored in ready.values():
            if stored.more is not None:
                stored.more.close()
