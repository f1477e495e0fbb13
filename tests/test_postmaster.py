"""The operator's look at the queue, and hand on it; more is in the contract."""

from __future__ import annotations

import os

import pytest

from postmand.store import postmaster
from tests.contracts.queue_cases import QueueCase
from tests.contracts.queues import NOW, a_leg, a_message

pytestmark = pytest.mark.long


class PostmasterTests(QueueCase):
    """What the operator sees and does; see the contract for hold and release."""

    def setUp(self):
        """An operator beside the running node."""
        super().setUp()
        self.master, self.list = self.postmaster(), self.listing()

    def test_shows_what_it_may(self):
        """Stage, time, padded size and counts; a tag for the domain unless asked."""
        waiting = self.one(due=NOW + 60)
        self.put(a_message(pooled=True, body=(bytes(5000),)))
        (leg,) = self.released(a_leg(b"Example.org", b"x@e", b"y@e", attempts=2))
        listed = {one.item: one for one in self.list.page(-1, 10)}
        self.assertEqual(len(listed), 3)
        one = listed[waiting]
        told = (one.stage, one.due, one.held, one.octets, one.recipients, one.domain)
        self.assertEqual(told, ("waiting", NOW + 60, False, 1024, 2, b""))
        one = listed[leg]
        told = (one.stage, one.attempts, one.recipients, len(one.domain))
        self.assertEqual(told, ("relay", 2, 2, 8))
        self.assertNotIn(b"xample", one.domain)
        self.assertEqual(self.list.show(leg).listed, one)
        shown = self.list.show(leg, domains=True)
        self.assertEqual((shown.listed.domain, shown.trying), (b"Example.org", False))
        (other,) = self.released(a_leg(b"example.org"))
        self.assertEqual(self.list.show(other).listed.domain, one.domain)
        (other,) = self.released(a_leg(b"example.net"))
        self.assertNotEqual(self.list.show(other).listed.domain, one.domain)

    def test_pages(self):
        """Page by page every item comes once, whatever comes and goes meanwhile."""
        items = {self.one() for _ in range(7)}
        seen, after = [], -1
        while page := self.list.page(after, 3):
            self.assertLessEqual(len(page), 3)
            seen += [one.item for one in page]
            after = seen[-1]
        self.assertEqual((set(seen), len(seen)), (items, 7))

    def test_a_damaged_card_does_not_hide_the_others(self):
        """It is listed as what it is, and can be dropped."""
        item = self.one()
        self.one()
        self.rows("UPDATE queue_items SET card = x'00' WHERE id = ?", item)
        listed = {one.item: one.domain for one in self.list.page(-1, 10)}
        self.assertEqual(len(listed), 2)
        self.assertEqual(listed[item], postmaster.DAMAGED)
        self.master.drop(item)
        self.assertEqual(len(self.list.page(-1, 10)), 1)

    def test_unknown_items(self):
        """Nothing is changed for a number that is none."""
        waiting = self.one()
        for call in (self.list.show, self.master.hold, self.master.let_go):
            self.assertRaises(LookupError, call, 5)
        self.assertRaises(LookupError, self.master.drop, 5)
        self.assertRaises(LookupError, self.master.retry, waiting)
        self.assertEqual(self.due(), [waiting])

    def test_trying(self):
        """A leg that is on its way just now is told from the others."""
        (leg,) = self.released()
        self.begun(leg)
        self.assertTrue(self.list.show(leg).trying)

    def test_retry(self):
        """A leg that waits for its next try is due now."""
        first, second = self.released(a_leg(), a_leg(b"example.net"))
        for item in (first, second):
            self.get(self.queue.settle(item, a_leg(), NOW + 6000))
        self.master.retry(first)
        self.assertEqual(self.legs(), [first])

    def test_retry_all(self):
        """All of them, in short transactions; the held ones stay."""
        self.patch(postmaster, "_BATCH", 2)
        legs = self.released(*[a_leg() for _ in range(6)])
        for item in legs:
            self.get(self.queue.settle(item, a_leg(), NOW + 6000))
        self.master.hold(legs[0])
        self.assertEqual(self.master.retry_all(), 5)
        self.assertEqual(sorted(self.legs()), legs[1:])
        self.assertEqual(self.master.retry_all(), 0)

    def test_drop(self):
        """The body goes with the last leg, its file too; nobody gets a bounce."""
        member = self.add("jondoe")
        long = (os.urandom(100_000),)
        first, second = self.released(a_leg(), a_leg(b"example.net"), body=long)
        self.master.drop(first)
        self.assertEqual((self.legs(), len(self.files())), ([second], 1))
        self.master.hold(second)
        self.master.drop(second)
        self.assertEqual(
            (self.legs(), self.files(), self.inbox(member)), ([], set(), [])
        )
        self.assertEqual(self.rows("SELECT count(*) FROM queue_bodies"), [(0,)])

    def test_a_change_that_fails_leaves_no_lock(self):
        """After an error the connection is as before."""
        self.assertRaises(LookupError, self.master.drop, 5)
        self.put(a_message())
        self.assertEqual(len(self.due()), 1)
