"""Names that stay closed: in the register, for a tool as for the pages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from postmand.membership import Visitor
from postmand.store.closed_names import tag
from postmand.store.refusals import (
    AccountExistsError,
    ChangedMeanwhileError,
    NameClosedError,
)
from tests.contracts.stores import DAY, RealStoreCase

pytestmark = pytest.mark.long


class ClosedNamesTest(RealStoreCase):
    """A register in which a name was closed for ten days."""

    def setUp(self) -> None:
        """Close it."""
        super().setUp()
        self.registry = self.store.registry
        self.registry.add("jondoe", b"secret", day=DAY)
        self.registry.remove("jondoe", closed_until=DAY + 10)

    def rows(self) -> list[Any]:
        """Return the table."""
        with closing(sqlite3.connect(self.state / "postmand.db")) as connection:
            return connection.execute("SELECT * FROM closed_names").fetchall()

    def test_closed_to_its_last_day(self) -> None:
        """On the day after it is to be had, though the row may still be there."""
        for day in (DAY, DAY + 10):
            self.assertTrue(self.registry.is_closed("jondoe", day))
            with self.assertRaises(NameClosedError):
                self.registry.add("jondoe", b"secret", day=day)
        self.assertFalse(self.registry.is_closed("jondoe", DAY + 11))
        self.registry.add("jondoe", b"secret", day=DAY + 11)
        self.assertEqual(self.rows(), [])

    def test_others_are_open(self) -> None:
        """The name alone, as a whole, is closed."""
        for name in ("jondo", "jondoe2", "alice"):
            self.assertFalse(self.registry.is_closed(name, DAY))
            self.registry.add(name, b"secret", day=DAY)

    def test_the_name_is_not_there(self) -> None:
        """What is stored is a hash of it; so the name can be tried, and not read."""
        self.assertEqual(self.rows(), [(tag("jondoe"), DAY + 10)])
        self.store.close()
        for path in self.state.iterdir():
            if path.is_file():
                self.assertNotIn(b"jondoe", path.read_bytes(), path.name)

    def test_reopened(self) -> None:
        """By the operator; its next end closes it anew, for as long as is said then."""
        self.registry.add("jondoe", b"secret", day=DAY, reopen=True)
        self.assertEqual(self.rows(), [])
        with self.assertRaises(AccountExistsError):
            self.registry.add("jondoe", b"secret", day=DAY, reopen=True)
        self.registry.remove("jondoe", closed_until=DAY + 20)
        self.assertEqual(self.rows(), [(tag("jondoe"), DAY + 20)])

    def test_one_that_was_not_removed(self) -> None:
        """An account that changed meanwhile stays, and its name is not closed."""
        self.registry.add("alice", b"secret", day=DAY)
        alice = self.get(self.store.accounts.credential("alice"))
        old = Visitor(alice.account, "alice", 1)
        self.registry.set_display_name("alice", "Alice")
        for at in (old, Visitor(1, "alice", 2)):
            with self.assertRaises(ChangedMeanwhileError):
                self.registry.remove("alice", at, DAY + 10)
        self.assertFalse(self.registry.is_closed("alice", DAY))
        self.assertEqual(self.registry.show("alice").display_name, "Alice")
