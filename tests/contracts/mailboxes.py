"""What IMailboxes and IChunks promise, as tests for any store.

Mixed into a case that gives `store`, `get`, `add`, `unlock`, `copy` and `operator`
(see stores.py).
"""

from __future__ import annotations

import os

from zope.interface.verify import verifyObject

from postmand.interfaces import (
    Copy,
    IChunks,
    IMailboxes,
    MailboxFullError,
    NoSuchMailboxError,
)
from tests.contracts.stores import LIMIT

HEADER = b"From: <a@mail.i2p>\r\nSubject: hello\r\n\r\n"


class MailboxesPromises:
    """IMailboxes and IChunks."""

    def setUp(self):
        """Two members."""
        super().setUp()
        self.jondoe = self.add("jondoe")
        self.alice = self.add("alice")
        self.mailboxes = self.store.mailboxes

    def deliver(self, *copies, remember=None):
        """Deliver and wait."""
        return self.get(self.mailboxes.deliver(copies, remember or {}))

    def entries(self, member):
        """Return a mailbox's entries."""
        return self.get(self.mailboxes.entries(member))

    def whole(self, stored):
        """Return a body with all that comes after its first piece."""
        body = stored.body
        while stored.more is not None and (piece := self.get(stored.more.next())):
            body += piece
        return body

    def free(self, name):
        """Return what is left of a mailbox's limit."""
        return self.get(self.store.accounts.recipient(name)).free

    def test_provides_its_interface(self):
        """The object has the methods that the seam names."""
        verifyObject(IMailboxes, self.mailboxes)

    def test_empty_mailbox(self):
        """A new member's mailbox has no entries; asking for no message is none."""
        self.assertEqual(list(self.entries(self.jondoe)), [])
        self.assertEqual(list(self.get(self.mailboxes.read(self.jondoe, []))), [])
        self.get(self.mailboxes.remove(self.jondoe, []))

    def test_what_goes_in_comes_out(self):
        """Header and body are the octets handed in, the chunks joined."""
        body = (b"one\r\n", b"", b"two \xff\0\r\n")
        self.deliver(self.copy("jondoe", HEADER, *body))
        (entry,) = self.entries(self.jondoe)
        (stored,) = self.get(self.mailboxes.read(self.jondoe, [entry]))
        self.assertEqual((stored.header, stored.body), (HEADER, b"".join(body)))
        self.assertIsNone(stored.more)
        self.assertEqual(entry.size, len(HEADER) + len(b"".join(body)))
        self.assertEqual(len(entry.uid), 16)

    def test_empty_body_and_empty_header(self):
        """Nothing is a body, and a header block of one empty line is one, too."""
        self.deliver(self.copy("jondoe", b"\r\n"))
        (entry,) = self.entries(self.jondoe)
        (stored,) = self.get(self.mailboxes.read(self.jondoe, [entry]))
        self.assertEqual(
            (stored.header, stored.body, stored.more), (b"\r\n", b"", None)
        )
        self.assertEqual(entry.size, 2)

    def test_long_bodies_come_in_pieces(self):
        """Around 64 KiB and far above, odd lengths: every octet, in order."""
        bodies = [os.urandom(n) for n in (65_535, 65_536, 65_537, 100_001)]
        for body in bodies:
            self.deliver(self.copy("alice", HEADER, body[:777], body[777:]))
            (entry,) = self.entries(self.alice)
            (stored,) = self.get(self.mailboxes.read(self.alice, [entry]))
            self.assertEqual(self.whole(stored), body)
            self.assertEqual(entry.size, len(HEADER) + len(body))
            self.assertEqual(stored.more is not None, len(body) > 65_536)
            self.get(self.mailboxes.remove(self.alice, [entry]))

    def test_chunks_end_once_and_close_twice(self):
        """After the end, and after a close in between, next() is b""."""
        self.deliver(self.copy("jondoe", HEADER, bytes(200_000)))
        (entry,) = self.entries(self.jondoe)
        for leave_early in (False, True):
            (stored,) = self.get(self.mailboxes.read(self.jondoe, [entry]))
            verifyObject(IChunks, stored.more)
            if leave_early:
                self.assertTrue(self.get(stored.more.next()))
            else:
                self.whole(stored)
            stored.more.close()
            stored.more.close()
            self.assertEqual(self.get(stored.more.next()), b"")

    def test_oldest_first_and_each_its_own(self):
        """Entries stand in the order of arrival; uids and numbers differ."""
        for n in range(5):
            self.deliver(self.copy("jondoe", HEADER, b"%d" % n))
        found = self.entries(self.jondoe)
        texts = [one.body for one in self.get(self.mailboxes.read(self.jondoe, found))]
        self.assertEqual(texts, [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(len({entry.uid for entry in found}), 5)
        numbers = [entry.number for entry in found]
        self.assertEqual(numbers, sorted(set(numbers)))
        again = self.entries(self.jondoe)
        self.assertEqual([e.uid for e in found], [e.uid for e in again])

    def test_read_keeps_the_order_asked_for(self):
        """The answers stand as the entries asked for, not as they arrived."""
        for n in range(3):
            self.deliver(self.copy("jondoe", HEADER, b"%d" % n))
        a, b, c = self.entries(self.jondoe)
        read = self.get(self.mailboxes.read(self.jondoe, [c, a, b]))
        self.assertEqual([one.body for one in read], [b"2", b"0", b"1"])

    def test_headers_alone(self):
        """Without bodies the header blocks come, and nothing is held open."""
        self.deliver(self.copy("jondoe", HEADER, b"text"))
        self.deliver(self.copy("jondoe", b"X: 2\r\n\r\n", bytes(100_000)))
        found = self.entries(self.jondoe)
        read = self.get(self.mailboxes.read(self.jondoe, found, bodies=False))
        self.assertEqual(
            [(one.header, one.body, one.more) for one in read],
            [(HEADER, b"", None), (b"X: 2\r\n\r\n", b"", None)],
        )

    def test_every_recipient_has_a_copy(self):
        """Two copies with headers of their own: each mailbox has the right one."""
        shared = b"the same body\r\n"
        self.deliver(
            self.copy("jondoe", b"To: j\r\n\r\n", shared),
            self.copy("alice", b"To: a\r\n\r\n", shared),
        )
        uids = set()
        for member, mine in (
            (self.jondoe, b"To: j\r\n\r\n"),
            (self.alice, b"To: a\r\n\r\n"),
        ):
            (entry,) = self.entries(member)
            (stored,) = self.get(self.mailboxes.read(member, [entry]))
            self.assertEqual((stored.header, stored.body), (mine, shared))
            uids.add(entry.uid)
        self.assertEqual(len(uids), 2)

    def test_thread_ids_of_an_entry(self):
        """An entry knows the ids its message answers to, each time one stands there."""
        header = b"In-Reply-To: <a@x>\r\nReferences: <b@y> <a@x>\r\n\r\n"
        self.deliver(self.copy("jondoe", header, b""))
        (entry,) = self.entries(self.jondoe)
        self.assertEqual(sorted(entry.thread_ids), [b"<a@x>", b"<a@x>", b"<b@y>"])

    def test_full_mailbox_takes_nothing_for_anybody(self):
        """One recipient without room: both mailboxes stay as they were."""
        while self.free("alice") > LIMIT // 2:
            self.deliver(self.copy("alice", HEADER, bytes(30_000)))
        filled = len(self.entries(self.alice))
        copies = [
            self.copy("jondoe", HEADER, b"text"),
            self.copy("alice", HEADER, bytes(LIMIT * 3 // 4)),
        ]
        with self.assertRaises(MailboxFullError) as caught:
            self.deliver(*copies)
        self.assertEqual(caught.exception.args, ("alice",))
        self.assertFalse(caught.exception.permanent)
        self.assertEqual(list(self.entries(self.jondoe)), [])
        self.assertEqual(len(self.entries(self.alice)), filled)
        self.assertEqual(self.free("jondoe"), LIMIT)

    def test_message_larger_than_any_mailbox(self):
        """It will never fit, and the error says so."""
        with self.assertRaises(MailboxFullError) as caught:
            self.deliver(self.copy("alice", HEADER, bytes(LIMIT + 1)))
        self.assertTrue(caught.exception.permanent)

    def test_two_copies_for_one_mailbox_count_twice(self):
        """A recipient named twice cannot take more than the limit."""
        copy = self.copy("alice", HEADER, bytes(LIMIT * 2 // 3))
        with self.assertRaises(MailboxFullError) as caught:
            self.deliver(copy, copy)
        self.assertFalse(caught.exception.permanent)
        self.assertEqual(self.free("alice"), LIMIT)

    def test_removing_gives_the_room_back(self):
        """After a removal the mailbox is as free as at first."""
        self.deliver(self.copy("jondoe", HEADER, b"text"))
        self.deliver(self.copy("jondoe", HEADER, bytes(90_000)))
        self.assertLess(self.free("jondoe"), LIMIT)
        found = self.entries(self.jondoe)
        self.get(self.mailboxes.remove(self.jondoe, found))
        self.assertEqual(list(self.entries(self.jondoe)), [])
        self.assertEqual(self.free("jondoe"), LIMIT)

    def test_removing_twice_counts_once(self):
        """Two sessions remove the same: the room is given back once."""
        self.deliver(self.copy("jondoe", HEADER, b"one"))
        self.deliver(self.copy("jondoe", HEADER, b"two"))
        first, _ = self.entries(self.jondoe)
        before = self.free("jondoe")
        self.get(self.mailboxes.remove(self.jondoe, [first]))
        once = self.free("jondoe")
        self.get(self.mailboxes.remove(self.jondoe, [first, first]))
        self.assertLess(before, once)
        self.assertEqual(self.free("jondoe"), once)
        self.assertEqual(len(self.entries(self.jondoe)), 1)

    def test_removed_message_is_not_read(self):
        """A message gone by another hand is LookupError for the whole call."""
        self.deliver(self.copy("jondoe", HEADER, b"one"))
        self.deliver(self.copy("jondoe", HEADER, b"two"))
        first, second = self.entries(self.jondoe)
        self.get(self.mailboxes.remove(self.jondoe, [first]))
        for bodies in (True, False):
            with self.assertRaises(LookupError):
                self.get(
                    self.mailboxes.read(self.jondoe, [second, first], bodies=bodies)
                )

    def test_nobody_reaches_anothers_message(self):
        """An entry of one member neither reads nor removes with another's name."""
        self.deliver(self.copy("jondoe", HEADER, b"mine"))
        (entry,) = self.entries(self.jondoe)
        with self.assertRaises(LookupError):
            self.get(self.mailboxes.read(self.alice, [entry]))
        self.get(self.mailboxes.remove(self.alice, [entry]))
        self.assertEqual(len(self.entries(self.jondoe)), 1)

    def test_account_gone_or_closed_since_rcpt(self):
        """NoSuchMailboxError names it, and the other recipient gets nothing."""
        copies = [self.copy("jondoe", HEADER, b""), self.copy("alice", HEADER, b"")]
        for change in (self.operator().disable, self.operator().remove):
            change("alice")
            with self.assertRaises(NoSuchMailboxError) as caught:
                self.deliver(*copies)
            self.assertEqual(caught.exception.args, ("alice",))
        self.assertEqual(list(self.entries(self.jondoe)), [])

    def test_another_account_of_the_same_name(self):
        """Mail for an account that went does not come to its successor."""
        copy = self.copy("alice", HEADER, b"for the first alice")
        self.operator().remove("alice")
        successor = self.add("alice")
        with self.assertRaises(NoSuchMailboxError):
            self.deliver(copy)
        self.assertEqual(list(self.entries(successor)), [])

    def test_remember_joins_the_transaction(self):
        """Ids are remembered with the message, and not without it."""
        threads = self.store.threads
        row = dict([threads.row(self.alice, b"<1@pc>")])
        with self.assertRaises(MailboxFullError):
            self.deliver(self.copy("jondoe", HEADER, bytes(LIMIT + 1)), remember=row)
        self.assertEqual(self.get(threads.own(self.alice, [b"<1@pc>"])), {})
        self.deliver(self.copy("jondoe", HEADER, b""), remember=row)
        self.assertIn(b"<1@pc>", self.get(threads.own(self.alice, [b"<1@pc>"])))

    def test_many_at_once_are_all_there(self):
        """Forty deliveries started together: each once, in order."""
        recipient = self.copy("jondoe", HEADER).recipient
        started = [
            self.mailboxes.deliver([Copy(recipient, HEADER, [b"%02d" % n])], {})
            for n in range(40)
        ]
        for one in started:
            self.get(one)
        found = self.entries(self.jondoe)
        read = self.get(self.mailboxes.read(self.jondoe, found))
        self.assertEqual([one.body for one in read], [b"%02d" % n for n in range(40)])
