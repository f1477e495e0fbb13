"""The database file: where it lies, how it is opened, and SQL compiled once."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement, Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from postmand.interfaces import StoreBusyError

SCHEME = "sqlite:///"
BUSY_SECONDS = 5.0
PAGE_BYTES = 8192
CACHE_KIB = 16 * 1024
# Pages in the log before they are moved into the database file.
CHECKPOINT_PAGES = 2000

_DIALECT = sqlite_dialect.dialect(paramstyle="qmark")

# What a disk or another process does to us, and what passes again (primary codes).
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


class StoreInUseError(Exception):
    """Another node has this state directory open; the argument is its path."""


def database_path(url: str) -> Path:
    """Return the file that `url` (sqlite:///PATH) names, absolute."""
    if not url.startswith(SCHEME) or url == SCHEME:
        raise ValueError('the database must be named like "sqlite:///var/postman.db"')
    return Path(url.removeprefix(SCHEME)).expanduser().absolute()


def make_directory(path: Path) -> None:
    """Make a directory that is its owner's alone; an existing one stays as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_file(path: Path) -> None:
    """Make an empty file of mode 0600, unless it exists; SQLite's log follows it."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def directory_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold `path` against other processes; without `wait` raise StoreInUseError.

    The lock is on the directory itself, so that no file of it is left behind, and it
    goes when the process ends, however it ends.
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise StoreInUseError(str(path)) from error
        yield
    finally:
        os.close(directory)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database file, which must exist.

    Transactions are begun and ended by their users, in words. A commit is on the disk
    when it returns. The connection may go from one thread to another, never be used
    by two at a time.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        for pragma in (
            f"page_size={PAGE_BYTES}",  # heeded by an empty file only
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=FAST",
            "temp_store=MEMORY",  # no temporary file with what was sorted
            f"cache_size=-{CACHE_KIB}",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"journal_size_limit={64 * 1024 * 1024}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def make_engine(path: Path) -> Engine:
    """Return SQLAlchemy's way to the same file, for what is not in a hurry.

    A transaction takes the write lock at once: two that read first and write later
    would have to be refused halfway. With the execution option `reads` it takes none.
    """
    engine = create_engine(
        "sqlite://", creator=lambda: connect(path), poolclass=NullPool
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def prepare(statement: ClauseElement, *order: str) -> str:
    """Compile a statement whose parameters, in the order they stand, are `order`.

    For the driver's own cursor: each run through SQLAlchemy costs some 60 µs more. On
    the path of every message that is felt, elsewhere it is not.
    """
    compiled = statement.compile(dialect=_DIALECT)
    names = tuple(getattr(compiled, "positiontup", None) or ())
    if names != order:
        raise TypeError(f"the statement takes {names}, not {order}")
    return str(compiled)


def passing(error: BaseException) -> StoreBusyError | None:
    """Return the StoreBusyError for an error that may pass by itself, else None.

    Its text is a constant: SQLite's name of the condition, or the system's errno.
    """
    if isinstance(error, StoreBusyError):
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _PASSING:
            return StoreBusyError(error.sqlite_errorname)
    if isinstance(error, OSError):
        return StoreBusyError(os.strerror(error.errno or 0))
    return None


@contextmanager
def busy_named() -> Iterator[None]:
    """Give SQLAlchemy's errors of the disk and of locks the name they have here."""
    try:
        yield
    except OperationalError as error:
        busy = passing(error.orig) if error.orig is not None else None
        if busy is None:
            raise
        raise busy from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads; StoreBusyError for what may pass."""
    with busy_named(), engine.execution_options(reads=True).begin() as connection:
        yield connection
