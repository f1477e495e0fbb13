"""Message-IDs given out, and the ids that members' clients know instead.

The id given out is a keyed hash of the client's own id; a row joins the two. Its tag
and its content are made with the member's thread key, so that whoever reads the table
learns neither the member nor an id, and cannot tell which rows are of one member.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from functools import partial

from attrs import frozen
from sqlalchemy import bindparam, select
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.interfaces import IThreads, Member
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.schema import thread_ids
from postmand.store.seal import NONCE_BYTES, decrypt, encrypt

MAX_CLIENT_ID = 250
"""The longest client id, in octets, that a row can keep."""

_ID_BYTES = 20
_TAG_BYTES = 16
_ZEROS = bytes(NONCE_BYTES - _TAG_BYTES)

_SEALED = prepare(
    select(thread_ids.c.sealed).where(thread_ids.c.tag == bindparam("tag")), "tag"
)


@implementer(IThreads)
@frozen
class Threads:
    """The ids of all members. `mail_domain` is the right side of what is given out."""

    _crew: Crew[sqlite3.Connection]
    _domain: str

    def give_out(self, member: Member, client_id: bytes | None) -> bytes:
        """Return the id given out for the client's own id, or a new random one."""
        if client_id is None:
            local = os.urandom(_ID_BYTES)
        else:
            local = _hash(member, b"postmand-id", client_id, _ID_BYTES)
        return b"<%b@%b>" % (local.hex().encode(), self._domain.encode())

    def row(self, member: Member, client_id: bytes) -> tuple[bytes, bytes]:
        """Return (tag, sealed client id) for `IMailboxes.deliver`.

        Raises ValueError for an id of more than 250 octets: it cannot be remembered.
        """
        if len(client_id) > MAX_CLIENT_ID:
            raise ValueError(f"a client id has at most {MAX_CLIENT_ID} octets")
        tag = _tag(member, self.give_out(member, client_id))
        plain = bytes([len(client_id)]) + client_id.ljust(MAX_CLIENT_ID, b"\0")
        # One tag stands for one client id: the same nonce never seals another text.
        return tag, encrypt(plain, tag, tag + _ZEROS, _row_key(member))

    def own(
        self, member: Member, ids: Iterable[bytes]
    ) -> Deferred[Mapping[bytes, bytes]]:
        """Fire with {client id: given-out id} for those of `ids` that are own."""
        given = {one: self.give_out(member, one) for one in ids}
        tags = {one: _tag(member, given[one]) for one in given}
        rows = self._crew.call(partial(_find, tags=tags))
        return rows.addCallback(lambda found: {one: given[one] for one in found})

    def restore(
        self, member: Member, ids: Iterable[bytes]
    ) -> Deferred[Mapping[bytes, bytes]]:
        """Fire with {given-out id: client id} for those of `ids` that are own."""
        tags = {one: _tag(member, one) for one in ids}
        rows = self._crew.call(partial(_find, tags=tags))
        return rows.addCallback(
            lambda found: {
                one: _open(member, tags[one], sealed) for one, sealed in found.items()
            }
        )


def _find(
    connection: sqlite3.Connection, tags: Mapping[bytes, bytes]
) -> dict[bytes, bytes]:
    """Return the sealed ids found under `tags`, by the same keys."""
    found = {}
    for one, tag in tags.items():
        row = connection.execute(_SEALED, (tag,)).fetchone()
        if row is not None:
            found[one] = row[0]
    return found


def _open(member: Member, tag: bytes, sealed: bytes) -> bytes:
    plain = decrypt(sealed, tag, tag + _ZEROS, _row_key(member))
    return plain[1 : 1 + plain[0]]


def _tag(member: Member, given_out: bytes) -> bytes:
    return _hash(member, b"postmand-tag", given_out, _TAG_BYTES)


def _row_key(member: Member) -> bytes:
    return _hash(member, b"postmand-row", b"", 32)


def _hash(member: Member, person: bytes, data: bytes, size: int) -> bytes:
    return hashlib.blake2b(
        data, key=member.thread_key, digest_size=size, person=person
    ).digest()
