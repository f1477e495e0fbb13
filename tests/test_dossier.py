"""What a member is told of what is stored: all of it, and so that it is understood."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from postmand.interfaces import Spending
from postmand.membership import Fact, PublishedKey, Visitor
from postmand.store import dossier
from postmand.store.dossier import Dossier
from postmand.store.schema import metadata
from postmand.web.knowledge import ABOUT, OTHERS, ROOMS
from tests.contracts.queue_cases import RealQueueCase
from tests.contracts.stores import DAY

pytestmark = pytest.mark.long


def test_every_column_is_told_of() -> None:
    """Here or there, not in both; and nothing is told of what is not stored."""
    columns = {
        (one.table.name, one.name) for t in metadata.tables.values() for one in t.c
    }
    others = {pair for pair in columns if pair[0] in OTHERS}
    assert columns - others == set(ABOUT)
    assert not others & set(ABOUT)
    assert set(OTHERS) <= set(metadata.tables)
    assert set(ROOMS) == {table for table, _ in ABOUT}


def test_others_name_no_account() -> None:
    """A table that leads to an account can not be left out as nobody's."""
    assert metadata.tables
    for table in metadata.tables.values():
        if table.name in OTHERS:
            assert dossier._of_account(table) is None, table.name


class DossierTest(RealQueueCase):
    """An account of which there is something in every table."""

    def setUp(self) -> None:
        """Make it, and another that has as much."""
        super().setUp()
        self.both = [self.add("jondoe"), self.add("alice")]
        for member in self.both:
            self.fill(member.account, member.name)
        self.jondoe = self.both[0]

    def fill(self, account: int, name: str) -> None:
        """Have mail, quota, watches and a key stored for an account."""
        store, now = self.store, int(self.loop.seconds())
        assert store.quotas is not None
        assert store.watches is not None
        for body in (b"x", b"y" * 100_000):
            copy = self.copy(name, b"Subject: secret\r\n\r\n", body)
            self.get(store.mailboxes.deliver([copy], {}))
        self.get(store.quotas.buy(account, b"s" + name.encode(), 27, DAY + 2, now))
        with closing(self.connection()) as connection:
            store.quotas.ledger.charge(connection, Spending(account, DAY, 3, now))
        for nick in (b"jack", b"lisa"):
            self.get(store.watches.add(store.watches.tag(nick), account))
        self.get(store.watches.mark([account], DAY))
        self.get(store.watches.told(store.watches.tag(b"lisa")))
        self.get(store.published.put(Visitor(account, name, 1), "abcd", b"key" * 9))

    def facts(self) -> dict[tuple[str, str], str]:
        """Return jondoe's facts by table and column."""
        found: list[Fact] = self.get(self.store.dossier.facts(self.jondoe.account))
        told = {(one.table, one.column): one.value for one in found}
        self.assertEqual(len(told), len(found))
        return told

    def test_all_of_it(self) -> None:
        """Every column of every table that is about accounts, and no other."""
        self.assertEqual(set(self.facts()), set(ABOUT))

    def test_tables_stay_together(self) -> None:
        """A page groups them without sorting."""
        found = self.get(self.store.dossier.facts(self.jondoe.account))
        tables = [one.table for one in found]
        self.assertEqual(tables, sorted(tables, key=tables.index))

    def test_in_plain_words(self) -> None:
        """Days as dates, sizes as sizes, sealed and hashed octets as such."""
        told = self.facts()
        for (table, column), value in {
            ("accounts", "name"): "jondoe",
            ("accounts", "display_name"): "none",
            ("accounts", "disabled"): "no",
            ("accounts", "delay"): "the node's own",
            ("accounts", "created_day"): "4 October 2024",
            ("accounts", "version"): "1",
            ("accounts", "memory_kib"): "8.0 KiB",
            ("accounts", "verifier"): "a hash, 32 octets",
            ("accounts", "salt"): "random, 16 octets",
            ("accounts", "public_key"): self.jondoe.public_key.hex(),
            ("messages", "account"): "2 rows",
            ("messages", "id"): "2 values",
            ("messages", "file"): "1 value",
            ("messages", "uid"): "2 times: random, 32 B in all",
            ("standings", "tag"): "a hash, 16 octets",
            ("standings", "expires_day"): "6 October 2024",
            ("watches", "account"): "2 rows",
            ("public_keys", "fingerprint"): "abcd",
            ("public_keys", "certificate"): "public, 27 octets",
        }.items():
            self.assertEqual(told[table, column], value, (table, column))
        self.assertRegex(told["accounts", "used_bytes"], r"^1\d\d\.\d KiB$")
        self.assertRegex(
            told["messages", "padded_bytes"], r"^2 messages, 1\d\d\.\d KiB$"
        )
        self.assertRegex(told["messages", "body"], r"^1 time: sealed, 1\.0 KiB in all$")
        self.assertRegex(told["accounts", "wrapped_key"], r"^sealed, \d+ octets$")

    def test_what_the_node_opens(self) -> None:
        """What is sealed with the node's key is told as the node reads it."""
        told = self.facts()
        self.assertEqual(
            told["standings", "sealed"].partition("; in it: ")[2],
            "on 4 October 2024 3 recipients used, 40 bought that day, "
            "40 of those bought left until 5 October 2024, 03:25 UTC",
        )
        self.assertEqual(
            told["watches", "sealed"].partition("; ")[2],
            "nothing is to be told, mail last came on 4 October 2024; "
            "it is still to be told, mail last came on 4 October 2024",
        )

    def test_nothing_of_others(self) -> None:
        """Another's rows do not count, and one without rows has its account alone."""
        carol = self.add("carol").account
        found = self.get(self.store.dossier.facts(carol))
        self.assertEqual({one.table for one in found}, {"accounts"})
        self.assertEqual(self.get(self.store.dossier.facts(1)), [])

    def test_a_column_that_nobody_thought_of(self) -> None:
        """It is shown all the same, as what it is."""
        columns = {c for t in metadata.tables.values() for c in t.c}
        for column in columns:
            self.assertTrue(dossier._told(column, b"x" if _octets(column) else 1))

    def test_without_the_nodes_key(self) -> None:
        """What only it finds is not there."""
        plain = Dossier(self.store.dossier._readers, 10)
        found = self.get(plain.facts(self.jondoe.account))
        self.assertNotIn("standings", {one.table for one in found})

    def test_details(self) -> None:
        """The account as its owner sees it."""
        visitor = Visitor(self.jondoe.account, "jondoe", 1)
        details = self.get(self.store.dossier.details(visitor))
        self.assertEqual((details.name, details.messages), ("jondoe", 2))
        self.assertEqual(details.limit_bytes, self.settings.max_bytes)
        self.assertGreater(details.used_bytes, 100_000)
        self.assertIsNone(self.get(self.store.dossier.details(Visitor(1, "x", 1))))


class PublishedTest(RealQueueCase):
    """The table of public keys, apart from what is in them."""

    def test_goes_with_the_account(self) -> None:
        """A foreign key holds it there, and removal takes it along."""
        jondoe = self.add("jondoe")
        visitor = Visitor(jondoe.account, "jondoe", 1)
        put = self.get(self.store.published.put(visitor, "f", b"x"))
        self.assertEqual(put, PublishedKey("jondoe", "f", b"x"))
        with self.assertRaises(sqlite3.IntegrityError):
            self.connection().execute("DELETE FROM accounts")
        self.operator().remove("jondoe")
        self.assertIsNone(self.get(self.store.published.by_name("jondoe")))


def _octets(column: Any) -> bool:
    return column.type.python_type is bytes
