"""Who is a member, as the servers ask it: at each login and at each RCPT."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from attrs import define, fields
from sqlalchemy import bindparam, select
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from postmand.interfaces import Credential, IAccounts, Member, Recipient
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.keyring import opened
from postmand.store.passwords import RECOVERY_COST, Wrapped, by_recovery, unwrap
from postmand.store.schema import accounts
from postmand.store.stamp import Stamp

T = TypeVar("T")

# How many accounts are remembered, about 1 KiB each.
MOST_REMEMBERED = 20_000

# In the order of Credential's fields; only the row's own number has another name.
_COLUMNS = ("id", *(attribute.name for attribute in fields(Credential)[1:]))

_ACCOUNT = prepare(
    select(*(accounts.c[name] for name in _COLUMNS), accounts.c.used_bytes).where(
        accounts.c.name == bindparam("name")
    ),
    "name",
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


@define
class Known:
    """An account as it was read: `used` follows what is delivered since."""

    credential: Credential
    used: int
    stamp: int | None = None


def read_account(connection: sqlite3.Connection, name: str) -> Known | None:
    """Return the account called `name`, or None."""
    row = connection.execute(_ACCOUNT, (name,)).fetchone()
    if row is None:
        return None
    account, called, version, disabled, *rest, used = row
    return Known(Credential(account, called, version, bool(disabled), *rest), used)


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
class Accounts:
    """The accounts, read in the crew's threads and remembered while nothing changes.

    `limit` is a mailbox's, in octets. What is remembered is good for as long as the
    stamp does not move; a mailbox's use is kept up by `grown` and `forget`, and checked
    again where it counts, in the transaction that delivers.
    """

    def __init__(
        self,
        crew: Crew[sqlite3.Connection],
        limit: int,
        stamp: Stamp,
        most: int = MOST_REMEMBERED,
    ) -> None:
        self._crew = crew
        self._limit = limit
        self._stamp = stamp
        self._most = most
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._names: dict[int, str] = {}
        self._forgotten = 0

    def credential(self, name: str) -> Deferred[Credential | None]:
        """Fire with the credential of the account called `name`, or None."""
        return self._account(name, _credential)

    def recipient(self, name: str) -> Deferred[Recipient | None]:
        """Fire with the account that takes mail for `name`, or None."""
        return self._account(name, self._recipient)

    def grown(self, account: int, octets: int) -> None:
        """Note that a mailbox took mail of so many octets."""
        known = self._known.get(self._names.get(account, ""))
        if known is not None:
            known.used += octets

    def forget(self, account: int) -> None:
        """Note that a mailbox lost mail: how much it holds is to be read anew."""
        self._forgotten += 1
        self._known.pop(self._names.pop(account, ""), None)

    def _account(self, name: str, seen: Callable[[Known | None], T]) -> Deferred[T]:
        stamp = self._stamp.read()
        known = self._known.get(name)
        if known is not None and stamp is not None and known.stamp == stamp:
            return succeed(seen(known))
        read = self._crew.call(partial(read_account, name=name))
        return read.addCallback(self._learnt, stamp, self._forgotten).addCallback(seen)

    def _learnt(
        self, known: Known | None, stamp: int | None, forgotten: int
    ) -> Known | None:
        """Remember an account, unless it may have changed while it was read."""
        if known is not None and stamp is not None and forgotten == self._forgotten:
            known.stamp = stamp
            credential = known.credential
            self._known[credential.name] = known
            self._known.move_to_end(credential.name)
            self._names[credential.account] = credential.name
            if len(self._known) > self._most:
                _, oldest = self._known.popitem(last=False)
                self._names.pop(oldest.credential.account, None)
        return known

    def _recipient(self, known: Known | None) -> Recipient | None:
        if known is None or known.credential.disabled:
            return None
        credential = known.credential
        return Recipient(
            credential.account,
            credential.name,
            credential.public_key,
            max(0, self._limit - known.used),
        )


def _credential(known: Known | None) -> Credential | None:
    return None if known is None else known.credential
