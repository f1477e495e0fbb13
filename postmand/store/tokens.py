"""One-time tokens: they show for ten minutes that somebody may speak for an account.

Nothing is stored when one is made. It carries when it ends and a hash, keyed with the
node's key, over that, the account and the account's version; so a change of password or
state ends it, and an account of the same name made later is another. What is stored is
a keyed hash of one that was used, beside the spent stamps.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
from collections.abc import Callable
from struct import Struct

from attrs import field, frozen
from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert
from twisted.internet.defer import Deferred

from postmand.interfaces import Credential, IAccounts
from postmand.store.accounts import read_account
from postmand.store.database import prepare
from postmand.store.nodekey import NodeKey
from postmand.store.recovery import CODE_BYTES, BadCodeError, print_code, read_code
from postmand.store.schema import stamps
from postmand.store.writer import Writer

PREFIX = "biff-"
GOOD_SECONDS = 600
"""For how long a token is good, at least; it ends with the minute after that."""

_MINUTE = 60
_DAY = 86_400
# The minute it ends with, and what makes two of one minute differ.
_HEAD = Struct(">I4s")
_ACCOUNT = Struct(">QQ")
_HASH_BYTES = CODE_BYTES - _HEAD.size
# Longer than any way to write one.
_LONGEST = 100

_SPEND = prepare(
    insert(stamps)
    .values(tag=bindparam("tag"), expires_day=bindparam("day"))
    .on_conflict_do_nothing(),
    *("tag", "day"),
)


@frozen
class Token:
    """A token as it was read: `octets` are the same however it was written."""

    octets: bytes = field(repr=False)

    @property
    def until(self) -> int:
        """When it ends, in seconds since 1970-01-01 UTC."""
        minute: int = _HEAD.unpack_from(self.octets)[0]
        return minute * _MINUTE


def read_token(text: bytes) -> Token | None:
    """Return the token that `text` shows, or None where it shows none.

    Capitals do not matter. It may still be nobody's.
    """
    try:
        shown = text.decode("ascii").strip().lower() if len(text) <= _LONGEST else ""
        if shown.startswith(PREFIX):
            return Token(read_code(shown.removeprefix(PREFIX)))
    except (UnicodeDecodeError, BadCodeError):
        pass
    return None


@frozen
class Mint:
    """Makes tokens and tells them. `now` is in seconds since 1970-01-01 UTC."""

    _key: NodeKey = field(repr=False)

    def make(self, credential: Credential, now: float) -> str:
        """Return a new token for an account, as its owner is to write it."""
        minute = int(now + GOOD_SECONDS) // _MINUTE + 1
        head = _HEAD.pack(minute, os.urandom(4))
        return PREFIX + print_code(head + self._hash(credential, head))

    def is_good(self, token: Token, credential: Credential | None, now: float) -> bool:
        """Tell whether the token is this account's, of its version, and not over.

        It may be spent. A disabled account has none.
        """
        if credential is None or credential.disabled:
            return False
        head = token.octets[: _HEAD.size]
        right = self._hash(credential, head)
        if not hmac.compare_digest(right, token.octets[_HEAD.size :]):
            return False
        # The second holds where the clock was set back.
        return 0 < token.until - now <= GOOD_SECONDS + _MINUTE

    def spend(
        self, connection: sqlite3.Connection, token: Token, name: str, now: float
    ) -> Credential | None:
        """Spend a token in a transaction that writes; return the account it opened.

        None, and nothing is changed, for one that is not good or spent already.
        """
        known = read_account(connection, name)
        if known is None or not self.is_good(token, known.credential, now):
            return None
        # Kept past midnight, and a day more should the clock be set back.
        row = self._key.tag(b"token", token.octets), token.until // _DAY + 1
        spent = connection.execute(_SPEND, row)
        return known.credential if spent.rowcount == 1 else None

    def _hash(self, credential: Credential, head: bytes) -> bytes:
        account = _ACCOUNT.pack(credential.account, credential.version)
        return self._key.tag(b"token for", account, head)[:_HASH_BYTES]


Use = Callable[[sqlite3.Connection, int], object]
"""What a token is spent for, in the transaction that spends it."""


def _nothing(_connection: sqlite3.Connection, _account: int) -> None:
    return None


@frozen(eq=False)
class Tokens:
    """Spends tokens behind the writer."""

    _writer: Writer
    _accounts: IAccounts
    _seconds: Callable[[], float]
    mint: Mint

    def spend(
        self, name: str, secret: bytes, use: Use = _nothing
    ) -> Deferred[Credential | None]:
        """Fire with the account called `name` if `secret` is a token of it, unspent.

        It is spent, and that is on the disk, when this fires; of two that come at once
        one is None. `use` is called with the account in the same transaction, perhaps
        more than once; its error is this one's, and the token is as it was. So it is
        with StoreBusyError.
        """
        return Deferred.fromCoroutine(self._spend(name, secret, use))

    async def _spend(self, name: str, secret: bytes, use: Use) -> Credential | None:
        token = read_token(secret)
        if token is None:
            return None
        now = self._seconds()
        # What is wrong costs the disk nothing.
        credential = await self._accounts.credential(name)
        if not self.mint.is_good(token, credential, now):
            return None

        def spent(connection: sqlite3.Connection) -> Credential | None:
            found = self.mint.spend(connection, token, name, now)
            if found is not None:
                use(connection, found.account)
            return found

        return await self._writer.change(spent)
