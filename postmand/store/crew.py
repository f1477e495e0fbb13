"""Threads that run calls: readers with a connection each, and the sealers.

A thread takes several waiting calls at a time, and the answers go back to the reactor
together: waking it costs more than a lookup does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from postmand.interfaces import StoreBusyError
from postmand.store.database import passing
from postmand.store.inbox import Dispatch, Inbox, StartThread

Tool = TypeVar("Tool")
T = TypeVar("T")


class Kept(Generic[Tool]):
    """A tool that is opened when it is first needed, and again after drop()."""

    def __init__(self, open_tool: Callable[[], AbstractContextManager[Tool]]) -> None:
        self._open = open_tool
        self._stack = ExitStack()
        self._tool: Tool | None = None

    def get(self) -> Tool:
        """Return the tool, opened if it is not; raises what opening raises."""
        if self._tool is None:
            self._tool = self._stack.enter_context(self._open())
        return self._tool

    def drop(self) -> None:
        """Close the tool; the next get() opens a new one."""
        self._tool = None
        with suppress(sqlite3.Error):  # closing what is broken may break again
            self._stack.close()


@frozen(eq=False)
class Outcome:
    """A Deferred, and what it is to fire with: a value or a Failure."""

    deferred: Deferred[Any]
    result: object


def failure(error: BaseException) -> Failure:
    """Return what a Deferred fails with for `error`: StoreBusyError if it may pass."""
    busy = passing(error)
    if busy is None or busy is error:
        return Failure(error)
    busy.__cause__ = error
    return Failure(busy)


def settle(outcomes: Iterable[Outcome]) -> None:
    """Fire the Deferreds, in order. In the reactor's thread."""
    for outcome in outcomes:
        outcome.deferred.callback(outcome.result)


@frozen(eq=False)
class _Call(Generic[Tool]):
    run: Callable[[Tool], Any]
    deferred: Deferred[Any]


class Crew(Generic[Tool]):
    """Threads that run calls, each with a tool of its own.

    At most `waiting` calls wait, and one thread takes at most `most` of them at once:
    many where calls are short, one where they are long.
    """

    def __init__(
        self,
        open_tool: Callable[[], AbstractContextManager[Tool]],
        dispatch: Dispatch,
        *,
        waiting: int,
        most: int,
    ) -> None:
        self._open_tool = open_tool
        self._dispatch = dispatch
        self._inbox: Inbox[_Call[Tool]] = Inbox(waiting)
        self._most = most
        self._joins: list[Callable[[], None]] = []

    def start(self, start_thread: StartThread, name: str, threads: int) -> None:
        """Start the threads."""
        self._joins += [
            start_thread(self.work, f"{name}-{number}") for number in range(threads)
        ]

    def call(self, run: Callable[[Tool], T]) -> Deferred[T]:
        """Run `run(tool)` in a thread and fire with what it returns or raises."""
        deferred: Deferred[T] = Deferred()
        try:
            self._inbox.put(_Call(run, deferred))
        except StoreBusyError as error:
            return fail(error)
        return deferred

    def work(self) -> None:
        """Run calls until close()."""
        kept = Kept(self._open_tool)
        while calls := self._inbox.take(self._most):
            outcomes = [self._run(call, kept) for call in calls]
            self._dispatch(partial(settle, outcomes))
        kept.drop()

    def close(self) -> None:
        """Take no more calls and wait until those that wait are done. Blocks."""
        self._inbox.close()
        for join in self._joins:
            join()

    def _run(self, call: _Call[Tool], kept: Kept[Tool]) -> Outcome:
        try:
            return Outcome(call.deferred, call.run(kept.get()))
        except sqlite3.Error as error:
            kept.drop()
            return Outcome(call.deferred, failure(error))
        except Exception as error:  # the caller's to judge
            return Outcome(call.deferred, failure(error))
