"""The store as a whole: opened, refused, bounded, closed."""

from __future__ import annotations

import sqlite3
from unittest import mock

import pytest

from postmand.interfaces import Copy, StoreBusyError
from postmand.store import mailboxes as mailboxes_module
from postmand.store.database import StoreInUseError
from postmand.store.opening import open_store
from postmand.store.seal import SealError
from tests.contracts.stores import MailboxCase

pytestmark = pytest.mark.long

HEADER = b"Subject: hello\r\n\r\n"


class OpeningTests(MailboxCase):
    """The store as a whole: reopened, refused, bounded, closed."""

    def test_what_was_delivered_is_there_after_a_restart(self):
        """Messages, use and threads outlive the process."""
        row = dict([self.store.threads.row(self.jondoe, b"<1@pc>")])
        self.get(self.store.mailboxes.deliver([self.copy("jondoe", HEADER, b"x")], row))
        used = self.store.registry.show("jondoe").used_bytes
        self.reopened()
        self.assertEqual(self.read(self.unlock("jondoe")), [(HEADER, b"x")])
        self.assertEqual(self.store.registry.show("jondoe").used_bytes, used)
        own = self.get(self.store.threads.own(self.jondoe, [b"<1@pc>"]))
        self.assertEqual(list(own), [b"<1@pc>"])

    def test_one_node_a_state_directory(self):
        """A second store on the same files is refused, and starts no thread."""
        started = []
        with self.assertRaises(StoreInUseError):
            open_store(
                self.url, self.state, self.settings, self.loop, start=started.append
            )
        self.assertEqual(started, [])

    def test_large_mailboxes_are_listed_in_pieces(self):
        """More cards than one piece has: all entries, in order."""
        recipient = self.copy("jondoe", HEADER).recipient
        with mock.patch.object(mailboxes_module, "CARDS", 4):
            for count in (4, 5, 13):
                have = len(self.get(self.store.mailboxes.entries(self.jondoe)))
                for n in range(have, count):
                    self.deliver(Copy(recipient, HEADER, [b"%02d" % n]))
                texts = [body for _, body in self.read(self.jondoe)]
                self.assertEqual(texts, [b"%02d" % n for n in range(count)])
            self.query("UPDATE messages SET card = x'00' WHERE id = 6")
            with self.assertRaises(SealError):
                self.get(self.store.mailboxes.entries(self.jondoe))

    def test_answers_come_in_batches(self):
        """Many lookups at once wake the reactor fewer times than there are."""
        self.get(self.store.accounts.recipient("jondoe"))
        before = self.loop.calls
        asked = [self.store.accounts.recipient("jondoe") for _ in range(500)]
        for one in asked:
            self.assertIsNotNone(self.get(one))
        self.assertLess(self.loop.calls - before, 500)

    def test_closed_store_is_busy(self):
        """Whoever asks after close() gets an answer, not silence."""
        copies = [self.copy("jondoe", HEADER, b"x")]
        self.store.close()
        for asked in (
            self.store.accounts.recipient("jondoe"),
            self.store.mailboxes.deliver(copies, {}),
            self.store.mailboxes.entries(self.jondoe),
            self.store.forget(),
        ):
            self.failureResultOf(asked, StoreBusyError)
        self.store.close()

    def test_close_answers_what_waits(self):
        """Deliveries handed in before close() are written and told."""
        copies = [self.copy("jondoe", HEADER, b"x")]
        waiting = [self.store.mailboxes.deliver(copies, {}) for _ in range(30)]
        self.store.close()
        for one in waiting:
            self.assertIsNone(self.get(one))
        self.reopened()
        self.assertEqual(len(self.read(self.jondoe)), 30)

    def test_lookup_after_a_fault_of_the_disk(self):
        """A reader whose connection broke opens another for the next call."""
        broken = sqlite3.OperationalError("disk I/O error")
        broken.sqlite_errorcode = sqlite3.SQLITE_IOERR
        broken.sqlite_errorname = "SQLITE_IOERR"

        def fail(_connection):
            raise broken

        crew = self.store.accounts._crew
        with self.assertRaises(StoreBusyError):
            self.get(crew.call(fail))
        self.assertIsNotNone(self.get(self.store.accounts.recipient("jondoe")))
        with self.assertRaises(ZeroDivisionError):
            self.get(crew.call(lambda _: 1 // 0))
