"""The queue's rows: what is asked of them and how they change.

Every statement finds its rows by an index. What writes runs inside a transaction of its
caller, as a step of a job (see rows.Step).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from functools import cache
from typing import Any

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    Integer,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)

from postmand.internet import DueLeg, Pooled
from postmand.store.cards import SealedCard
from postmand.store.database import prepare
from postmand.store.schema import messages, queue_bodies, queue_items


class Stage(IntEnum):
    """Where a message stands on its way."""

    WAITING = 0
    POOL = 1
    LEG = 2


BEFORE_RELEASE = (Stage.WAITING, Stage.POOL)
LEGS = (Stage.LEG,)
ANY_STAGE = tuple(Stage)
BY_HAND = 0
"""When a message is due that the operator let go; no other is due then."""


@frozen
class BodyRow:
    """A sealed body; one of `file` and `body` is set."""

    number: int
    file: str | None
    body: bytes | None


@frozen
class ItemRow:
    """A queued message, sealed.

    `owner` and `size_class` are set in the pool; of a leg `owner` is its domain's tag.
    """

    item: int
    body: int
    stage: Stage
    due: int
    sealed: SealedCard
    owner: bytes | None = None
    size_class: int | None = None


@frozen
class FoundItem:
    """An item as it was read; `body` is the number of its body."""

    stage: Stage
    body: int
    sealed: SealedCard


_item = queue_items.c
# SQLAlchemy writes an OFFSET for SQLite in any case, and as a parameter if it may.
FIRST = literal_column("0", Integer)

NAMED_FILES = prepare(
    union_all(
        select(messages.c.file).where(messages.c.file.is_not(None)),
        select(queue_bodies.c.file).where(queue_bodies.c.file.is_not(None)),
    )
)
"""All files of bodies that rows name: what the sweep at the start leaves."""

# The one statement that walks an index from end to end; see queue_intake.Backlog.
COUNT = prepare(select(func.count(_item.body_id.distinct())))


def _due_but(busy: int, *columns: ColumnElement[Any]) -> str:
    names = [f"busy{n}" for n in range(busy)]
    statement = select(*columns).where(
        _item.stage == bindparam("stage"),
        _item.held == bindparam("zero"),
        _item.trying == bindparam("zero_too"),
        _item.due <= bindparam("now"),
        *(_item.owner != bindparam(name) for name in names),
    )
    return prepare(
        statement.order_by(_item.due).limit(bindparam("most")).offset(FIRST),
        *("stage", "zero", "zero_too", "now", *names, "most"),
    )


@cache
def legs_due_but(busy: int) -> str:
    """Return the statement that finds legs but those of so many domains."""
    return _due_but(busy, _item.id, _item.owner)


DUE = _due_but(0, _item.id)
# SQLite takes an index with a condition for a constant alone, not for a parameter.
_IN_POOL = _item.stage == literal_column(str(Stage.POOL.value), Integer)
# The pool is walked from one class to the next, and from one owner to the next,
# whatever lies between. (One search for the pair (owner, class) that comes next would
# do in SQL; SQLite finds the owner and walks through all of its rows.)
_POOLED = (_item.owner, _item.size_class, _item.due, _item.id)
NEXT_CLASS = prepare(
    select(*_POOLED)
    .where(
        _IN_POOL,
        _item.owner == bindparam("owner"),
        _item.size_class > bindparam("size_class"),
    )
    .order_by(_item.size_class, _item.due)
    .limit(bindparam("most"))
    .offset(FIRST),
    *("owner", "size_class", "most"),
)
NEXT_OWNER = prepare(
    select(*_POOLED)
    .where(_IN_POOL, _item.owner > bindparam("owner"))
    .order_by(_item.owner, _item.size_class, _item.due)
    .limit(bindparam("most"))
    .offset(FIRST),
    *("owner", "most"),
)
ITEM = prepare(
    select(_item.stage, _item.body_id, _item.sealed_key, _item.card).where(
        _item.id == bindparam("item"), _item.held <= bindparam("held")
    ),
    *("item", "held"),
)
BODY = prepare(
    select(queue_bodies.c.id, queue_bodies.c.file, queue_bodies.c.body).where(
        queue_bodies.c.id == bindparam("body")
    ),
    "body",
)
PUT_BODY = prepare(
    insert(queue_bodies)
    .inline()
    .values({name: bindparam(name) for name in ("id", "file", "body")}),
    *("id", "file", "body"),
)
_ITEM_COLUMNS = (
    *("id", "body_id", "stage", "held", "trying", "due"),
    *("owner", "size_class", "sealed_key", "card"),
)
PUT_ITEM = prepare(
    insert(queue_items).inline().values({n: bindparam(n) for n in _ITEM_COLUMNS}),
    *_ITEM_COLUMNS,
)
BEGIN = prepare(
    update(queue_items)
    .where(
        _item.id == bindparam("item"),
        _item.stage == bindparam("leg"),
        _item.held == bindparam("zero"),
        _item.trying == bindparam("zero_too"),
    )
    .values(trying=bindparam("one")),
    *("one", "item", "leg", "zero", "zero_too"),
)
KEEP = prepare(
    update(queue_items)
    .where(_item.id == bindparam("item"), _item.stage == bindparam("leg"))
    .values(
        trying=bindparam("zero"),
        due=bindparam("due"),
        sealed_key=bindparam("sealed_key"),
        card=bindparam("card"),
    ),
    *("zero", "due", "sealed_key", "card", "item", "leg"),
)
OUT_OF_THE_POOL = {
    "stage": case(
        (_item.stage == bindparam("pool"), bindparam("waiting")), else_=_item.stage
    ),
    "owner": case((_item.stage == bindparam("pool_too"), null()), else_=_item.owner),
    "size_class": null(),
}
"""What changes in an item that is no more to wait in the pool."""

HOLD = prepare(
    update(queue_items)
    .where(
        _item.id == bindparam("item"),
        _item.stage <= bindparam("to_stage"),
        _item.due > bindparam("after"),
    )
    .values(held=bindparam("one"), **OUT_OF_THE_POOL),
    *("pool", "waiting", "one", "pool_too", "item", "to_stage", "after"),
)
TAKE = prepare(
    delete(queue_items)
    .where(
        _item.id == bindparam("item"),
        _item.stage >= bindparam("from_stage"),
        _item.stage <= bindparam("to_stage"),
        _item.held <= bindparam("held"),
    )
    .returning(_item.body_id),
    *("item", "from_stage", "to_stage", "held"),
)
DROP_BODY = prepare(
    delete(queue_bodies)
    .where(
        queue_bodies.c.id == bindparam("body"),
        ~select(_item.id).where(_item.body_id == bindparam("body_too")).exists(),
    )
    .returning(queue_bodies.c.file),
    *("body", "body_too"),
)
LAND = prepare(
    update(queue_items)
    .where(
        _item.stage == bindparam("leg"),
        _item.held == bindparam("held"),
        _item.trying == bindparam("one"),
    )
    .values(trying=bindparam("zero")),
    *("zero", "leg", "held", "one"),
)


def count(connection: sqlite3.Connection) -> int:
    """Return how many messages are queued, a released one with several legs once."""
    (number,) = connection.execute(COUNT).fetchone()
    return int(number)


def due(connection: sqlite3.Connection, stage: Stage, now: int, most: int) -> list[int]:
    """Return at most `most` items of a stage that are due, the longest overdue first.

    Those held back or being tried are left out.
    """
    found = connection.execute(DUE, (stage, 0, 0, now, most))
    return [item for (item,) in found]


def legs_due(
    connection: sqlite3.Connection, now: int, most: int, busy: Collection[bytes]
) -> list[DueLeg]:
    """Return the legs that are due, as `due` does, but none of a `busy` domain."""
    values = (Stage.LEG, 0, 0, now, *busy, most)
    found = connection.execute(legs_due_but(len(busy)), values)
    return [DueLeg(item, domain) for item, domain in found]


def pool(connection: sqlite3.Connection, most: int) -> list[Pooled]:
    """Return the first `most` by `due` of each owner and class in the pool.

    Costs a search an owner and class, and a row for each that is returned.
    """
    found: list[Pooled] = []
    owner, size_class = b"", 0
    while rows := (
        connection.execute(NEXT_CLASS, (owner, size_class, most)).fetchall()
        or connection.execute(NEXT_OWNER, (owner, most)).fetchall()
    ):
        owner, size_class = rows[0][:2]
        found += (
            Pooled(item, owner, size_class, due)
            for of, of_class, due, item in rows
            if (of, of_class) == (owner, size_class)
        )
    return found


def find(
    connection: sqlite3.Connection,
    item: int,
    stages: Sequence[Stage],
    *,
    held: bool = False,
) -> FoundItem:
    """Return an item; LookupError if it is gone, or in none of `stages`.

    What is held back is found with `held` only.
    """
    row = connection.execute(ITEM, (item, int(held))).fetchone()
    if row is None or row[0] not in stages:
        raise gone()
    stage, body, sealed_key, card = row
    return FoundItem(Stage(stage), body, SealedCard(sealed_key, card))


def find_body(connection: sqlite3.Connection, number: int) -> BodyRow:
    """Return a sealed body; LookupError if it is gone."""
    row = connection.execute(BODY, (number,)).fetchone()
    if row is None:
        raise gone()
    return BodyRow(*row)


def put(connection: sqlite3.Connection, rows: Iterable[ItemRow]) -> None:
    """Insert items; their bodies' rows are there."""
    connection.executemany(
        PUT_ITEM,
        [
            (
                *(row.item, row.body, row.stage, 0, 0, row.due),
                *(row.owner, row.size_class, row.sealed.key, row.sealed.card),
            )
            for row in rows
        ],
    )


def put_body(connection: sqlite3.Connection, row: BodyRow) -> None:
    """Insert a body."""
    connection.execute(PUT_BODY, (row.number, row.file, row.body))


def take(
    connection: sqlite3.Connection, item: int, stages: Sequence[Stage], *, held: bool
) -> int:
    """Delete an item of one of `stages`, neighbours all, and return its body's number.

    Raises LookupError if it is not there; what is held back is with `held` only.
    """
    values = (item, min(stages), max(stages), int(held))
    row = connection.execute(TAKE, values).fetchone()
    if row is None:
        raise gone()
    return int(row[0])


def drop_body(connection: sqlite3.Connection, number: int) -> list[str] | None:
    """Delete a body unless items of it are left: then None, else the files to remove.

    A list without a name is that of a body that was a row.
    """
    row = connection.execute(DROP_BODY, (number, number)).fetchone()
    if row is None:
        return None
    return [name for name in row if name is not None]


def begin(connection: sqlite3.Connection, item: int) -> None:
    """Mark a leg as being tried; LookupError if it is gone, held or marked already."""
    if not connection.execute(BEGIN, (1, item, Stage.LEG, 0, 0)).rowcount:
        raise gone()


def keep(
    connection: sqlite3.Connection, item: int, due: int, sealed: SealedCard
) -> None:
    """Rewrite what is left of a leg and unmark it; LookupError if it is gone."""
    values = (0, due, sealed.key, sealed.card, item, Stage.LEG)
    if not connection.execute(KEEP, values).rowcount:
        raise gone()


def hold(
    connection: sqlite3.Connection, item: int, stages: Sequence[Stage], *, after: int
) -> bool:
    """Hold back an item of one of the first `stages`, if it is due after `after`.

    It leaves the pool. Return whether it is held now.
    """
    values = (Stage.POOL, Stage.WAITING, 1, Stage.POOL, item, max(stages), after)
    return bool(connection.execute(HOLD, values).rowcount)


def land(connection: sqlite3.Connection) -> int:
    """Unmark all legs that are being tried; return how many there were."""
    return sum(
        connection.execute(LAND, (0, Stage.LEG, held, 1)).rowcount for held in (0, 1)
    )


def gone() -> LookupError:
    """Return the error of an item that is not there any more."""
    return LookupError("the message is not in the queue")
