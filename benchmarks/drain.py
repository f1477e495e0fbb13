"""A full mailbox collected and emptied by POP3: 1,000 messages of 20 KB.

Ours unseals every message; the login is measured both remembered and cold. Dovecot
reads a Maildir as a delivery leaves it: messages in new/, no index yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import attrs

from benchmarks.dovecot import Dovecot
from benchmarks.letters import letter, tail
from benchmarks.loads import LoadError, collect, submit
from benchmarks.ours import Ours
from benchmarks.pop3_load import Collection
from benchmarks.server import DOMAIN, PASSWORD
from benchmarks.smtp_load import Plan
from benchmarks.table import Row, grouped, markdown, median, number, ratio

SIZE = 20_480
REMEMBERED, COLD = "postmand, login remembered", "postmand, login cold"
# Who has the mailbox, and who fills it.
_OWNER, _SENDER = "member00000", "member00001"


def measure(
    ours: Ours, dovecot: Dovecot | None, messages: int, repeat: int
) -> Iterator[Row]:
    """Measure, in turn, step by step and pipelined, as often as asked."""
    for repetition in range(repeat):
        for pipelining in (False, True):
            for server in (REMEMBERED, COLD, "Dovecot"):
                if server != "Dovecot":
                    _fill_ours(ours, messages, forget=server == COLD)
                    row = _once(ours, ours.pop3_port, pipelining)
                elif dovecot is not None:
                    _fill_dovecot(dovecot, messages)
                    row = _once(dovecot, dovecot.port, pipelining)
                else:
                    continue
                yield row | {"server": server, "repetition": repetition}


def _fill_ours(ours: Ours, messages: int, *, forget: bool) -> None:
    ours.renew()
    filling = Plan(
        port=ours.port,
        domain=DOMAIN,
        password=PASSWORD,
        hot=(_SENDER,),
        recipients=(_OWNER,),
        size=SIZE,
        connections=4,
        messages=messages,
        per_session=20,
        pipelining=True,
    )
    accepted = submit(filling).accepted
    if accepted != messages:
        raise LoadError(f"only {accepted} of {messages} messages were accepted")
    if forget:
        ours.restart()
    else:
        login = attrs.evolve(
            filling,
            hot=(_OWNER,),
            recipients=(_SENDER,),
            messages=1,
            per_session=1,
        )
        submit(login)


def _fill_dovecot(dovecot: Dovecot, messages: int) -> None:
    dovecot.renew()
    address = f"{_OWNER}@{DOMAIN}".encode()
    message = letter(address, address, 1, tail(SIZE)).removesuffix(b".\r\n")
    dovecot.fill(_OWNER, message, messages)


def _once(server: Ours | Dovecot, port: int, pipelining: bool) -> Row:
    os.sync()
    before, used = server.stored(), server.cpu_seconds()
    came = collect(Collection(port, _OWNER, PASSWORD, pipelining))
    return {
        "measure": "drain",
        "pipelining": pipelining,
        "cpu": server.cpu_seconds() - used,
        "removed": before - server.stored(),
        **attrs.asdict(came),
    }


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table for each way of collecting; ratios are to Dovecot's total."""
    for (pipelining,), alike in grouped(rows, "pipelining").items():
        yield _table("pipelined" if pipelining else "step by step", alike)


def _table(way: str, rows: Iterable[Row]) -> str:
    servers = grouped(rows, "server")
    theirs = median(servers.get(("Dovecot",), []), "total")
    body = []
    for (server,), alike in servers.items():
        total = median(alike, "total")
        complete = all(row["removed"] == row["messages"] for row in alike)
        body.append(
            [
                server,
                number(total, 3),
                ratio(theirs, total),
                *(
                    number(median(alike, part), 3)
                    for part in ("login", "uidl", "retr", "dele", "quit", "cpu")
                ),
                "all" if complete else "NO",
            ]
        )
    head = ["seconds", "total", "rate : Dovecot's", "login", "UIDL", "RETR", "DELE"]
    head += ["QUIT", "server's CPU", "gone after"]
    messages = next(iter(servers.values()))[0]["messages"]
    return markdown(f"Drain of {messages:,} x 20 KB, {way}", head, body)
