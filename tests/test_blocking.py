"""Questions from a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from postmand.dns.blocking import Blocking
from postmand.dns.resolver import FAILED
from postmand.inbound import Records

FOUND = Records("found", ("11.0.0.1",))


class _Threads:
    """A reactor that runs what a thread asks for at once, later, or never.

    It is 10 o'clock, so to say.
    """

    def __init__(self, *, runs: bool = True) -> None:
        self.runs = runs

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        if self.runs:
            call(*arguments)

    def seconds(self) -> float:
        return 10.0


class _Answers:
    def __init__(self, answer: Deferred[Records]) -> None:
        self.answer = answer

    def ask(self, name: str, kind: str) -> Deferred[Records]:
        if kind != "A":
            raise ValueError(kind)
        return self.answer


def _blocking(answer: Deferred[Records], **threads: bool) -> Blocking:
    return Blocking(_Answers(answer), _Threads(**threads))  # type: ignore[arg-type]


def test_blocking() -> None:
    """A thread gets its answer, also one that comes while it waits."""
    assert _blocking(succeed(FOUND)).asked("b.example", "A") == FOUND
    answer: Deferred[Records] = Deferred()
    threading.Timer(0.01, answer.callback, [FOUND]).start()
    assert _blocking(answer).asked("b.example", "A") == FOUND


def test_blocking_ends() -> None:
    """No thread waits for a reactor that has ended, or an answer that never comes."""
    assert _blocking(Deferred(), runs=False).asked("b.example", "A", 0.01) == FAILED
    assert _blocking(Deferred()).asked("b.example", "A", 0.01) == FAILED


def test_until() -> None:
    """Of a moment's questions none waits beyond it, and none goes on in vain."""
    stopped: list[Deferred[Records]] = []
    blocking = _blocking(Deferred(stopped.append))
    assert blocking.until(10.0)("b.example", "A") == FAILED
    assert len(stopped) == 1
    assert _blocking(succeed(FOUND)).until(30.0)("b.example", "A") == FOUND


def test_blocking_fault() -> None:
    """A fault of ours comes out where the question was asked."""
    with pytest.raises(ValueError, match="NONE"):
        _blocking(Deferred()).asked("b.example", "NONE")
    broken: Deferred[Records] = Deferred()
    broken.errback(Failure(LookupError("broken")))
    with pytest.raises(LookupError):
        _blocking(broken).asked("b.example", "A")
