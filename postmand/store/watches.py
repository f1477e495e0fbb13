"""Who is told on IRC of whose mail.

A nick has so many places, each found by a hash keyed with the node's key, and whose
place it is stands sealed in it: the disk alone tells which accounts are watched, not
which of them by one nick.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from struct import Struct
from typing import Any

from attrs import evolve, field, frozen
from sqlalchemy import bindparam, delete, func, insert, select, update
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from postmand.interfaces import NoSuchMailboxError
from postmand.notice import IWatches, TooManyWatchesError, Watch
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.nodekey import TAG_BYTES, NodeKey
from postmand.store.schema import accounts, watches
from postmand.store.seal import SealError
from postmand.store.writer import Writer

log = Logger()

PLACES = 32
"""How many accounts a nick can watch at all; the configuration may allow fewer."""

# Nick's tag, whether mail waits, the day it last came (0 for none).
_ROW = Struct(f">{TAG_BYTES}s?I")

_places = [f"place_{number}" for number in range(PLACES)]
_ITS = watches.c.tag.in_([bindparam(name) for name in _places])
_READ = prepare(
    select(watches.c.tag, watches.c.account, watches.c.sealed).where(_ITS), *_places
)
_SHOW = prepare(
    select(
        *(watches.c[name] for name in ("tag", "account", "sealed")),
        *(accounts.c[name] for name in ("name", "used_bytes")),
    )
    .join(accounts, accounts.c.id == watches.c.account)
    .where(accounts.c.disabled == bindparam("zero"), _ITS)
    .order_by(accounts.c.name),
    *("zero", *_places),
)
_ALL = prepare(
    select(*(watches.c[name] for name in ("tag", "account", "sealed"))).join(
        accounts, accounts.c.id == watches.c.account
    )
)
_OF_ACCOUNT = prepare(
    select(watches.c.tag, watches.c.account, watches.c.sealed)
    .join(accounts, accounts.c.id == watches.c.account)
    .where(
        watches.c.account == bindparam("account"),
        accounts.c.disabled == bindparam("zero"),
    ),
    *("account", "zero"),
)
_COUNT = prepare(
    select(func.count())
    .select_from(watches)
    .where(watches.c.account == bindparam("account")),
    "account",
)
_OPEN = prepare(
    select(accounts.c.version).where(
        accounts.c.id == bindparam("account"),
        accounts.c.disabled == bindparam("zero"),
    ),
    *("account", "zero"),
)
_ADD = prepare(
    insert(watches)
    .inline()
    .values({name: bindparam(name) for name in ("tag", "account", "sealed")}),
    *("tag", "account", "sealed"),
)
_KEEP = prepare(
    update(watches)
    .where(watches.c.tag == bindparam("place"))
    .values(sealed=bindparam("sealed")),
    *("sealed", "place"),
)
_REMOVE = prepare(delete(watches).where(watches.c.tag == bindparam("place")), "place")


@frozen
class _Row:
    """A row, opened."""

    place: bytes
    account: int
    nick: bytes
    waiting: bool
    day: int


@frozen
class Roll:
    """The rows themselves; whoever changes some does so in a transaction that writes.

    A row that does not open is nobody's: it is left out, told of in the log once, and
    keeps its place until its nick registers anew; only `about` raises SealError for it.
    All rows are read before the first is opened: an error must not leave a snapshot
    open behind it.
    """

    _key: NodeKey = field(repr=False)
    accounts_per_nick: int
    nicks_per_account: int
    # The places of damaged rows that the log has told of.
    _told: set[bytes] = field(factory=set, init=False, repr=False, eq=False)

    def tag(self, nick: bytes) -> bytes:
        """Return the nick's keyed hash."""
        return self._key.tag(b"nick", nick)

    def all(self, connection: sqlite3.Connection) -> list[tuple[bytes, int, bool]]:
        """Return (nick's tag, account, waiting) of every row."""
        rows = self._readable(connection.execute(_ALL).fetchall())
        return [(row.nick, row.account, row.waiting) for row in rows]

    def of(self, connection: sqlite3.Connection, tag: bytes) -> list[Watch]:
        """Return what the nick watches, by name, without what is closed."""
        found = connection.execute(_SHOW, (0, *self._places(tag))).fetchall()
        return [
            Watch(row.account, name, row.waiting, row.day or None, used)
            for *columns, name, used in found
            for row in self._readable([columns])
        ]

    def waits(self, connection: sqlite3.Connection, tag: bytes) -> bool:
        """Return whether anything waits for the nick, of a disabled account or not."""
        return any(row.waiting for row in self._rows(connection, tag))

    def about(
        self, connection: sqlite3.Connection, account: int
    ) -> list[tuple[bool, int]]:
        """Return (waiting, day mail last came, 0 for none) of an account's rows."""
        found = connection.execute(_OF_ACCOUNT, (account, 0)).fetchall()
        rows = [self._opened(*columns) for columns in found]
        return sorted((row.waiting, row.day) for row in rows)

    def add(
        self,
        connection: sqlite3.Connection,
        tag: bytes,
        account: int,
        version: int | None = None,
    ) -> bool:
        """Let a nick watch an account (see IWatches), if it still has this version."""
        found = connection.execute(_OPEN, (account, 0)).fetchone()
        if found is None or version not in (None, *found):
            raise NoSuchMailboxError(str(account))
        found = connection.execute(_READ, self._places(tag)).fetchall()
        for row in [one for one in found if one[1] == account]:
            if self._readable([row]):
                return False
            found.remove(row)
            connection.execute(_REMOVE, row[:1])
        (watching,) = connection.execute(_COUNT, (account,)).fetchone()
        full = len(found) >= self.accounts_per_nick
        if full or watching >= self.nicks_per_account:
            raise TooManyWatchesError
        taken = {place for place, *_ in found}
        place = next(one for one in self._places(tag) if one not in taken)
        sealed = self._sealed(_Row(place, account, tag, waiting=False, day=0))
        connection.execute(_ADD, (place, account, sealed))
        return True

    def remove(self, connection: sqlite3.Connection, tag: bytes, account: int) -> bool:
        """End it; False if there was none."""
        for row in self._rows(connection, tag):
            if row.account == account:
                connection.execute(_REMOVE, (row.place,))
                return True
        return False

    def mark(
        self, connection: sqlite3.Connection, accounts: Iterable[int], day: int
    ) -> None:
        """Note that mail came on `day` for all who watch these accounts."""
        for account in accounts:
            found = connection.execute(_OF_ACCOUNT, (account, 0)).fetchall()
            for row in self._readable(found):
                self._keep(connection, row, evolve(row, waiting=True, day=day))

    def told(self, connection: sqlite3.Connection, tag: bytes) -> None:
        """Note that nothing waits for this nick any more."""
        for row in self._rows(connection, tag):
            self._keep(connection, row, evolve(row, waiting=False))

    def _places(self, tag: bytes) -> list[bytes]:
        return [self._key.tag(b"watch", tag, bytes([one])) for one in range(PLACES)]

    def _rows(self, connection: sqlite3.Connection, tag: bytes) -> list[_Row]:
        found = connection.execute(_READ, self._places(tag)).fetchall()
        return self._readable(found)

    def _readable(self, found: Iterable[Sequence[Any]]) -> list[_Row]:
        """Open rows; leave out what does not open, for one must not silence all."""
        rows: list[_Row] = []
        for columns in found:
            try:
                rows.append(self._opened(*columns))
            except SealError:
                if columns[0] not in self._told:
                    self._told.add(columns[0])
                    log.error("a watch of biff's is damaged: its nick is told nothing")
        return rows

    def _keep(self, connection: sqlite3.Connection, old: _Row, new: _Row) -> None:
        # What is written anew can be seen in the log, so nothing is without need.
        if new != old:
            connection.execute(_KEEP, (self._sealed(new), new.place))

    def _opened(self, place: bytes, account: int, sealed: bytes) -> _Row:
        plain = self._key.open(sealed, _bound(place, account))
        return _Row(place, account, *_ROW.unpack(plain))

    def _sealed(self, row: _Row) -> bytes:
        plain = _ROW.pack(row.nick, row.waiting, row.day)
        return self._key.seal(plain, _bound(row.place, row.account))


def _bound(place: bytes, account: int) -> bytes:
    """Return what a row is bound to, so that none can be put in another's stead."""
    return place + account.to_bytes(8, "big")


@implementer(IWatches)
@frozen(eq=False)
class Watches:
    """The roll behind the writer and a crew of readers."""

    _writer: Writer
    _readers: Crew[sqlite3.Connection]
    roll: Roll

    def tag(self, nick: bytes) -> bytes:
        """Return the nick's keyed hash."""
        return self.roll.tag(nick)

    def all(self) -> Deferred[Sequence[tuple[bytes, int, bool]]]:
        """Fire with (nick's tag, account, waiting) of every row."""
        return self._readers.call(self.roll.all)

    def add(
        self, tag: bytes, account: int, version: int | None = None
    ) -> Deferred[bool]:
        """Let a nick watch an account; fire with False if it did already.

        With `version` only as long as no new password was set since then.
        """
        add = partial(self.roll.add, tag=tag, account=account, version=version)
        return self._writer.change(add)

    def remove(self, tag: bytes, account: int) -> Deferred[bool]:
        """End it; fire with False if there was none."""
        return self._writer.change(partial(self.roll.remove, tag=tag, account=account))

    def of(self, tag: bytes) -> Deferred[Sequence[Watch]]:
        """Fire with what the nick watches, by name."""
        return self._readers.call(partial(self.roll.of, tag=tag))

    def waits(self, tag: bytes) -> Deferred[bool]:
        """Fire with whether anything waits for the nick, of whatever account."""
        return self._readers.call(partial(self.roll.waits, tag=tag))

    def mark(self, accounts: Iterable[int], day: int) -> Deferred[None]:
        """Note that mail came on `day` for all who watch these accounts."""
        numbers = tuple(accounts)  # more than one run may read them
        return self._writer.change(partial(self.roll.mark, accounts=numbers, day=day))

    def told(self, tag: bytes) -> Deferred[None]:
        """Note that nothing waits for this nick any more."""
        return self._writer.change(partial(self.roll.told, tag=tag))
