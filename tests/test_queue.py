"""The queue on the real store: seals, files, crashes, faults, and its limit."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from postmand.interfaces import StoreBusyError
from postmand.store import queue_rows, writer
from postmand.store.cards import opened_waiting
from postmand.store.database import connect
from postmand.store.queue_intake import domain_tag, next_minute
from postmand.store.seal import SealError
from tests.contracts.queue_cases import NODE_KEY, QueueCase
from tests.contracts.queues import BOUNCE, NOW, a_leg, a_message

pytestmark = pytest.mark.long

SECRETS = (
    *(b"jondoe", b"a@example.org", b"b@example.net", b"example.net", b"mail.i2p"),
    *(b"hello", b"Subject", b"one\r\n", b"i2pmail"),
)


class SealedTests(QueueCase):
    """What lies on the disk."""

    def on_disk(self):
        """Return all octets of the state directory."""
        paths = [path for path in self.state.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in paths)

    def test_nothing_readable(self):
        """No address, name, subject, domain or text, waiting, pooled or on its way."""
        self.put(a_message())
        self.put(a_message(body=(b"one\r\n" * 40_000,)))
        self.put(a_message(pooled=True))
        leg, _ = self.released(a_leg(), a_leg(b"example.net"))
        self.begun(leg)
        self.get(self.queue.settle(leg, a_leg(attempts=1), NOW))
        octets = self.on_disk()
        self.assertGreater(len(octets), 300_000)
        for secret in SECRETS:
            self.assertEqual(octets.count(secret), 0, secret)
            self.assertEqual(octets.count(secret.hex().encode()), 0, secret)
        self.assertNotIn((7).to_bytes(8, "big") + b"jondoe", octets)

    def test_nothing_joins_a_leg_to_its_message_but_the_body(self):
        """After release no octet of the old row is in a row, and no number is."""
        item = self.one()
        (before,) = self.rows("SELECT id, sealed_key, card FROM queue_items")
        self.get(self.queue.release(item, [a_leg(), a_leg(b"example.net")], NOW))
        after = self.rows("SELECT id, sealed_key, card FROM queue_items")
        self.assertEqual(len({one for row in [before, *after] for one in row}), 9)

    def test_a_new_key_each_time(self):
        """A card is never sealed twice under one key: its nonce is always the same."""
        (item,) = self.released()
        seen = set()
        for _ in range(3):
            ((sealed, card),) = self.rows("SELECT sealed_key, card FROM queue_items")
            seen |= {sealed, card}
            self.get(self.queue.settle(item, a_leg(), NOW))
        self.assertEqual(len(seen), 6)

    def test_times_are_whole_minutes(self):
        """No row holds a time finer than a minute."""
        self.put(a_message(due=NOW + 17))
        self.get(self.queue.release(self.one(), [a_leg()], NOW + 17))
        for (due,) in self.rows("SELECT due FROM queue_items"):
            self.assertEqual(due % 60, 0)

    def test_owner_and_class_are_told_in_the_pool_only(self):
        """What waits its own time or is held tells neither."""
        self.put(a_message(pooled=True))
        ask = "SELECT owner IS NULL, size_class IS NULL FROM queue_items"
        self.assertEqual(self.rows(ask), [(0, 0)])
        (one,) = self.pooled()
        self.hold(one.item)
        self.put(a_message())
        self.assertEqual(self.rows(ask), [(1, 1), (1, 1)])

    def test_a_leg_tells_its_domain_by_a_keyed_hash(self):
        """Alike for all legs of a domain, held or not; whose mail it is is not told."""
        self.put(a_message(pooled=True))
        (one,) = self.pooled()
        ((owner,),) = self.rows("SELECT owner FROM queue_items")
        self.get(self.queue.release(one.item, [a_leg(), a_leg(b"example.net")], NOW))
        self.hold(self.released()[0])
        ask = "SELECT owner, size_class FROM queue_items"
        tags = [domain_tag(NODE_KEY, b"example.%s" % top) for top in (b"org", b"net")]
        legs = [(tags[0], None), (tags[0], None), (tags[1], None)]
        self.assertEqual(sorted(self.rows(ask)), sorted(legs))
        self.assertNotIn(owner, tags)
        other = type(NODE_KEY).from_master(bytes(32))
        self.assertNotEqual(domain_tag(other, b"example.org"), tags[0])

    def test_card_of_another_row(self):
        """A card is bound to its item: one moved to another row does not open."""
        self.one()
        self.one()
        self.rows(
            "UPDATE queue_items SET (sealed_key, card) ="
            " (SELECT sealed_key, card FROM queue_items ORDER BY id LIMIT 1)"
        )
        first, second = sorted(self.due())
        self.get(self.queue.open(first)).body.close()
        with self.assertRaises(SealError):
            self.get(self.queue.open(second))


class FilesTests(QueueCase):
    """Long bodies."""

    long = os.urandom(150_001)

    def test_a_file_as_long_as_its_message(self):
        """One file for all legs; it goes with the last of them."""
        item = self.one(body=(self.long,))
        (name,) = self.files()
        stat = (self.state / "bodies" / name).stat()
        self.assertEqual((stat.st_mode & 0o777, stat.st_mtime), (0o600, 0))
        legs = [a_leg(), a_leg(b"example.net")]
        self.get(self.queue.release(item, legs, NOW))
        first, second = self.legs()
        self.get(self.queue.settle(first, None, 0))
        self.assertEqual(self.files(), {name})
        self.get(self.queue.settle(second, a_leg(), NOW))
        self.assertEqual(self.files(), {name})
        self.get(self.queue.settle(second, None, 0))
        self.settled()
        self.assertEqual(self.files(), set())
        self.assertEqual(self.rows("SELECT count(*) FROM queue_bodies"), [(0,)])

    def settled(self):
        """Wait for what the writer does after it has answered."""
        self.get(self.queue.in_flight())

    def test_a_missing_file_is_damage(self):
        """A row without its file is no message that is gone: it is SealError."""
        item = self.one(body=(self.long,))
        (name,) = self.files()
        (self.state / "bodies" / name).unlink()
        with self.assertRaises(SealError):
            self.get(self.queue.open(item))

    def test_a_damaged_file(self):
        """What does not open fails in the midst; the body is let go."""
        item = self.one(body=(self.long,))
        (name,) = self.files()
        with (self.state / "bodies" / name).open("r+b") as file:
            file.seek(100_000)
            file.write(b"x" * 8)
        held = self.get(self.queue.open(item))
        with self.assertRaises(SealError):
            self.whole(held.body)
        self.assertEqual(self.get(held.body.next()), b"")

    def test_a_body_dropped_while_it_is_read(self):
        """A body that is open can be read to its end, whoever drops the message."""
        (item,) = self.released(body=(self.long,))
        parcel = self.get(self.queue.begin(item))
        self.postmaster().drop(item)
        self.assertEqual(self.files(), set())
        self.assertEqual(self.whole(parcel.body), self.long)
        self.missing(self.queue.settle, item, None, 0)

    def test_a_begin_that_is_refused_lets_go_of_the_body(self):
        """The file is closed when the mark can not be written."""
        (item,) = self.released(body=(self.long,))
        self.begun(item)
        before = set(os.listdir("/proc/self/fd"))
        self.missing(self.queue.begin, item)
        self.assertEqual(set(os.listdir("/proc/self/fd")), before)

    def test_a_long_bounce(self):
        """A bounce with a long body is a file of its mailbox, and is not swept."""
        member = self.add("jondoe")
        (item,) = self.released()
        bounce = self.copy("jondoe", BOUNCE, self.long)
        self.get(self.queue.settle(item, None, 0, bounce))
        found = self.get(self.store.mailboxes.entries(member))
        (stored,) = self.get(self.store.mailboxes.read(member, found))
        self.assertEqual(stored.body + self.whole(stored.more), self.long)

    def test_a_long_bounce_for_nobody(self):
        """The file made for a mailbox that is gone goes again."""
        self.add("jondoe")
        bounce = self.copy("jondoe", BOUNCE, self.long)
        self.operator().remove("jondoe")
        (item,) = self.released()
        self.get(self.queue.settle(item, None, 0, bounce))
        self.settled()
        self.assertEqual(self.files(), set())


class CrashTests(QueueCase):
    """What the next start finds, when nothing was closed."""

    def crashed(self):
        """Go on with a copy of the files as they lie there now, as after kill -9."""
        left = Path(tempfile.mkdtemp(prefix="postmand-"))
        self.addCleanup(shutil.rmtree, left, ignore_errors=True)
        shutil.copytree(self.state, left, dirs_exist_ok=True)
        self.state, self.url = left, f"sqlite:///{left}/postmand.db"
        self.store = self.opened()

    def test_accepted_is_kept(self):
        """Short and long, waiting and pooled: all there, under the same numbers."""
        long = os.urandom(100_000)
        short, other = self.one(), self.one(body=(long,), due=NOW + 60)
        self.put(a_message(pooled=True))
        pooled = self.pooled()
        self.crashed()
        self.assertEqual(self.due(NOW + 60), [short, other])
        self.assertEqual(self.pooled(), pooled)
        held = self.get(self.queue.open(other))
        self.assertEqual(self.whole(held.body), long)
        self.assertEqual(self.backlog.queued, 3)

    def test_released_is_released(self):
        """No message comes back after its release, and no leg is missing."""
        legs = self.released(a_leg(), a_leg(b"example.net"))
        self.crashed()
        self.assertEqual((self.due(2**40), sorted(self.legs())), ([], legs))

    def test_in_flight(self):
        """What was being tried is counted at the start, once, and tried again."""
        first, second = self.released(a_leg(), a_leg(b"example.net"))
        self.begun(first)
        self.crashed()
        self.assertEqual(self.legs(), [second])
        self.assertEqual(self.get(self.queue.in_flight()), 1)
        self.assertEqual(self.get(self.queue.in_flight()), 0)
        self.assertEqual(sorted(self.legs()), sorted([first, second]))

    def test_settled_is_settled(self):
        """Bounce and verdict are there together, once."""
        member = self.add("jondoe")
        (item,) = self.released()
        self.begun(item)
        self.get(self.queue.settle(item, None, 0, self.copy("jondoe", BOUNCE)))
        self.crashed()
        member = self.unlock("jondoe")
        self.assertEqual(self.get(self.queue.in_flight()), 0)
        self.assertEqual((self.legs(2**40), len(self.inbox(member))), ([], 1))
        self.assertEqual(self.backlog.queued, 0)

    def test_another_key_opens_nothing(self):
        """With another node's key nothing of the queue opens."""
        item = self.one()
        key = type(NODE_KEY).from_master(bytes(32))
        with closing(connect(self.state / "postmand.db")) as connection:
            found = queue_rows.find(connection, item, queue_rows.BEFORE_RELEASE)
        with self.assertRaises(SealError):
            opened_waiting(found.sealed, item, key)


class FaultTests(QueueCase):
    """A disk that does not take what is written."""

    def test_a_busy_store_changes_nothing(self):
        """A write that can not be made is StoreBusyError, and may be made again."""
        (item,) = self.released()
        self.one()
        with closing(connect(self.state / "postmand.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            self.patch(self.store._writer, "_begin", self.locked)
            for call in (
                lambda: self.queue.begin(item),
                lambda: self.queue.settle(item, None, 0),
                lambda: self.queue.release(self.due()[0], [a_leg()], NOW),
                lambda: self.queue.hold(self.due()[0]),
                self.queue.in_flight,
            ):
                with self.assertRaises(StoreBusyError):
                    self.get(call())
            other.execute("ROLLBACK")
        del self.store._writer._begin
        self.assertEqual((self.legs(), len(self.due())), ([item], 1))
        self.begun(item)

    def locked(self):
        """Fail as SQLite does after waiting for its lock."""
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        error.sqlite_errorname = "SQLITE_BUSY"
        raise writer._CannotBeginError from error

    def test_one_bad_job_does_not_harm_its_batch(self):
        """Jobs that fail beside others fail alone."""
        legs = self.released(*[a_leg() for _ in range(6)])
        calls = [self.queue.settle(item, None, 0) for item in [*legs, *legs]]
        outcomes = []
        for call in calls:
            try:
                outcomes.append(self.get(call))
            except LookupError:
                outcomes.append("gone")
        self.assertEqual(outcomes, [None] * 6 + ["gone"] * 6)
        self.assertEqual(self.backlog.queued, 0)

    def test_dropped_in_the_midst(self):
        """What an operator drops between two steps of a call is LookupError, too."""
        (item,) = self.released()
        with closing(connect(self.state / "postmand.db")) as connection:
            found = queue_rows.find(connection, item, queue_rows.LEGS)
            self.postmaster().drop(item)
            with self.assertRaises(LookupError):
                queue_rows.find_body(connection, found.body)
            with self.assertRaises(LookupError):
                queue_rows.keep(connection, item, NOW, found.sealed)
            with self.assertRaises(LookupError):
                queue_rows.begin(connection, item)

    def test_held_in_the_midst(self):
        """What an operator holds between two steps of a release is not released."""
        item = self.one()
        with closing(connect(self.state / "postmand.db")) as connection:
            queue_rows.find(connection, item, queue_rows.BEFORE_RELEASE)
            self.hold(item)
            with self.assertRaises(LookupError):
                queue_rows.take(connection, item, queue_rows.BEFORE_RELEASE, held=False)
        self.unhold(item)
        self.assertEqual(self.due(), [item])


@pytest.mark.parametrize(
    ("moment", "minute"), [(0, 0), (1, 60), (59, 60), (60, 60), (61, 120)]
)
def test_next_minute(moment, minute):
    """The first whole minute that is not before."""
    assert next_minute(moment) == minute
