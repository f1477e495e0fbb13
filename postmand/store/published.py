"""Members' OpenPGP keys, for all members to see. Nothing of it is secret."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from functools import partial

from attrs import field, frozen
from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert
from twisted.internet.defer import Deferred

from postmand.interfaces import NoSuchMailboxError
from postmand.membership import PublishedKey, Visitor
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.schema import accounts, public_keys
from postmand.store.writer import Writer

# draft-koch-openpgp-webkey-service 3.1: z-base-32 of RFC 6189 5.1.6.
_LETTERS = "ybndrfg8ejkmcpqxot1uwisza345h769"
_BITS = 5


def _shown() -> Select[tuple[str, str, bytes]]:
    return (
        select(accounts.c.name, public_keys.c.fingerprint, public_keys.c.certificate)
        .join(accounts, accounts.c.id == public_keys.c.account)
        .where(accounts.c.disabled == bindparam("zero"))
    )


_FROM = prepare(
    _shown()
    .where(accounts.c.name >= bindparam("start"))
    .order_by(accounts.c.name)
    # SQLite's words for a limit are never without an offset here.
    .limit(bindparam("most"))
    .offset(bindparam("skip")),
    *("zero", "start", "most", "skip"),
)
_BY_NAME = prepare(
    _shown().where(accounts.c.name == bindparam("name")), *("zero", "name")
)
_BY_HASH = prepare(
    _shown().where(public_keys.c.wkd_hash == bindparam("digest")), *("zero", "digest")
)
_OPEN = prepare(
    select(accounts.c.name).where(
        accounts.c.id == bindparam("account"),
        accounts.c.disabled == bindparam("zero"),
    ),
    *("account", "zero"),
)
_put = upsert(public_keys).values(
    {
        name: bindparam(name)
        for name in ("account", "wkd_hash", "fingerprint", "certificate")
    }
)
_PUT = prepare(
    _put.on_conflict_do_update(
        index_elements=[public_keys.c.account],
        set_={
            "wkd_hash": _put.excluded.wkd_hash,
            "fingerprint": _put.excluded.fingerprint,
            "certificate": _put.excluded.certificate,
        },
    ),
    *("account", "wkd_hash", "fingerprint", "certificate"),
)
_REMOVE = prepare(
    delete(public_keys).where(public_keys.c.account == bindparam("account")), "account"
)


def wkd_hash(name: str) -> str:
    """Return what a Web Key Directory knows a local part by: 32 letters.

    z-base-32 of the SHA-1 of the lower-cased local part
    (draft-koch-openpgp-webkey-service 3.1).
    """
    digest = hashlib.sha1(name.lower().encode(), usedforsecurity=False).digest()
    number, length = int.from_bytes(digest, "big"), len(digest) * 8
    return "".join(
        _LETTERS[number >> at & 31] for at in range(length - _BITS, -1, -_BITS)
    )


@frozen(eq=False)
class Published:
    """The keys behind the writer and a crew of readers. Closed accounts show none."""

    _writer: Writer = field(repr=False)
    _readers: Crew[sqlite3.Connection] = field(repr=False)

    def put(
        self, visitor: Visitor, fingerprint: str, certificate: bytes
    ) -> Deferred[PublishedKey]:
        """Publish a key in place of one before; fire with it once it is on the disk.

        Fails with NoSuchMailboxError where the account is gone or closed.
        """
        return self._writer.change(
            partial(
                _publish,
                account=visitor.account,
                fingerprint=fingerprint,
                certificate=certificate,
            )
        )

    def remove(self, visitor: Visitor) -> Deferred[None]:
        """Take the account's key back, if there is one."""
        return self._writer.change(partial(_remove, account=visitor.account))

    def names(self, start: str, most: int) -> Deferred[Sequence[PublishedKey]]:
        """Fire with up to `most` keys of names from `start` on, by name."""
        return self._readers.call(partial(_read, sql=_FROM, values=(0, start, most, 0)))

    def by_name(self, name: str) -> Deferred[PublishedKey | None]:
        """Fire with one account's key, or None."""
        return self._readers.call(partial(_first, sql=_BY_NAME, value=name))

    def by_hash(self, digest: str) -> Deferred[PublishedKey | None]:
        """Fire with the key whose account's name has this hash, or None."""
        return self._readers.call(partial(_first, sql=_BY_HASH, value=digest))


def _publish(
    connection: sqlite3.Connection, account: int, fingerprint: str, certificate: bytes
) -> PublishedKey:
    found = connection.execute(_OPEN, (account, 0)).fetchone()
    if found is None:
        raise NoSuchMailboxError(str(account))
    (name,) = found
    connection.execute(_PUT, (account, wkd_hash(name), fingerprint, certificate))
    return PublishedKey(name, fingerprint, certificate)


def _remove(connection: sqlite3.Connection, account: int) -> None:
    connection.execute(_REMOVE, (account,))


def _read(
    connection: sqlite3.Connection, sql: str, values: tuple[object, ...]
) -> list[PublishedKey]:
    return [PublishedKey(*row) for row in connection.execute(sql, values)]


def _first(connection: sqlite3.Connection, sql: str, value: str) -> PublishedKey | None:
    found = _read(connection, sql, (0, value))
    return found[0] if found else None
