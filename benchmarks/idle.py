"""Thousands of sessions held open at once: what each costs, and what others notice."""

from __future__ import annotations

import base64
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from benchmarks.crowd import Crowd, Dialogue, expect
from benchmarks.ours import Ours
from benchmarks.server import PASSWORD
from benchmarks.table import Row, markdown, number

# Connecting at once: few enough that nothing waits in front of Argon2 for long.
_OPENING = WARMING = 64
_PATIENCE = 300
_NEWCOMERS = 50


@frozen
class Kind:
    """A kind of session, and how a client comes to it."""

    name: str
    port: Callable[[Ours], int]
    session: Callable[[str], Dialogue]
    first: bytes
    """What a newcomer says first, after the greeting."""


def _after_ehlo(_: str) -> Dialogue:
    expect((yield b"", 1))
    expect((yield b"EHLO localhost\r\n", 1))


def _after_auth(name: str) -> Dialogue:
    yield from _after_ehlo(name)
    login = base64.b64encode(f"\0{name}\0{PASSWORD}".encode())
    expect((yield b"AUTH PLAIN %s\r\n" % login, 1))


def _after_login(name: str) -> Dialogue:
    expect((yield b"", 1), b"+")
    expect((yield b"USER %s\r\n" % name.encode(), 1), b"+")
    expect((yield b"PASS %s\r\n" % PASSWORD.encode(), 1), b"+")


def _smtp_port(ours: Ours) -> int:
    return ours.port


def _pop3_port(ours: Ours) -> int:
    return ours.pop3_port


KINDS = (
    Kind("SMTP after EHLO", _smtp_port, _after_ehlo, b"EHLO localhost\r\n"),
    Kind("SMTP after AUTH", _smtp_port, _after_auth, b"EHLO localhost\r\n"),
    Kind("POP3 after login", _pop3_port, _after_login, b"CAPA\r\n"),
)


def measure(ours: Ours, accounts: Sequence[str]) -> Iterator[Row]:
    """Hold one session of every account, for each kind of session.

    The first WARMING of them load what all later ones share, and are not counted.
    """
    for kind in KINDS:
        yield _once(ours, kind, accounts)


def _once(ours: Ours, kind: Kind, accounts: Sequence[str]) -> Row:
    ours.renew()
    port = kind.port(ours)
    warming, _ = _hold(kind, port, accounts[:WARMING])
    before = ours.program.pss_kib()
    crowd, seconds = _hold(kind, port, accounts[WARMING:])
    held = len(crowd)
    weight = ours.program.pss_kib()
    waits = _newcomers(port, kind.first)
    answering = _answering(crowd)
    for each in (warming, crowd):
        each.close()
    return {
        "measure": "idle",
        "kind": kind.name,
        "asked": len(accounts) - WARMING,
        "held": held,
        "answering": answering,
        "opening": seconds,
        "pss_mib": weight / 1024,
        "kib_each": (weight - before) / max(1, held),
        "newcomer_p50": statistics.median(waits),
        "newcomer_max": max(waits),
        "errors": dict(crowd.errors),
    }


def _hold(kind: Kind, port: int, accounts: Sequence[str]) -> tuple[Crowd, float]:
    """Open a session for each account; return them and the seconds it took."""
    crowd = Crowd("127.0.0.1", port)
    began = time.perf_counter()
    left = list(reversed(accounts))
    while (left or crowd.busy) and time.perf_counter() < began + _PATIENCE:
        while left and crowd.busy < _OPENING:
            crowd.open(kind.session(left.pop()))
        crowd.step(0.2)
    return crowd, time.perf_counter() - began


def _newcomers(port: int, first: bytes) -> list[float]:
    """Connect, greet and say a first word, again and again; return the ms of each."""
    waits = []
    for _ in range(_NEWCOMERS):
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), 60) as link:
            link.recv(1000)
            link.sendall(first)
            link.recv(1000)
            waits.append(1000 * (time.perf_counter() - began))
    return waits


def _answering(crowd: Crowd) -> int:
    """Count the sessions that still answer NOOP."""
    answered = 0

    def ask() -> Dialogue:
        nonlocal answered
        expect((yield b"NOOP\r\n", 1), b"2+")
        answered += 1

    crowd.again(ask)
    until = time.perf_counter() + _PATIENCE
    while crowd.busy and time.perf_counter() < until:
        crowd.step(0.2)
    return answered


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table."""
    body = [
        [
            row["kind"],
            f"{row['held']:,} of {row['asked']:,}",
            f"{row['answering']:,}",
            number(row["kib_each"], 1),
            number(row["pss_mib"]),
            number(row["opening"], 1),
            number(row["newcomer_p50"], 1),
            number(row["newcomer_max"], 1),
            "; ".join(f"{count}x {text}" for text, count in row["errors"].items()),
        ]
        for row in rows
    ]
    head = ["postmand", "held", "answer NOOP", "KiB each", "PSS MiB", "opened in s"]
    head += ["a new session's first answers ms", "longest", "errors"]
    yield markdown("Open sessions, an account each", head, body)
