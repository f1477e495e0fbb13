"""The pool asks the queue, and keeps to what it said."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Delays
from postmand.interfaces import StoreBusyError
from postmand.internet import Pooled
from postmand.queue.pool import Pool
from postmand.rules.mixing import MOST

NOW = 1_000_000


class Waiting:
    """As much of IQueue as the pool asks for."""

    def __init__(self) -> None:
        self.mails: list[Pooled] = []
        self.asked: list[int] = []
        self.error: Exception | None = None

    def pool(self, most: int) -> Deferred[Sequence[Pooled]]:
        """Fire with all, for each has an account of its own."""
        self.asked.append(most)
        return fail(self.error) if self.error else succeed(list(self.mails))


def mail(item: int, due: int = NOW + 1) -> Pooled:
    """Return one of an account of its own."""
    return Pooled(item, b"%d" % item, 0, due)


class PoolTest(SynchronousTestCase):
    """A pool that wants three."""

    def setUp(self) -> None:
        """Two wait."""
        self.queue = Waiting()
        self.queue.mails = [mail(1), mail(2)]
        self.pool = Pool(self.queue, Delays(pool_set=3), Random(1))  # type: ignore[arg-type]

    def leaving(self, now: int = NOW) -> set[int]:
        """Return what leaves at a tick."""
        items = self.successResultOf(Deferred.fromCoroutine(self.pool.leaving(now)))
        self.assertEqual(len(items), len(set(items)))
        return set(items)

    def test_asks_for_no_more_than_the_rule_sees(self) -> None:
        """What a tick costs does not grow with an account's flood."""
        self.assertEqual(self.leaving(), set())
        self.assertEqual(self.queue.asked, [MOST])

    def test_the_set_leaves(self) -> None:
        """The rule is asked with the settings, at the time given."""
        self.queue.mails.append(mail(3))
        self.assertEqual(self.leaving(), {1, 2, 3})

    def test_due(self) -> None:
        """At its time one calls the others."""
        self.assertEqual(self.leaving(NOW + 1), {1, 2})

    def test_the_rest_of_a_batch_follows(self) -> None:
        """Of three the store released one: the others do not wait for a new set."""
        self.queue.mails.append(mail(3))
        self.leaving()
        del self.queue.mails[0]
        self.assertEqual(self.leaving(), {2, 3})

    def test_one_that_stays_calls_nobody(self) -> None:
        """A message that can not be released makes no others leave, tick after tick."""
        self.queue.mails = [mail(1, due=NOW)]
        self.leaving()
        self.queue.mails += [mail(2), mail(3)]
        self.assertEqual(self.leaving(), {1})
        self.assertEqual(self.leaving(), {1})
        self.queue.mails.append(mail(4))
        self.assertEqual(self.leaving(), {1, 2, 3, 4})

    def test_forgets_what_is_gone(self) -> None:
        """What is remembered is no more than what was let go last."""
        self.leaving(NOW + 1)
        self.queue.mails = []
        self.leaving(NOW + 1)
        self.queue.mails = [mail(1), mail(2)]
        self.assertEqual(self.leaving(), set())

    def test_store_busy(self) -> None:
        """The store's refusal is the caller's."""
        self.queue.error = StoreBusyError("full")
        failed = Deferred.fromCoroutine(self.pool.leaving(NOW))
        self.failureResultOf(failed, StoreBusyError)
