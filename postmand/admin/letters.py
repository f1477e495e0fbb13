"""A mailbox read for its owner, letter by letter, as POP3 would give it.

The store's own functions open what it holds, and the ids given out for the owner's
messages become again those its client gave. One piece of one body is in memory at a
time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from postmand.interfaces import Member
from postmand.message.headers import replace_thread_ids
from postmand.store import reading
from postmand.store.bodies import Bodies
from postmand.store.crew import Crew
from postmand.store.threads import Threads

T = TypeVar("T")


@frozen(eq=False)
class Letter:
    """An opened message: its unique-id, its header block, and all of it in pieces."""

    uid: str
    header: bytes = field(repr=False)
    pieces: Iterator[bytes] = field(repr=False)


class _AtOnce(Crew[sqlite3.Connection]):
    """A crew of no threads: what it is asked for is done when the call returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def call(self, run: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Run `run(connection)` and return a Deferred that has fired."""
        return execute(run, self._connection)


class Mailbox:
    """A member's mailbox, on a connection of its own; `domain` is the mail domain."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        bodies: Bodies,
        member: Member,
        domain: str,
    ) -> None:
        self._connection = connection
        self._bodies = bodies
        self._member = member
        self._threads = Threads(_AtOnce(connection), domain)

    def numbers(self) -> list[int]:
        """Return the numbers of the messages, oldest first."""
        return reading.numbers(self._connection, self._member)

    @contextmanager
    def letter(self, number: int) -> Iterator[Letter]:
        """Open one message while the context lasts.

        Raises LookupError if it was removed meanwhile, SealError if it does not open;
        that of a long body may come from any of its pieces.
        """
        at = self._connection, self._member
        entries = reading.entries(*at, number, number)
        if not entries:
            raise LookupError("the message was removed")
        (entry,) = entries
        found = reading.message(at[0], self._bodies, self._member, entry)
        try:
            header = self._restored(found.header, entry.thread_ids)
            yield Letter(entry.uid.hex(), header, _pieces(header, found))
        finally:
            if found.rest is not None:
                found.rest.close()

    def _restored(self, header: bytes, ids: tuple[bytes, ...]) -> bytes:
        if not ids:
            return header
        own = _fired(self._threads.restore(self._member, ids))
        return replace_thread_ids(header, own)


def _fired(deferred: Deferred[T]) -> T:
    """Return what a Deferred has fired with, or raise it."""
    results: list[T | Failure] = []
    deferred.addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def _pieces(header: bytes, found: reading.OpenMessage) -> Iterator[bytes]:
    yield header
    yield found.body
    if found.rest is not None:
        yield from found.rest.pieces
