"""Names of accounts that were removed: for a time nobody else may have them.

Mail and trust for the old owner would go to the new one. What is kept is a hash without
a key, for tools without the node's key must close names, too: so who has the disk can
try names. It keeps the names from being read, not from being guessed.
"""

from __future__ import annotations

import hashlib
import sqlite3

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from postmand.store.database import prepare
from postmand.store.schema import closed_names

_TAG_BYTES = 16

_FORGET = prepare(
    delete(closed_names).where(closed_names.c.expires_day < bindparam("day")), "day"
)


def tag(name: str) -> bytes:
    """Return what stands for a name."""
    return hashlib.blake2b(
        name.encode(), digest_size=_TAG_BYTES, person=b"postmand-closed"
    ).digest()


def is_closed(connection: Connection, name: str, day: int) -> bool:
    """Tell whether a name is closed on that day."""
    found = connection.execute(
        select(closed_names.c.expires_day).where(
            closed_names.c.tag == tag(name), closed_names.c.expires_day >= day
        )
    )
    return found.first() is not None


def close(connection: Connection, name: str, expires_day: int) -> None:
    """Close a name up to and with that day."""
    row = insert(closed_names).values(tag=tag(name), expires_day=expires_day)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=[closed_names.c.tag],
            set_={"expires_day": row.excluded.expires_day},
        )
    )


def reopen(connection: Connection, name: str) -> None:
    """Let a name be taken again; one that is not closed stays so."""
    connection.execute(delete(closed_names).where(closed_names.c.tag == tag(name)))


def forget(connection: sqlite3.Connection, today: int) -> None:
    """Remove the rows whose last day is before `today`."""
    connection.execute(_FORGET, (today,))
