"""Accounts, messages and thread ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WIDE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the first tables."""
    _accounts()
    _messages()
    _thread_ids()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", _WIDE, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("disabled", sa.Integer, nullable=False),
        sa.Column("created_day", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("passes", sa.Integer, nullable=False),
        sa.Column("memory_kib", sa.Integer, nullable=False),
        sa.Column("verifier", sa.LargeBinary, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("recovery_salt", sa.LargeBinary, nullable=False),
        sa.Column("recovery_verifier", sa.LargeBinary, nullable=False),
        sa.Column("recovery_wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("used_bytes", _WIDE, nullable=False),
        sqlite_strict=True,
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", _WIDE, primary_key=True, autoincrement=True),
        sa.Column("account", _WIDE, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("uid", sa.LargeBinary, nullable=False),
        sa.Column("padded_bytes", _WIDE, nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("card", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("messages_by_account", "messages", ["account", "id"])
    op.create_index(
        "messages_by_file",
        "messages",
        ["file"],
        unique=True,
        sqlite_where=sa.text("file IS NOT NULL"),
        postgresql_where=sa.text("file IS NOT NULL"),
    )


def _thread_ids() -> None:
    op.create_table(
        "thread_ids",
        sa.Column("tag", sa.LargeBinary, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_day", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("thread_ids_by_day", "thread_ids", ["expires_day"])
