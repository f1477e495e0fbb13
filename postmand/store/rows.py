"""What a job changes in the database, written table by table.

The rows of many jobs go in together: one executemany a table, whatever the number of
messages. Every function here runs inside a transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from attrs import field, frozen
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from postmand.interfaces import MailboxFullError, NoSuchMailboxError
from postmand.store.database import prepare
from postmand.store.schema import accounts, messages, thread_ids


@frozen
class Arrival:
    """A sealed copy on its way into a mailbox; one of `file` and `body` is set."""

    account: int
    name: str
    uid: bytes
    padded_bytes: int
    file: str | None
    sealed_key: bytes
    card: bytes
    body: bytes | None


Step = Callable[[sqlite3.Connection], Iterable[str]]
"""Changes what is no mailbox's; returns the files that nothing names any more.

It may run more than once, each time after a rollback, and may raise the job's error.
"""


@frozen
class Changes:
    """The changes of one job. `remember` maps tags to sealed ids (see IThreads).

    `steps` run last, in their order; `files` are the new ones that their rows name.
    """

    arrivals: Sequence[Arrival] = ()
    remember: Mapping[bytes, bytes] = field(factory=dict)
    expires_day: int = 0
    remove_from: int = 0
    remove: Sequence[int] = ()
    forget_before: int | None = None
    steps: Sequence[Step] = ()
    files: Sequence[str] = ()

    @property
    def names_files(self) -> bool:
        """Whether rows will name files written for this job."""
        return bool(self.files) or any(one.file is not None for one in self.arrivals)


class MismatchError(Exception):
    """Some arrival of a batch has no room, or no mailbox; `blame` says which."""


_SPEND = prepare(
    update(accounts)
    .where(
        accounts.c.id == bindparam("account"),
        accounts.c.disabled == bindparam("zero"),
        accounts.c.used_bytes + bindparam("size") <= bindparam("limit"),
    )
    .values(used_bytes=accounts.c.used_bytes + bindparam("more")),
    *("more", "account", "zero", "size", "limit"),
)
_ARRIVE = prepare(
    insert(messages)
    .inline()
    .values(
        {
            name: bindparam(name)
            for name in (
                *("account", "uid", "padded_bytes", "file"),
                *("sealed_key", "card", "body"),
            )
        }
    ),
    *("account", "uid", "padded_bytes", "file", "sealed_key", "card", "body"),
)
_remember = upsert(thread_ids).values(
    tag=bindparam("tag"), sealed=bindparam("sealed"), expires_day=bindparam("day")
)
_REMEMBER = prepare(
    _remember.on_conflict_do_update(
        index_elements=[thread_ids.c.tag],
        set_={
            "expires_day": func.max(
                thread_ids.c.expires_day, _remember.excluded.expires_day
            )
        },
    ),
    *("tag", "sealed", "day"),
)
_REMOVE = prepare(
    delete(messages)
    .where(messages.c.account == bindparam("of"), messages.c.id == bindparam("number"))
    .returning(messages.c.padded_bytes, messages.c.file),
    *("of", "number"),
)
_GIVE_BACK = prepare(
    update(accounts)
    .where(accounts.c.id == bindparam("account"))
    .values(used_bytes=accounts.c.used_bytes - bindparam("less")),
    *("less", "account"),
)
_FORGET = prepare(
    delete(thread_ids).where(thread_ids.c.expires_day < bindparam("day")), "day"
)
_ACCOUNT = prepare(
    select(accounts.c.disabled, accounts.c.used_bytes).where(
        accounts.c.id == bindparam("account")
    ),
    "account",
)


def write(
    connection: sqlite3.Connection, batch: Sequence[Changes], limit: int
) -> list[str]:
    """Write the changes of a batch; return the files that nothing names any more.

    `limit` is a mailbox's in padded octets. Raises MismatchError if an arrival has no
    room or no mailbox: then nothing of the batch may be committed.
    """
    arrivals = list(chain.from_iterable(changes.arrivals for changes in batch))
    if arrivals:
        _arrive(connection, arrivals, limit)
    remembered = [
        (tag, sealed, changes.expires_day)
        for changes in batch
        for tag, sealed in changes.remember.items()
    ]
    if remembered:
        connection.executemany(_REMEMBER, remembered)
    unnamed: list[str] = []
    for changes in batch:
        if changes.remove:
            unnamed += _remove(connection, changes.remove_from, changes.remove)
        if changes.forget_before is not None:
            connection.execute(_FORGET, (changes.forget_before,))
        for step in changes.steps:
            unnamed += step(connection)
    return unnamed


def blame(
    connection: sqlite3.Connection, arrivals: Iterable[Arrival], limit: int
) -> None:
    """Raise the error of the first of `arrivals` that has no room or no mailbox."""
    spent: dict[int, int] = {}
    for arrival in arrivals:
        row = connection.execute(_ACCOUNT, (arrival.account,)).fetchone()
        if row is None or row[0]:
            raise NoSuchMailboxError(arrival.name)
        used = spent.get(arrival.account, row[1]) + arrival.padded_bytes
        if used > limit:
            raise MailboxFullError(arrival.name, permanent=arrival.padded_bytes > limit)
        spent[arrival.account] = used


def _arrive(
    connection: sqlite3.Connection, arrivals: Sequence[Arrival], limit: int
) -> None:
    spending = connection.executemany(
        _SPEND,
        [(a.padded_bytes, a.account, 0, a.padded_bytes, limit) for a in arrivals],
    )
    if spending.rowcount != len(arrivals):
        raise MismatchError
    connection.executemany(
        _ARRIVE,
        [
            (a.account, a.uid, a.padded_bytes, a.file, a.sealed_key, a.card, a.body)
            for a in arrivals
        ],
    )


def _remove(
    connection: sqlite3.Connection, account: int, numbers: Iterable[int]
) -> list[str]:
    """Remove messages; one that is gone already counts for nothing."""
    freed, unnamed = 0, []
    for number in numbers:
        for size, file in connection.execute(_REMOVE, (account, number)):
            freed += size
            if file is not None:
                unnamed.append(file)
    if freed:
        connection.execute(_GIVE_BACK, (freed, account))
    return unnamed
