"""Opening a mailbox: its cards, and its messages, with the member's key.

Plain functions on a connection, for the readers' threads and for tools that export.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from io import BytesIO
from typing import BinaryIO

from attrs import frozen
from sqlalchemy import bindparam, select

from postmand.interfaces import Entry, Member
from postmand.message.headers import thread_ids
from postmand.store.bodies import Bodies
from postmand.store.database import prepare
from postmand.store.schema import messages
from postmand.store.seal import SealError, open_body, open_card, open_key

_NUMBERS = prepare(
    select(messages.c.id)
    .where(messages.c.account == bindparam("account"))
    .order_by(messages.c.id),
    "account",
)
_CARDS = prepare(
    select(messages.c.id, messages.c.uid, messages.c.sealed_key, messages.c.card)
    .where(
        messages.c.account == bindparam("account"),
        messages.c.id >= bindparam("first"),
        messages.c.id <= bindparam("last"),
    )
    .order_by(messages.c.id),
    *("account", "first", "last"),
)
_of_account = (
    messages.c.account == bindparam("account"),
    messages.c.id == bindparam("number"),
)
_CARD = prepare(select(messages.c.card).where(*_of_account), "account", "number")
_MESSAGE = prepare(
    select(messages.c.card, messages.c.file, messages.c.body).where(*_of_account),
    *("account", "number"),
)


@frozen(eq=False)
class OpenBody:
    """A long body on its way out. `close` lets go of the file behind it."""

    pieces: Iterator[bytes]
    file: BinaryIO

    def close(self) -> None:
        """Close the file; may be called twice, never while a piece is being read."""
        self.file.close()


@frozen(eq=False)
class OpenMessage:
    """A message read back: a short body is whole, of a long one there is the rest."""

    header: bytes
    body: bytes = b""
    rest: OpenBody | None = None


def numbers(connection: sqlite3.Connection, member: Member) -> list[int]:
    """Return the numbers of a mailbox's messages, oldest first."""
    return [number for (number,) in connection.execute(_NUMBERS, (member.account,))]


def entries(
    connection: sqlite3.Connection, member: Member, first: int, last: int
) -> list[Entry]:
    """Open the cards of the messages numbered `first` to `last`, oldest first.

    One card is in memory at a time; raises SealError if one does not open.
    """
    opened = []
    found = connection.execute(_CARDS, (member.account, first, last))
    with closing(found) as rows:  # an error must not leave a snapshot open behind it
        for number, uid, sealed_key, sealed_card in rows:
            key = open_key(sealed_key, member.public_key, member.secret_key)
            card = open_card(sealed_card, uid, key)
            opened.append(Entry(number, uid, card.size, key, thread_ids(card.header)))
    return opened


def header(connection: sqlite3.Connection, member: Member, entry: Entry) -> OpenMessage:
    """Open a message's header block alone; LookupError if it is gone."""
    row = connection.execute(_CARD, (member.account, entry.number)).fetchone()
    if row is None:
        raise LookupError("the message was removed")
    return OpenMessage(open_card(row[0], entry.uid, entry.key).header)


def message(
    connection: sqlite3.Connection, bodies: Bodies, member: Member, entry: Entry
) -> OpenMessage:
    """Open a message; LookupError if it is gone, SealError if it does not open.

    Of a body that is a file the first piece is read; the caller closes the rest.
    """
    row = connection.execute(_MESSAGE, (member.account, entry.number)).fetchone()
    if row is None:
        raise LookupError("the message was removed")
    sealed_card, name, body = row
    card = open_card(sealed_card, entry.uid, entry.key)
    if name is None:
        read = BytesIO(body).read
        pieces = open_body(read, card.body_size, entry.key)
        return OpenMessage(card.header, b"".join(pieces))
    try:
        file = bodies.open(name)
    except FileNotFoundError as error:
        if connection.execute(_CARD, (member.account, entry.number)).fetchone():
            raise SealError("the file of a body is missing") from error
        raise LookupError("the message was removed") from error
    with ExitStack() as undo:
        undo.callback(file.close)
        pieces = open_body(file.read, card.body_size, entry.key)
        first = next(pieces, b"")
        undo.pop_all()
    return OpenMessage(card.header, first, OpenBody(pieces, file))


def several(
    connection: sqlite3.Connection,
    bodies: Bodies,
    member: Member,
    wanted: Sequence[Entry],
) -> list[OpenMessage]:
    """Open messages in the order wanted; all, or an error and nothing held open."""
    opened: list[OpenMessage] = []
    try:
        for entry in wanted:
            opened.append(message(connection, bodies, member, entry))  # noqa: PERF401 - closed below if one fails
    except BaseException:
        for done in opened:
            if done.rest is not None:
                done.rest.close()
        raise
    return opened
