"""The sealed mailboxes on the disk: what shows, what survives, what fails."""

from __future__ import annotations

import os
import sqlite3
import stat
import tracemalloc
from collections.abc import Sequence
from unittest import mock

import pytest
from twisted.internet.defer import Deferred

from postmand.interfaces import Copy, StoreBusyError
from postmand.store import bodies as bodies_module
from postmand.store import mailboxes as mailboxes_module
from postmand.store.bodies import Bodies
from postmand.store.checkup import problems
from postmand.store.seal import SealError
from postmand.store.settings import Settings
from tests.contracts.stores import CHEAP, LIMIT, MailboxCase

pytestmark = pytest.mark.long

HEADER = b"Subject: hello\r\n\r\n"


class Zeros(Sequence):
    """A body of many chunks that are all the same octets: long, and light."""

    def __init__(self, count: int) -> None:
        self.chunk, self.count = bytes(65_536), count

    def __len__(self):
        return self.count

    def __getitem__(self, at):
        if not 0 <= at < self.count:
            raise IndexError
        return self.chunk


class OnDiskTests(MailboxCase):
    """Sizes, places, modes, times."""

    def test_nothing_shows(self):
        """Neither header nor body, short or long, stands in any file."""
        marks = [os.urandom(40).hex().encode() for _ in range(3)]
        self.deliver(self.copy("jondoe", marks[0] + b"\r\n\r\n", marks[1]))
        self.deliver(self.copy("jondoe", HEADER, bytes(70_000), marks[2]))
        self.store.close()
        files = [path for path in self.state.rglob("*") if path.is_file()]
        self.assertEqual(len(files), 3)
        for path in files:
            kept = path.read_bytes()
            for mark in (*marks, b"Subject"):
                self.assertNotIn(mark, kept)

    def test_long_bodies_are_files(self):
        """At the limit a row, over it a file; the sizes add up to what is stored."""
        self.deliver(self.copy("jondoe", HEADER, bytes(65_536)))
        self.assertEqual(list(self.bodies.iterdir()), [])
        self.deliver(self.copy("jondoe", HEADER, bytes(65_537)))
        (file,) = self.bodies.iterdir()
        rows = self.query(
            "SELECT padded_bytes, length(sealed_key) + length(card),"
            " length(body), file FROM messages ORDER BY id"
        )
        short, long = rows
        self.assertEqual((short[0], short[3]), (short[1] + short[2], None))
        self.assertEqual((long[0], long[2]), (long[1] + file.stat().st_size, None))
        self.assertEqual(long[3], file.name)
        used = self.query("SELECT sum(used_bytes) FROM accounts")
        self.assertEqual(used, [(short[0] + long[0],)])

    def test_files_of_the_store(self):
        """Modes for the owner alone, and no time of a body's arrival or reading."""
        self.deliver(self.copy("jondoe", HEADER, bytes(100_000)))
        self.read(self.jondoe)
        for path in (self.state, *self.state.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600)
        (file,) = self.bodies.iterdir()
        self.assertEqual((file.stat().st_mtime_ns, file.stat().st_atime_ns), (0, 0))

    def test_closed_store_tells_no_time(self):
        """After close() the log is gone, and no file tells a last write."""
        self.deliver(self.copy("jondoe", HEADER, b"x"))
        self.store.close()
        files = {path.name for path in self.state.iterdir() if path.is_file()}
        self.assertEqual(files, {"postmand.db", "postmand.db.stamp"})
        for name in files:
            self.assertEqual((self.state / name).stat().st_mtime_ns, 0)

    def test_sizes_are_few(self):
        """Usual header blocks and short bodies: one stored size, then few more."""
        recipient = self.copy("jondoe", HEADER).recipient
        for lengths, most in ((range(0, 1000, 40), 1), (range(1000, 2000, 20), 18)):
            waiting = [
                self.store.mailboxes.deliver([Copy(recipient, HEADER, [bytes(n)])], {})
                for n in lengths
            ]
            for one in waiting:
                self.get(one)
            sizes = self.query("SELECT DISTINCT padded_bytes FROM messages")
            self.assertLessEqual(len(sizes), most)

    def test_stores_that_differ_in_content_only_have_one_shape(self):
        """Other senders, subjects and lengths of text: all columns of the same size."""

        def shape():
            return self.query(
                "SELECT padded_bytes, length(uid), length(sealed_key), length(card),"
                " length(body), file IS NULL, length(file) FROM messages ORDER BY id"
            )

        shapes = []
        for sender, words in ((b"jo", b"yes"), (b"someone-else", b"no, never" * 9)):
            header = b"From: <%b@mail.i2p>\r\nSubject: %b\r\n\r\n" % (sender, words)
            self.deliver(self.copy("alice", header, words))
            self.deliver(self.copy("alice", header, bytes(80_000), words))
            shapes.append(shape())
            entries = self.get(self.store.mailboxes.entries(self.alice))
            self.get(self.store.mailboxes.remove(self.alice, entries))
        self.assertEqual(shapes[0], shapes[1])

    def test_two_copies_of_one_body_share_nothing(self):
        """Who got the same mail cannot be seen: key, card, body and name differ."""
        body = [b"the same"]
        self.deliver(
            Copy(self.copy("jondoe", HEADER).recipient, HEADER, body),
            Copy(self.copy("alice", HEADER).recipient, HEADER, body),
        )
        rows = self.query("SELECT uid, sealed_key, card, body FROM messages")
        for one, two in zip(*rows, strict=True):
            self.assertNotEqual(one, two)

    def test_tampered_rows_do_not_open(self):
        """Card, key or body exchanged with another message's: SealError."""
        self.deliver(self.copy("jondoe", HEADER, b"one"))
        self.deliver(self.copy("jondoe", HEADER, b"two"))
        entries = self.get(self.store.mailboxes.entries(self.jondoe))
        (body,) = self.query("SELECT body FROM messages WHERE id = 2")[0]
        self.query("UPDATE messages SET body = ? WHERE id = 1", body)
        with self.assertRaises(SealError):
            self.get(self.store.mailboxes.read(self.jondoe, entries[:1]))
        self.get(self.store.mailboxes.read(self.jondoe, entries[1:]))
        self.query("UPDATE messages SET uid = zeroblob(16) WHERE id = 1")
        with self.assertRaises(SealError) as caught:
            self.get(self.store.mailboxes.entries(self.jondoe))
        # Whoever keeps the error, to log it, does not keep a snapshot of the database.
        self.assertIsNotNone(caught.exception.__traceback__)
        (busy, _, _) = self.query("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        self.assertEqual(busy, 0)

    def test_another_members_key_opens_nothing(self):
        """A row moved into another mailbox does not open there."""
        self.deliver(self.copy("jondoe", HEADER, b"one"))
        self.query(
            "UPDATE messages SET account = (SELECT id FROM accounts WHERE name='alice')"
        )
        with self.assertRaises(SealError):
            self.get(self.store.mailboxes.entries(self.alice))


class LongBodiesTests(MailboxCase):
    """Files: memory, faults, orphans."""

    settings = Settings(max_bytes=100 * 1024 * 1024, **CHEAP)

    def test_memory_does_not_grow_with_the_message(self):
        """33 MB for two recipients, in and out, within a few pieces of memory."""
        body = Zeros(512)
        copies = [
            Copy(self.copy(name, HEADER).recipient, HEADER, body)
            for name in ("jondoe", "alice")
        ]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.deliver(*copies)
        (entry,) = self.get(self.store.mailboxes.entries(self.alice))
        (stored,) = self.get(self.store.mailboxes.read(self.alice, [entry]))
        length = len(stored.body)
        while piece := self.get(stored.more.next()):
            length += len(piece)
        _, peak = tracemalloc.get_traced_memory()
        self.assertEqual(length, 512 * 65_536)
        self.assertLess(peak, 4 * 1024 * 1024)

    def test_no_room_leaves_no_file(self):
        """A delivery refused at the commit takes its files along."""
        self.reopened(Settings(max_bytes=LIMIT, **CHEAP))
        self.deliver(self.copy("alice", HEADER, bytes(200_000)))
        for names in (("jondoe", "alice"), ("alice", "alice")):
            copies = [self.copy(name, HEADER, bytes(150_000)) for name in names]
            with self.assertRaisesRegex(Exception, "alice"):
                self.deliver(*copies)
        self.store.close()
        self.assertEqual(len(list(self.bodies.iterdir())), 1)

    def test_disk_full_while_sealing(self):
        """The second file does not fit: busy, and the first is gone as well."""
        write, calls = Bodies.write, []

        def full(bodies, pieces):
            calls.append(1)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            return write(bodies, pieces)

        copies = [self.copy(n, HEADER, bytes(90_000)) for n in ("jondoe", "alice")]
        with (
            mock.patch.object(Bodies, "write", full),
            self.assertRaises(StoreBusyError),
        ):
            self.deliver(*copies)
        self.assertEqual(list(self.bodies.iterdir()), [])
        self.assertEqual(self.read(self.jondoe), [])
        self.deliver(*copies)
        self.assertEqual(len(self.read(self.jondoe)), 1)

    def test_files_stay_where_the_commit_is_in_doubt(self):
        """After an I/O error nobody knows whether the row is there: keep the file."""
        error = StoreBusyError("SQLITE_IOERR_FSYNC")
        error.__cause__ = sqlite3.OperationalError("disk I/O error")
        error.__cause__.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

        def submit(_writer, _job):
            failed = Deferred()
            failed.errback(error)
            return failed

        with (
            mock.patch.object(mailboxes_module.Writer, "submit", submit),
            self.assertRaises(StoreBusyError),
        ):
            self.deliver(self.copy("jondoe", HEADER, bytes(90_000)))
        self.store.close()
        self.assertEqual(len(list(self.bodies.iterdir())), 1)
        self.reopened()
        self.assertEqual(len(list(self.bodies.iterdir())), 0)

    def test_orphans_are_swept_at_the_start(self):
        """A file without a row goes; a message's own file stays readable."""
        body = os.urandom(90_000)
        self.deliver(self.copy("jondoe", HEADER, body))
        self.store.close()
        (self.bodies / ("0" * 32)).write_bytes(b"left by a crash")
        self.store = self.opened()
        self.assertEqual(len(list(self.bodies.iterdir())), 1)
        self.assertEqual(self.read(self.jondoe), [(HEADER, body)])

    def test_lost_file_is_a_fault_not_a_removal(self):
        """A row whose file is gone is SealError; the checkup names the file."""
        self.deliver(self.copy("jondoe", HEADER, bytes(90_000)))
        (file,) = self.bodies.iterdir()
        entries = self.get(self.store.mailboxes.entries(self.jondoe))
        file.unlink()
        with self.assertRaises(SealError):
            self.get(self.store.mailboxes.read(self.jondoe, entries))
        (line,) = problems(self.url, self.state)
        self.assertIn(file.name, line)

    def test_removed_while_it_is_read(self):
        """A session reading a body reads it to the end after a removal."""
        body = os.urandom(300_000)
        self.deliver(self.copy("jondoe", HEADER, body))
        entries = self.get(self.store.mailboxes.entries(self.jondoe))
        (stored,) = self.get(self.store.mailboxes.read(self.jondoe, entries))
        self.get(self.store.mailboxes.remove(self.jondoe, entries))
        got = stored.body
        while piece := self.get(stored.more.next()):
            got += piece
        self.assertEqual(got, body)

    def test_failed_read_holds_nothing_open(self):
        """One message of several is broken: the files opened before are closed."""
        for _ in range(3):
            self.deliver(self.copy("jondoe", HEADER, bytes(90_000)))
        entries = self.get(self.store.mailboxes.entries(self.jondoe))
        opened = []
        open_file = Bodies.open

        def spy(bodies, name):
            opened.append(open_file(bodies, name))
            return opened[-1]

        self.query("UPDATE messages SET card = x'00' WHERE id = 3")
        with (
            mock.patch.object(bodies_module.Bodies, "open", spy),
            self.assertRaises(SealError),
        ):
            self.get(self.store.mailboxes.read(self.jondoe, entries))
        self.assertEqual([file.closed for file in opened], [True, True])

    def test_chunks_close_what_they_hold(self):
        """At the end, at a close in between, and at an error of the stream."""
        self.deliver(self.copy("jondoe", HEADER, bytes(300_000)))
        entries = self.get(self.store.mailboxes.entries(self.jondoe))
        opened = []
        open_file = Bodies.open

        def spy(bodies, name):
            opened.append(open_file(bodies, name))
            return opened[-1]

        def read():
            with mock.patch.object(bodies_module.Bodies, "open", spy):
                return self.get(self.store.mailboxes.read(self.jondoe, entries))[0].more

        more = read()
        while self.get(more.next()):
            pass
        read().close()
        more = read()
        running = more.next()
        more.close()  # while a thread reads: closed when it is done
        self.assertEqual(len(self.get(running)), 65_536)
        (file,) = self.bodies.iterdir()
        content = bytearray(file.read_bytes())
        content[150_000] ^= 1
        file.write_bytes(content)
        more = read()
        with self.assertRaises(SealError):
            while self.get(more.next()):
                pass
        self.assertEqual([one.closed for one in opened], [True] * 4)
