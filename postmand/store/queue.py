"""Mail for the Internet, between its acceptance and the last reply: sealed at rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import partial

from attrs import define, frozen
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.interfaces import Copy
from postmand.internet import DueLeg, Held, IQueue, Leg, Parcel, Pooled
from postmand.store import queue_rows, rows
from postmand.store.accounts import Accounts
from postmand.store.bodies import Bodies
from postmand.store.cards import SealedCard, Waiting
from postmand.store.chunks import Chunks
from postmand.store.crew import Crew
from postmand.store.nodekey import NodeKey
from postmand.store.queue_intake import MINUTE, Backlog, next_minute
from postmand.store.queue_opening import Opened, Opener
from postmand.store.queue_rows import BEFORE_RELEASE, BY_HAND, LEGS, ItemRow, Stage
from postmand.store.rows import Arrival, Changes, MismatchError
from postmand.store.sealing import arrival_files, arrivals
from postmand.store.writer import Job, Writer

# A bounce is put into a mailbox whether there is room or not.
_NO_LIMIT = 2**62


@implementer(IQueue)
@frozen(eq=False)
class Queue:
    """The queue in the store.

    `readers` open messages and seal new cards; the writer puts in rows, and seals
    bounces, which are short: DSNs of ours. `backlog` is shared with the mailboxes,
    which count in what they take.
    """

    _writer: Writer
    _readers: Crew[sqlite3.Connection]
    _bodies: Bodies
    _node_key: NodeKey
    _accounts: Accounts
    _backlog: Backlog
    _file_bytes: int

    @property
    def _opener(self) -> Opener:
        return Opener(self._bodies, self._node_key)

    def due(self, now: int, most: int) -> Deferred[Sequence[int]]:
        """Fire with the items whose time to be released has come (see IQueue)."""
        return self._readers.call(
            partial(queue_rows.due, stage=Stage.WAITING, now=now, most=most)
        )

    def legs_due(
        self, now: int, most: int, busy: Collection[bytes] = ()
    ) -> Deferred[Sequence[DueLeg]]:
        """Fire with legs to be tried, none of a `busy` domain (see IQueue)."""
        return self._readers.call(
            partial(queue_rows.legs_due, now=now, most=most, busy=tuple(busy))
        )

    def pool(self, most: int) -> Deferred[Sequence[Pooled]]:
        """Fire with what waits in the pool, at most `most` of each owner and class."""
        return self._readers.call(partial(queue_rows.pool, most=most))

    def open(self, item: int) -> Deferred[Held]:
        """Fire with the message, opened; LookupError if gone, released or held."""
        opened = self._readers.call(partial(self._opener.waiting, item=item))
        return opened.addCallback(partial(self._held, item))

    def release(self, item: int, legs: Sequence[Leg], now: int) -> Deferred[None]:
        """Replace the message by its legs, due at once.

        LookupError if it is gone, released or held; ValueError without a leg.
        """
        if not legs:
            return fail(ValueError("a message is released to one domain at least"))
        due = now - now % MINUTE
        sealed = self._readers.call(
            partial(self._opener.released, item=item, legs=legs, due=due)
        )
        return sealed.addCallback(
            lambda made: self._write(partial(_release, item=item, legs=made))
        )

    def hold(self, item: int) -> Deferred[bool]:
        """Hold a message back; fire with False where the operator let it go.

        LookupError if it is gone, released or held.
        """
        holding = _Holding(item)
        return self._write(holding).addCallback(lambda _: holding.held)

    def begin(self, item: int) -> Deferred[Parcel]:
        """Mark a leg as being tried, and fire with it opened.

        LookupError if it is gone, held, or being tried already.
        """
        opened = self._readers.call(partial(self._opener.leg, item=item))
        return opened.addCallback(partial(self._begin, item))

    def settle(
        self, item: int, leg: Leg | None, due: int, bounce: Copy | None = None
    ) -> Deferred[None]:
        """Keep what is left of a leg, or nothing (see IQueue).

        LookupError if it is gone: then nothing is changed, and nobody gets a bounce.
        """
        if leg is None:
            return self._settle(None, item, 0, bounce)
        sealed = self._readers.call(partial(self._opener.resealed, item=item, leg=leg))
        return sealed.addCallback(self._settle, item, next_minute(due), bounce)

    def in_flight(self) -> Deferred[int]:
        """Unmark the legs that were being tried; fire with how many there were."""
        landing = _Landing()
        return self._write(landing).addCallback(lambda _: landing.legs)

    def _held(self, item: int, opened: Opened[Waiting]) -> Held:
        content = opened.content
        return Held(
            item=item,
            account=content.account,
            name=content.name,
            recipients=content.recipients,
            fields=content.fields,
            message_id=content.message_id,
            body_bytes=opened.octets,
            body=Chunks(self._readers, opened.rest, opened.body),
        )

    def _begin(self, item: int, opened: Opened[Leg]) -> Deferred[Parcel]:
        """Mark the leg once it is open: what can not be opened is not in flight."""
        body = Chunks(self._readers, opened.rest, opened.body)
        parcel = Parcel(item, opened.content, opened.octets, body)

        def let_go(reason: Failure) -> Failure:
            body.close()
            return reason

        marked = self._write(partial(_mark, item=item))
        return marked.addCallbacks(lambda _: parcel, let_go)

    def _settle(
        self, sealed: SealedCard | None, item: int, due: int, bounce: Copy | None
    ) -> Deferred[None]:
        settling = _Settling(item, sealed, due)

        def changes() -> Changes:
            if bounce is not None:
                settling.bounces = arrivals(self._bodies, [bounce], self._file_bytes)
            files = arrival_files(settling.bounces)
            return Changes(steps=[settling], files=files)

        return self._writer.submit(Job(changes)).addCallback(self._settled, settling)

    def _settled(self, _: None, settling: _Settling) -> None:
        if settling.emptied:
            self._backlog.give_back()
        for bounce in settling.bounces:
            self._accounts.grown(bounce.account, bounce.padded_bytes)

    def _write(self, step: rows.Step) -> Deferred[None]:
        return self._writer.submit(Job(lambda: Changes(steps=[step])))


@define(eq=False)
class _Settling:
    """The step that settles a leg; `emptied` tells whether its message is gone."""

    item: int
    sealed: SealedCard | None
    due: int
    bounces: Sequence[Arrival] = ()
    emptied: bool = False

    def __call__(self, connection: sqlite3.Connection) -> list[str]:
        """Write it, with the bounce; return the files that nothing names any more."""
        unnamed: list[str] = []
        self.emptied = False
        if self.sealed is None:
            body = queue_rows.take(connection, self.item, LEGS, held=True)
            dropped = queue_rows.drop_body(connection, body)
            self.emptied = dropped is not None
            unnamed += dropped or ()
        else:
            queue_rows.keep(connection, self.item, self.due, self.sealed)
        try:
            rows.write(connection, [Changes(self.bounces)], _NO_LIMIT)
        except MismatchError:  # the mailbox is gone, or closed
            unnamed += arrival_files(self.bounces)
        return unnamed


@define(eq=False)
class _Holding:
    """The step that holds a message back; `held` tells whether it did."""

    item: int
    held: bool = False

    def __call__(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        """Hold it, unless it was let go by hand."""
        queue_rows.find(connection, self.item, BEFORE_RELEASE)
        self.held = queue_rows.hold(
            connection, self.item, BEFORE_RELEASE, after=BY_HAND
        )
        return ()


@define(eq=False)
class _Landing:
    """The step that unmarks all legs, and counts them in `legs`."""

    legs: int = 0

    def __call__(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        """Unmark them."""
        self.legs = queue_rows.land(connection)
        return ()


def _release(
    connection: sqlite3.Connection, item: int, legs: Sequence[ItemRow]
) -> tuple[str, ...]:
    queue_rows.take(connection, item, BEFORE_RELEASE, held=False)
    queue_rows.put(connection, legs)
    return ()


def _mark(connection: sqlite3.Connection, item: int) -> tuple[str, ...]:
    queue_rows.begin(connection, item)
    return ()
