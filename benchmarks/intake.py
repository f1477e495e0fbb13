"""Accepted messages a second made durable, AUTH, washing and sealing on.

One login of ten is cold: its password is not remembered, and Argon2id has to be paid.
The others are of fifty accounts that handed in a message just before. The peers check
passwords against one in their configuration, which costs them nothing; but for one that
pays the same Argon2id for the same tenth. Short messages are also handed in with no
login cold: what is between the two is Argon2id.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import attrs
from attrs import field, frozen

from benchmarks.lag import waits
from benchmarks.loads import submit, submitting
from benchmarks.server import DOMAIN, PASSWORD, Server
from benchmarks.smtp_load import Outcome, Plan
from benchmarks.table import Row, grouped, markdown, median, number, octets, ratio

HOT = 50
_COLD_EVERY = 10


@frozen
class Style:
    """How a client hands in its messages."""

    name: str
    per_session: int = 1
    pipelining: bool = False
    attachment: bool = False
    cold_every: int = _COLD_EVERY


SINGLE = Style("one message per connection")
SERIES = Style("20 messages per connection, PIPELINING", 20, pipelining=True)
ATTACHED = Style("one message with an attachment per connection", attachment=True)
WARM = Style("one message per connection, no login cold", cold_every=0)


@frozen
class Extent:
    """How much to measure."""

    accounts: Sequence[str] = field(repr=False)
    repeat: int
    seconds: float
    sizes: Sequence[int]
    connections: Sequence[int]

    def cases(self) -> Iterator[tuple[Style, int, int]]:
        """Yield (style, size, connections) of everything that is measured."""
        for size in self.sizes:
            for connections in self.connections:
                yield SINGLE, size, connections
        for connections in self.connections:
            yield WARM, min(self.sizes), connections
        for size in self.sizes:
            if size >= 2**20:
                yield ATTACHED, size, self.connections[-2]
            else:
                for connections in self.connections:
                    yield SERIES, size, connections


def measure(servers: Sequence[Server], extent: Extent) -> Iterator[Row]:
    """Measure every case on every server in turn, as often as asked."""
    for repetition in range(extent.repeat):
        for case in extent.cases():
            for server in servers:
                yield _once(server, extent, *case) | {"repetition": repetition}


def _once(
    server: Server, extent: Extent, style: Style, size: int, connections: int
) -> Row:
    plan = Plan(
        port=server.port,
        domain=DOMAIN,
        password=PASSWORD,
        hot=tuple(extent.accounts[:HOT]),
        cold=tuple(extent.accounts[HOT:]),
        cold_every=style.cold_every,
        recipients=tuple(extent.accounts),
        size=size,
        connections=connections,
        seconds=extent.seconds,
        per_session=style.per_session,
        pipelining=style.pipelining,
        attachment=style.attachment,
    )
    server.renew()
    submit(first_logins(plan))
    server.settle()
    os.sync()
    before, used = server.stored(), server.cpu_seconds()
    outcome, noops = _watched(plan) if server.lags else (submit(plan), [])
    server.settle()
    used = server.cpu_seconds() - used
    return {
        "measure": "intake",
        "server": server.name,
        "style": style.name,
        "size": size,
        "connections": connections,
        "rate": outcome.rate,
        "stored": server.stored() - before,
        "cpu_ms": 1000 * used / outcome.accepted if outcome.accepted else None,
        "client_cpu_ms": 1000 * outcome.client_cpu / max(1, outcome.accepted),
        "noop_ms": noops,
        **attrs.asdict(outcome),
    }


def first_logins(plan: Plan) -> Plan:
    """Return a plan in which every hot account logs in once, and no other."""
    return attrs.evolve(
        plan,
        cold_every=0,
        seconds=0,
        messages=len(plan.hot),
        per_session=1,
        connections=4,
        size=2048,
        pipelining=False,
        attachment=False,
    )


def _watched(plan: Plan) -> tuple[Outcome, list[float]]:
    """Carry out a plan; tell also how long an idle session waited meanwhile (ms)."""
    load = submitting(plan)
    noops = waits(plan.port, load.running)
    return load.result(Outcome), noops


def tables(rows: Sequence[Row], bases: Sequence[str]) -> Iterator[str]:
    """Yield the tables; ratios are to the servers so called, where they are there."""
    for (style, size), alike in grouped(rows, "style", "size").items():
        yield _rates(f"Intake, {octets(size)}, {style}", alike, bases)
    yield _lags([row for row in rows if row["noop_ms"]])


def _rates(title: str, rows: Iterable[Row], bases: Sequence[str]) -> str:
    cells = grouped(rows, "server", "connections")
    connections = list(dict.fromkeys(key[1] for key in cells))
    middle = connections[(len(connections) - 1) // 2]
    body = []
    for server in dict.fromkeys(key[0] for key in cells):
        line = [server]
        for count in connections:
            mine = cells[server, count]
            rate = median(mine, "rate")
            others = (median(cells.get((base, count), []), "rate") for base in bases)
            ratios = " ".join(ratio(rate, other) for other in others)
            line.append(
                f"{number(rate)} ({ratios}) "
                f"[{number(median(mine, 'p50'), 1)}/{number(median(mine, 'p95'), 1)}]"
            )
        line += [
            number(median(cells[server, middle], "cpu_ms"), 2),
            number(median(cells[server, middle], "client_cpu_ms"), 2),
            _kept([row for count in connections for row in cells[server, count]]),
        ]
        body.append(line)
    head = [
        "messages/s (ratios) [p50/p95 ms]",
        *(f"{count} at once" for count in connections),
        f"CPU ms/message at {middle}",
        "client's",
        "stored",
    ]
    return markdown(title, head, body)


def _kept(rows: Iterable[Row]) -> str:
    """Say whether everything answered 250 was found, and what else was answered."""
    stored = accepted = 0
    errors: dict[str, int] = {}
    for row in rows:
        stored += row["stored"]
        accepted += row["accepted"]
        for text, count in row["errors"].items():
            errors[text] = errors.get(text, 0) + count
    said = "all" if stored == accepted else f"{stored} of {accepted}"
    return "; ".join([said, *(f"{count}x {text}" for text, count in errors.items())])


def _lags(rows: Sequence[Row]) -> str:
    body = []
    for (style, size, connections), alike in grouped(
        rows, "style", "size", "connections"
    ).items():
        noops = sorted(wait for row in alike for wait in row["noop_ms"])
        body.append(
            [
                f"{octets(size)}, {connections} at once, {style}",
                number(noops[len(noops) // 2], 2),
                number(noops[len(noops) * 99 // 100], 1),
                number(noops[-1], 1),
            ]
        )
    head = ["during intake of", "p50 ms", "p99 ms", "max ms"]
    return markdown("postmand's reactor: NOOP on an idle session", head, body)
