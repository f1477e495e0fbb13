"""Who is a member, as the servers ask it: at each login and at each RCPT."""

from __future__ import annotations

import sqlite3
from functools import partial

from attrs import fields, frozen
from sqlalchemy import bindparam, select
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.interfaces import Credential, IAccounts, Member, Recipient
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.keyring import opened
from postmand.store.passwords import RECOVERY_COST, Wrapped, by_recovery, unwrap
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

_RECOVERY = prepare(
    select(
        *(accounts.c[name] for name in ("id", "display_name", "public_key", "version")),
        *(
            accounts.c[name]
            for name in ("recovery_salt", "recovery_verifier", "recovery_wrapped_key")
        ),
    ).where(accounts.c.name == bindparam("name")),
    "name",
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


def unlock_by_recovery(
    connection: sqlite3.Connection, name: str, code: bytes
) -> Member | None:
    """Return the account opened with its recovery code, or None for a wrong one.

    Blocks for one Argon2id. The code stays good, and a disabled account opens too:
    this is for its owner, who wants the mail out, not for a server.
    """
    row = connection.execute(_RECOVERY, (name,)).fetchone()
    if row is None:
        return None
    account, display_name, public_key, version, *wrapped = row
    secret_key = unwrap(Wrapped(*wrapped), code, RECOVERY_COST, by_recovery(account))
    if secret_key is None:
        return None
    return opened(
        account, name, display_name, public_key, version, secret_key=secret_key
    )


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
