"""How evidence is gathered: several questions at once, each with an end to its time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    FirstError,
    ensureDeferred,
    gatherResults,
    succeed,
)
from twisted.internet.defer import TimeoutError as OutOfTimeError
from twisted.logger import Logger

from postmand.faults import log_fault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

T = TypeVar("T")

_log = Logger()


def within(
    seconds: float,
    reactor: IReactorTime,
    asked: Coroutine[Any, Any, T] | Deferred[T],
    otherwise: T,
) -> Deferred[T]:
    """Fire with what is asked for, or with `otherwise` after so many seconds.

    A fault of ours in it is logged, and is `otherwise` too: it fails open.
    """

    def without(failure: Failure) -> T:
        if failure.check(CancelledError, OutOfTimeError) is None:
            log_fault(_log, "evidence", failure)
        return otherwise

    answer = asked if isinstance(asked, Deferred) else ensureDeferred(asked)
    answer.addTimeout(max(0.0, seconds), reactor)
    return answer.addErrback(without)


async def together(asked: Iterable[Deferred[T]]) -> list[T]:
    """Wait for all of them; who is cancelled while waiting cancels them.

    Raises what the first that fails does.
    """
    try:
        return list(await gatherResults(list(asked), consumeErrors=True))
    except FirstError as error:
        error.subFailure.raiseException()


class Shared(Generic[T]):
    """One answer for everybody who waits for it, or asks later."""

    def __init__(self, answer: Deferred[T]) -> None:
        # Empty until the answer is there, then it alone.
        self.told: list[T] = []
        self._waiting: list[Deferred[T]] = []
        self._answer = answer
        answer.addCallback(self._tell)

    def wait(self) -> Deferred[T]:
        """Fire with the answer; cancelling this one disturbs nobody else."""
        if self.told:
            return succeed(self.told[0])
        mine: Deferred[T] = Deferred()
        self._waiting.append(mine)
        return mine

    def cancel(self) -> None:
        """Ask no longer."""
        self._answer.cancel()

    def _tell(self, value: T) -> None:
        self.told.append(value)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            # One that was cancelled swallows it.
            one.callback(value)


class Cache(Generic[T]):
    """Answers by name for a time that depends on the answer; of all, the newest.

    As many as together weigh no more than `most`: what is asked weighs 1, an answer
    what `weighs` says, by default 1 as well.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        lasts: Callable[[T], float],
        most: int,
        weighs: Callable[[T], int] = lambda _: 1,
    ) -> None:
        self._seconds = seconds
        self._lasts = lasts
        self._most = most
        self._weighs = weighs
        self._weight = 0
        self._kept: OrderedDict[str | bytes, tuple[Shared[T], float]] = OrderedDict()

    def known(self, name: str | bytes) -> Deferred[T] | None:
        """Fire with what is kept or under way for a name; None where nothing is."""
        kept = self._kept.get(name)
        if kept is None or self._seconds() >= self._until(*kept):
            return None
        return kept[0].wait()

    def ask(
        self, name: str | bytes, question: Callable[[], Deferred[T]]
    ) -> Deferred[T]:
        """Fire with what is kept or under way for a name, or else ask the question.

        The question's Deferred never fails.
        """
        known = self.known(name)
        if known is not None:
            return known
        self._forget(name)
        answer = question()
        shared = Shared(answer)
        self._kept[name] = shared, self._seconds()
        self._weight += 1
        answer.addCallback(lambda _: self._weigh(name, shared))
        self._trim()
        return shared.wait()

    def _weigh(self, name: str | bytes, shared: Shared[T]) -> None:
        """Count what an answer weighs more than its question, if it is still kept."""
        if name in self._kept and self._kept[name][0] is shared:
            self._weight += self._weighs(shared.told[0]) - 1
            self._trim()

    def _trim(self) -> None:
        """Let go of the oldest: what is too old, and what is too much."""
        now = self._seconds()
        while self._kept:
            oldest = next(iter(self._kept))
            if self._weight <= self._most and now < self._until(*self._kept[oldest]):
                return
            self._forget(oldest)

    def _forget(self, name: str | bytes) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            told = kept[0].told
            self._weight -= self._weighs(told[0]) if told else 1

    def _until(self, shared: Shared[T], asked: float) -> float:
        """Return when an answer is too old; its age counts from the question."""
        return asked + self._lasts(shared.told[0]) if shared.told else float("inf")
