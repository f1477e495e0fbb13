"""A writer without a thread, on a database whose connection is a double."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from postmand.store.bodies import Bodies
from postmand.store.database import connect
from postmand.store.rows import Arrival, Changes
from postmand.store.upgrade import upgrade
from postmand.store.writer import Job, Writer

LIMIT = 1000


def sqlite_error(name: str) -> sqlite3.OperationalError:
    """Return an error as SQLite's module raises it."""
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


class Double:
    """A connection that tells what it is asked, and fails where it is told to.

    `faults` are pairs of the start of a statement and what is called then.
    """

    def __init__(self, real: sqlite3.Connection, log: list[str]) -> None:
        self.real = real
        self.log = log
        self.faults: list[tuple[str, Callable[[Double], None]]] = []

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        return self.real.in_transaction

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        """Run a statement."""
        self._note(sql)
        return self.real.execute(sql, values)

    def executemany(self, sql: str, rows: list[Any]) -> sqlite3.Cursor:
        """Run a statement for many rows."""
        self._note(sql, f" x{len(rows)}")
        return self.real.executemany(sql, rows)

    def close(self) -> None:
        """Close the connection."""
        self.log.append("close")
        self.real.close()

    def _note(self, sql: str, count: str = "") -> None:
        self.log.append(" ".join(sql.split()[:2]) + count)
        for start, fault in self.faults:
            if sql.startswith(start):
                fault(self)


class SpyBodies(Bodies):
    """Bodies that tell when they are synced and removed."""

    def __init__(self, directory: Path, log: list[str]) -> None:
        super().__init__(directory)
        self.log = log

    def sync(self) -> None:
        """Sync the directory."""
        self.log.append("sync")
        super().sync()

    def remove(self, names: Any) -> None:
        """Remove files."""
        self.log += [f"remove {name}" for name in names]
        super().remove(names)


class WriterCase(SynchronousTestCase):
    """One batch after the other, in the test's own thread."""

    def setUp(self):
        """A database with three accounts, and a writer without a thread."""
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        self.path = directory / "postmand.db"
        upgrade(f"sqlite:///{self.path}")
        with closing(connect(self.path)) as connection:
            connection.executemany(
                "INSERT INTO accounts VALUES (?, ?, '', 0, 1, 1, x'', x'', 1, 8,"
                " x'', x'', x'', x'', x'', 0, '')",
                [(1, "one"), (2, "two"), (3, "three")],
            )
        self.log: list[str] = []
        self.faults: list[tuple[str, Callable[[Double], None]]] = []
        self.connecting: Callable[[], None] = lambda: None
        bodies = SpyBodies(directory / "bodies", self.log)
        bodies.make()
        self.bodies = bodies
        self.writer = self.make_writer()

    def make_writer(self, waiting: int = 1000) -> Writer:
        """Return a writer whose turns the test takes."""
        return Writer(
            self.connect, self.bodies, self.dispatch, limit=LIMIT, waiting=waiting
        )

    def connect(self):
        """Open a double."""
        self.connecting()
        self.log.append("connect")
        double = Double(connect(self.path), self.log)
        double.real.execute("PRAGMA busy_timeout = 0")
        double.faults = self.faults
        return closing(double)

    def dispatch(self, function):
        """Note that the reactor is called, then run the call."""
        self.log.append("dispatch")
        function()

    def arrival(self, account=1, size=10, **changed):
        """Return an arrival of `size` octets."""
        values = {
            "account": account,
            "name": f"account {account}",
            "uid": b"u",
            "padded_bytes": size,
            "file": None,
            "sealed_key": b"k",
            "card": b"c",
            "body": b"b",
        }
        return Arrival(**values | changed)

    def submit(self, *arrivals, **changes):
        """Submit a job of these changes."""
        made = Changes(arrivals, **changes)
        return self.writer.submit(Job(lambda: made))

    def rows(self, sql="SELECT account, padded_bytes FROM messages ORDER BY id"):
        """Ask the database."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def used(self):
        """Return what the accounts use, in order."""
        return [n for (n,) in self.rows("SELECT used_bytes FROM accounts ORDER BY id")]

    def after_recovery(self):
        """Submit a good job and take a turn."""
        self.faults.clear()
        job = self.submit(self.arrival(3))
        self.writer.turn()
        return job

    def fail_at(self, start, name, times=10**6):
        """Have statements that begin with `start` fail `times` times."""
        left = [times]

        def fault(_):
            if left[0]:
                left[0] -= 1
                raise sqlite_error(name)

        self.faults.append((start, fault))
