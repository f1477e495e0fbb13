"""Mail for the Internet: its queue, quotas, stamps, and the node's own secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WIDE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add what mail for the Internet needs."""
    op.add_column(
        "accounts", sa.Column("delay", sa.Text, nullable=False, server_default="")
    )
    _queue_bodies()
    _queue_items()
    _standings()
    _stamps()
    op.create_table(
        "node_keys",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )


def _queue_bodies() -> None:
    op.create_table(
        "queue_bodies",
        sa.Column("id", _WIDE, primary_key=True, autoincrement=False),
        sa.Column("file", sa.Text),
        sa.Column("body", sa.LargeBinary),
        sqlite_strict=True,
    )
    op.create_index(
        "queue_bodies_by_file",
        "queue_bodies",
        ["file"],
        unique=True,
        sqlite_where=sa.text("file IS NOT NULL"),
        postgresql_where=sa.text("file IS NOT NULL"),
    )


def _queue_items() -> None:
    op.create_table(
        "queue_items",
        sa.Column("id", _WIDE, primary_key=True, autoincrement=False),
        sa.Column("body_id", _WIDE, sa.ForeignKey("queue_bodies.id"), nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("trying", sa.Integer, nullable=False),
        sa.Column("due", _WIDE, nullable=False),
        sa.Column("owner", sa.LargeBinary),
        sa.Column("size_class", sa.Integer),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("card", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_index(
        "queue_items_by_due",
        "queue_items",
        ["stage", "held", "trying", "due", "owner"],
    )
    op.create_index(
        "queue_items_in_pool",
        "queue_items",
        ["stage", "owner", "size_class", "due"],
        sqlite_where=sa.text("stage = 1"),
        postgresql_where=sa.text("stage = 1"),
    )
    op.create_index("queue_items_by_body", "queue_items", ["body_id"])


def _standings() -> None:
    op.create_table(
        "standings",
        sa.Column("tag", sa.LargeBinary, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_day", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("standings_by_day", "standings", ["expires_day"])


def _stamps() -> None:
    op.create_table(
        "stamps",
        sa.Column("tag", sa.LargeBinary, primary_key=True),
        sa.Column("expires_day", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("stamps_by_day", "stamps", ["expires_day"])
