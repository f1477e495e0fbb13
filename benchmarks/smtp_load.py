"""A crowd of mail clients handing in messages: a process of its own.

`python -m benchmarks.smtp_load` reads a Plan as JSON from its input and prints an
Outcome as JSON. Every session logs in; one that has its last 250 says QUIT and does not
wait for the answer, as mail programs do.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import cattrs
from attrs import Factory, frozen

from benchmarks.crowd import Crowd, Dialogue, expect
from benchmarks.letters import letter, tail


@frozen
class Plan:
    """What to do. New sessions are opened until a bound is reached; 0 is no bound.

    Of `cold_every` sessions one logs in as the next of `cold`, each of whom comes only
    once; the others as one of `hot`, in turn. No session begins once `cold` is used up.
    """

    port: int
    domain: str
    password: str
    hot: tuple[str, ...]
    recipients: tuple[str, ...]
    size: int
    connections: int
    host: str = "127.0.0.1"
    cold: tuple[str, ...] = ()
    cold_every: int = 0
    seconds: float = 0
    messages: int = 0
    per_session: int = 1
    pipelining: bool = False
    attachment: bool = False
    patience: float = 30


@frozen
class Outcome:
    """What came of it. `seconds` ends with the last message accepted.

    Latencies are in milliseconds from MAIL to the last 250.
    """

    accepted: int
    seconds: float
    cold_logins: int
    p50: float
    p95: float
    longest: float
    client_cpu: float
    errors: dict[str, int] = Factory(dict)

    @property
    def rate(self) -> float:
        """Accepted messages a second."""
        return self.accepted / self.seconds if self.seconds else 0.0


class Load:
    """Carries out one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._common = tail(plan.size, attachment=plan.attachment)
        self._recipients = itertools.cycle(
            f"{name}@{plan.domain}".encode() for name in plan.recipients
        )
        self._numbers = itertools.count(time.time_ns())
        self._latencies: list[float] = []
        self._last = 0.0
        self._cold = 0

    def run(self) -> Outcome:
        """Run to the end of the plan, and `patience` seconds longer at the most."""
        plan = self._plan
        crowd = Crowd(plan.host, plan.port)
        names = self._logins()
        began = self._last = time.perf_counter()
        used = time.process_time()
        until = began + (plan.seconds or 3600)
        more = True
        while (more or crowd.busy) and time.perf_counter() < until + plan.patience:
            while more and crowd.busy < plan.connections:
                name = next(names, None) if time.perf_counter() < until else None
                more = name is not None
                if name is not None:
                    crowd.open(self._session(name))
            crowd.step(0.2)
        crowd.close()
        used = time.process_time() - used
        return self._outcome(self._last - began, used, crowd.errors)

    def _logins(self) -> Iterator[str]:
        plan = self._plan
        hot, cold = itertools.cycle(plan.hot), iter(plan.cold)
        most = plan.messages // plan.per_session or sys.maxsize
        for number in range(1, most + 1):
            if plan.cold_every and number % plan.cold_every == 0:
                name = next(cold, None)
                if name is None:
                    return
                self._cold += 1
                yield name
            else:
                yield next(hot)

    def _session(self, name: str) -> Dialogue:
        plan = self._plan
        own = f"{name}@{plan.domain}".encode()
        login = base64.b64encode(f"\0{name}\0{plan.password}".encode())
        expect((yield b"", 1))
        expect((yield b"EHLO localhost\r\n", 1))
        expect((yield b"AUTH PLAIN %s\r\n" % login, 1))
        hand_in = self._in_bursts if plan.pipelining else self._step_by_step
        for left in reversed(range(plan.per_session)):
            yield from hand_in(own, last=not left)

    def _step_by_step(self, own: bytes, *, last: bool) -> Dialogue:
        to = next(self._recipients)
        began = time.perf_counter()
        expect((yield b"MAIL FROM:<%s>\r\n" % own, 1))
        expect((yield b"RCPT TO:<%s>\r\n" % to, 1))
        expect((yield b"DATA\r\n", 1), b"3")
        expect((yield letter(own, to, next(self._numbers), self._common), 1))
        self._kept(began)
        if last:
            yield b"QUIT\r\n", 0

    def _in_bursts(self, own: bytes, *, last: bool) -> Dialogue:
        to = next(self._recipients)
        began = time.perf_counter()
        envelope = b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (own, to)
        expect((yield envelope, 3), b"23")
        whole = letter(own, to, next(self._numbers), self._common)
        expect((yield whole + b"QUIT\r\n" if last else whole, 1))
        self._kept(began)

    def _kept(self, began: float) -> None:
        self._last = time.perf_counter()
        self._latencies.append(self._last - began)

    def _outcome(
        self, seconds: float, used: float, errors: Mapping[str, int]
    ) -> Outcome:
        ordered = sorted(self._latencies) or [0.0]
        return Outcome(
            accepted=len(self._latencies),
            seconds=seconds,
            cold_logins=self._cold,
            p50=1000 * ordered[len(ordered) // 2],
            p95=1000 * ordered[len(ordered) * 95 // 100],
            longest=1000 * ordered[-1],
            client_cpu=used,
            errors=dict(errors),
        )


def main() -> None:
    """Read a plan, carry it out, print the outcome."""
    plan: Any = cattrs.structure(json.load(sys.stdin), Plan)
    json.dump(attrs.asdict(Load(plan).run()), sys.stdout)


if __name__ == "__main__":
    main()
