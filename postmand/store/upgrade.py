"""Bringing a database to the newest schema, at each start."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from postmand.store.database import (
    connect,
    database_path,
    directory_lock,
    make_directory,
    make_engine,
    make_file,
    sync_directory,
)
from postmand.store.migrations import HEAD


class NewerSchemaError(Exception):
    """A newer program wrote this database; the argument is its schema's version."""


def upgrade(url: str) -> None:
    """Make the database at `url`, or bring an older one to the newest schema.

    An older one is copied first, to a file beside it named after its version, and the
    copy is synced. The migration is one transaction. With nothing to do this costs one
    small query. Raises NewerSchemaError for a database of the future.
    """
    path = database_path(url)
    make_directory(path.parent)
    # Two programs may start at once: the second finds the work done.
    with directory_lock(path.parent, wait=True):
        make_file(path)
        version = _version(path)
        if version == HEAD:
            return
        if version is not None:
            _refuse_newer(version)
            _back_up(path, path.with_name(f"{path.name}.schema-{version}"))
        _migrate(path)
        sync_directory(path.parent)


def _version(path: Path) -> str | None:
    """Return the version of the schema, None for a database without one."""
    with closing(connect(path)) as connection:
        known = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
        if connection.execute(known).fetchone() is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if row is None else str(row[0])


def _refuse_newer(version: str) -> None:
    if version > HEAD:
        raise NewerSchemaError(version)


def _back_up(path: Path, copy: Path) -> None:
    """Copy the database into `copy`, which is whole and durable or not there."""
    unfinished = copy.with_name(copy.name + ".new")
    unfinished.unlink(missing_ok=True)
    make_file(unfinished)
    with (
        closing(connect(path)) as source,
        closing(sqlite3.connect(unfinished)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    descriptor = os.open(unfinished, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.replace(copy)
    sync_directory(copy.parent)


def _migrate(path: Path) -> None:
    # Not at the top: most starts have nothing to migrate, and Alembic is large.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "postmand.store:migrations")
    engine = make_engine(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
