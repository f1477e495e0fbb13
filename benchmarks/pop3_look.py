"""A mail client that looks in again and again: a process of its own.

`python -m benchmarks.pop3_look` reads a Look as JSON from its input and prints a Looked
as JSON. It connects, logs in, says STAT, reads the first message and leaves, one time
after the other.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import attrs
import cattrs
from attrs import frozen

from benchmarks.pop3_load import Connection


@frozen
class Look:
    """Where to look in, as whom, and for how long."""

    port: int
    name: str
    password: str
    seconds: float
    host: str = "127.0.0.1"


@frozen
class Looked:
    """What came of it. Latencies are in milliseconds, from connecting to QUIT's +OK."""

    times: int
    seconds: float
    p50: float
    p95: float
    longest: float

    @property
    def rate(self) -> float:
        """Sessions a second."""
        return self.times / self.seconds


def look(plan: Look) -> Looked:
    """Look in until the time is over; once at least."""
    began = time.perf_counter()
    latencies: list[float] = []
    while not latencies or time.perf_counter() < began + plan.seconds:
        start = time.perf_counter()
        _once(plan)
        latencies.append(1000 * (time.perf_counter() - start))
    ordered = sorted(latencies)
    return Looked(
        times=len(ordered),
        seconds=time.perf_counter() - began,
        p50=ordered[len(ordered) // 2],
        p95=ordered[len(ordered) * 95 // 100],
        longest=ordered[-1],
    )


def _once(plan: Look) -> None:
    with Connection(plan.host, plan.port) as link:
        link.line()
        for command in (f"USER {plan.name}", f"PASS {plan.password}", "STAT"):
            link.send(command.encode())
            link.line()
        link.send(b"RETR 1")
        link.lines()
        link.send(b"QUIT")
        link.line()


def main() -> None:
    """Read the plan, carry it out, print what came."""
    plan: Any = cattrs.structure(json.load(sys.stdin), Look)
    json.dump(attrs.asdict(look(plan)), sys.stdout)


if __name__ == "__main__":
    main()
