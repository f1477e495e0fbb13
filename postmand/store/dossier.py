"""All that is stored about one account, found by walking the schema.

A column that nobody thought of here is told, too: as what it is in the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from attrs import field, frozen
from sqlalchemy import Column, LargeBinary, Table, bindparam, func, select
from twisted.internet.defer import Deferred

from postmand.internet import Standing
from postmand.membership import Details, Fact, Visitor
from postmand.rules.sizes import octets
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.quotas import Ledger
from postmand.store.schema import accounts, messages, metadata, standings
from postmand.store.watches import Roll

DAY_SECONDS = 86_400

# Tables whose rows name the account: one each, or many that are told together.
_SINGLE = frozenset({"accounts", "public_keys"})
_DAYS = frozenset({"created_day", "expires_day"})
_HASHES = frozenset({"tag", "verifier", "recovery_verifier"})
_RANDOM = frozenset({"salt", "recovery_salt", "uid"})
_OPEN = frozenset({"public_key", "certificate"})

_DETAILS = prepare(
    select(
        *(accounts.c[name] for name in ("display_name", "delay", "created_day")),
        accounts.c.used_bytes,
        select(func.count())
        .where(messages.c.account == accounts.c.id)
        .scalar_subquery(),
    ).where(accounts.c.id == bindparam("account")),
    "account",
)
_STANDING = prepare(select(standings).where(standings.c.tag == bindparam("tag")), "tag")


@frozen(eq=False)
class Dossier:
    """Reads what is stored about an account, with a crew of readers.

    `limit` is a mailbox's, in octets. Without the ledger and the roll, which need the
    node's key, nothing is there that they would find.
    """

    _readers: Crew[sqlite3.Connection] = field(repr=False)
    _limit: int
    _ledger: Ledger | None = None
    _roll: Roll | None = None

    def details(self, visitor: Visitor) -> Deferred[Details | None]:
        """Fire with the account as its owner sees it, None if it is gone."""
        return self._readers.call(partial(self._details, visitor=visitor))

    def facts(self, account: int) -> Deferred[Sequence[Fact]]:
        """Fire with every stored field about an account, table by table.

        A table without a row of the account's is left out. Fails with SealError for
        what should open with the node's key and does not.
        """
        return self._readers.call(partial(self._facts, account=account))

    def _details(
        self, connection: sqlite3.Connection, visitor: Visitor
    ) -> Details | None:
        row = connection.execute(_DETAILS, (visitor.account,)).fetchone()
        if row is None:
            return None
        display_name, delay, created_day, used, count = row
        return Details(
            visitor.name, display_name, delay, created_day, used, self._limit, count
        )

    def _facts(self, connection: sqlite3.Connection, account: int) -> list[Fact]:
        connection.execute("BEGIN")  # one moment's, over all tables
        try:
            return [
                fact
                for table in metadata.tables.values()
                for fact in self._of_table(connection, table, account)
            ]
        finally:
            connection.execute("COMMIT")

    def _of_table(
        self, connection: sqlite3.Connection, table: Table, account: int
    ) -> Iterator[Fact]:
        if table is standings:
            return self._standing(connection, account)
        mine = _of_account(table)
        if mine is None:
            return iter(())
        if table.name in _SINGLE:
            return _single(connection, table, mine, account)
        return self._many(connection, table, mine, account)

    def _standing(self, connection: sqlite3.Connection, account: int) -> Iterator[Fact]:
        if self._ledger is None:
            return
        row = connection.execute(_STANDING, (self._ledger.tag(account),)).fetchone()
        if row is None:
            return
        opened = {"sealed": _standing_told(self._ledger.read(connection, account))}
        for column, value in zip(standings.columns, row, strict=True):
            told = _told(column, value)
            if column.name in opened:
                told = f"{told}; in it: {opened[column.name]}"
            yield Fact(standings.name, column.name, told)

    def _many(
        self,
        connection: sqlite3.Connection,
        table: Table,
        mine: Column[Any],
        account: int,
    ) -> Iterator[Fact]:
        """Tell of all rows at once, column by column."""
        counted = select(
            func.count(),
            *(_measure(column) for column in table.columns),
            *(func.count(column) for column in table.columns),
        ).where(mine == bindparam("account"))
        rows, *found = connection.execute(
            prepare(counted, "account"), (account,)
        ).fetchone()
        if not rows:
            return
        width = len(table.columns)
        for column, sum_, set_ in zip(
            table.columns, found[:width], found[width:], strict=True
        ):
            told = _told_together(column, mine, rows, set_, sum_ or 0)
            if table.name == "watches" and column.name == "sealed" and self._roll:
                news = self._roll.about(connection, account)
                told += "".join(f"; {_news_told(*one)}" for one in news)
            yield Fact(table.name, column.name, told)


def _of_account(table: Table) -> Column[Any] | None:
    """Return the column that says whose a row is, None for a table without one."""
    if table is accounts:
        return accounts.c.id
    naming = (one for one in table.columns if one.references(accounts.c.id))
    return next(naming, None)


def _single(
    connection: sqlite3.Connection, table: Table, mine: Column[Any], account: int
) -> Iterator[Fact]:
    statement = prepare(select(table).where(mine == bindparam("account")), "account")
    for row in connection.execute(statement, (account,)):
        for column, value in zip(table.columns, row, strict=True):
            yield Fact(table.name, column.name, _told(column, value))


def _measure(column: Column[Any]) -> Any:
    """Return what is asked of a column of many rows: a sum of sizes."""
    told = column.name == "padded_bytes"
    return func.sum(column if told else func.length(column))


def _told(column: Column[Any], value: Any) -> str:
    """Return one value in plain words."""
    special = _SPECIAL.get((column.table.name, column.name))
    if special is not None:
        return special(value)
    if isinstance(value, bytes):
        return f"{_kind(column)}{len(value)} octets"
    if column.name in _DAYS:
        return _day(value)
    return "none" if value in (None, "") else str(value)


def _told_together(
    column: Column[Any], mine: Column[Any], rows: int, filled: int, total: int
) -> str:
    """Return what a column holds in many rows, of which `filled` hold something."""
    if column is mine:
        return _counted(rows, "row")
    if column.name == "padded_bytes":
        return f"{_counted(rows, column.table.name.removesuffix('s'))}, {octets(total)}"
    if isinstance(column.type, LargeBinary):
        return f"{_counted(filled, 'time')}: {_kind(column)}{octets(total)} in all"
    return _counted(filled, "value")


def _kind(column: Column[Any]) -> str:
    for names, words in (
        (_HASHES, "a hash, "),
        (_RANDOM, "random, "),
        (_OPEN, "public, "),
    ):
        if column.name in names:
            return words
    return "sealed, "


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _day(day: int) -> str:
    moment = datetime.fromtimestamp(day * DAY_SECONDS, UTC)
    return f"{moment.day} {moment:%B %Y}"


def _standing_told(standing: Standing) -> str:
    told = [f"on {_day(standing.day)} {_counted(standing.spent, 'recipient')} used"]
    if standing.bought_today:
        told.append(f"{standing.bought_today} bought that day")
    if standing.until:
        until = datetime.fromtimestamp(standing.until, UTC)
        told.append(
            f"{standing.bought} of those bought left until "
            f"{_day(standing.until // DAY_SECONDS)}, {until:%H:%M} UTC"
        )
    return ", ".join(told)


def _news_told(waiting: bool, day: int) -> str:
    told = "it is still to be told" if waiting else "nothing is to be told"
    return f"{told}, mail last came {'on ' + _day(day) if day else 'never'}"


_SPECIAL: Mapping[tuple[str, str], Callable[[Any], str]] = {
    ("accounts", "disabled"): lambda value: "yes" if value else "no",
    ("accounts", "delay"): lambda value: value or "the node's own",
    ("accounts", "memory_kib"): lambda value: octets(value * 1024),
    ("accounts", "used_bytes"): octets,
    ("accounts", "public_key"): lambda value: value.hex(),
}
