"""Slow callers of a mail server, of several sorts, in one thread."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from attrs import define, field

from tests.flow.program import PATIENCE

_TO_ALICE = "RCPT TO:<alice@i2pmail.org>"
_NAMED = ("EHLO mx.slow.example", "MAIL FROM:<a@slow.example>", _TO_ALICE)
# A TLS record that begins a ClientHello of the largest size that OpenSSL takes.
_HELLO = bytes.fromhex("160301000401020140")
SORTS = 5
# So many wait to be accepted; the next SYN is dropped, and comes again in a second.
_BACKLOG = 40


@define(eq=False)
class Caller:
    """A connection: what it says first, and what it sends again and again."""

    sort: str
    opening: Sequence[str]
    burst: bytes
    drip: bytes
    link: socket.socket = field(init=False)
    peer: str = ""
    heard: bytes = b""
    closed: bool = False

    def listen(self) -> None:
        """Read what there is."""
        try:
            while not self.closed:
                data = self.link.recv(65_536)
                self.closed = not data
                self.heard += data
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def tell(self, octets: bytes) -> None:
        """Send, as far as somebody is there."""
        with suppress(OSError):
            self.link.sendall(octets)


def sorts() -> Iterator[Caller]:
    """Yield one of each sort, for ever."""
    begun = b"From: a@slow.example\r\nSubject: x\r\n\r\n" + b"x" * 9_000
    while True:
        yield Caller("silent", (), b"", b"")
        yield Caller("half a command", (), b"EHLO " + b"x" * 4_000, b"x")
        yield Caller("body by the octet", (*_NAMED, "DATA"), begun, b"x")
        yield Caller("stalled TLS", (_NAMED[0], "STARTTLS"), _HELLO, b"")
        yield Caller("recipients held", _NAMED, b"", f"{_TO_ALICE}\r\n".encode())


def replies(heard: bytes) -> int:
    """Return how many SMTP replies there are."""
    return len(re.findall(rb"^\d\d\d ", heard, re.MULTILINE))


class Siege:
    """Slow callers, as many of each sort, of peers that have no more than they may."""

    def __init__(self, address: str, port: int, count: int, per_peer: int) -> None:
        self._place = address, port
        made = sorts()
        self.callers = [next(made) for _ in range(count)]
        for number, one in enumerate(self.callers):
            # Each peer from a network of its own, which has a share of its own.
            one.peer = f"127.9.{number // per_peer}.1"

    def begin(self) -> Iterator[str]:
        """Connect them and bring them to where they become slow, sort by sort."""
        for sort in dict.fromkeys(one.sort for one in self.callers):
            self._begin([one for one in self.callers if one.sort == sort])
            yield sort

    def _begin(self, callers: Sequence[Caller]) -> None:
        for first in range(0, len(callers), _BACKLOG):
            some = callers[first : first + _BACKLOG]
            for one in some:
                peer = one.peer, 0
                one.link = socket.create_connection(self._place, PATIENCE, peer)
                one.link.setblocking(False)
            self._hear(some)
        for step in range(len(callers[0].opening)):
            for one in callers:
                one.tell(one.opening[step].encode() + b"\r\n")
            self._hear(callers, step + 2)
        for one in callers:
            one.tell(one.burst)

    def _hear(self, callers: Sequence[Caller], count: int = 1) -> None:
        """Wait until each has heard so many replies."""
        until = time.monotonic() + PATIENCE
        waiting = list(callers)
        while waiting:
            assert time.monotonic() < until, (waiting[0].sort, waiting[0].heard)
            for one in waiting:
                one.listen()
            assert not any(one.closed for one in waiting)
            waiting = [one for one in waiting if replies(one.heard) < count]
            time.sleep(0.01)

    def drip(self) -> None:
        """Have each say what it says from time to time."""
        for one in self.callers:
            one.tell(one.drip)

    def left(self) -> dict[str, int]:
        """Return how many are still there, by sort."""
        found: dict[str, int] = {}
        for one in self.callers:
            one.listen()
            if not one.closed:
                found[one.sort] = found.get(one.sort, 0) + 1
        return found

    def end(self) -> None:
        """Hang up."""
        for one in self.callers:
            if hasattr(one, "link"):
                one.link.close()
