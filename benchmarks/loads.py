"""The load generators, as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import cattrs

from benchmarks.page_load import Saw, Visitors
from benchmarks.pop3_load import Collected, Collection
from benchmarks.pop3_look import Look, Looked
from benchmarks.smtp_load import Outcome, Plan

T = TypeVar("T")


class LoadError(Exception):
    """A load generator did not do what it was to do."""


class Load:
    """A load generator at work."""

    def __init__(self, module: str, what: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        with self._process.stdin as given:
            json.dump(attrs.asdict(what), given)
        self._process.stdin = None

    def running(self) -> bool:
        """Whether it is still at work."""
        return self._process.poll() is None

    def end(self) -> None:
        """Tell it to end; what works until then prints its result."""
        self._process.terminate()

    def result(self, kind: type[T]) -> T:
        """Wait for its end, and return what it printed."""
        printed, _ = self._process.communicate()
        if self._process.returncode:
            raise LoadError("a load generator failed; it said why above")
        return cattrs.structure(json.loads(printed), kind)


def submitting(plan: Plan) -> Load:
    """Begin to hand in messages."""
    return Load("benchmarks.smtp_load", plan)


def submit(plan: Plan) -> Outcome:
    """Hand in messages to the end of the plan."""
    return submitting(plan).result(Outcome)


def collect(collection: Collection) -> Collected:
    """Collect a mailbox."""
    return Load("benchmarks.pop3_load", collection).result(Collected)


def look(plan: Look) -> Looked:
    """Look in at a mailbox to the end of the plan."""
    return Load("benchmarks.pop3_look", plan).result(Looked)


@contextmanager
def visiting(visitors: Visitors) -> Iterator[Callable[[], Saw]]:
    """Have visitors come to the pages; what is yielded ends it, and returns what was.

    Without its being called they end with the block.
    """
    load = Load("benchmarks.page_load", visitors)

    def ended() -> Saw:
        load.end()
        return load.result(Saw)

    try:
        yield ended
    finally:
        load.end()
