"""A body handed out piece by piece, opened in the readers' threads."""

from __future__ import annotations

import sqlite3

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.interfaces import IChunks
from postmand.store.crew import Crew
from postmand.store.reading import OpenBody


@implementer(IChunks)
class Chunks:
    """What is opened of a body already, and then the rest of it, if there is one."""

    def __init__(
        self,
        crew: Crew[sqlite3.Connection],
        rest: OpenBody | None,
        opened: bytes = b"",
    ) -> None:
        self._crew = crew
        self._rest = rest
        self._opened = opened
        self._reading = False

    def next(self) -> Deferred[bytes]:
        """Fire with the next piece, b"" at the end and after close()."""
        piece, self._opened = self._opened, b""
        rest = self._rest
        if piece or rest is None:
            return succeed(piece)
        self._reading = True
        return self._crew.call(lambda _: next(rest.pieces, b"")).addBoth(
            self._read, rest
        )

    def _read(self, piece: bytes | Failure, rest: OpenBody) -> bytes | Failure:
        self._reading = False
        if self._rest is None or not piece or isinstance(piece, Failure):
            self._rest = None
            rest.close()
        return piece

    def close(self) -> None:
        """Let go of the file; a piece that is being read comes to its end first."""
        rest, self._rest, self._opened = self._rest, None, b""
        if rest is not None and not self._reading:
            rest.close()
