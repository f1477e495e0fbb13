"""Questions from a thread, for code that waits for its answer."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTimeError
from typing import Any

from attrs import frozen

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
        self.reactor.callFromThread(self._ask, name, kind, told)
        try:
            return told.result(seconds)
        except OutOfTimeError:
            return Records("failed")

    def _ask(self, name: str, kind: str, told: Future[Records]) -> None:
        """Begin to ask, in the reactor's thread."""
        try:
            answer = self.resolver.ask(name, kind)
        except ValueError as error:
            told.set_exception(error)
            return
        answer.addCallbacks(
            told.set_result, lambda fault: told.set_exception(fault.value)
        )
