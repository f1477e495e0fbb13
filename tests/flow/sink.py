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

from attrs import Factory, define, evolve, frozen

WELL = "well"
# What can happen to a connection or to a message; each is a moment of the dialogue.
MOODS = (
    "drop at greeting",
    "drop after MAIL",
    "drop after DATA",
    "drop after body",
    "refuse MAIL for now",
    "refuse body for now",
    "refuse recipients for now",
    "hang before greeting",
    "hang after MAIL",
    "hang after body",
)
PATIENCE = 60.0


@frozen
class Taken:
    """One message as it came: envelope and the octets between DATA and the dot.

    `answered` is false for one whose answer was never sent: the window in which SMTP
    itself leaves the sender in doubt. `when` is the machine's time, `era` what the
    sink's was when the connection came.
    """

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    when: float
    era: int = 0
    answered: bool = True

    @property
    def header(self) -> bytes:
        """The header block, without the empty line."""
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """What follows the empty line."""
        return self.data.partition(b"\r\n\r\n")[2]


@define(eq=False)
class Sink:
    """Listens on `port`.

    `mood()` is asked at each greeting and each MAIL what is to happen; `refused` are
    recipients that no one has heard of, ever. `taken` is in the order of arrival.
    """

    port: int
    mood: Callable[[], str] = lambda: WELL
    refused: Callable[[str], bool] = lambda _: False
    # At most so many seconds pass between a message and its answer.
    tarries: float = 0.0
    dice: random.Random = Factory(random.Random)
    taken: list[Taken] = Factory(list)
    # Those whose body was refused after the dot.
    put_off: list[Taken] = Factory(list)
    # Every MAIL that was heard, whatever came of it: (sender, parameters, when).
    asked: list[tuple[str, str, float]] = Factory(list)
    connections: int = 0
    era: int = 0
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

    def wait_for(self, messages: int, seconds: float = PATIENCE) -> list[Taken]:
        """Wait until so many were taken, and return them."""
        self.wait_until(lambda: len(self.taken) >= messages, seconds)
        return list(self.taken)

    def wait_until(self, true: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is true of the sink."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"in vain; {len(self.taken)} messages came")
            time.sleep(0.02)

    def keep(self, taken: Taken) -> None:
        """Keep a message."""
        with self._lock:
            self.taken.append(taken)

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
        with contextlib.suppress(OSError, _DroppedError), link.makefile("rb") as lines:
            _Session(self, link, lines, self.era).run()
        self._open.discard(link)
        link.close()


class _DroppedError(Exception):
    """The sink closes the connection."""


@define
class _Session:
    sink: Sink
    link: socket.socket
    lines: BinaryIO
    era: int
    mood: str = WELL
    sender: str = ""
    recipients: list[str] = Factory(list)

    def run(self) -> None:
        self.mood = self.sink.mood()
        self.drop_if("drop at greeting")
        self.hang_if("hang before greeting")
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
            raise _DroppedError

    def hang_if(self, mood: str) -> None:
        """Say nothing until the other side has had enough."""
        if self.mood == mood:
            self.link.settimeout(PATIENCE)
            while self.lines.readline():
                pass
            raise _DroppedError

    def answer(self, verb: str, rest: str) -> None:
        if verb == "EHLO":
            self.say(
                "250-sink.test", "250-PIPELINING", "250-SIZE 50000000", "250 8BITMIME"
            )
        elif verb == "MAIL":
            self.mail(rest)
        elif verb == "RCPT":
            self.recipient(path(rest))
        elif verb == "DATA":
            self.data()
        else:
            self.recipients = []
            self.say("250 2.0.0 Ok")

    def mail(self, rest: str) -> None:
        self.mood = self.sink.mood()
        self.sender, self.recipients = path(rest), []
        parameters = rest.partition(">")[2].strip()
        self.sink.asked.append((self.sender, parameters, time.time()))
        self.drop_if("drop after MAIL")
        self.hang_if("hang after MAIL")
        if self.mood == "refuse MAIL for now":
            self.say("451 4.3.2 Not now")
        else:
            self.say("250 2.1.0 Ok")

    def recipient(self, address: str) -> None:
        if self.sink.refused(address):
            self.say("550 5.1.1 No such user, never was")
        elif self.mood.startswith("refuse MAIL"):
            self.say("503 5.5.1 Sender first")
        elif self.mood == "refuse recipients for now":
            self.say("451 4.2.1 Not now")
        else:
            self.recipients.append(address)
            self.say("250 2.1.5 Ok")

    def data(self) -> None:
        if not self.recipients:
            self.say("554 5.5.1 No valid recipients")
            return
        self.drop_if("drop after DATA")
        self.say("354 Go on")
        data = bytearray()
        while (line := self.lines.readline()) != b".\r\n":
            if not line:
                raise _DroppedError
            data += line.removeprefix(b".")
        taken = Taken(
            self.sender, tuple(self.recipients), bytes(data), time.time(), self.era
        )
        if self.mood == "refuse body for now":
            self.sink.put_off.append(taken)
            self.say("451 4.3.0 Not now")
            return
        if self.mood.endswith("after body"):
            self.lose_answer(taken)
        self.sink.keep(taken)
        time.sleep(self.sink.tarries * self.sink.dice.random())
        self.say("250 2.0.0 Ok: taken")

    def lose_answer(self, taken: Taken) -> None:
        # Half of those that lose the answer have the message, half have not.
        if self.sink.dice.random() < 0.5:
            self.sink.keep(evolve(taken, answered=False))
        self.hang_if("hang after body")
        raise _DroppedError


def path(argument: str) -> str:
    """Return the address in `FROM:<x@y> SIZE=1`."""
    return argument.partition("<")[2].partition(">")[0]
