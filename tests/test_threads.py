"""What the table of thread ids shows, and how long it remembers."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from postmand.store.seal import SealError
from postmand.store.settings import Settings
from tests.contracts.stores import CHEAP, DAY, LIMIT, RealStoreCase

pytestmark = pytest.mark.long


class ThreadRowsTests(RealStoreCase):
    """The rows on the disk."""

    settings = Settings(max_bytes=LIMIT, thread_days=30, **CHEAP)

    def setUp(self):
        """Two members."""
        super().setUp()
        self.jondoe, self.alice = self.add("jondoe"), self.add("alice")
        self.threads = self.store.threads

    def query(self, sql, *values):
        """Ask the database, or change it."""
        database = self.state / "postmand.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def remember(self, member, client_id):
        """Remember an id; return the one given out."""
        row = dict([self.threads.row(member, client_id)])
        self.get(self.store.mailboxes.deliver([], row))
        return self.threads.give_out(member, client_id)

    def test_rows_look_alike(self):
        """Tag and content have one length each, whoever and whatever it is."""
        for member in (self.jondoe, self.alice):
            for one in (b"<1@pc>", b"", b"<" + b"x" * 248 + b">"):
                self.remember(member, one)
        lengths = self.query("SELECT length(tag), length(sealed) FROM thread_ids")
        self.assertEqual(len(lengths), 6)
        self.assertEqual(set(lengths), {(16, 267)})

    def test_rows_show_no_id(self):
        """Neither the client's id nor the given-out one stands in the files."""
        given = self.remember(self.jondoe, b"<very-telling@pc.example>")
        self.store.close()
        kept = b"".join(p.read_bytes() for p in self.state.iterdir() if p.is_file())
        self.assertNotIn(b"very-telling", kept)
        self.assertNotIn(given[1:20], kept)
        tag, sealed = self.threads.row(self.jondoe, b"<very-telling@pc.example>")
        self.assertIn(tag, kept)
        self.assertIn(sealed, kept)

    def test_rows_of_two_members_share_nothing(self):
        """The same client id of two members gives rows that cannot be joined."""
        one = self.threads.row(self.jondoe, b"<1@pc>")
        two = self.threads.row(self.alice, b"<1@pc>")
        self.assertFalse({*one} & {*two})

    def test_rows_are_stored_by_tag_not_by_arrival(self):
        """A walk through the table gives the order of random tags."""
        for n in range(20):
            self.remember(self.jondoe, b"<%d@pc>" % n)
        tags = [tag for (tag,) in self.query("SELECT tag FROM thread_ids")]
        arrived = [self.threads.row(self.jondoe, b"<%d@pc>" % n)[0] for n in range(20)]
        self.assertEqual(tags, sorted(arrived))
        self.assertNotEqual(tags, arrived)

    def test_expiry_by_day(self):
        """Remembered for the days of the config, then swept; used again, longer."""
        self.remember(self.jondoe, b"<old@pc>")
        self.remember(self.jondoe, b"<used@pc>")
        days = self.query("SELECT DISTINCT expires_day FROM thread_ids")
        self.assertEqual(days, [(DAY + 30,)])
        self.loop.day = DAY + 30
        self.remember(self.jondoe, b"<used@pc>")
        self.get(self.store.forget())
        self.assertEqual(len(self.query("SELECT tag FROM thread_ids")), 2)
        self.loop.day = DAY + 31
        self.get(self.store.forget())
        own = self.get(self.threads.own(self.jondoe, [b"<old@pc>", b"<used@pc>"]))
        self.assertEqual(list(own), [b"<used@pc>"])

    def test_tampered_row(self):
        """A row whose content was changed or exchanged does not open."""
        given = self.remember(self.jondoe, b"<1@pc>")
        self.remember(self.jondoe, b"<2@pc>")
        _, other = self.threads.row(self.jondoe, b"<2@pc>")
        tag, _ = self.threads.row(self.jondoe, b"<1@pc>")
        for content in (other, b"", bytes(267)):
            self.query("UPDATE thread_ids SET sealed = ? WHERE tag = ?", content, tag)
            with self.assertRaises(SealError):
                self.get(self.threads.restore(self.jondoe, [given]))
