"""The members' mailboxes, for servers: deliver, list, read, remove."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, FirstError, fail, gatherResults, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.interfaces import (
    Copy,
    Entry,
    IMailboxes,
    MailboxFullError,
    Member,
    Outgoing,
    Spending,
    StoreBusyError,
    Stored,
)
from postmand.store import reading
from postmand.store.accounts import Accounts
from postmand.store.bodies import Bodies
from postmand.store.chunks import Chunks
from postmand.store.crew import Crew
from postmand.store.nodekey import NodeKey
from postmand.store.queue_intake import Backlog, body_bytes, put_step, sealed_message
from postmand.store.rows import Changes, Step
from postmand.store.sealing import arrival_files, arrivals, copy_size
from postmand.store.writer import Job, Writer

T = TypeVar("T")

# Cards opened in one go: long enough to be worth a thread, short enough to wait for.
CARDS = 256


@frozen(eq=False)
class Outgate:
    """What a delivery needs for mail to the Internet.

    `charge` returns the step that pays for it; `backlog` counts what is queued.
    """

    node_key: NodeKey
    backlog: Backlog
    charge: Callable[[Spending], Step]


@frozen(eq=False)
class _Arriving:
    """What one delivery brings; its `day` is when its thread id is forgotten."""

    copies: Sequence[Copy]
    remember: Mapping[bytes, bytes]
    day: int
    file_bytes: int
    outgoing: Outgoing | None
    spending: Spending | None

    def changes(self, bodies: Bodies, outgate: Outgate | None) -> Changes:
        """Seal it all. Blocks; raises OSError, and no file is left then."""
        sealed = arrivals(bodies, self.copies, self.file_bytes)
        if self.outgoing is None or outgate is None:
            return Changes(sealed, self.remember, self.day)
        try:
            queued = sealed_message(
                bodies, self.outgoing, outgate.node_key, self.file_bytes
            )
        except BaseException:
            bodies.remove(arrival_files(sealed))
            raise
        steps = [put_step(queued)]
        if self.spending is not None:
            steps.insert(0, outgate.charge(self.spending))
        return Changes(sealed, self.remember, self.day, steps=steps, files=queued.files)


@implementer(IMailboxes)
@frozen(eq=False)
class Mailboxes:
    """Sealed mailboxes.

    `boxes` opens cards and bodies, `sealers` seals long bodies, and the writer seals
    short ones. `limit` is a mailbox's in padded octets, `file_bytes` the longest body
    that is a row; `expires_day` tells the day a thread id handed in now is forgotten.
    """

    _accounts: Accounts
    _writer: Writer
    _boxes: Crew[sqlite3.Connection]
    _sealers: Crew[Bodies]
    _bodies: Bodies
    _limit: int
    _file_bytes: int
    _expires_day: Callable[[], int]
    _outgate: Outgate | None = None

    def deliver(
        self,
        copies: Sequence[Copy],
        remember: Mapping[bytes, bytes],
        outgoing: Outgoing | None = None,
        spending: Spending | None = None,
    ) -> Deferred[None]:
        """Put every copy into its mailbox, all or nothing (see IMailboxes)."""
        sizes = [copy_size(copy) for copy in copies]
        for copy, (_, size) in zip(copies, sizes, strict=True):
            if size > self._limit:
                return fail(MailboxFullError(copy.recipient.name, permanent=True))
        if outgoing is not None:
            try:
                self._abroad().backlog.take()
            except StoreBusyError as error:
                return fail(error)
        arriving = _Arriving(
            copies, remember, self._expires_day(), self._file_bytes, outgoing, spending
        )
        longest = max([body for body, _ in sizes], default=0)
        weight = sum(size for _, size in sizes)
        if outgoing is not None:
            octets = body_bytes(outgoing)
            longest, weight = max(longest, octets), weight + octets
        if longest <= self._file_bytes:
            seal = partial(arriving.changes, self._bodies, self._outgate)
            done = self._writer.submit(Job(seal, weight))
        else:
            seal = partial(arriving.changes, outgate=self._outgate)
            done = self._sealers.call(seal).addCallback(self._put)
        if outgoing is not None:
            done.addErrback(self._not_queued)
        return done.addCallback(self._grown, copies, sizes)

    def _abroad(self) -> Outgate:
        if self._outgate is None:
            raise RuntimeError("a store without the node's key keeps no such mail")
        return self._outgate

    def _not_queued(self, reason: Failure) -> Failure:
        self._abroad().backlog.give_back()
        return reason

    def _grown(
        self, _: None, copies: Sequence[Copy], sizes: Sequence[tuple[int, int]]
    ) -> None:
        for copy, (_body, size) in zip(copies, sizes, strict=True):
            self._accounts.grown(copy.recipient.account, size)

    def _put(self, changes: Changes) -> Deferred[None]:
        weight = sum(len(arrival.body or b"") for arrival in changes.arrivals)
        done = self._writer.submit(Job(lambda: changes, weight))
        names = [*arrival_files(changes.arrivals), *changes.files]
        return done.addErrback(self._let_go, names)

    def _let_go(self, reason: Failure, names: Sequence[str]) -> Failure:
        """Remove the files of a job that failed.

        After an error of the disk nobody knows what it kept of the rows: then the files
        stay until the next start has looked.
        """
        cause = getattr(reason.value, "__cause__", None)
        code = getattr(cause, "sqlite_errorcode", 0)
        if code & 0xFF != sqlite3.SQLITE_IOERR:
            removed = self._sealers.call(lambda bodies: bodies.remove(names))
            removed.addErrback(lambda _: None)  # closed: swept at the next start
        return reason

    def entries(self, member: Member) -> Deferred[Sequence[Entry]]:
        """Fire with the mailbox's entries, oldest first."""
        first = self._boxes.call(partial(_entries_or_numbers, member=member))
        return first.addCallback(self._more_entries, member)

    def _more_entries(
        self, found: tuple[list[Entry], list[int]], member: Member
    ) -> Deferred[Sequence[Entry]]:
        opened, numbers = found
        if not numbers:
            return succeed(opened)
        ranges = [numbers[at : at + CARDS] for at in range(0, len(numbers), CARDS)]
        calls = [
            self._boxes.call(
                partial(reading.entries, member=member, first=some[0], last=some[-1])
            )
            for some in ranges
        ]
        return _all(calls).addCallback(
            lambda lists: [e for some in lists for e in some]
        )

    def read(
        self, member: Member, entries: Sequence[Entry], *, bodies: bool = True
    ) -> Deferred[Sequence[Stored]]:
        """Fire with the messages asked for (see IMailboxes)."""
        if bodies:
            several = partial(
                reading.several, bodies=self._bodies, member=member, wanted=entries
            )
        else:
            several = partial(_headers, member=member, wanted=entries)
        return self._boxes.call(several).addCallback(self._stored)

    def _stored(self, opened: Sequence[reading.OpenMessage]) -> Sequence[Stored]:
        return [
            Stored(
                one.header,
                one.body,
                None if one.rest is None else Chunks(self._boxes, one.rest),
            )
            for one in opened
        ]

    def remove(self, member: Member, entries: Sequence[Entry]) -> Deferred[None]:
        """Remove these messages in one transaction, synced when it fires."""
        changes = Changes(
            remove_from=member.account, remove=[entry.number for entry in entries]
        )
        done = self._writer.submit(Job(lambda: changes))
        return done.addCallback(lambda _: self._accounts.forget(member.account))


def _entries_or_numbers(
    connection: sqlite3.Connection, member: Member
) -> tuple[list[Entry], list[int]]:
    """Return a small mailbox's entries, or the numbers of a large one's messages."""
    numbers = reading.numbers(connection, member)
    if not numbers or len(numbers) > CARDS:
        return [], numbers
    return reading.entries(connection, member, numbers[0], numbers[-1]), []


def _headers(
    connection: sqlite3.Connection, member: Member, wanted: Sequence[Entry]
) -> list[reading.OpenMessage]:
    return [reading.header(connection, member, entry) for entry in wanted]


def _all(calls: Sequence[Deferred[T]]) -> Deferred[list[T]]:
    """Fire with all results in order, or fail with the first error itself."""
    gathered = gatherResults(calls, consumeErrors=True)

    def unwrap(reason: Failure) -> Failure:
        error = reason.value
        return error.subFailure if isinstance(error, FirstError) else reason

    return gathered.addErrback(unwrap)
