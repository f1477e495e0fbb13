"""The queue as the operator sees and changes it, beside a running node or without one.

Everything here blocks. Each change is a short transaction of its own; a page of the
list costs the same whatever waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from attrs import frozen
from sqlalchemy import bindparam, select, update

from postmand.internet import Listed
from postmand.store import queue_rows
from postmand.store.bodies import Bodies
from postmand.store.cards import SealedCard, opened_leg, opened_waiting
from postmand.store.database import prepare
from postmand.store.nodekey import NodeKey
from postmand.store.padding import padded
from postmand.store.queue_intake import domain_tag
from postmand.store.queue_rows import (
    ANY_STAGE,
    BY_HAND,
    FIRST,
    OUT_OF_THE_POOL,
    Stage,
)
from postmand.store.schema import queue_items
from postmand.store.seal import SealError

T = TypeVar("T")

NAMES = {Stage.WAITING: "waiting", Stage.POOL: "pool", Stage.LEG: "relay"}
DAMAGED = b"(does not open)"
# Legs that one transaction of retry_all changes: it keeps the writer waiting so long.
_BATCH = 500

_item = queue_items.c
_columns = (
    *(_item.id, _item.stage, _item.held, _item.trying, _item.due),
    *(_item.sealed_key, _item.card),
)
PAGE = prepare(
    select(*_columns)
    .where(_item.id > bindparam("after"))
    .order_by(_item.id)
    .limit(bindparam("most"))
    .offset(FIRST),
    *("after", "most"),
)
SHOWN = prepare(select(*_columns).where(_item.id == bindparam("item")), "item")
LET_GO = prepare(
    update(queue_items)
    .where(_item.id == bindparam("item"))
    .values(held=bindparam("zero"), due=bindparam("now"), **OUT_OF_THE_POOL),
    *("pool", "waiting", "zero", "now", "pool_too", "item"),
)
RETRY = prepare(
    update(queue_items)
    .where(_item.id == bindparam("item"), _item.stage == bindparam("leg"))
    .values(due=bindparam("now")),
    *("now", "item", "leg"),
)
_later = (
    select(_item.id)
    .where(
        _item.stage == bindparam("leg"),
        _item.held == bindparam("zero"),
        _item.trying == bindparam("zero_too"),
        _item.due > bindparam("past"),
    )
    .order_by(_item.due)
    .limit(bindparam("most"))
    .offset(FIRST)
)
RETRY_SOME = prepare(
    update(queue_items).where(_item.id.in_(_later)).values(due=bindparam("now")),
    *("now", "leg", "zero", "zero_too", "past", "most"),
)


@frozen
class Shown:
    """An item as it is listed; `trying` tells whether a gateway is being asked now."""

    listed: Listed
    trying: bool


@frozen(eq=False)
class Listing:
    """The queue, as the operator may see it.

    No name, address or subject is ever returned, and a domain only where it was asked
    for; else a short tag stands for it, the same each time.
    """

    _connection: sqlite3.Connection
    _node_key: NodeKey

    def page(self, after: int, most: int, *, domains: bool = False) -> list[Listed]:
        """Return at most `most` items, those that come next after `after` (-1: all).

        In the order of their random numbers.
        """
        rows = self._connection.execute(PAGE, (after, most)).fetchall()
        return [self._shown(row, domains=domains).listed for row in rows]

    def show(self, item: int, *, domains: bool = False) -> Shown:
        """Return one item; LookupError if it is not there."""
        row = self._connection.execute(SHOWN, (item,)).fetchone()
        if row is None:
            raise queue_rows.gone()
        return self._shown(row, domains=domains)

    def _shown(
        self, row: tuple[int, int, int, int, int, bytes, bytes], *, domains: bool
    ) -> Shown:
        item, stage, held, trying, due, *sealed = row
        try:
            told = self._told(item, Stage(stage), SealedCard(*sealed))
            domain = told.domain if domains else self._tag(told.domain)
        except SealError:
            # One damaged card must not hide all others.
            told, domain = _Told(b"", 0, 0, 0), DAMAGED
        listed = Listed(
            item=item,
            stage=NAMES[Stage(stage)],
            due=due,
            held=bool(held),
            octets=told.octets,
            attempts=told.attempts,
            domain=domain,
            recipients=told.recipients,
        )
        return Shown(listed, bool(trying))

    def _tag(self, domain: bytes) -> bytes:
        """Return what stands for a domain; nothing for none."""
        if not domain:
            return b""
        return domain_tag(self._node_key, domain).hex().encode()

    def _told(self, item: int, stage: Stage, sealed: SealedCard) -> _Told:
        """Return what may be told of an opened card; may raise SealError."""
        if stage is Stage.LEG:
            leg, body = opened_leg(sealed, item, self._node_key)
            people, octets = len(leg.recipients), padded(body.octets)
            return _Told(leg.domain, leg.attempts, people, octets)
        waiting, body = opened_waiting(sealed, item, self._node_key)
        return _Told(b"", 0, len(waiting.recipients), padded(body.octets))


@frozen(eq=False)
class Postmaster:
    """The operator's hand on the queue; it needs no key.

    An unknown item is LookupError.
    """

    _connection: sqlite3.Connection
    _bodies: Bodies

    def hold(self, item: int) -> None:
        """Hold an item back, for as long as it is not let go; it leaves the pool.

        A leg that is being tried is held after the try.
        """
        held = partial(queue_rows.hold, item=item, stages=ANY_STAGE, after=-1)
        if not self._write(held):
            raise queue_rows.gone()

    def let_go(self, item: int) -> None:
        """Let an item go at the node's next tick, held or not, out of the pool too."""
        values = (Stage.POOL, Stage.WAITING, 0, BY_HAND, Stage.POOL, item)
        self._change(LET_GO, values)

    def retry(self, item: int) -> None:
        """Have a leg tried at the next tick; LookupError for what is no leg."""
        self._change(RETRY, (0, item, Stage.LEG))

    def retry_all(self) -> int:
        """Have all legs tried that are not held; return how many were not due yet."""
        changed = 0
        while some := self._write(_retry_some):
            changed += some
        return changed

    def drop(self, item: int) -> None:
        """Remove an item for good, whatever its state; nobody gets a bounce.

        A gateway that is being asked at this moment may still deliver it.
        """

        def drop(connection: sqlite3.Connection) -> list[str]:
            body = queue_rows.take(connection, item, ANY_STAGE, held=True)
            return queue_rows.drop_body(connection, body) or []

        self._bodies.remove(self._write(drop))

    def _change(self, statement: str, values: tuple[int, ...]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if not connection.execute(statement, values).rowcount:
                raise queue_rows.gone()

        self._write(change)

    def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Make a change in a transaction of its own: all of it, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            made = change(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return made


@frozen
class _Told:
    domain: bytes
    attempts: int
    recipients: int
    octets: int


def _retry_some(connection: sqlite3.Connection) -> int:
    return connection.execute(RETRY_SOME, (0, Stage.LEG, 0, 0, 0, _BATCH)).rowcount
