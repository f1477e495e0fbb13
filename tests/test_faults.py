"""A fault is logged whole, but without a value."""

from __future__ import annotations

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.python.failure import Failure

from postmand.faults import describe, log_fault

SECRET = "jondoe@mail.i2p"


def _raise() -> None:
    raise ValueError(SECRET)


def _chain() -> None:
    try:
        _raise()
    except ValueError as error:
        raise RuntimeError(SECRET) from error


def logged(fault: BaseException | Failure) -> str:
    """Return what the log shows of a fault."""
    events: list[object] = []
    log = Logger(observer=LogPublisher(events.append))  # type: ignore[arg-type]
    log_fault(log, "something failed", fault)
    (event,) = events
    return formatEvent(event) + repr(event)  # type: ignore[arg-type]


def test_type_and_place() -> None:
    """The type and the places of the code are told, outermost first."""
    try:
        _raise()
    except ValueError as error:
        told = describe(error)
    assert told.startswith("ValueError [test_faults.py:")
    assert "_raise" in told


def test_without_values() -> None:
    """No word of an exception's text is, in any form the event has."""
    try:
        _chain()
    except RuntimeError as error:
        told = logged(error)
    assert SECRET not in told
    assert "jondoe" not in told
    assert "RuntimeError" in told
    assert "ValueError" in told
    assert "/" not in told.partition("{")[0]


def test_failures() -> None:
    """A Failure is told as the exception in it, with its places."""
    found: list[Failure] = []
    maybeDeferred(_chain).addErrback(found.append)
    told = logged(found[0])
    assert "RuntimeError" in told
    assert "_chain" in told
    assert SECRET not in told


def test_failures_of_coroutines() -> None:
    """One that came through a coroutine keeps its places, too."""

    async def outer() -> None:
        await maybeDeferred(_raise)

    found: list[Failure] = []
    Deferred.fromCoroutine(outer()).addErrback(found.append)
    told = logged(found[0])
    assert "ValueError" in told
    assert "_raise" in told
    assert SECRET not in told


def test_endless_causes() -> None:
    """A long chain of causes is cut; one that loops ends."""
    error: Exception = ValueError(SECRET)
    first = error
    for _ in range(100):
        following = RuntimeError(SECRET)
        following.__cause__ = error
        error = following
    assert len(describe(error)) < 2_000
    first.__cause__ = error
    assert len(describe(error)) < 2_000
