"""Questions from a thread, for code that waits for its answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTimeError
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from postmand.inbound import IResolver, Records


@frozen
class Blocking:
    """A resolver for threads other than the reactor's.

    A reactor that has ended answers nobody: the wait ends all the same.
    """

    resolver: IResolver
    reactor: Any

    def asked(self, name: str, kind: str, seconds: float = 20.0) -> Records:
        """Return what IResolver.ask fires with, "failed" after so many seconds."""
        told: Future[Records] = Future()
        asking: list[Deferred[Records]] = []
        self.reactor.callFromThread(self._ask, name, kind, told, asking)
        try:
            return told.result(seconds)
        except OutOfTimeError:
            # Nobody hears it any more: its place is for the next question.
            self.reactor.callFromThread(_stop, asking)
            return Records("failed")

    def until(self, moment: float) -> Callable[[str, str], Records]:
        """Return what asks, and waits for no answer after `moment` of the reactor's."""

        def asked(name: str, kind: str) -> Records:
            return self.asked(name, kind, max(0.0, moment - self.reactor.seconds()))

        return asked

    def _ask(
        self,
        name: str,
        kind: str,
        told: Future[Records],
        asking: list[Deferred[Records]],
    ) -> None:
        """Begin to ask, in the reactor's thread."""
        try:
            answer = self.resolver.ask(name, kind)
        except ValueError as error:
            told.set_exception(error)
            return
        asking.append(answer)
        answer.addCallbacks(
            told.set_result, lambda fault: told.set_exception(fault.value)
        )


def _stop(asking: list[Deferred[Records]]) -> None:
    """Ask no longer, in the reactor's thread."""
    for answer in asking:
        answer.cancel()
