"""How long a session that does nothing waits for an answer while others work."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

_PAUSE = 0.01


def waits(port: int, more: Callable[[], bool]) -> list[float]:
    """Say NOOP a hundred times a second while `more()`; return the waits in ms."""
    found = []
    with socket.create_connection(("127.0.0.1", port), 60) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.recv(1000)
        while more():
            time.sleep(_PAUSE)
            began = time.perf_counter()
            link.sendall(b"NOOP\r\n")
            if not link.recv(1000):
                raise ConnectionError("the idle session was closed")
            found.append(1000 * (time.perf_counter() - began))
    return found
