"""A TCP proxy between an IRC client and its server, and what may happen on the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from tests.flow.program import LOCAL, free_port
from tests.peers.irc.background import call, loop, wait_for

__all__ = ["Passage", "Relay"]

_CHUNK = 65_536


class Passage(Protocol):
    """One direction of one connection."""

    def __call__(self, data: bytes) -> bytes:
        """Take what came, return what goes on now; what is kept goes on later."""


def _straight() -> tuple[Passage, Passage]:
    return bytes, bytes


class Relay:
    """A port whose connections go on to `target`, each octet `latency` seconds later.

    Throughput has no limit and order is kept. `passages` is asked at each connection
    for the directions to the server and to the client. `said` and `heard` hold the
    lines that went on to the server and to the client, in order, each with the second
    (monotonic) in which it was at the client: said there, or let go to it.
    """

    def __init__(
        self,
        target: int,
        latency: float = 0.0,
        passages: Callable[[], tuple[Passage, Passage]] = _straight,
    ) -> None:
        self.port = free_port()
        self.said: list[tuple[float, bytes]] = []
        self.heard: list[tuple[float, bytes]] = []
        self._target = target
        self._latency = latency
        self._passages = passages
        self._links: set[_Link] = set()
        self._is_closed = self._is_dead = False
        self._server = wait_for(asyncio.start_server(self._come, LOCAL, self.port))

    def cut(self, *, closed: bool = False) -> None:
        """Drop every connection; `closed`: and every new one till open()."""
        self._is_closed = closed
        call(self._cut)

    def open(self) -> None:
        """Let connections in again, and octets through."""
        self._is_closed = self._is_dead = False

    def die(self) -> None:
        """Lose every octet from now on, and tell neither side, till open()."""
        self._is_dead = True

    def stop(self) -> None:
        """End it."""
        self.cut(closed=True)
        call(self._server.close)

    def _cut(self) -> None:
        for link in list(self._links):
            link.cut()

    async def _come(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        try:
            far = await asyncio.open_connection(LOCAL, self._target)
        except OSError:
            writer.transport.abort()
            return
        to_server, to_client = self._passages()
        link = _Link((writer, far[1]))
        self._links.add(link)
        try:
            await asyncio.gather(
                self._carry(reader, far[1], to_server, said=_Record(self.said)),
                self._carry(far[0], writer, to_client, heard=_Record(self.heard)),
            )
        finally:
            link.cut()
            self._links.discard(link)

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        passage: Passage,
        *,
        said: _Record | None = None,
        heard: _Record | None = None,
    ) -> None:
        """Carry one direction; its end travels as its octets do."""
        when = 0.0
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                if self._is_dead or not (data := passage(data)):
                    continue
                if said is not None:
                    said.note(data)
                # Timers of one moment have no order among themselves: each is later
                # than the one before it.
                when = max(loop().time() + self._latency, when + 1e-6)
                loop().call_at(when, self._send, sink, data, heard)
        await asyncio.sleep(self._latency)
        sink.transport.close()

    def _send(
        self, sink: asyncio.StreamWriter, data: bytes, record: _Record | None
    ) -> None:
        if not self._is_dead and not sink.transport.is_closing():
            if record is not None:
                record.note(data)
            sink.write(data)


class _Record:
    """Cuts one direction of one connection into lines for a record."""

    def __init__(self, lines: list[tuple[float, bytes]]) -> None:
        self._lines = lines
        self._kept = b""

    def note(self, data: bytes) -> None:
        *lines, self._kept = (self._kept + data).split(b"\n")
        now = time.monotonic()
        self._lines.extend((now, line.rstrip(b"\r")) for line in lines)


class _Link:
    """Both ends of one connection."""

    def __init__(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._ends = ends

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()
