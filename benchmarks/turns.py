"""Round trips a mail client needs, which over a tunnel of two seconds each are felt.

A submission to three recipients; a mailbox of ten messages collected and emptied. Step
by step: one command at a time. Pipelined: everything the server's announcements allow
(RFC 2920, RFC 2449). In one burst: AUTH too is sent along with what follows it, as
susimail does with its login.
"""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from benchmarks.dovecot import Dovecot
from benchmarks.letters import letter, tail
from benchmarks.loads import submit
from benchmarks.ours import Ours
from benchmarks.postfix import HeldPostfix
from benchmarks.proxy import tunnel
from benchmarks.server import DOMAIN, PASSWORD
from benchmarks.smtp_load import Plan
from benchmarks.table import Row, grouped, markdown, number

ROUND_TRIP = 0.05
TUNNEL = 2.0
MESSAGES = 10
_OWNER, _SENDER = "member00000", "member00001"
_RECIPIENTS = ("member00002", "member00003", "member00004")

T = TypeVar("T")


class TurnError(Exception):
    """A server refused a command; the text is its."""


class Client:
    """A client that sends commands, one or more at a time, and reads every reply."""

    def __init__(self, port: int) -> None:
        link = socket.create_connection(("127.0.0.1", port), 60)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = link
        self._replies = link.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._link.close()

    def say(self, *commands: bytes) -> None:
        """Send commands together."""
        self._link.sendall(b"".join(commands))

    def hear(self) -> bytes:
        """Return one reply, all its SMTP lines."""
        reply = self._replies.readline()
        if reply[:1] not in (b"2", b"3", b"+"):
            raise TurnError(reply.decode("latin-1").strip() or "the server closed")
        return reply + (self.hear() if reply[3:4] == b"-" else b"")

    def hear_lines(self) -> list[bytes]:
        """Return the lines of a multi-line POP3 answer."""
        self.hear()
        return list(iter(self._replies.readline, b".\r\n"))

    def flight(self, *commands: bytes, answer: Callable[[], T]) -> list[T]:
        """Send commands together and read an answer to each."""
        self.say(*commands)
        return [answer() for _ in commands]

    def steps(self, *commands: bytes, answer: Callable[[], T]) -> list[T]:
        """Send commands one by one."""
        return [
            reply
            for command in commands
            for reply in self.flight(command, answer=answer)
        ]


def _submission(client: Client, way: str) -> None:
    client.hear()
    (announced,) = client.flight(b"EHLO localhost\r\n", answer=client.hear)
    if way != "step by step" and b"PIPELINING" not in announced:
        raise TurnError("PIPELINING is not announced")
    login = base64.b64encode(f"\0{_SENDER}\0{PASSWORD}".encode())
    sender = f"{_SENDER}@{DOMAIN}".encode()
    auth = b"AUTH PLAIN %s\r\n" % login
    envelope = [
        b"MAIL FROM:<%s>\r\n" % sender,
        *(b"RCPT TO:<%s@%s>\r\n" % (n.encode(), DOMAIN.encode()) for n in _RECIPIENTS),
        b"DATA\r\n",
    ]
    message = letter(sender, sender, time.time_ns(), tail(2048))
    if way == "step by step":
        client.steps(auth, *envelope, message, b"QUIT\r\n", answer=client.hear)
        return
    if way == "in one burst":
        client.flight(auth, *envelope, answer=client.hear)
    else:
        client.flight(auth, answer=client.hear)
        client.flight(*envelope, answer=client.hear)
    client.flight(message, b"QUIT\r\n", answer=client.hear)


def _collection(client: Client, way: str) -> None:
    client.hear()
    numbers = range(1, MESSAGES + 1)
    login = f"USER {_OWNER}\r\n".encode(), f"PASS {PASSWORD}\r\n".encode()
    retr = [b"RETR %d\r\n" % number for number in numbers]
    dele = [b"DELE %d\r\n" % number for number in numbers]
    if way == "step by step":
        client.steps(*login, b"STAT\r\n", answer=client.hear)
        (found,) = client.flight(b"UIDL\r\n", answer=client.hear_lines)
        client.steps(*retr, answer=client.hear_lines)
        client.steps(*dele, b"QUIT\r\n", answer=client.hear)
    else:
        (announced,) = client.flight(b"CAPA\r\n", answer=client.hear_lines)
        if b"PIPELINING\r\n" not in announced:
            raise TurnError("PIPELINING is not announced")
        client.say(*login, b"UIDL\r\n")
        client.hear()
        client.hear()
        found = client.hear_lines()
        client.flight(*retr, answer=client.hear_lines)
        client.flight(*dele, b"QUIT\r\n", answer=client.hear)
    if len(found) != MESSAGES:
        raise TurnError(f"{len(found)} messages instead of {MESSAGES}")


def measure(
    ours: Ours, postfix: HeldPostfix | None, dovecot: Dovecot | None
) -> Iterator[Row]:
    """Measure both dialogues on every server there is, in each way."""
    ours.renew()
    for way in ("step by step", "pipelined", "in one burst"):
        for server in (ours, postfix):
            if server is not None:
                yield _once(server.name, "submission", server.port, way, _submission)
    for way in ("step by step", "pipelined"):
        _fill(ours)
        yield _once(ours.name, "collection", ours.pop3_port, way, _collection)
        if dovecot is not None:
            dovecot.renew()
            message = letter(b"a@b.example", b"c@d.example", 1, tail(2048))
            dovecot.fill(_OWNER, message.removesuffix(b".\r\n"), MESSAGES)
            yield _once(dovecot.name, "collection", dovecot.port, way, _collection)


def _fill(ours: Ours) -> None:
    plan = Plan(
        port=ours.port,
        domain=DOMAIN,
        password=PASSWORD,
        hot=(_SENDER,),
        recipients=(_OWNER,),
        size=2048,
        connections=1,
        messages=MESSAGES,
    )
    submit(plan)


def _once(
    server: str, what: str, port: int, way: str, dialogue: Callable[[Client, str], None]
) -> Row:
    error = ""
    with tunnel(port, ROUND_TRIP) as (door, through):
        began = time.perf_counter()
        try:
            with Client(door) as client:
                dialogue(client, way)
        except TurnError as refused:
            error = str(refused)
        seconds = time.perf_counter() - began
    return {
        "measure": "turns",
        "server": server,
        "what": what,
        "way": way,
        "turns": None if error else through.turns,
        "seconds": seconds,
        "error": error,
    }


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table for each dialogue."""
    names = {
        "submission": "Turns of a submission to 3 recipients",
        "collection": f"Turns of a collection of {MESSAGES} messages",
    }
    for (what,), alike in grouped(rows, "what").items():
        body = [
            [
                row["way"],
                row["server"],
                row["error"] or number(row["turns"]),
                number(1000 * row["seconds"]),
                number(row["turns"] and row["turns"] * TUNNEL),
            ]
            for row in alike
        ]
        head = ["client", "server", "turns", f"ms at {1000 * ROUND_TRIP:.0f} ms a turn"]
        yield markdown(names[what], [*head, f"s at {TUNNEL:.0f} s a turn"], body)
