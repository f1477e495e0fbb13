"""The writer, and what a failing disk or a lock does to it."""

from __future__ import annotations

from contextlib import closing

import pytest

from postmand.interfaces import (
    StoreBusyError,
)
from postmand.store.database import connect
from tests.contracts.writing import WriterCase, sqlite_error

pytestmark = pytest.mark.long


class FaultTests(WriterCase):
    """Every fault is busy, keeps nothing half, and passes."""

    def test_disk_errors_are_busy_and_pass(self):
        """Whatever statement fails: busy, nothing kept; the next job is written."""
        for at in ("BEGIN", "UPDATE", "INSERT", "COMMIT"):
            for name in ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY"):
                kept = len(self.rows())
                self.fail_at(at, name)
                jobs = [self.submit(self.arrival()), self.submit(self.arrival(2))]
                self.writer.turn()
                for job in jobs:
                    error = self.failureResultOf(job, StoreBusyError).value
                    self.assertEqual(error.args, (name,))
                self.assertEqual(len(self.rows()), kept)
                self.successResultOf(self.after_recovery())
                self.assertEqual(len(self.rows()), kept + 1)

    def test_error_that_passes_at_once_is_not_felt(self):
        """A commit that fails once is tried again, job by job."""
        self.fail_at("COMMIT", "SQLITE_IOERR", times=1)
        jobs = [self.submit(self.arrival()) for _ in range(3)]
        self.writer.turn()
        for job in jobs:
            self.successResultOf(job)
        self.assertEqual(len(self.rows()), 3)

    def test_connection_is_opened_anew_after_an_error(self):
        """What SQLite may have left half done is not built upon."""
        self.fail_at("COMMIT", "SQLITE_IOERR", times=1)
        self.submit(self.arrival())
        self.writer.turn()
        self.assertEqual(
            [line for line in self.log if line in ("connect", "close")],
            ["connect", "close", "connect"],
        )

    def test_transaction_given_up_by_the_database(self):
        """SQLite may undo all at a full disk: each job then has its own commit."""

        def give_up(double):
            inserts = [line for line in double.log if line.startswith("INSERT")]
            if len(inserts) in (1, 3):  # the batch; then the second of the replay
                double.real.execute("ROLLBACK")
                raise sqlite_error("SQLITE_FULL")

        self.faults.append(("INSERT", give_up))
        jobs = [self.submit(self.arrival(n)) for n in (1, 2, 3)]
        self.writer.turn()
        for job in jobs:
            self.successResultOf(job)
        self.assertEqual(self.rows(), [(1, 10), (2, 10), (3, 10)])
        self.assertEqual(self.log.count("COMMIT"), 3)

    def test_what_is_written_stays_written_when_the_rest_cannot_be(self):
        """One by one, and the lock is lost in between: the first was kept."""
        self.fail_at("COMMIT", "SQLITE_IOERR", times=2)  # batch and replay

        def refuse(double):
            if double.log.count("BEGIN IMMEDIATE") == 4:
                raise sqlite_error("SQLITE_BUSY")

        self.faults.append(("BEGIN", refuse))
        first, second = self.submit(self.arrival(1)), self.submit(self.arrival(2))
        self.writer.turn()
        self.successResultOf(first)
        self.failureResultOf(second, StoreBusyError)
        self.assertEqual(self.rows(), [(1, 10)])

    def test_no_connection(self):
        """A file that cannot be opened is busy, too, and may come back."""
        for error in (sqlite_error("SQLITE_CANTOPEN"), OSError(24, "too many files")):

            def refuse(error=error):
                raise error

            self.connecting = refuse
            writer = self.writer = self.make_writer()
            job = self.submit(self.arrival())
            writer.turn()
            self.failureResultOf(job, StoreBusyError)
            self.connecting = lambda: None
            self.successResultOf(self.after_recovery())

    def test_directory_that_cannot_be_synced(self):
        """Rows that name files are not committed before the names are durable."""
        self.bodies.sync = lambda: (_ for _ in ()).throw(OSError(5, "EIO"))
        long, short = (
            self.submit(self.arrival(file="f", body=None)),
            self.submit(self.arrival(2)),
        )
        self.writer.turn()
        self.failureResultOf(long, StoreBusyError)
        self.successResultOf(short)
        self.assertEqual(self.rows(), [(2, 10)])

    def test_disk_really_full(self):
        """SQLite's own limit of pages: busy, nothing half kept, then well again."""
        big = self.arrival(body=bytes(2_000_000))
        small = self.submit(self.arrival(2))
        self.writer.turn()
        self.successResultOf(small)
        pages = self.rows("PRAGMA page_count")[0][0]
        self.faults.append(
            ("BEGIN", lambda d: d.real.execute(f"PRAGMA max_page_count = {pages + 9}"))
        )
        jobs = [self.submit(big), self.submit(self.arrival(3)), self.submit(big)]
        self.writer.turn()
        for job in (jobs[0], jobs[2]):
            error = self.failureResultOf(job, StoreBusyError).value
            self.assertEqual(error.args, ("SQLITE_FULL",))
        self.successResultOf(jobs[1])
        self.assertEqual(self.used(), [0, 10, 10])
        self.faults[:] = [
            ("BEGIN", lambda d: d.real.execute("PRAGMA max_page_count = 999999"))
        ]
        job = self.submit(big)
        self.writer.turn()
        self.successResultOf(job)
        self.assertEqual(self.rows("PRAGMA integrity_check"), [("ok",)])

    def test_really_locked(self):
        """Another program's transaction: busy after one wait, then well again."""
        with closing(connect(self.path)) as other:
            other.execute("BEGIN IMMEDIATE")
            jobs = [self.submit(self.arrival()) for _ in range(3)]
            self.writer.turn()
            for job in jobs:
                error = self.failureResultOf(job, StoreBusyError).value
                self.assertEqual(error.args, ("SQLITE_BUSY",))
            self.assertEqual(self.log.count("BEGIN IMMEDIATE"), 1)
            other.execute("ROLLBACK")
        self.successResultOf(self.after_recovery())
