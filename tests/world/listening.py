"""Servers of a test's own: a thread that accepts, and one for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_PATIENCE = 60.0


class Listening:
    """Listens at an address of loopback from the start on; to be used in a `with`.

    What goes wrong on a connection ends that connection, and nothing else. `peers` are
    the addresses that connected.
    """

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.peers: set[str] = set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((address, port), backlog=50)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Listen no more, and cut what is open."""
        with contextlib.suppress(OSError):
            # A close alone does not wake who waits in accept().
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for link in left:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def serve(self, link: socket.socket) -> None:
        """Serve one connection, which is closed afterwards."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                link, peer = self._listener.accept()
            except OSError:
                return
            self.peers.add(peer[0])
            link.settimeout(_PATIENCE)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with self._lock:
            self._open.add(link)
        try:
            with link, contextlib.suppress(OSError, StopIteration):
                self.serve(link)
        finally:
            with self._lock:
                self._open.discard(link)
