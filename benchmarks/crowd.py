"""Many connections in one thread, each carrying out a dialogue of commands and replies.

Made to cost little: the machine's cores are wanted for the servers that are measured.
"""

from __future__ import annotations

import os
import select
import socket
from collections import Counter
from collections.abc import Callable, Generator

from attrs import define, field

Dialogue = Generator[tuple[bytes, int], list[bytes], None]
"""Yields (octets to send, how many replies to wait for); is sent those replies.

A reply is the last line of one SMTP reply, or a POP3 status line, without CRLF.
"""

_READ = 65_536
_WRITE = 262_144


class RefusedError(Exception):
    """The server said no, or something else than was asked for; the text is its."""


def expect(replies: list[bytes], first: bytes = b"2") -> None:
    """Raise RefusedError unless every reply begins with one of the octets `first`."""
    for reply in replies:
        if reply[:1] not in (first[i : i + 1] for i in range(len(first))):
            raise RefusedError(reply.decode("latin-1")[:70])


@define(eq=False)
class _Talk:
    """One connection. `wanted` is the number of replies its dialogue waits for."""

    socket: socket.socket
    dialogue: Dialogue
    wanted: int = 1
    replies: list[bytes] = field(factory=list)
    unread: bytes = b""
    unsent: memoryview | None = None
    busy: bool = True


class Crowd:
    """The connections to one server.

    A dialogue that ends leaves its connection open until the server closes it, or the
    crowd does; `busy` counts the dialogues that have not ended. What went wrong stands
    in `errors`, by its text.
    """

    def __init__(self, host: str, port: int) -> None:
        self.errors: Counter[str] = Counter()
        self.busy = 0
        self._address = host, port
        self._epoll = select.epoll()
        self._talks: dict[int, _Talk] = {}

    def __len__(self) -> int:
        return len(self._talks)

    def open(self, dialogue: Dialogue) -> None:
        """Connect and begin; the dialogue's first wish is the greeting."""
        link = socket.socket()
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.connect_ex(self._address)
        talk = _Talk(link, dialogue)
        self._talks[link.fileno()] = talk
        self._epoll.register(link.fileno(), select.EPOLLIN)
        self.busy += 1
        _, talk.wanted = next(dialogue)

    def again(self, dialogue: Callable[[], Dialogue]) -> None:
        """Begin a dialogue on every connection left open; its first wish is sent."""
        for talk in list(self._talks.values()):
            if not talk.busy:
                talk.dialogue, talk.busy = dialogue(), True
                self.busy += 1
                talk.replies.clear()
                self._wish(talk, next(talk.dialogue))

    def step(self, timeout: float) -> None:
        """Carry on whatever is ready; wait for it `timeout` seconds at the most."""
        for descriptor, events in self._epoll.poll(timeout):
            talk = self._talks.get(descriptor)
            if talk is None:
                continue
            if events & select.EPOLLOUT:
                self._send(talk)
            if events & ~select.EPOLLOUT:
                self._read(talk)

    def close(self) -> None:
        """Close every connection, those in the midst of a dialogue as errors."""
        for talk in list(self._talks.values()):
            self._end(talk, "not finished in time" if talk.busy else "")
        self._epoll.close()

    def _read(self, talk: _Talk) -> None:
        try:
            data = talk.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(talk, f"read: {os.strerror(error.errno or 0)}")
            return
        if not data:
            self._end(talk, "the server closed")
            return
        *lines, talk.unread = (talk.unread + data).split(b"\r\n")
        if talk.busy:
            talk.replies += [line for line in lines if line[3:4] != b"-"]
            self._advance(talk)

    def _advance(self, talk: _Talk) -> None:
        """Hand the dialogue its replies, as long as it has all it waits for."""
        try:
            while len(talk.replies) >= talk.wanted:
                given = talk.replies[: talk.wanted]
                del talk.replies[: talk.wanted]
                self._wish(talk, talk.dialogue.send(given))
        except StopIteration:
            talk.busy = False
            self.busy -= 1
        except RefusedError as error:
            self._end(talk, str(error))

    def _wish(self, talk: _Talk, wish: tuple[bytes, int]) -> None:
        data, talk.wanted = wish
        talk.unsent = memoryview(data)
        self._send(talk)

    def _send(self, talk: _Talk) -> None:
        """Send what the socket takes now, and the rest when it takes more."""
        if talk.unsent is None:
            return
        held = talk.unsent
        try:
            while held:
                held = held[talk.socket.send(held[:_WRITE]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(talk, f"write: {os.strerror(error.errno or 0)}")
            return
        talk.unsent = held or None
        wanted = select.EPOLLIN | (select.EPOLLOUT if held else 0)
        self._epoll.modify(talk.socket.fileno(), wanted)

    def _end(self, talk: _Talk, why: str) -> None:
        if self._talks.pop(talk.socket.fileno(), None) is None:
            return
        if talk.busy:
            talk.busy = False
            self.busy -= 1
            self.errors[why] += 1
        talk.wanted = len(talk.replies) + 1
        talk.socket.close()
