"""One mail client that collects everything and deletes it: a process of its own.

`python -m benchmarks.pop3_load` reads a Collection as JSON from its input and prints a
Collected as JSON. It does USER, PASS, UIDL, RETR of every message, DELE of every one
and QUIT, one command at a time or as many at once as the window takes.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import attrs
import cattrs
from attrs import frozen

_READ = 262_144
_WINDOW = 100


@frozen
class Collection:
    """What to collect."""

    port: int
    name: str
    password: str
    pipelining: bool
    host: str = "127.0.0.1"


@frozen
class Collected:
    """What came of it; times in seconds."""

    messages: int
    octets: int
    login: float
    uidl: float
    retr: float
    dele: float
    quit: float
    total: float
    client_cpu: float


class Pop3Error(Exception):
    """The server said -ERR, or nothing more."""


class Connection:
    """A connection to a POP3 server, read in large pieces."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), 120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._place = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *commands: bytes) -> None:
        """Send commands in one go."""
        self._socket.sendall(b"".join(command + b"\r\n" for command in commands))

    def line(self) -> bytes:
        """Return one line, its CRLF included; it must begin with +OK."""
        line = self._until(b"\r\n")
        if not line.startswith(b"+OK"):
            raise Pop3Error(line.decode("latin-1").strip())
        return line

    def lines(self) -> bytes:
        """Return what follows +OK in a multi-line answer, without its end."""
        self.line()
        # The CRLF of the first line may be the one before the dot.
        self._place -= 2
        return self._until(b"\r\n.\r\n")[2:-3]

    def _until(self, end: bytes) -> bytes:
        start = self._place
        looked = start
        while (found := self._data.find(end, looked)) < 0:
            looked = max(0, len(self._data) - len(end) - start)
            self._data = self._data[start:] + self._more()
            start = 0
        self._place = found + len(end)
        return self._data[start : self._place]

    def _more(self) -> bytes:
        data = self._socket.recv(_READ)
        if not data:
            raise Pop3Error("the server closed")
        return data


def collect(collection: Collection) -> Collected:
    """Collect and delete everything."""
    used = time.process_time()
    marks = [time.perf_counter()]
    link = Connection(collection.host, collection.port)
    link.line()
    for command in (
        b"USER " + collection.name.encode(),
        b"PASS " + collection.password.encode(),
    ):
        link.send(command)
        link.line()
    marks.append(time.perf_counter())
    link.send(b"UIDL")
    count = link.lines().count(b"\n")
    marks.append(time.perf_counter())
    window = _WINDOW if collection.pipelining else 1
    octets = _all(link, b"RETR", count, window, link.lines)
    marks.append(time.perf_counter())
    _all(link, b"DELE", count, window, link.line)
    marks.append(time.perf_counter())
    link.send(b"QUIT")
    link.line()
    marks.append(time.perf_counter())
    used = time.process_time() - used
    login, uidl, retr, dele, gone = (b - a for a, b in pairwise(marks))
    total = marks[-1] - marks[0]
    return Collected(count, octets, login, uidl, retr, dele, gone, total, used)


def _all(
    link: Connection, verb: bytes, count: int, window: int, answer: Callable[[], bytes]
) -> int:
    """Say a command for all messages, `window` at once; return the octets answered."""
    octets = sent = 0
    for answered in range(count):
        # Half a window is on its way while the other half is sent.
        if sent - answered <= window // 2:
            more = range(sent + 1, min(count, answered + window) + 1)
            if more:
                link.send(*(b"%s %d" % (verb, number) for number in more))
                sent = more[-1]
        octets += len(answer())
    return octets


def main() -> None:
    """Read what to collect, collect it, print what came."""
    collection: Any = cattrs.structure(json.load(sys.stdin), Collection)
    json.dump(attrs.asdict(collect(collection)), sys.stdout)


if __name__ == "__main__":
    main()
