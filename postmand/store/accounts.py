"""Who is a member, as the servers ask it: at each login and at each RCPT."""

from __future__ import annotations

import sqlite3
from functools import partial

from attrs import fields, frozen
from sqlalchemy import bindparam, select
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.interfaces import Credential, IAccounts, Recipient
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.schema import accounts

# In the order of Credential's fields; only the row's own number has another name.
_COLUMNS = ("id", *(attribute.name for attribute in fields(Credential)[1:]))

_CREDENTIAL = prepare(
    select(*(accounts.c[name] for name in _COLUMNS)).where(
        accounts.c.name == bindparam("name")
    ),
    "name",
)
_RECIPIENT = prepare(
    select(
        accounts.c.id, accounts.c.name, accounts.c.public_key, accounts.c.used_bytes
    ).where(
        accounts.c.name == bindparam("name"), accounts.c.disabled == bindparam("no")
    ),
    *("name", "no"),
)


def read_credential(connection: sqlite3.Connection, name: str) -> Credential | None:
    """Return the credential of the account called `name`, or None."""
    row = connection.execute(_CREDENTIAL, (name,)).fetchone()
    if row is None:
        return None
    account, called, version, disabled, *rest = row
    return Credential(account, called, version, bool(disabled), *rest)


def read_recipient(
    connection: sqlite3.Connection, name: str, limit: int
) -> Recipient | None:
    """Return who takes mail for `name`, or None; `limit` is a mailbox's."""
    row = connection.execute(_RECIPIENT, (name, 0)).fetchone()
    if row is None:
        return None
    account, called, public_key, used = row
    return Recipient(account, called, public_key, max(0, limit - used))


@implementer(IAccounts)
@frozen
class Accounts:
    """The accounts, read in the crew's threads. `limit` is a mailbox's, in octets."""

    _crew: Crew[sqlite3.Connection]
    _limit: int

    def credential(self, name: str) -> Deferred[Credential | None]:
        """Fire with the credential of the account called `name`, or None."""
        return self._crew.call(partial(read_credential, name=name))

    def recipient(self, name: str) -> Deferred[Recipient | None]:
        """Fire with the account that takes mail for `name`, or None."""
        return self._crew.call(partial(read_recipient, name=name, limit=self._limit))
