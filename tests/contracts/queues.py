"""What IQueue promises, as tests for any queue.

Mixed into a case that gives `queue`, `put`, `hold`, `unhold` and what a store's case
gives (see stores.py).
"""

from __future__ import annotations

import os

from attrs import evolve
from zope.interface.verify import verifyObject

from postmand.interfaces import IChunks, Outgoing
from postmand.internet import IQueue, Leg
from tests.contracts.stores import LIMIT

NOW = 1_700_000_040
FIELDS = ((b"From", b"<jondoe@mail.i2p>"), (b"Subject", b"hello"), (b"To", b""))
HEADER = b"From: <jondoe@i2pmail.org>\r\nSubject: hello\r\n\r\n"
BOUNCE = b"From: <>\r\nSubject: it came back\r\n\r\n"


def a_message(account=7, body=(b"one\r\n", b"", b"two\r\n"), due=NOW, **changed):
    """Return a message as the post office hands it in."""
    values = {
        "account": account,
        "name": "jondoe",
        "recipients": (b"a@example.org", b"b@example.net"),
        "fields": FIELDS,
        "message_id": b"<x@mail.i2p>",
        "body": body,
        "due": due,
    }
    return Outgoing(**values | changed)


def a_leg(domain=b"example.org", *recipients, **changed):
    """Return a leg as the post office makes it at release."""
    values = {
        "account": 7,
        "name": "jondoe",
        "sender": b"jondoe@i2pmail.org",
        "domain": domain,
        "recipients": recipients or (b"a@" + domain,),
        "header": HEADER,
        "until": NOW + 432_000,
    }
    return Leg(**values | changed)


class QueueCalls:
    """What the tests of a queue ask of it, in short."""

    def due(self, now=NOW, most=100):
        """Return what is due."""
        return list(self.get(self.queue.due(now, most)))

    def legs(self, now=NOW, most=100, busy=()):
        """Return the legs that are due."""
        return [leg.item for leg in self.get(self.queue.legs_due(now, most, busy))]

    def pooled(self, most=100):
        """Return what is in the pool."""
        return list(self.get(self.queue.pool(most)))

    def whole(self, chunks):
        """Return all octets of a body."""
        octets = b""
        while piece := self.get(chunks.next()):
            octets += piece
        chunks.close()
        return octets

    def one(self, **changed):
        """Put a message in; return its item, which is due alone."""
        known = self.due(2**40)
        self.put(a_message(**changed))
        (item,) = set(self.due(2**40)) - set(known)
        return item

    def released(self, *legs, **changed):
        """Put a message in and release it; return the legs' items."""
        known = self.legs(2**40)
        self.get(self.queue.release(self.one(**changed), legs or (a_leg(),), NOW))
        return sorted(set(self.legs(2**40)) - set(known))

    def inbox(self, member):
        """Return the headers and bodies of a mailbox."""
        found = self.get(self.store.mailboxes.entries(member))
        read = self.get(self.store.mailboxes.read(member, found))
        return [(stored.header, stored.body) for stored in read]

    def begun(self, item):
        """Begin a leg and return what was opened, its body closed."""
        parcel = self.get(self.queue.begin(item))
        parcel.body.close()
        return parcel

    def missing(self, call, *arguments):
        """The call fails with LookupError."""
        with self.assertRaises(LookupError):
            self.get(call(*arguments))


class QueuePromises(QueueCalls):
    """IQueue."""

    def test_provides_its_interface(self):
        """The object has the methods that the seam names."""
        verifyObject(IQueue, self.queue)

    def test_an_empty_queue(self):
        """Nothing waits, nothing is due, nothing was in flight."""
        self.assertEqual((self.due(), self.legs(), self.pooled()), ([], [], []))
        self.assertEqual(self.get(self.queue.in_flight()), 0)

    def test_what_goes_in_comes_out(self):
        """A message is opened as it was handed in, and as often as one likes."""
        message = a_message(account=2**62 + 1, name="jöndoe")
        self.put(message)
        (item,) = self.due()
        for _ in range(2):
            held = self.get(self.queue.open(item))
            kept = (held.account, held.name, held.recipients, held.fields)
            self.assertEqual(
                kept,
                (message.account, message.name, message.recipients, message.fields),
            )
            self.assertEqual((held.item, held.message_id), (item, message.message_id))
            verifyObject(IChunks, held.body)
            self.assertEqual(self.whole(held.body), b"one\r\ntwo\r\n")
            self.assertEqual(held.body_bytes, 10)

    def test_odd_messages(self):
        """No body, no fields, no recipient, any octets: each is kept as it is."""
        odd = ((b"", b"\0\xff"), (b"X", b"x" * 100_000))
        item = self.one(recipients=(), fields=odd, message_id=b"", body=())
        held = self.get(self.queue.open(item))
        self.assertEqual((held.recipients, held.fields), ((), odd))
        self.assertEqual((self.whole(held.body), held.body_bytes), (b"", 0))

    def test_bodies_of_all_lengths(self):
        """Around 64 KiB and far above: every octet in order, at release and after."""
        for length in (65_535, 65_536, 65_537, 200_001):
            body = os.urandom(length)
            item = self.one(body=(body[:777], body[777:]))
            held = self.get(self.queue.open(item))
            self.assertEqual(held.body_bytes, length)
            self.assertEqual(self.whole(held.body), body)
            self.get(self.queue.release(item, [a_leg()], NOW))
            (leg,) = self.legs()
            parcel = self.get(self.queue.begin(leg))
            self.assertEqual(parcel.body_bytes, length)
            self.assertEqual(self.whole(parcel.body), body)
            self.get(self.queue.settle(leg, None, 0))

    def test_a_body_let_go_early(self):
        """After a close in between next() is b""; close() may be called twice."""
        for length in (100, 200_000):
            held = self.get(self.queue.open(self.one(body=(bytes(length),))))
            if length > 100:
                self.assertTrue(self.get(held.body.next()))
            held.body.close()
            held.body.close()
            self.assertEqual(self.get(held.body.next()), b"")

    def test_due_in_time_and_in_order(self):
        """Nothing leaves before its time; the longest overdue comes first."""
        moments = {self.one(due=NOW + 60 * n): n for n in (3, 1, 4, 0, 2)}
        self.assertEqual(self.due(NOW - 1), [])
        self.assertEqual([moments[item] for item in self.due(NOW)], [0])
        self.assertEqual([moments[item] for item in self.due(NOW + 179)], [0, 1, 2])
        self.assertEqual([moments[i] for i in self.due(NOW + 9999)], [0, 1, 2, 3, 4])
        self.assertEqual([moments[i] for i in self.due(NOW + 9999, 2)], [0, 1])

    def test_due_is_cut_to_the_minute_but_never_early(self):
        """A second after the minute is the next minute's."""
        item = self.one(due=NOW + 1)
        self.assertEqual((self.due(NOW + 59), self.due(NOW + 60)), ([], [item]))

    def test_numbers_are_random(self):
        """Numbers of 62 bits in no order: they tell not who came first."""
        items = [self.one() for _ in range(24)]
        self.assertEqual(len(set(items)), 24)
        self.assertTrue(all(0 <= item < 2**62 for item in items))
        self.assertNotEqual(items, sorted(items))
        self.assertGreater(max(items), 2**56)
        legs = self.released(a_leg(), a_leg(b"example.net"))
        self.assertFalse(set(legs) & set(items))

    def test_pool(self):
        """What waits in the pool is not due, and knows its owner and class."""
        short, long = (b"x",), (bytes(9000),)
        for account, body, due in ((1, short, 60), (1, long, 0), (2, short, 0)):
            self.put(a_message(account, body, NOW + due, pooled=True))
        self.assertEqual(self.due(2**40), [])
        found = self.pooled()
        self.assertEqual(len({one.owner for one in found}), 2)
        by_class = {(one.owner, one.size_class): one.due for one in found}
        self.assertEqual(sorted(one.size_class for one in found), [0, 0, 1])
        self.assertEqual(sorted(by_class.values()), [NOW, NOW, NOW + 60])
        opened = {self.get(self.queue.open(one.item)).account for one in found}
        self.assertEqual(opened, {1, 2})

    def test_pool_gives_the_first_of_each(self):
        """Of one owner and class the first by due, not more than asked for."""
        for n in (3, 1, 2, 0):
            self.put(a_message(1, due=NOW + 60 * n, pooled=True))
            self.put(a_message(2, due=NOW + 600 * n, pooled=True))
        dues = sorted(one.due - NOW for one in self.pooled(2))
        self.assertEqual(dues, [0, 0, 60, 600])
        self.assertEqual(len(self.pooled(4)), 8)

    def test_release_from_the_pool(self):
        """A pooled message is released as any other, and is in the pool no more."""
        self.put(a_message(pooled=True))
        (one,) = self.pooled()
        self.get(self.queue.release(one.item, [a_leg()], NOW))
        self.assertEqual((self.pooled(), len(self.legs())), ([], 1))

    def test_release(self):
        """The legs replace the message, due at once, each as it was handed in."""
        legs = [
            a_leg(b"example.org", b"a@example.org", b"b@example.org"),
            a_leg(b"example.net", header=b"\xff" * 70_000, attempts=3, account=2**62),
        ]
        item = self.one()
        self.get(self.queue.release(item, legs, NOW + 59))
        self.assertEqual(self.due(2**40), [])
        items = self.legs(NOW + 59)
        parcels = {parcel.leg.domain: parcel for parcel in map(self.begun, items)}
        self.assertEqual([parcels[leg.domain].leg for leg in legs], legs)
        self.assertEqual({parcel.item for parcel in parcels.values()}, set(items))
        self.assertEqual({parcel.body_bytes for parcel in parcels.values()}, {10})

    def test_release_once(self):
        """A message is released once; without a leg it would be lost."""
        item = self.one()
        with self.assertRaises(ValueError):
            self.get(self.queue.release(item, [], NOW))
        self.get(self.queue.release(item, [a_leg()], NOW))
        self.missing(self.queue.release, item, [a_leg()], NOW)
        self.missing(self.queue.open, item)
        self.assertEqual(len(self.legs()), 1)

    def test_two_releases_at_once(self):
        """Of two at the same time one wins, and the legs are there once."""
        item, outcomes = self.one(), []
        calls = [self.queue.release(item, [a_leg()], NOW) for _ in range(2)]
        for call in calls:
            try:
                outcomes.append(self.get(call))
            except LookupError:
                outcomes.append("gone")
        self.assertEqual(sorted(outcomes, key=str), [None, "gone"])
        self.assertEqual(len(self.legs()), 1)

    def test_what_is_not_there(self):
        """Unknown numbers, and items of another stage, are LookupError."""
        leg, waiting = self.released()[0], self.one()
        for number in (0, 2**62 - 1, leg):
            self.missing(self.queue.open, number)
            self.missing(self.queue.release, number, [a_leg()], NOW)
        for number in (0, 2**62 - 1, waiting):
            self.missing(self.queue.begin, number)
            self.missing(self.queue.settle, number, None, 0)
            self.missing(self.queue.settle, number, a_leg(), NOW)
        self.assertEqual((self.due(), self.legs()), ([waiting], [leg]))

    def test_begin_marks(self):
        """A leg that is being tried is not due, and can not be begun again."""
        (item,) = self.released()
        self.begun(item)
        self.assertEqual(self.legs(2**40), [])
        self.missing(self.queue.begin, item)
        self.assertEqual(self.get(self.queue.in_flight()), 1)
        self.assertEqual(self.get(self.queue.in_flight()), 0)
        self.assertEqual(self.legs(), [item])
        self.begun(item)

    def test_two_begins_at_once(self):
        """Of two at the same time one gets the parcel."""
        (item,) = self.released()
        got = []
        for call in [self.queue.begin(item) for _ in range(2)]:
            try:
                got.append(self.get(call).item)
            except LookupError:
                got.append(None)
        self.assertEqual(sorted(got, key=str), [item, None])

    def test_settled_for_good(self):
        """A leg that is done is gone; the other legs of its message are not."""
        first, second = self.released(a_leg(), a_leg(b"example.net"))
        self.begun(first)
        self.get(self.queue.settle(first, None, 0))
        self.missing(self.queue.begin, first)
        self.missing(self.queue.settle, first, None, 0)
        self.assertEqual(self.legs(2**40), [second])
        parcel = self.get(self.queue.begin(second))
        self.assertEqual(self.whole(parcel.body), b"one\r\ntwo\r\n")
        self.get(self.queue.settle(second, None, 0))
        self.assertEqual(self.legs(2**40), [])

    def test_left_over_recipients(self):
        """What is left of a leg comes again under the same number, at its time."""
        leg = a_leg(b"example.org", b"a@example.org", b"b@example.org")
        (item,) = self.released(leg)
        self.begun(item)
        left = evolve(leg, recipients=(b"b@example.org",), attempts=1)
        self.get(self.queue.settle(item, left, NOW + 600))
        self.assertEqual((self.legs(NOW + 599), self.legs(NOW + 600)), ([], [item]))
        parcel = self.get(self.queue.begin(item))
        self.assertEqual(parcel.leg, left)
        self.assertEqual(self.whole(parcel.body), b"one\r\ntwo\r\n")

    def test_legs_in_order(self):
        """The longest overdue leg comes first."""
        items = [self.released()[0] for _ in range(4)]
        for n, item in zip((2, 0, 3, 1), items, strict=True):
            self.get(self.queue.settle(item, a_leg(), NOW + 60 * n))
        order = [items[1], items[3], items[0], items[2]]
        self.assertEqual(self.legs(NOW + 180), order)
        self.assertEqual(self.legs(NOW + 180, 2), order[:2])

    def test_legs_of_busy_domains(self):
        """All legs of a domain have one tag, whenever, and are left out by it.

        Those of other domains come, however many of it are due before.
        """
        slow = [self.released(a_leg(b"Tar.pit"))[0] for _ in range(3)]
        (again,) = self.released(a_leg(b"tar.pit"))
        self.get(self.queue.settle(again, a_leg(b"tar.pit", attempts=1), NOW))
        other, third = self.released(a_leg(b"example.net"), a_leg(b"example.org"))
        found = self.get(self.queue.legs_due(NOW, 100))
        tags = {leg.item: leg.domain for leg in found}
        self.assertEqual({tags[item] for item in slow}, {tags[again]})
        self.assertEqual(len(set(tags.values())), 3)
        tar, net, org = tags[again], tags[other], tags[third]
        self.assertEqual(set(self.legs(most=2, busy=[tar])), {other, third})
        self.assertEqual(self.legs(most=2, busy={tar, net}), [third])
        self.assertEqual(self.legs(busy=(tar, net, org)), [])
        self.assertEqual(len(self.legs(busy=[b"none"])), 6)
        self.hold(again)
        self.unhold(again)
        held = {leg.item: leg for leg in self.get(self.queue.legs_due(NOW, 100))}
        self.assertEqual(held[again].domain, tar)

    def test_bounce(self):
        """A bounce lies in its mailbox once the leg is settled."""
        member = self.add("jondoe")
        (item,) = self.released()
        self.begun(item)
        bounce = self.copy("jondoe", BOUNCE, b"no such ", b"user\r\n")
        self.get(self.queue.settle(item, None, 0, bounce))
        self.assertEqual(self.inbox(member), [(BOUNCE, b"no such user\r\n")])
        self.assertEqual(self.legs(2**40), [])

    def test_bounce_with_some_left(self):
        """One recipient's bounce comes while others are tried again."""
        member = self.add("jondoe")
        (item,) = self.released()
        bounce = self.copy("jondoe", BOUNCE)
        self.get(self.queue.settle(item, a_leg(attempts=1), NOW, bounce))
        self.assertEqual(len(self.inbox(member)), 1)
        self.assertEqual(self.begun(item).leg.attempts, 1)

    def test_bounce_into_a_full_mailbox(self):
        """There is always room for a bounce, and it is counted."""
        member = self.add("jondoe")
        fill = self.copy("jondoe", BOUNCE, bytes(LIMIT - 20_000))
        self.get(self.store.mailboxes.deliver([fill], {}))
        (item,) = self.released()
        large = self.copy("jondoe", BOUNCE, bytes(40_000))
        self.get(self.queue.settle(item, None, 0, large))
        self.assertEqual(len(self.inbox(member)), 2)
        self.assertEqual(self.get(self.store.accounts.recipient("jondoe")).free, 0)

    def test_bounce_for_nobody(self):
        """The mailbox is gone or closed: the leg is settled, nobody gets a bounce."""
        member, operator = self.add("jondoe"), self.operator()
        self.add("alice")
        disabled, removed = (
            self.copy("jondoe", BOUNCE),
            self.copy("alice", BOUNCE, bytes(100_000)),
        )
        operator.disable("jondoe")
        operator.remove("alice")
        first, second = self.released(a_leg(), a_leg())
        self.get(self.queue.settle(first, None, 0, disabled))
        self.get(self.queue.settle(second, None, 0, removed))
        self.assertEqual((self.legs(2**40), self.inbox(member)), ([], []))

    def test_no_bounce_for_what_is_gone(self):
        """A leg settled twice bounces once."""
        member = self.add("jondoe")
        (item,) = self.released()
        bounce = self.copy("jondoe", BOUNCE)
        self.get(self.queue.settle(item, None, 0, bounce))
        self.missing(self.queue.settle, item, None, 0, bounce)
        self.assertEqual(len(self.inbox(member)), 1)

    def test_held_before_release(self):
        """What the operator holds is not due and opens for nobody, until it is let go.

        Then it goes at the next tick, whatever its time was.
        """
        held, other = self.one(due=NOW + 600), self.one(due=NOW + 600)
        self.hold(held)
        self.assertEqual(self.due(NOW + 600), [other])
        self.missing(self.queue.open, held)
        self.missing(self.queue.release, held, [a_leg()], NOW)
        self.unhold(held)
        self.assertEqual(self.due(NOW), [held])
        self.get(self.queue.release(held, [a_leg()], NOW))

    def test_held_in_the_pool(self):
        """A held message leaves the pool, and does not come back to it."""
        self.put(a_message(pooled=True, due=NOW + 86_400))
        (one,) = self.pooled()
        self.hold(one.item)
        self.assertEqual((self.pooled(), self.due(2**40)), ([], []))
        self.unhold(one.item)
        self.assertEqual((self.pooled(), self.due(NOW)), ([], [one.item]))

    def test_held_by_the_node(self):
        """It is as if the operator had held it, who lets it go; it left the pool."""
        self.put(a_message(pooled=True))
        (pooled,) = self.pooled()
        for item in (self.one(), pooled.item):
            self.assertTrue(self.get(self.queue.hold(item)))
            self.missing(self.queue.open, item)
            self.missing(self.queue.hold, item)
        self.assertEqual((self.due(2**40), self.pooled()), ([], []))
        self.unhold(pooled.item)
        self.assertEqual(self.due(), [pooled.item])

    def test_the_operator_has_the_last_word(self):
        """What was let go by hand the node does not hold; nor a leg, nor a stranger."""
        item = self.one(due=NOW + 600)
        self.unhold(item)
        self.assertFalse(self.get(self.queue.hold(item)))
        self.assertEqual(self.due(), [item])
        (leg,) = self.released()
        for other in (leg, 5):
            self.missing(self.queue.hold, other)
        self.assertEqual(self.legs(), [leg])

    def test_let_go_out_of_the_pool(self):
        """The operator's release takes a message out of the pool, held or not."""
        self.put(a_message(pooled=True, due=NOW + 86_400))
        (one,) = self.pooled()
        self.unhold(one.item)
        self.assertEqual((self.pooled(), self.due(NOW)), ([], [one.item]))

    def test_held_leg(self):
        """A held leg is not tried; one held while it is tried is settled, and held."""
        first, second = self.released(a_leg(), a_leg(b"example.net"))
        self.hold(first)
        self.assertEqual(self.legs(2**40), [second])
        self.missing(self.queue.begin, first)
        self.begun(second)
        self.hold(second)
        self.get(self.queue.settle(second, a_leg(attempts=1), NOW))
        self.assertEqual(self.legs(2**40), [])
        self.unhold(second)
        self.assertEqual(self.begun(second).leg.attempts, 1)
        self.hold(second)
        self.assertEqual(self.get(self.queue.in_flight()), 1)
