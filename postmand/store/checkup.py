"""Looking a store over, for the operator: what is wrong with it, in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import func, select, text

from postmand.store.bodies import Bodies
from postmand.store.database import connect, database_path, prepare
from postmand.store.migrations import HEAD
from postmand.store.queue_rows import NAMED_FILES
from postmand.store.schema import accounts, messages

_sum = (
    select(func.coalesce(func.sum(messages.c.padded_bytes), text("0")))
    .where(messages.c.account == accounts.c.id)
    .scalar_subquery()
)
_MISCOUNTED = prepare(
    select(accounts.c.name)
    .where(accounts.c.used_bytes != _sum)
    .order_by(accounts.c.name),
)


def problems(url: str, state: Path) -> list[str]:
    """Return what is wrong with the store, one line each; nothing is changed.

    Beside a running node, too.
    """
    path = database_path(url)
    if not path.exists():
        return [f"{path}: there is no database; the first start makes it"]
    found = list(_modes(path, state))
    try:
        with closing(connect(path)) as connection:
            found += _contents(connection, Bodies(state / "bodies"))
    except (sqlite3.Error, OSError) as error:
        found.append(f"{path}: {error}")
    return found


def _modes(path: Path, state: Path) -> Iterator[str]:
    """Tell what others than the owner may read."""
    bodies = state / "bodies"
    files = [path, path.with_name(path.name + "-wal"), state, bodies]
    if bodies.is_dir():
        files += sorted(bodies.iterdir())
    for file in files:
        if file.exists() and file.stat().st_mode & 0o077:
            mend = "700" if file.is_dir() else "600"
            yield f"{file}: others may read it; chmod {mend} it"


def _contents(connection: sqlite3.Connection, bodies: Bodies) -> Iterator[str]:
    (version,) = connection.execute(
        "SELECT version_num FROM alembic_version"
    ).fetchone() or ("none",)
    if version != HEAD:
        yield f"the schema is {version}, the program's {HEAD}; start the node once"
        return
    for (line,) in connection.execute("PRAGMA quick_check"):
        if line != "ok":
            yield f"SQLite: {line}"
    named = {name for (name,) in connection.execute(NAMED_FILES)}
    for name in sorted(named - bodies.names()):
        yield f"bodies/{name}: missing, a message cannot be read"
    for (name,) in connection.execute(_MISCOUNTED):
        yield f"account {name}: used_bytes is not the sum of its messages"
