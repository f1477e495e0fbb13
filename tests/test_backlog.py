"""How many messages the queue takes, and how they are counted."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import StoreBusyError
from postmand.store import queue_rows
from postmand.store.queue_intake import Backlog
from tests.contracts.queue_cases import QueueCase
from tests.contracts.queues import NOW, a_leg, a_message

pytestmark = pytest.mark.long


class BacklogTests(QueueCase):
    """How many messages there may be."""

    most = 3

    def test_full(self):
        """The next message is refused, until one has left entirely."""
        for _ in range(2):
            self.put(a_message())
        first, second = self.released(a_leg(), a_leg(b"example.net"))
        with self.assertRaises(StoreBusyError) as caught:
            self.put(a_message())
        self.assertEqual(str(caught.exception), "the queue is full")
        self.get(self.queue.settle(first, None, 0))
        with self.assertRaises(StoreBusyError):
            self.put(a_message())
        self.get(self.queue.settle(second, None, 0))
        self.put(a_message())

    def test_what_is_left_of_a_leg_counts(self):
        """A message of which a recipient is left has not left."""
        (item,) = self.released()
        self.assertEqual(self.backlog.queued, 1)
        self.get(self.queue.settle(item, a_leg(attempts=1), NOW))
        self.assertEqual(self.backlog.queued, 1)
        self.get(self.queue.settle(item, None, 0))
        self.assertEqual(self.backlog.queued, 0)

    def test_what_a_tool_dropped_comes_to_light(self):
        """The first refusal has the queue counted anew."""
        items = [self.one() for _ in range(3)]
        self.postmaster().drop(items[0])
        with self.assertRaises(StoreBusyError):
            self.put(a_message())
        self.due()  # waits behind the count, in one thread or beside it
        while self.backlog.queued == 3:
            self.loop._waiting.get(timeout=60)()
        self.put(a_message())

    def test_counted_at_the_start(self):
        """A message with several legs counts once."""
        self.released(a_leg(), a_leg(b"example.net"))
        self.put(a_message())
        self.reopened()
        self.assertEqual(self.backlog.queued, 2)


class CountingTests(SynchronousTestCase):
    """A count that is made while messages come and go."""

    def setUp(self):
        """A backlog whose counts the test answers."""
        self.counts = []
        self.backlog = Backlog(self, 2, 2)

    def call(self, run):
        """Take a call as a crew does."""
        self.assertIs(run, queue_rows.count)
        self.counts.append(Deferred())
        return self.counts[-1]

    def refused(self):
        """The next message is refused."""
        with self.assertRaises(StoreBusyError):
            self.backlog.take()

    def test_one_count_at_a_time(self):
        """However many are refused meanwhile."""
        self.refused()
        self.refused()
        self.assertEqual(len(self.counts), 1)
        self.counts[0].callback(1)
        self.backlog.take()
        self.refused()
        self.assertEqual(len(self.counts), 2)

    def test_a_count_overtaken(self):
        """What moved while it was counted makes the count worth nothing."""
        self.refused()
        self.backlog.give_back()
        self.counts[0].callback(0)
        self.assertEqual(self.backlog.queued, 1)

    def test_a_count_that_fails(self):
        """It is asked for again at the next refusal."""
        self.refused()
        self.counts[0].errback(StoreBusyError("closed"))
        self.refused()
        self.assertEqual(len(self.counts), 2)
