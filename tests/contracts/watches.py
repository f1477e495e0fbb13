"""What IWatches promises, as tests for any watches.

Mixed into a case that gives `watches` (PER_NICK and PER_ACCOUNT are its limits) and
what a store's case gives (see stores.py).
"""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from postmand.interfaces import NoSuchMailboxError
from postmand.notice import IWatches, TooManyWatchesError

PER_NICK, PER_ACCOUNT = 3, 2
TODAY = 20_779
HEADER = b"From: <a@mail.i2p>\r\nSubject: hello\r\n\r\n"


class WatchesPromises:
    """IWatches."""

    def setUp(self):
        """Two members, two nicks."""
        super().setUp()
        self.jondoe = self.add("jondoe").account
        self.alice = self.add("alice").account
        self.jack, self.lisa = map(self.watches.tag, (b"jack", b"lisa"))

    def watch(self, tag, account):
        """Add and wait."""
        return self.get(self.watches.add(tag, account))

    def all(self):
        """Return all rows, in an order of their own."""
        return sorted(self.get(self.watches.all()))

    def of(self, tag):
        """Return what a nick watches, without sizes."""
        return [
            (one.account, one.name, one.waiting, one.changed_day)
            for one in self.get(self.watches.of(tag))
        ]

    def test_provides_its_interface(self):
        """The object has the methods that the seam names."""
        verifyObject(IWatches, self.watches)

    def test_a_tag_stands_for_a_nick(self):
        """Equal for equal nicks, of one length, and it holds nothing of the nick."""
        tags = [
            self.watches.tag(nick) for nick in (b"jack", b"jac", b"k", b"\xff" * 99)
        ]
        self.assertEqual(len(set(tags)), 4)
        self.assertEqual({len(tag) for tag in tags}, {16})
        self.assertEqual(self.watches.tag(b"jack"), tags[0])

    def test_nothing_watched(self):
        """At first there is nothing, and to end nothing is no fault."""
        self.assertEqual(self.all(), [])
        self.assertEqual(self.of(self.jack), [])
        self.assertFalse(self.get(self.watches.remove(self.jack, self.jondoe)))
        self.get(self.watches.mark([self.jondoe, 12345], TODAY))
        self.get(self.watches.told(self.jack))
        self.assertEqual(self.all(), [])

    def test_watched(self):
        """It is the nick's own, by the accounts' names; twice is once."""
        self.assertTrue(self.watch(self.jack, self.jondoe))
        self.assertTrue(self.watch(self.jack, self.alice))
        self.assertTrue(self.watch(self.lisa, self.jondoe))
        self.get(self.watches.mark([self.jondoe], TODAY))
        self.assertFalse(self.watch(self.jack, self.jondoe))
        self.assertEqual(
            self.of(self.jack),
            [
                (self.alice, "alice", False, None),
                (self.jondoe, "jondoe", True, TODAY),
            ],
        )
        self.assertEqual(self.of(self.lisa), [(self.jondoe, "jondoe", True, TODAY)])

    def test_ended(self):
        """Only this nick's watch on this account ends."""
        for tag in (self.jack, self.lisa):
            self.watch(tag, self.jondoe)
        self.watch(self.jack, self.alice)
        self.assertTrue(self.get(self.watches.remove(self.jack, self.jondoe)))
        self.assertFalse(self.get(self.watches.remove(self.jack, self.jondoe)))
        self.assertFalse(self.get(self.watches.remove(self.lisa, self.alice)))
        rows = [(self.jack, self.alice, False), (self.lisa, self.jondoe, False)]
        self.assertEqual(self.all(), sorted(rows))

    def test_marked_and_told(self):
        """What came waits for all who watch until each of them was told."""
        for tag in (self.jack, self.lisa):
            self.watch(tag, self.jondoe)
        self.watch(self.jack, self.alice)
        self.get(self.watches.mark(iter([self.jondoe, self.jondoe]), TODAY))
        self.get(self.watches.told(self.jack))
        rows = [
            (self.jack, self.alice, False),
            (self.jack, self.jondoe, False),
            (self.lisa, self.jondoe, True),
        ]
        self.assertEqual(self.all(), sorted(rows))
        self.get(self.watches.mark([self.jondoe, self.alice], TODAY + 1))
        days = [day for *_, waiting, day in self.of(self.jack) if waiting]
        self.assertEqual(days, [TODAY + 1, TODAY + 1])
        self.get(self.watches.told(self.jack))
        self.assertEqual(
            [one[2:] for one in self.of(self.jack)], [(False, TODAY + 1)] * 2
        )

    def test_sizes(self):
        """The mailbox's size is what it is now."""
        self.watch(self.jack, self.jondoe)
        (before,) = self.get(self.watches.of(self.jack))
        copy = self.copy("jondoe", HEADER, b"x" * 5_000)
        self.get(self.store.mailboxes.deliver([copy], {}))
        (after,) = self.get(self.watches.of(self.jack))
        self.assertEqual(before.used_bytes, 0)
        self.assertGreaterEqual(after.used_bytes, 5_000)

    def test_no_more_accounts_than_a_nick_may_have(self):
        """The fourth is refused; where one ends there is room for another."""
        numbers = [self.add(f"member{number}").account for number in range(4)]
        for account in numbers[:PER_NICK]:
            self.watch(self.jack, account)
        with self.assertRaises(TooManyWatchesError):
            self.watch(self.jack, numbers[3])
        self.assertFalse(self.watch(self.jack, numbers[0]))
        self.assertTrue(self.get(self.watches.remove(self.jack, numbers[1])))
        self.assertTrue(self.watch(self.jack, numbers[3]))
        self.assertEqual(len(self.of(self.jack)), PER_NICK)

    def test_no_more_nicks_than_an_account_may_have(self):
        """The third is refused, and another account is open to it."""
        for tag in (self.jack, self.lisa):
            self.watch(tag, self.jondoe)
        carol = self.watches.tag(b"carol")
        with self.assertRaises(TooManyWatchesError):
            self.watch(carol, self.jondoe)
        self.assertTrue(self.watch(carol, self.alice))

    def test_the_last_place_goes_once(self):
        """Nicks that come at one moment do not get more places than there are."""
        tags = [self.watches.tag(b"nick%d" % number) for number in range(8)]
        asked = [
            self.watches.add(tag, self.jondoe).addErrback(
                lambda failure: failure.trap(TooManyWatchesError)
            )
            for tag in tags
        ]
        ends = self.get(gatherResults(asked))
        self.assertEqual(ends.count(True), PER_ACCOUNT)
        self.assertEqual(ends.count(TooManyWatchesError), 8 - PER_ACCOUNT)
        self.assertEqual(len(self.all()), PER_ACCOUNT)

    def test_an_account_that_is_removed(self):
        """Its watches go with it, and are not those of the next of its name."""
        self.watch(self.jack, self.jondoe)
        self.watch(self.jack, self.alice)
        self.get(self.watches.mark([self.jondoe], TODAY))
        self.operator().remove("jondoe")
        with self.assertRaises(NoSuchMailboxError):
            self.watch(self.lisa, self.jondoe)
        self.add("jondoe")
        self.get(self.watches.mark([self.jondoe], TODAY))
        self.assertEqual(self.all(), [(self.jack, self.alice, False)])
        self.assertEqual([one[1] for one in self.of(self.jack)], ["alice"])

    def test_an_account_that_is_disabled(self):
        """It is not shown, and what waits of it does so until it is open again."""
        self.assertFalse(self.get(self.watches.waits(self.jack)))
        self.watch(self.jack, self.jondoe)
        self.get(self.watches.mark([self.jondoe], TODAY))
        self.operator().disable("jondoe")
        self.assertEqual(self.of(self.jack), [])
        self.assertEqual(self.all(), [(self.jack, self.jondoe, True)])
        self.assertTrue(self.get(self.watches.waits(self.jack)))
        self.assertFalse(self.get(self.watches.waits(self.lisa)))
        self.get(self.watches.mark([self.jondoe], TODAY + 1))
        with self.assertRaises(NoSuchMailboxError):
            self.watch(self.lisa, self.jondoe)
        self.operator().enable("jondoe")
        self.assertEqual(self.of(self.jack), [(self.jondoe, "jondoe", True, TODAY)])

    def test_a_new_password(self):
        """It ends what was registered under the old one, and nothing else does."""
        for account in (self.jondoe, self.alice):
            self.watch(self.jack, account)
        self.operator().set_display_name("jondoe", "Jon")
        self.assertEqual(len(self.all()), 2)
        self.operator().set_password("jondoe", b"another one")
        self.assertEqual(self.all(), [(self.jack, self.alice, False)])
        self.assertEqual([one[1] for one in self.of(self.jack)], ["alice"])
        self.assertTrue(self.watch(self.jack, self.jondoe))
        self.assertEqual(len(self.all()), 2)
