"""The one thread that writes: all that waits goes into one transaction.

One commit, one sync, then all the Deferreds: that is group commit. A job that cannot
be written is found by writing the batch again, job by job, and fails alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail

from postmand.interfaces import StoreBusyError
from postmand.store.bodies import Bodies
from postmand.store.crew import Kept, Outcome, failure, settle
from postmand.store.inbox import Dispatch, Inbox, StartThread
from postmand.store.rows import Changes, MismatchError, blame, write

T = TypeVar("T")

MOST_JOBS = 256
HEAVIEST_BATCH = 32 * 1024 * 1024


@frozen(eq=False)
class Job:
    """What is to be written. `prepare` runs in the writer's thread, before the lock.

    `weight` says how many octets of memory its rows will take, roughly.
    """

    prepare: Callable[[], Changes]
    weight: int = 0


@frozen(eq=False)
class _Ticket:
    job: Job
    deferred: Deferred[None]


@define(eq=False)
class _Work:
    """A job in hand: its changes, or the error that ends it."""

    deferred: Deferred[None]
    changes: Changes = field(factory=Changes)
    error: BaseException | None = None
    written: bool = False

    def outcome(self) -> Outcome:
        """Return what the job's Deferred is to fire with."""
        result = None if self.error is None else failure(self.error)
        return Outcome(self.deferred, result)


class _CannotBeginError(Exception):
    """No connection or no write lock: nothing of the batch can be written now."""


class Writer:
    """Writes jobs in the order they come. `limit` is a mailbox's, in padded octets."""

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[sqlite3.Connection]],
        bodies: Bodies,
        dispatch: Dispatch,
        *,
        limit: int,
        waiting: int,
    ) -> None:
        self._kept = Kept(connect)
        self._bodies = bodies
        self._dispatch = dispatch
        self._limit = limit
        self._inbox: Inbox[_Ticket] = Inbox(waiting)
        self._join: Callable[[], None] = lambda: None

    def start(self, start_thread: StartThread, name: str) -> None:
        """Start the thread."""
        self._join = start_thread(self.work, name)

    def submit(self, job: Job) -> Deferred[None]:
        """Fire when the job's changes are on the disk; fail when nothing of it is."""
        deferred: Deferred[None] = Deferred()
        try:
            self._inbox.put(_Ticket(job, deferred))
        except StoreBusyError as error:
            return fail(error)
        return deferred

    def change(self, change: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Have `change` run in a transaction; fire with what it returned, once synced.

        It may run more than once, each time after a rollback: the last run counts.
        """
        returned: list[T] = []

        def step(connection: sqlite3.Connection) -> tuple[str, ...]:
            returned[:] = [change(connection)]
            return ()

        done = self.submit(Job(lambda: Changes(steps=[step])))
        return done.addCallback(lambda _: returned[0])

    def close(self) -> None:
        """Take no more jobs and wait until those that wait are written. Blocks."""
        self._inbox.close()
        self._join()

    def work(self) -> None:
        """Write batches until close()."""
        while self.turn():
            pass
        self._kept.drop()

    def turn(self) -> bool:
        """Wait for jobs and write one batch; False when there will be no more."""
        tickets = self._inbox.take(MOST_JOBS, lambda t: t.job.weight, HEAVIEST_BATCH)
        if not tickets:
            return False
        batch = [_prepared(ticket) for ticket in tickets]
        unnamed = self._write([work for work in batch if work.error is None])
        self._dispatch(partial(settle, [work.outcome() for work in batch]))
        self._bodies.remove(unnamed)
        return True

    def _write(self, batch: Sequence[_Work]) -> list[str]:
        """Write what can be written; note the errors; return the files to remove."""
        if not batch:
            return []
        try:
            for way in (self._together, self._under_savepoints):
                try:
                    return way(batch)
                except _CannotBeginError:
                    raise
                except Exception as error:  # found again job by job
                    self._abandon(error)
            return self._one_by_one(batch)
        except _CannotBeginError as error:
            for work in batch:
                if not work.written:
                    work.error = work.error or error.__cause__
            return []

    def _together(self, batch: Sequence[_Work]) -> list[str]:
        connection = self._begin()
        unnamed = write(connection, [work.changes for work in batch], self._limit)
        self._commit(connection, batch)
        return unnamed

    def _under_savepoints(self, batch: Sequence[_Work]) -> list[str]:
        """Write the jobs in one transaction, leaving out those that fail."""
        connection = self._begin()
        unnamed: list[str] = []
        for work in batch:
            connection.execute("SAVEPOINT job")
            try:
                unnamed += write(connection, [work.changes], self._limit)
            except Exception as error:  # the job's own
                if not connection.in_transaction:
                    raise  # SQLite gave up the whole: the jobs before are gone too
                connection.execute("ROLLBACK TO job")
                work.error = self._reason(connection, work, error)
            connection.execute("RELEASE job")
        self._commit(connection, [work for work in batch if work.error is None])
        return unnamed

    def _one_by_one(self, batch: Sequence[_Work]) -> list[str]:
        """Write the jobs in a transaction each: what a failing disk leaves us."""
        unnamed: list[str] = []
        for work in batch:
            work.error = None
        for work in batch:
            connection = self._begin()
            try:
                mine = write(connection, [work.changes], self._limit)
                self._commit(connection, [work])
                work.written = True
                unnamed += mine
            except Exception as error:  # the job's own
                work.error = self._reason(connection, work, error)
                self._abandon(error)
        return unnamed

    def _begin(self) -> sqlite3.Connection:
        try:
            connection = self._kept.get()
            connection.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, OSError) as error:
            self._kept.drop()
            raise _CannotBeginError from error
        return connection

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[_Work]) -> None:
        """Sync what the rows name, then the rows."""
        if any(work.changes.names_files for work in batch):
            self._bodies.sync()
        connection.execute("COMMIT")

    def _abandon(self, error: Exception) -> None:
        """Undo the transaction; after an error of SQLite's open the file anew."""
        with suppress(sqlite3.Error):
            # Said, not left to close(): a statement somebody still holds would keep a
            # closed connection alive, and its lock with it.
            if self._kept.get().in_transaction:
                self._kept.get().execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                return
        self._kept.drop()

    def _reason(
        self, connection: sqlite3.Connection, work: _Work, error: Exception
    ) -> Exception:
        """Return why a job was not written: MismatchError by its name."""
        if isinstance(error, MismatchError):
            try:
                blame(connection, work.changes.arrivals, self._limit)
            except Exception as reason:  # it is what we look for
                return reason
        return error


def _prepared(ticket: _Ticket) -> _Work:
    try:
        return _Work(ticket.deferred, ticket.job.prepare())
    except Exception as error:  # the job's own
        return _Work(ticket.deferred, error=error)
