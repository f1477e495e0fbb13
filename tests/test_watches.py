"""Watches on the disk: what somebody sees who has it, and what a start finds again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from attrs import evolve
from twisted.logger import globalLogPublisher

from postmand.config import Biff, from_table
from postmand.interfaces import StoreBusyError
from postmand.store.opening import open_registry, open_store
from postmand.store.settings import Settings
from postmand.store.watches import PLACES, Roll
from tests.contracts.queue_cases import NODE_KEY
from tests.contracts.test_watches import RealWatchesCase

pytestmark = pytest.mark.long

TODAY = 20_779
NICK = b"jack-of-irc"


class DiskCase(RealWatchesCase):
    """Two members, both watched by one nick, the first by another, too."""

    def setUp(self) -> None:
        """Add and watch."""
        super().setUp()
        self.jondoe = self.add("jondoe").account
        self.alice = self.add("alice").account
        self.jack, self.lisa = map(self.watches.tag, (NICK, b"lisa"))
        for tag, account in (
            (self.jack, self.jondoe),
            (self.jack, self.alice),
            (self.lisa, self.jondoe),
        ):
            self.get(self.watches.add(tag, account))

    def rows(self, sql: str = "SELECT tag, account, sealed FROM watches") -> list[Any]:
        """Ask the database."""
        with closing(sqlite3.connect(self.state / "postmand.db")) as connection:
            return connection.execute(sql).fetchall()

    def watched(self, tag: bytes) -> Any:
        """Return what a nick watches."""
        return self.get(self.watches.of(tag))

    def logged(self) -> list[Any]:
        """Return what will be logged from now on."""
        logged: list[Any] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        return logged

    def change(self, sql: str, *values: Any) -> None:
        """Change the database behind the store's back."""
        database = self.state / "postmand.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(sql, values)


class SeizureTest(DiskCase):
    """The disk without the node's key."""

    def test_no_nick_and_no_common_tag(self) -> None:
        """Neither a nick nor what joins a nick's rows is in any file of the store."""
        self.store.close()
        whole = b"".join(
            path.read_bytes() for path in self.state.rglob("*") if path.is_file()
        )
        self.assertIn(b"jondoe", whole)
        self.assertNotIn(NICK, whole)
        self.assertNotIn(self.jack, whole)
        tags = [tag for tag, *_ in self.rows()]
        self.assertEqual(len(set(tags)), 3)

    def test_told_and_untold_look_alike(self) -> None:
        """Whether mail waits, and since which day, is in no length and no column."""
        self.get(self.watches.mark([self.jondoe], TODAY))
        self.assertEqual(len({len(sealed) for *_, sealed in self.rows()}), 1)
        self.assertEqual(
            [len(row) for row in self.rows("SELECT * FROM watches")], [3] * 3
        )

    def test_rows_can_not_be_exchanged(self) -> None:
        """Who writes on the disk can not make one's row another's."""
        (tag, _, sealed), *_ = self.rows("SELECT tag, account, sealed FROM watches")
        self.change("UPDATE watches SET sealed = ? WHERE tag != ?", sealed, tag)
        logged = self.logged()
        self.assertEqual(len(self.get(self.watches.all())), 1)
        self.get(self.watches.mark([self.jondoe, self.alice], TODAY))
        with closing(sqlite3.connect(self.state / "postmand.db", 0)) as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.assertEqual(busy, 0, "a snapshot is left open")
        self.assertEqual(len(logged), 2)

    def test_a_damaged_row_is_nobodys(self) -> None:
        """All others are told as ever; the log tells of it once, and of nobody."""
        self.change(
            "UPDATE watches SET sealed = zeroblob(60) WHERE account = ?", self.alice
        )
        logged = self.logged()
        others = sorted(
            [(self.jack, self.jondoe, True), (self.lisa, self.jondoe, True)]
        )
        self.get(self.watches.mark([self.jondoe, self.alice], TODAY))
        self.assertEqual(sorted(self.get(self.watches.all())), others)
        self.assertEqual([one.name for one in self.watched(self.jack)], ["jondoe"])
        self.get(self.watches.told(self.jack))
        self.assertFalse(any(one.waiting for one in self.watched(self.jack)))
        self.assertEqual(len(logged), 1)
        self.assertNotIn("jack", str(logged))
        # It has its place still, and gives it up to its nick.
        self.assertTrue(self.get(self.watches.add(self.jack, self.alice)))
        self.get(self.watches.mark([self.alice], TODAY))
        self.assertEqual(len(self.rows()), 3)
        waits = [(one.name, one.waiting) for one in self.watched(self.jack)]
        self.assertEqual(waits, [("alice", True), ("jondoe", False)])

    def test_a_damaged_row_keeps_its_place(self) -> None:
        """Another account is not put over it."""
        self.change("UPDATE watches SET sealed = zeroblob(60)")
        bob = self.add("bob").account
        self.assertTrue(self.get(self.watches.add(self.jack, bob)))
        self.assertEqual(len(self.rows()), 4)
        self.assertTrue(self.get(self.watches.remove(self.jack, bob)))

    def test_nothing_is_written_without_need(self) -> None:
        """A second mail of the day, and telling who was told, leave the rows alone."""
        self.get(self.watches.mark([self.jondoe], TODAY))
        before = sorted(self.rows())
        self.get(self.watches.mark([self.jondoe], TODAY))
        self.assertEqual(sorted(self.rows()), before)
        self.get(self.watches.told(self.jack))
        changed = set(self.rows()) - set(before)
        self.assertEqual([account for _, account, _ in changed], [self.jondoe])


class StoreTest(DiskCase):
    """The store at its start, and a tool beside it."""

    def test_known_after_a_start(self) -> None:
        """All of it is there again, with what waits."""
        self.get(self.watches.mark([self.alice], TODAY))
        self.reopened()
        found = sorted(self.get(self.watches.all()))
        rows = [
            (self.jack, self.jondoe, False),
            (self.jack, self.alice, True),
            (self.lisa, self.jondoe, False),
        ]
        self.assertEqual(found, sorted(rows))

    def test_none_without_a_key(self) -> None:
        """A node that needs no key keeps no watches."""
        self.store.close()
        store = open_store(self.url, self.state, self.settings, self.loop)
        self.addCleanup(store.close)
        self.assertIsNone(store.watches)
        self.assertIsNone(store.tokens)

    def test_removed_beside_the_node(self) -> None:
        """A tool without the node's key removes an account's rows all the same."""
        open_registry(self.url, self.state, self.settings).remove("jondoe")
        self.assertEqual([account for _, account, _ in self.rows()], [self.alice])
        self.assertEqual(
            [one.name for one in self.get(self.watches.of(self.jack))], ["alice"]
        )

    def test_limits_lowered(self) -> None:
        """Who has more than is allowed from now on keeps them, and gets no more."""
        self.store.close()
        few = evolve(self.settings, accounts_per_nick=1, nicks_per_account=1)
        store = open_store(self.url, self.state, few, self.loop, node_key=NODE_KEY)
        self.addCleanup(store.close)
        assert store.watches is not None
        self.assertEqual(len(self.get(store.watches.of(self.jack))), 2)
        self.assertTrue(self.get(store.watches.remove(self.jack, self.alice)))

    def test_all_places_can_be_had(self) -> None:
        """A nick can watch as many accounts as the configuration allows at the most."""
        roll = Roll(NODE_KEY, PLACES, 100)
        database = self.state / "postmand.db"
        accounts = range(1, PLACES + 1)
        self.store.close()
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            columns = "public_key, salt, passes, memory_kib, verifier, wrapped_key"
            connection.executemany(
                "INSERT INTO accounts SELECT ?, ?, display_name, disabled, created_day,"
                f" version, {columns}, recovery_salt, recovery_verifier,"
                " recovery_wrapped_key, used_bytes, delay FROM accounts LIMIT 1",
                [(number, f"member{number}") for number in accounts],
            )
            tag = roll.tag(b"carol")
            self.assertTrue(all(roll.add(connection, tag, one) for one in accounts))
            self.assertEqual(len(roll.of(connection, tag)), PLACES)

    def test_busy(self) -> None:
        """A store that takes no more says so by name, and nothing is changed."""
        watches = self.watches
        self.store.close()
        for asked in (
            watches.all(),
            watches.add(self.lisa, self.alice),
            watches.mark([self.alice], TODAY),
        ):
            with self.assertRaises(StoreBusyError):
                self.get(asked)


def test_settings_come_from_the_configuration() -> None:
    """[biff] says how many, and the most it may say is what there are places for."""
    table = {"biff": {"accounts_per_nick": PLACES, "nicks_per_account": 7}}
    settings = Settings.from_config(from_table(table, "x.toml"))
    assert (settings.accounts_per_nick, settings.nicks_per_account) == (PLACES, 7)
    default = Settings.from_config(from_table({}, "x.toml"))
    assert default.accounts_per_nick == Biff().accounts_per_nick
    assert default.nicks_per_account == Biff().nicks_per_account
