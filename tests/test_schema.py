"""The tables, their migrations, and the file they lie in."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import bindparam, create_engine, select
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import StoreBusyError
from postmand.store import database
from postmand.store import upgrade as upgrade_module
from postmand.store.checkup import problems
from postmand.store.database import connect, database_path, make_engine, passing
from postmand.store.migrations import HEAD
from postmand.store.schema import accounts, metadata
from postmand.store.upgrade import NewerSchemaError, upgrade

COLUMNS = [column for table in metadata.tables.values() for column in table.columns]


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_every_column_says_what_it_holds(column):
    """One sentence for each, so that docs/privacy.rst can be held against it."""
    assert column.comment
    assert column.comment.endswith(".")
    assert len(column.comment) > 20


def test_no_column_holds_a_time_finer_than_a_day():
    """No date type, and whatever is called a day is a whole number of them."""
    for column in COLUMNS:
        assert column.type.python_type in (int, str, bytes)
        assert not any(word in column.name for word in ("time", "date", "last", "peer"))


def test_newest_migration_is_head():
    """The constant that spares us Alembic at each start is Alembic's own answer."""
    config = Config()
    config.set_main_option("script_location", "postmand.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "postgresql://x/y"])
def test_other_databases_are_refused(url):
    """Only sqlite:///PATH names a database here."""
    with pytest.raises(ValueError, match="sqlite:///"):
        database_path(url)


def test_prepare_checks_the_order_of_parameters():
    """A statement whose parameters stand otherwise is a fault at import."""
    statement = select(accounts.c.id).where(accounts.c.name == bindparam("name"))
    assert "?" in database.prepare(statement, "name")
    with pytest.raises(TypeError):
        database.prepare(statement, "nome")


def test_passing_errors():
    """What may pass by itself has a name of its own; the rest has not."""
    full = sqlite3.OperationalError("anything")
    full.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    full.sqlite_errorname = "SQLITE_IOERR_WRITE"
    assert passing(full).args == ("SQLITE_IOERR_WRITE",)
    assert passing(OSError(28, "x", "/secret/path")).args == (os.strerror(28),)
    busy = StoreBusyError("x")
    assert passing(busy) is busy
    assert passing(sqlite3.IntegrityError("x")) is None
    assert passing(ValueError("x")) is None


@pytest.mark.long
class UpgradeTests(SynchronousTestCase):
    """From nothing, from an older schema, from today's, from tomorrow's."""

    def setUp(self):
        """A directory without a database."""
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "state" / "postmand.db"
        self.url = f"sqlite:///{self.path}"

    def rows(self, path: Path, sql: str):
        """Ask a database."""
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(sql).fetchall()

    def make_older(self, version: str = "0000"):
        """Make a database of an older schema, with something in it."""
        self.path.parent.mkdir()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(
                "CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY);"
                f"INSERT INTO alembic_version VALUES ('{version}');"
                "CREATE TABLE old (a); INSERT INTO old VALUES ('kept');"
            )

    def test_from_nothing(self):
        """The migrations make exactly what schema.py describes."""
        upgrade(self.url)
        with make_engine(self.path).connect() as connection:
            context = MigrationContext.configure(connection)
            self.assertEqual(compare_metadata(context, metadata), [])
        for (sql,) in self.rows(
            self.path,
            "SELECT sql FROM sqlite_master WHERE name IN "
            "('accounts', 'messages', 'thread_ids')",
        ):
            self.assertIn("STRICT", sql)

    def test_indexes(self):
        """Those of the migrations are schema.py's, with the conditions of partial ones.

        Alembic compares no conditions.
        """
        upgrade(self.url)
        described = self.directory / "described.db"
        engine = create_engine(f"sqlite:///{described}")
        self.addCleanup(engine.dispose)
        metadata.create_all(engine)
        ask = (
            "SELECT name, sql FROM sqlite_master"
            " WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        )
        found = self.rows(self.path, ask)
        self.assertGreater(len(found), 8)
        self.assertEqual(found, self.rows(described, ask))

    def test_rows_have_no_order_but_the_needed_one(self):
        """thread_ids has no row numbers; messages never use one twice."""
        upgrade(self.url)
        tables = dict(self.rows(self.path, "SELECT name, sql FROM sqlite_master"))
        self.assertIn("WITHOUT ROWID", tables["thread_ids"])
        self.assertIn("AUTOINCREMENT", tables["messages"])
        self.assertNotIn("AUTOINCREMENT", tables["accounts"])

    def test_modes(self):
        """Directory 0700; database, log and index 0600, whatever the umask."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        upgrade(self.url)
        with closing(connect(self.path)) as connection:
            connection.execute("CREATE TABLE t (a)")
            modes = {
                file.name: stat.S_IMODE(file.stat().st_mode)
                for file in self.path.parent.iterdir()
            }
        self.assertEqual(set(modes.values()), {0o600})
        self.assertEqual(len(modes), 3)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_directory_of_others_is_not_touched(self):
        """A database in a shared directory does not close that directory."""
        self.directory.chmod(0o755)
        upgrade(f"sqlite:///{self.directory}/postmand.db")
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o755)

    def test_twice_is_once(self):
        """Today's schema is left alone, and no copy is made."""
        upgrade(self.url)
        with mock.patch.object(upgrade_module, "_migrate") as migrate:
            upgrade(self.url)
        migrate.assert_not_called()
        self.assertEqual([f.name for f in self.path.parent.iterdir()], ["postmand.db"])

    def test_biff_comes_to_a_node_with_members(self):
        """What was there stays, and its accounts can be watched, none else."""
        self.path.parent.mkdir()
        self.path.touch()
        alembic = Config()
        alembic.set_main_option("script_location", "postmand.store:migrations")
        with make_engine(self.path).begin() as connection:
            alembic.attributes["connection"] = connection
            command.upgrade(alembic, "0002")
        columns = (
            "(7, 'jondoe', '', 0, 1, 1, x'', x'', 1, 8, x'', x'', x'', x'', x'', 0, '')"
        )
        with closing(connect(self.path)) as connection:
            connection.execute(f"INSERT INTO accounts VALUES {columns}")
            connection.execute("INSERT INTO stamps VALUES (x'01', 20779)")
        upgrade(self.url)
        self.assertEqual(
            self.rows(self.path, "SELECT name FROM accounts"), [("jondoe",)]
        )
        self.assertEqual(self.rows(self.path, "SELECT * FROM stamps"), [(b"\1", 20779)])
        with closing(connect(self.path)) as connection:
            connection.execute("INSERT INTO watches VALUES (x'01', 7, x'')")
            with self.assertRaises(sqlite3.IntegrityError):
                connection.execute("INSERT INTO watches VALUES (x'02', 8, x'')")
            with self.assertRaises(sqlite3.IntegrityError):
                connection.execute("DELETE FROM accounts")

    def test_pages_come_to_a_node_with_members(self):
        """What was there stays, its accounts can have keys, and names can be closed."""
        self.path.parent.mkdir()
        self.path.touch()
        alembic = Config()
        alembic.set_main_option("script_location", "postmand.store:migrations")
        with make_engine(self.path).begin() as connection:
            alembic.attributes["connection"] = connection
            command.upgrade(alembic, "0003")
        columns = (
            "(7, 'jondoe', '', 0, 1, 1, x'', x'', 1, 8, x'', x'', x'', x'', x'', 0, '')"
        )
        with closing(connect(self.path)) as connection:
            connection.execute(f"INSERT INTO accounts VALUES {columns}")
            connection.execute("INSERT INTO watches VALUES (x'01', 7, x'')")
        upgrade(self.url)
        self.assertEqual(self.rows(self.path, "SELECT account FROM watches"), [(7,)])
        with closing(connect(self.path)) as connection:
            connection.execute("INSERT INTO public_keys VALUES (7, 'h', 'f', x'00')")
            connection.execute("INSERT INTO closed_names VALUES (x'01', 20779)")
            for row in ("(7, 'i', 'f', x'')", "(8, 'i', 'f', x'')"):
                with self.assertRaises(sqlite3.IntegrityError):
                    connection.execute(f"INSERT INTO public_keys VALUES {row}")
            with self.assertRaises(sqlite3.IntegrityError):
                connection.execute("DELETE FROM accounts")

    def test_no_alembic_where_there_is_nothing_to_do(self):
        """A usual start does not load the migration tools."""
        upgrade(self.url)
        code = (
            "import sys; from postmand.store.upgrade import upgrade;"
            f"upgrade({self.url!r}); print('alembic' in sys.modules)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
        self.assertEqual(ran.stdout.strip(), "False")

    def test_older_database_is_copied_first(self):
        """The copy is there, whole, synced and closed off before anything changes."""
        self.make_older()
        copy = self.path.with_name("postmand.db.schema-0000")
        seen = []

        def migrate(path):
            self.assertEqual(self.rows(copy, "SELECT a FROM old"), [("kept",)])
            self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
            self.assertGreaterEqual(fsync.call_count, 2)  # the file and its name
            seen.append(path)

        with (
            mock.patch.object(upgrade_module, "_migrate", migrate),
            mock.patch.object(os, "fsync", wraps=os.fsync) as fsync,
        ):
            upgrade(self.url)
        self.assertEqual(seen, [self.path])
        self.assertEqual(
            sorted(f.name for f in self.path.parent.iterdir()),
            ["postmand.db", "postmand.db.schema-0000"],
        )

    def test_failed_copy_stops_the_migration(self):
        """No copy, no change."""
        self.make_older()
        with (
            mock.patch.object(upgrade_module, "_migrate") as migrate,
            mock.patch.object(os, "fsync", side_effect=OSError(28, "full")),
            self.assertRaises(OSError),
        ):
            upgrade(self.url)
        migrate.assert_not_called()
        self.assertEqual(self.rows(self.path, "SELECT a FROM old"), [("kept",)])

    def test_failed_migration_changes_nothing(self):
        """One transaction: what a migration began is undone."""
        upgrade(self.url)
        with closing(sqlite3.connect(self.path)) as connection:
            # An older state in which the second table is in the way of the first.
            connection.executescript(
                "DROP TABLE accounts; DROP TABLE thread_ids;"
                "DELETE FROM alembic_version;"
            )
        before = self.rows(self.path, "SELECT name FROM sqlite_master ORDER BY name")
        with self.assertRaises(Exception) as caught:
            upgrade(self.url)
        self.assertIn("messages", str(caught.exception))
        after = self.rows(self.path, "SELECT name FROM sqlite_master ORDER BY name")
        self.assertEqual(before, after)

    def test_newer_database_is_left_alone(self):
        """An old program does not touch a new one's data."""
        self.make_older("9999")
        with self.assertRaises(NewerSchemaError):
            upgrade(self.url)
        self.assertEqual(self.rows(self.path, "SELECT a FROM old"), [("kept",)])

    def test_pragmas(self):
        """A commit is synced, keys are enforced, what is deleted is overwritten."""
        upgrade(self.url)
        with closing(connect(self.path)) as connection:
            told = {
                name: connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in (
                    *("journal_mode", "synchronous", "foreign_keys"),
                    *("secure_delete", "page_size", "busy_timeout"),
                )
            }
        self.assertEqual(
            told,
            {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": 1,
                "secure_delete": 2,
                "page_size": 8192,
                "busy_timeout": 5000,
            },
        )

    def test_checkup_of_a_good_store_and_a_missing_one(self):
        """Nothing to tell of a new store; of none, that it is not there."""
        state = self.path.parent
        (line,) = problems(self.url, state)
        self.assertIn("no database", line)
        upgrade(self.url)
        (state / "bodies").mkdir(mode=0o700)
        self.assertEqual(problems(self.url, state), [])

    def test_checkup_tells_each_fault(self):
        """Modes, another schema, a count gone wrong, a file lost, a broken file."""
        upgrade(self.url)
        state = self.path.parent
        (state / "bodies").mkdir(mode=0o700)
        self.path.chmod(0o640)
        (line,) = problems(self.url, state)
        self.assertIn("chmod 600", line)
        self.path.chmod(0o600)
        with closing(connect(self.path)) as connection:
            connection.execute(
                "INSERT INTO accounts VALUES (1, 'jondoe', '', 0, 1, 1, x'', x'', 1, 8,"
                " x'', x'', x'', x'', x'', 100, '')"
            )
            connection.execute(
                "INSERT INTO messages (account, uid, padded_bytes, file, sealed_key,"
                " card) VALUES (1, x'', 99, 'lost', x'', x'')"
            )
        missing, counted = problems(self.url, state)
        self.assertIn("bodies/lost: missing", missing)
        self.assertIn("account jondoe", counted)
        with closing(connect(self.path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
        (line,) = problems(self.url, state)
        self.assertIn("the schema is 0000", line)
        self.path.write_bytes(b"no database at all" * 1000)
        (line,) = problems(self.url, state)
        self.assertIn("postmand.db", line)
