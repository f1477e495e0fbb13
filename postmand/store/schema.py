"""The tables. Each column's comment says in one sentence what it holds.

No column holds a peer or the last use of anything, and none a time finer than a day but
the one at which queued mail is due, which is random for who did not choose it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

# SQLite gives an automatic key to a column of type INTEGER only; it is 64 bits wide.
WIDE = BigInteger().with_variant(Integer, "sqlite")


def _random_id(comment: str) -> Column[Any]:
    return Column("id", WIDE, primary_key=True, autoincrement=False, comment=comment)


def _tag(comment: str) -> Column[Any]:
    return Column("tag", LargeBinary, primary_key=True, comment=comment)


def _octets(name: str, comment: str) -> Column[Any]:
    return Column(name, LargeBinary, nullable=False, comment=comment)


def _file() -> Column[Any]:
    return Column(
        "file",
        Text,
        comment="The random name of the file with a long body; empty for a short one.",
    )


def _body() -> Column[Any]:
    return Column(
        "body",
        LargeBinary,
        comment="A short body, sealed and padded; empty where the body is a file.",
    )


def _expires_day() -> Column[Any]:
    return Column(
        "expires_day",
        Integer,
        nullable=False,
        comment="The day after which the row is forgotten, in days since 1970-01-01.",
    )


accounts = Table(
    "accounts",
    metadata,
    _random_id("A random number, so that row order does not tell who came first."),
    Column(
        "name",
        Text,
        nullable=False,
        unique=True,
        comment="The local part of the member's address, in lower case.",
    ),
    Column(
        "display_name",
        Text,
        nullable=False,
        comment="The name the member chose to stand beside the address, or nothing.",
    ),
    Column(
        "disabled",
        Integer,
        nullable=False,
        comment="1 if the operator closed the account, else 0.",
    ),
    Column(
        "created_day",
        Integer,
        nullable=False,
        comment="The day the account was made, in days since 1970-01-01 UTC.",
    ),
    Column(
        "version",
        Integer,
        nullable=False,
        comment="A count of the changes made to this row by its owner or operator.",
    ),
    Column(
        "delay",
        Text,
        nullable=False,
        server_default="",
        comment="The member's choice of when mail for the Internet leaves, or nothing.",
    ),
    _octets("public_key", "The X25519 key that arriving mail is sealed to."),
    _octets("salt", "The random salt of the password's Argon2id."),
    Column(
        "passes",
        Integer,
        nullable=False,
        comment="The number of passes of the password's Argon2id.",
    ),
    Column(
        "memory_kib",
        Integer,
        nullable=False,
        comment="The memory of the password's Argon2id, in KiB.",
    ),
    _octets(
        "verifier",
        "A hash of one half of the password's Argon2id: it checks a password.",
    ),
    _octets(
        "wrapped_key",
        "The secret key, sealed with the other half of the same Argon2id.",
    ),
    _octets("recovery_salt", "The random salt of the recovery code's Argon2id."),
    _octets("recovery_verifier", "A hash of one half of the recovery code's Argon2id."),
    _octets(
        "recovery_wrapped_key",
        "The secret key, sealed with the other half of the code's Argon2id.",
    ),
    Column(
        "used_bytes",
        WIDE,
        nullable=False,
        comment="The sum of padded_bytes over the account's messages.",
    ),
    sqlite_strict=True,
)

# The small columns come first: SQLite reads a row from its start, and whoever looks
# for a size or a file name need not walk through a body.
messages = Table(
    "messages",
    metadata,
    Column(
        "id",
        WIDE,
        primary_key=True,
        autoincrement=True,
        comment="A count over the whole node, never used twice: the order of arrival.",
    ),
    Column(
        "account",
        WIDE,
        ForeignKey("accounts.id"),
        nullable=False,
        comment="The account whose mailbox this message lies in.",
    ),
    _octets("uid", "16 random octets: the message's name in POP3's UIDL."),
    Column(
        "padded_bytes",
        WIDE,
        nullable=False,
        comment="All octets kept for the message: sealed key, card and padded body.",
    ),
    _file(),
    _octets(
        "sealed_key", "The message's two keys, sealed to the account's public key."
    ),
    _octets("card", "The header block and the exact size, sealed and padded."),
    _body(),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)
Index("messages_by_account", messages.c.account, messages.c.id)
Index(
    "messages_by_file",
    messages.c.file,
    unique=True,
    sqlite_where=messages.c.file.is_not(None),
    postgresql_where=messages.c.file.is_not(None),
)

thread_ids = Table(
    "thread_ids",
    metadata,
    _tag("A keyed hash of a Message-ID given out; the key is the member's."),
    _octets(
        "sealed",
        "The Message-ID the member's client used, sealed, of one fixed length.",
    ),
    _expires_day(),
    # Without a row number nothing but the random tag gives the rows an order.
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
Index("thread_ids_by_day", thread_ids.c.expires_day)

# Mail for the Internet. All numbers are random: rows lie in no order of time.
queue_bodies = Table(
    "queue_bodies",
    metadata,
    _random_id("A random number: bodies lie in no order of time."),
    _file(),
    _body(),
    sqlite_strict=True,
)
Index(
    "queue_bodies_by_file",
    queue_bodies.c.file,
    unique=True,
    sqlite_where=queue_bodies.c.file.is_not(None),
    postgresql_where=queue_bodies.c.file.is_not(None),
)

queue_items = Table(
    "queue_items",
    metadata,
    _random_id("A random number; a message gets others at its release."),
    Column(
        "body_id",
        WIDE,
        ForeignKey("queue_bodies.id"),
        nullable=False,
        comment="The body of the message.",
    ),
    Column(
        "stage",
        Integer,
        nullable=False,
        comment="0 waits for its time, 1 waits in the pool, 2 is on its way.",
    ),
    Column(
        "held",
        Integer,
        nullable=False,
        comment="1 if the operator holds it back, else 0.",
    ),
    Column(
        "trying",
        Integer,
        nullable=False,
        comment="1 while a gateway is being asked to take it, else 0.",
    ),
    Column(
        "due",
        WIDE,
        nullable=False,
        comment="The minute at which it is due, in seconds since 1970-01-01 UTC.",
    ),
    Column(
        "owner",
        LargeBinary,
        comment=(
            "In the pool: a keyed hash of the account; of a leg: of its domain; "
            "the key is the node's."
        ),
    ),
    Column(
        "size_class",
        Integer,
        comment="In the pool: which of a few classes of size it belongs to.",
    ),
    _octets("sealed_key", "The card's key, sealed to the node's public key."),
    _octets(
        "card", "Envelope, header block and all else of the message, sealed, padded."
    ),
    sqlite_strict=True,
)
Index(
    "queue_items_by_due",
    queue_items.c.stage,
    queue_items.c.held,
    queue_items.c.trying,
    queue_items.c.due,
    queue_items.c.owner,
)
# The pool's alone. With the stage in it, too, it covers what is asked of it.
Index(
    "queue_items_in_pool",
    queue_items.c.stage,
    queue_items.c.owner,
    queue_items.c.size_class,
    queue_items.c.due,
    sqlite_where=queue_items.c.stage == 1,
    postgresql_where=queue_items.c.stage == 1,
)
Index("queue_items_by_body", queue_items.c.body_id)

standings = Table(
    "standings",
    metadata,
    _tag("A keyed hash of the account; the key is the node's."),
    _octets("sealed", "What the account used and bought, sealed with the node's key."),
    _expires_day(),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
Index("standings_by_day", standings.c.expires_day)

stamps = Table(
    "stamps",
    metadata,
    _tag(
        "A keyed hash of a stamp that was spent, or of a one-time token that was used; "
        "the key is the node's."
    ),
    _expires_day(),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
Index("stamps_by_day", stamps.c.expires_day)

# Who is told on IRC that mail came. Without the node's key nobody can see which of the
# accounts are watched by one nick.
watches = Table(
    "watches",
    metadata,
    _tag("A keyed hash of a nick and one of its places; the key is the node's."),
    Column(
        "account",
        WIDE,
        ForeignKey("accounts.id"),
        nullable=False,
        comment="The account whose mail the nick is told of.",
    ),
    Column(
        "sealed",
        LargeBinary,
        nullable=False,
        comment=(
            "A keyed hash of the nick, whether mail waits to be told, and the day mail "
            "last came, sealed with the node's key."
        ),
    ),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
Index("watches_by_account", watches.c.account)

# What members publish for all to see.
public_keys = Table(
    "public_keys",
    metadata,
    Column(
        "account",
        WIDE,
        ForeignKey("accounts.id"),
        primary_key=True,
        autoincrement=False,
        comment="The account whose key this is.",
    ),
    Column(
        "wkd_hash",
        Text,
        nullable=False,
        unique=True,
        comment="The SHA-1 of the account's name, as a Web Key Directory asks for it.",
    ),
    Column(
        "fingerprint",
        Text,
        nullable=False,
        comment="The fingerprint of the key, in hexadecimal.",
    ),
    _octets("certificate", "The OpenPGP certificate, stripped to the account's own."),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

closed_names = Table(
    "closed_names",
    metadata,
    _tag("A hash of the name of an account that was removed; names can be tried."),
    _expires_day(),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
Index("closed_names_by_day", closed_names.c.expires_day)

node_keys = Table(
    "node_keys",
    metadata,
    Column(
        "name",
        Text,
        primary_key=True,
        comment="What the key is for, as in dkim.",
    ),
    _octets("sealed", "The key, sealed with the node's key."),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
