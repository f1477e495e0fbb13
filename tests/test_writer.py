"""The writer: group commit, replay, bounds."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import (
    MailboxFullError,
    NoSuchMailboxError,
    StoreBusyError,
)
from postmand.store.inbox import Inbox
from postmand.store.rows import Changes
from postmand.store.writer import HEAVIEST_BATCH, MOST_JOBS, Job
from tests.contracts.writing import LIMIT, WriterCase

pytestmark = pytest.mark.long


class WriterTests(WriterCase):
    """One batch after the other, in the test's own thread."""

    # --- group commit

    def test_one_transaction_for_all_that_waits(self):
        """Twenty jobs: one commit, one statement a table, one call of the reactor."""
        jobs = [
            self.submit(self.arrival(1), self.arrival(2), remember={b"%d" % n: b""})
            for n in range(20)
        ]
        self.writer.turn()
        for job in jobs:
            self.assertIsNone(self.successResultOf(job))
        self.assertEqual(
            self.log,
            [
                "connect",
                "BEGIN IMMEDIATE",
                "UPDATE accounts x40",
                "INSERT INTO x40",
                "INSERT INTO x20",
                "COMMIT",
                "dispatch",
            ],
        )
        self.assertEqual(len(self.rows()), 40)
        self.assertEqual(self.used(), [200, 200, 0])

    def test_nothing_fires_before_the_commit(self):
        """When the reactor is called, another connection sees the rows."""
        seen = []
        job = self.submit(self.arrival())
        job.addCallback(lambda _: seen.append(self.rows()))
        self.faults.append(("COMMIT", lambda _: seen.append(self.rows())))
        self.writer.turn()
        self.assertEqual(seen, [[], [(1, 10)]])

    def test_names_of_files_are_synced_before_the_rows(self):
        """Once a batch, and only where a row names a file."""
        for n in range(3):
            self.submit(self.arrival(file=f"f{n}", body=None))
        self.writer.turn()
        self.assertEqual(self.log[-3:], ["sync", "COMMIT", "dispatch"])
        self.assertEqual(self.log.count("sync"), 1)
        self.submit(self.arrival())
        self.writer.turn()
        self.assertEqual(self.log.count("sync"), 1)

    def test_files_go_after_their_rows(self):
        """A removed message's file is there until the commit is told."""
        name = self.bodies.write([b"x"])
        self.submit(self.arrival(file=name, body=None))
        self.submit(self.arrival())
        self.writer.turn()
        job = self.submit(remove_from=1, remove=[1, 2, 99])
        self.writer.turn()
        self.successResultOf(job)
        self.assertEqual(self.log[-3:], ["COMMIT", "dispatch", f"remove {name}"])
        self.assertEqual((self.rows(), self.used()[0]), ([], 0))
        self.assertEqual(self.bodies.names(), set())

    def test_order_of_arrival(self):
        """Jobs are written and answered in the order they were handed in."""
        fired = []
        for n in range(5):
            job = self.submit(self.arrival(size=n + 1))
            job.addCallback(lambda _, n=n: fired.append(n))
        self.writer.turn()
        self.assertEqual(self.rows(), [(1, n) for n in range(1, 6)])
        self.assertEqual(fired, [0, 1, 2, 3, 4])

    def test_expired_ids_are_forgotten(self):
        """Rows of the days before go; those that expire that day stay."""
        self.submit(remember={b"old": b"", b"kept": b""}, expires_day=9)
        self.submit(remember={b"kept": b"", b"new": b""}, expires_day=10)
        self.submit(remember={b"new": b""}, expires_day=3)
        self.submit(forget_before=10)
        self.writer.turn()
        kept = self.rows("SELECT tag, expires_day FROM thread_ids ORDER BY tag")
        self.assertEqual(kept, [(b"kept", 10), (b"new", 10)])

    # --- the guilty job alone fails

    def test_full_mailbox_fails_alone(self):
        """The jobs before and after it in the batch are kept, in order."""
        before = self.submit(self.arrival(1, 600))
        guilty = self.submit(self.arrival(2, 10), self.arrival(1, 600))
        after = self.submit(self.arrival(1, 400))
        self.writer.turn()
        self.successResultOf(before)
        self.successResultOf(after)
        error = self.failureResultOf(guilty, MailboxFullError).value
        self.assertEqual((error.args, error.permanent), (("account 1",), False))
        self.assertEqual(self.rows(), [(1, 600), (1, 400)])
        self.assertEqual(self.used(), [1000, 0, 0])
        self.assertEqual(self.log.count("dispatch"), 1)
        self.assertEqual(self.log.count("COMMIT"), 1)

    def test_message_above_the_limit_is_refused_for_good(self):
        """Where the copy alone is too large there is no sense in waiting."""
        job = self.submit(self.arrival(1, LIMIT + 1))
        self.writer.turn()
        self.assertTrue(self.failureResultOf(job, MailboxFullError).value.permanent)

    def test_exactly_full_is_allowed(self):
        """The limit itself still fits, one octet more does not."""
        fits, over = (
            self.submit(self.arrival(1, LIMIT)),
            self.submit(self.arrival(1, 1)),
        )
        self.writer.turn()
        self.successResultOf(fits)
        self.failureResultOf(over, MailboxFullError)

    def test_missing_and_disabled_account(self):
        """Both are NoSuchMailboxError, named; the others are kept."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("UPDATE accounts SET disabled = 1 WHERE id = 2")
        good = self.submit(self.arrival(1))
        closed, gone = self.submit(self.arrival(2)), self.submit(self.arrival(77))
        self.writer.turn()
        self.successResultOf(good)
        for job, name in ((closed, "account 2"), (gone, "account 77")):
            error = self.failureResultOf(job, NoSuchMailboxError).value
            self.assertEqual(error.args, (name,))

    def test_fault_of_ours_in_preparing(self):
        """It reaches the job's owner as it is, and touches nobody else."""

        def prepare():
            raise ZeroDivisionError("ours")

        good = self.submit(self.arrival())
        bad = self.writer.submit(Job(prepare))
        self.writer.turn()
        self.successResultOf(good)
        self.failureResultOf(bad, ZeroDivisionError)
        self.assertEqual(self.log.count("BEGIN IMMEDIATE"), 1)

    def test_fault_of_ours_in_a_row(self):
        """A row the database will not take fails its own job, by its own error."""
        good = self.submit(self.arrival())
        bad = self.submit(self.arrival(2), self.arrival(uid="not octets"))
        more = self.submit(self.arrival(3))
        self.writer.turn()
        self.successResultOf(good)
        self.successResultOf(more)
        self.failureResultOf(bad, sqlite3.IntegrityError)
        self.assertEqual(self.used(), [10, 0, 10])

    def test_nothing_but_failures_writes_nothing(self):
        """A batch of one bad job leaves no transaction open."""
        job = self.submit(self.arrival(77))
        self.writer.turn()
        self.failureResultOf(job, NoSuchMailboxError)
        self.successResultOf(self.after_recovery())

    # --- bounds and the end

    def test_too_many_waiting(self):
        """The job over the bound is refused at once; those before are written."""
        self.writer = self.make_writer(waiting=2)
        kept = [self.submit(self.arrival()), self.submit(self.arrival())]
        self.failureResultOf(self.submit(self.arrival()), StoreBusyError)
        self.writer.turn()
        for job in kept:
            self.successResultOf(job)
        self.successResultOf(self.after_recovery())

    def test_batches_are_bounded(self):
        """By number, and by the memory their rows take."""
        for _ in range(MOST_JOBS + 1):
            self.submit(self.arrival(size=1))
        self.writer.turn()
        self.assertEqual(len(self.rows()), MOST_JOBS)
        heavy = Job(lambda: Changes([self.arrival(2)]), HEAVIEST_BATCH // 2 + 1)
        for _ in range(4):
            self.writer.submit(heavy)
        self.writer.turn()
        self.assertEqual(self.used()[1], 20)

    def test_close_writes_what_waits(self):
        """After close() nothing is taken, and what was taken is answered."""
        job = self.submit(self.arrival())
        self.writer.close()
        self.failureResultOf(self.submit(self.arrival()), StoreBusyError)
        self.writer.work()
        self.successResultOf(job)
        self.assertEqual(self.log[-1], "close")
        self.assertFalse(self.writer.turn())


class InboxTests(SynchronousTestCase):
    """What waits for a thread."""

    def test_taken_in_order_and_bounded(self):
        """First in, first out; at most as many as asked for."""
        inbox = Inbox(10)
        for n in range(5):
            inbox.put(n)
        self.assertEqual(inbox.take(3), [0, 1, 2])
        self.assertEqual(inbox.take(3), [3, 4])

    def test_one_heavy_item_is_taken_alone(self):
        """What weighs more than a whole batch is not left for ever."""
        inbox = Inbox(10)
        for weight in (100, 1, 1):
            inbox.put(weight)
        self.assertEqual(inbox.take(9, lambda n: n, 10), [100])
        self.assertEqual(inbox.take(9, lambda n: n, 10), [1, 1])

    def test_closed(self):
        """What waits comes out, then empty lists; nothing goes in."""
        inbox = Inbox(10)
        inbox.put(1)
        inbox.close()
        with self.assertRaises(StoreBusyError):
            inbox.put(2)
        self.assertEqual([inbox.take(5), inbox.take(5)], [[1], []])
