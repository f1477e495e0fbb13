"""The far end of a gateway's link: takes mail, and misbehaves when told to.

A small SMTP server of the tests' own, in a thread. It keeps what came over the wire to
the octet, which a real server rewrites; real ones are in tests/peers.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from attrs import Factory, define, frozen

# What happens to a message; every name is a moment of the dialogue.
WELL = "well"
MOODS = (
    "drop at greeting",
    "drop after MAIL",
    "drop after body",
    "refuse body for now",
    "refuse recipients for now",
    "hang after body",
)


@frozen
class Taken:
    """One message as it came: envelope and the octets between DATA and the dot."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    when: float


@define
class Sink:
    """Listens on `port`. `mood(recipient)` says what is to happen to a message."""

    port: int
    mood: Callable[[], str] = lambda: WELL
    refused: frozenset[str] = frozenset()
    taken: list[Taken] = Factory(list)
    # Messages taken whose answer was never sent: SMTP's own window.
    unanswered: int = 0
    connections: int = 0
    _server: socket.socket | None = None
    _open: set[socket.socket] = Factory(set)
    _lock: threading.Lock = Factory(threading.Lock)

    def start(self) -> Sink:
        """Listen."""
        self._server = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the listening socket and all connections."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def wait_for(self, messages: int, seconds: float = 60.0) -> list[Taken]:
        """Wait until so many were taken, and return them."""
        deadline = time.monotonic() + seconds
        while len(self.taken) < messages:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.taken)} of {messages} messages came")
            time.sleep(0.02)
        return list(self.taken)

    def _accept(self) -> None:
        while (server := self._server) is not None:
            try:
                link, _ = server.accept()
            except OSError:
                return
            self._open.add(link)
            self.connections += 1
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError, _Dropped), link.makefile("rb") as lines:
            _Session(self, link, lines).run()
        self._open.discard(link)
        link.close()

    def keep(self, taken: Taken) -> None:
        """Keep a message."""
        with self._lock:
            self.taken.append(taken)


class _Dropped(Exception):
    """The sink closes the connection."""


@define
class _Session:
    sink: Sink
    link: socket.socket
    lines: BinaryIO
    mood: str = WELL
    sender: str = ""
    recipients: list[str] = Factory(list)

    def run(self) -> None:
        self.mood = self.sink.mood()
        self.drop_if("drop at greeting")
        self.say("220 sink.test ESMTP")
        while line := self.lines.readline():
            verb, _, rest = line.decode("utf-8").strip().partition(" ")
            if verb.upper() == "QUIT":
                self.say("221 2.0.0 Bye")
                return
            self.answer(verb.upper(), rest)

    def say(self, *replies: str) -> None:
        self.link.sendall("".join(f"{reply}\r\n" for reply in replies).encode())

    def drop_if(self, mood: str) -> None:
        if self.mood == mood:
            raise _Dropped

    def answer(self, verb: str, rest: str) -> None:
        if verb == "EHLO":
            self.say(
                "250-sink.test", "250-PIPELINING", "250-SIZE 50000000", "250 8BITMIME"
            )
        elif verb == "MAIL":
            self.mood = self.sink.mood()
            self.sender, self.recipients = path(rest), []
            self.drop_if("drop after MAIL")
            self.say("250 2.1.0 Ok")
        elif verb == "RCPT":
            self.recipient(path(rest))
        elif verb == "DATA":
            self.data()
        else:
            self.recipients = []
            self.say("250 2.0.0 Ok")

    def recipient(self, address: str) -> None:
        if address in self.sink.refused:
            self.say("550 5.1.1 No such user, never was")
        elif self.mood == "refuse recipients for now":
            self.say("451 4.3.0 Not now")
        else:
            self.recipients.append(address)
            self.say("250 2.1.5 Ok")

    def data(self) -> None:
        if not self.recipients:
            self.say("554 5.5.1 No valid recipients")
            return
        self.say("354 Go on")
        data = bytearray()
        while (line := self.lines.readline()) != b".\r\n":
            if not line:
                raise _Dropped
            data += line.removeprefix(b".")
        if self.mood == "refuse body for now":
            self.say("451 4.3.0 Not now")
            return
        taken = Taken(self.sender, tuple(self.recipients), bytes(data), time.time())
        if self.mood in ("drop after body", "hang after body"):
            # Half of those that lose the answer have the message, half have not.
            if random.random() < 0.5:
                self.sink.keep(taken)
                self.sink.unanswered += 1
            if self.mood == "hang after body":
                self.link.settimeout(30)
                while self.lines.readline():
                    pass
            raise _Dropped
        self.sink.keep(taken)
        self.say("250 2.0.0 Ok: taken")


def path(argument: str) -> str:
    """Return the address in `FROM:<x@y> SIZE=1`."""
    return argument.partition("<")[2].partition(">")[0]
