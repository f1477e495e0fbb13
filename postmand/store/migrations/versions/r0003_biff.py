"""Who is told on IRC that mail came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_WIDE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the watches."""
    op.create_table(
        "watches",
        sa.Column("tag", sa.LargeBinary, primary_key=True),
        sa.Column("account", _WIDE, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("watches_by_account", "watches", ["account"])
