"""A parcel's body on its way out: read once, while it is short as often as needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmand.interfaces import IChunks

# So much of a body is kept, for the next gateway. Most mails are shorter.
_KEPT = 65_536


class BodyError(Exception):
    """A fault of ours: the body read is not as long as the parcel says."""


class Body:
    """The pieces of a body of `octets`; a beginning of at least 64 KiB is kept."""

    def __init__(self, chunks: IChunks, octets: int) -> None:
        self._chunks = chunks
        self._octets = octets
        self._pieces: list[bytes] = []
        self._next = 0
        self._read = 0
        self._ended = False
        self._forgotten = False

    async def open(self) -> None:
        """Read the beginning. What may be said of the body is known after it."""
        while not self._ended and self._read < _KEPT:
            await self._fetch()

    @property
    def eight_bit(self) -> bool:
        """Whether there are octets above 127, or may be in what was not read yet."""
        return not (self._ended and all(map(bytes.isascii, self._pieces)))

    async def next(self) -> bytes:
        """Return the next piece, b"" at the end."""
        if self._next == len(self._pieces) and not self._ended:
            self._forgotten = True
            self._pieces, self._next = [], 0
            await self._fetch()
        if self._next == len(self._pieces):
            return b""
        self._next += 1
        return self._pieces[self._next - 1]

    def rewind(self) -> bool:
        """Begin anew; False if the beginning was given up already."""
        self._next = 0
        return not self._forgotten

    def close(self) -> None:
        """Let go of it."""
        self._pieces, self._forgotten = [], True
        self._chunks.close()

    async def _fetch(self) -> None:
        piece = await self._chunks.next()
        self._read += len(piece)
        self._ended = not piece
        if self._read > self._octets or (self._ended and self._read < self._octets):
            raise BodyError
        if piece:
            self._pieces.append(piece)
