"""A TCP proxy that takes its time, as a tunnel through an anonymous network does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_READ = 65_536


class Tunnel:
    """What one connection through the proxy cost.

    A turn begins with the connection, and whenever the client speaks after the server
    did. Each costs a round trip; the connection too, because the far end is connected
    to only when the opening has arrived there.
    """

    def __init__(self, port: int, delay: float) -> None:
        self.turns = 0
        self._port = port
        self._delay = delay
        self._client_next = True

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry a connection to its end."""
        self.client_spoke()
        await asyncio.sleep(self._delay)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(
            self._one_way(reader, self.client_spoke, far_writer, _nothing),
            self._one_way(far_reader, _nothing, writer, self.server_spoke),
            return_exceptions=True,
        )

    def client_spoke(self) -> None:
        """Note that octets left the client."""
        self.turns += self._client_next
        self._client_next = False

    def server_spoke(self) -> None:
        """Note that octets reached the client."""
        self._client_next = True

    async def _one_way(
        self,
        reader: asyncio.StreamReader,
        on_coming: Callable[[], None],
        writer: asyncio.StreamWriter,
        on_leaving: Callable[[], None],
    ) -> None:
        """Hand on what comes, in order, each piece half a round trip late."""
        loop = asyncio.get_running_loop()
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def receive() -> None:
            data = b"more"
            while data:
                data = await reader.read(_READ)
                if data:
                    on_coming()
                late.put_nowait((loop.time() + self._delay, data))

        receiving = asyncio.ensure_future(receive())
        while True:
            due, data = await late.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            on_leaving()
            writer.write(data)
        writer.close()
        await receiving


def _nothing() -> None:
    """Nobody counts here."""


@contextmanager
def tunnel(port: int, round_trip: float) -> Iterator[tuple[int, Tunnel]]:
    """Open a proxy to a port of loopback for one connection; yield its port and it.

    The connection has to be closed before the end.
    """
    through = Tunnel(port, round_trip / 2)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server: Any = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(through.carry, "127.0.0.1", 0), loop
    ).result()
    try:
        yield server.sockets[0].getsockname()[1], through
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Close the proxy once what is under way in it has arrived."""
    server.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*rest, return_exceptions=True)
