"""A link between two programs as a tunnel is one: slow, far, and cut now and then."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from attrs import Factory, define

from tests.flow.program import LOCAL, free_port

# What is handed on at once: about a tunnel's message.
_PIECE = 1_024


@define(eq=False)
class Lane:
    """One direction of a link: all its connections share the pace, piece by piece."""

    pace: float | None
    octets: int = 0
    # In loop time: when the lane is free again, and who may use it next.
    _free: float = 0.0
    _turn: asyncio.Lock = Factory(asyncio.Lock)

    async def pass_(self, octets: int) -> None:
        """Wait until so many octets have passed; who waits longest is next."""
        self.octets += octets
        if self.pace is None:
            return
        async with self._turn:
            loop = asyncio.get_running_loop()
            self._free = max(self._free, loop.time()) + octets / self.pace
            await asyncio.sleep(self._free - loop.time())


class Link:
    """Listens on `port` and leads to `target`, both of this machine.

    Each direction passes `pace` octets a second (None: as fast as it goes), shared by
    all connections, and takes `seconds` for the way. `to` and `fro` count octets: from
    who calls, and back. It runs in a thread of its own.
    """

    def __init__(
        self, target: int, pace: float | None = None, seconds: float = 0.0
    ) -> None:
        self.port = free_port()
        self.target = target
        self.to, self.fro = Lane(pace), Lane(pace)
        self.connections = 0
        self._seconds = seconds
        self._open = True
        self._server: asyncio.Server
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Link:
        """Listen."""
        self._thread.start()
        assert self._listening.wait(60)
        return self

    def stop(self) -> None:
        """Cut all connections and listen no more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def cut(self, *, stays: bool = False) -> None:
        """Drop all connections; with `stays` every new one too, until `mend`."""
        self._call(self._cut, stays)

    def mend(self) -> None:
        """Let connections come about again."""
        self._call(self._mend)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        done = threading.Event()

        def call() -> None:
            function(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(call)
        assert done.wait(60)

    def _cut(self, stays: bool) -> None:
        self._open = not stays
        for writer in list(self._writers):
            writer.transport.abort()

    def _mend(self) -> None:
        self._open = True

    # In the thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._listening.set()
        self._loop.run_forever()
        self._server.close()
        self._cut(stays=True)
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        ended = asyncio.gather(*tasks, return_exceptions=True)
        self._loop.run_until_complete(ended)
        self._loop.close()

    async def _listen(self) -> None:
        # No more than a piece or two is read before it may pass.
        self._server = await asyncio.start_server(
            self._accept, LOCAL, self.port, limit=_PIECE
        )

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._tasks.add(task := self._loop.create_task(self._carry(reader, writer)))
        task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            if self._open:
                self.connections += 1
                await self._lead(reader, writer)
        self._drop(writer)

    async def _lead(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(LOCAL, self.target, limit=_PIECE)
        self._writers.add(back)
        if not self._open:
            writer.transport.abort()
        try:
            ways = [
                asyncio.ensure_future(self._way(reader, back, self.to)),
                asyncio.ensure_future(self._way(there, writer, self.fro)),
            ]
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for way in ways:
                way.cancel()
            self._drop(back)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    async def _way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lane: Lane
    ) -> None:
        """Hand on what comes until its end; a broken connection breaks the other."""
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.ensure_future(self._arrive(underway, writer))
        writer.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        try:
            while True:
                piece = await reader.read(_PIECE)
                await lane.pass_(len(piece))
                underway.put_nowait((self._loop.time() + self._seconds, piece))
                if not piece:
                    break
            await arriving
        except OSError:
            writer.transport.abort()
        finally:
            arriving.cancel()

    async def _arrive(
        self,
        underway: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
    ) -> None:
        """Write each piece when it has come the way."""
        with contextlib.suppress(OSError):
            while True:
                due, piece = await underway.get()
                await asyncio.sleep(due - self._loop.time())
                if not piece:
                    writer.write_eof()
                    return
                writer.write(piece)
                await writer.drain()
