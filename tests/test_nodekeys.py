"""What is kept under the node's key, and the store that was made with one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import StoreBusyError
from postmand.store import database
from postmand.store.nodekey import NodeKeyError
from postmand.store.nodekeys import NodeKeys, has_key, open_node_keys
from postmand.store.seal import SealError
from postmand.store.upgrade import upgrade

pytestmark = pytest.mark.long

MASTER = bytes(range(32))


class Secrets(SynchronousTestCase):
    """What is kept under the node's key, and whose the store is."""

    def setUp(self) -> None:
        """Make a store."""
        self.state = Path(self.mktemp()).absolute()
        self.path = self.state / "postman.db"
        upgrade(f"sqlite:///{self.path}")

    def open(self, source: str = "file:node.key") -> NodeKeys:
        """Open the node's keys."""
        return open_node_keys(self.path, source, self.state, None)

    def rows(self) -> dict[str, bytes]:
        """Return the table."""
        with closing(database.connect(self.path)) as connection:
            return dict(connection.execute("SELECT name, sealed FROM node_keys"))

    def test_put_and_get(self) -> None:
        """What was put last comes back, after a new start too; nothing lies open."""
        keys = self.open()
        self.assertIsNone(keys.get("dkim"))
        keys.put("dkim", b"first secret")
        keys.put("dkim", b"second secret")
        keys.put("link", b"third secret")
        again = self.open()
        self.assertEqual(again.key, keys.key)
        self.assertEqual(again.get("dkim"), b"second secret")
        self.assertEqual(again.names(), ("dkim", "link"))
        self.assertNotIn(b"secret", b"".join(self.rows().values()))

    def test_a_name_of_its_own(self) -> None:
        """The check is no secret's place, and a nameless secret is a fault."""
        for name in ("", "check"):
            self.assertRaises(ValueError, self.open().put, name, b"secret")

    def test_bound_to_the_name(self) -> None:
        """Rows that were swapped do not open."""
        keys = self.open()
        keys.put("dkim", b"one")
        keys.put("link", b"two")
        with closing(database.connect(self.path)) as connection:
            connection.execute(
                "UPDATE node_keys SET sealed = ? WHERE name = 'dkim'",
                (self.rows()["link"],),
            )
        self.assertRaises(SealError, keys.get, "dkim")

    def test_another_key(self) -> None:
        """A start with another key than the store's is refused, and changes nothing."""
        self.assertFalse(has_key(self.path))
        self.open()
        self.assertTrue(has_key(self.path))
        before = self.rows()
        (self.state / "other").write_bytes(MASTER)
        (self.state / "other").chmod(0o600)
        with self.assertRaisesRegex(NodeKeyError, "not the one this store was made"):
            self.open("file:other")
        self.assertEqual(self.rows(), before)

    def test_a_lost_key(self) -> None:
        """No new one is made for a store that was made with one."""
        self.open()
        (self.state / "node.key").unlink()
        with self.assertRaisesRegex(NodeKeyError, "restore it from a backup"):
            self.open()
        self.assertFalse((self.state / "node.key").exists())

    def test_no_store(self) -> None:
        """A store that is not there was made with no key, and looking makes none."""
        missing = self.state / "missing.db"
        self.assertFalse(has_key(missing))
        self.assertFalse(missing.exists())

    def test_a_store_of_an_older_schema(self) -> None:
        """Without the table there is no key it was made with."""
        with closing(database.connect(self.path)) as connection:
            connection.execute("DROP TABLE node_keys")
        self.assertFalse(has_key(self.path))

    def test_a_busy_store(self) -> None:
        """A database that is locked is told as what passes."""
        keys = self.open()
        self.patch(database, "BUSY_SECONDS", 0.0)
        with closing(database.connect(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self.assertRaises(StoreBusyError, keys.put, "dkim", b"secret")
        with closing(database.connect(self.path)) as connection:
            connection.execute("DROP TABLE node_keys")
        with self.assertRaises(Exception) as raised:
            keys.get("dkim")
        self.assertNotIsInstance(raised.exception, StoreBusyError)
        self.assertIsInstance(raised.exception.__context__, sqlite3.Error)
