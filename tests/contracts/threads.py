"""What IThreads promises, as tests for any store.

Mixed into a case that gives `store`, `get`, `add`, `unlock`, `copy` and `operator`
(see stores.py).
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from postmand.interfaces import (
    IThreads,
)

HEADER = b"From: <a@mail.i2p>\r\nSubject: hello\r\n\r\n"


class ThreadsPromises:
    """IThreads."""

    def setUp(self):
        """Two members."""
        super().setUp()
        self.jondoe = self.add("jondoe")
        self.alice = self.add("alice")
        self.threads = self.store.threads

    def remember(self, member, *ids):
        """Deliver a message that remembers `ids` of a member's client."""
        rows = dict(self.threads.row(member, one) for one in ids)
        self.get(self.store.mailboxes.deliver([self.copy("alice", HEADER, b"")], rows))

    def test_provides_its_interface(self):
        """The object has the methods that the seam names."""
        verifyObject(IThreads, self.threads)

    def test_given_out_ids(self):
        """The same for the same, another for another id and another member."""
        out = self.threads.give_out
        self.assertEqual(out(self.jondoe, b"<1@pc>"), out(self.jondoe, b"<1@pc>"))
        others = {
            out(self.jondoe, b"<1@pc>"),
            out(self.jondoe, b"<2@pc>"),
            out(self.alice, b"<1@pc>"),
            out(self.jondoe, None),
            out(self.jondoe, None),
        }
        self.assertEqual(len(others), 5)

    def test_all_ids_have_one_shape(self):
        """Made from an id or at random: length and letters do not tell."""
        made = [
            self.threads.give_out(self.jondoe, one)
            for one in (None, b"<1@pc>", b"", b"x" * 900)
        ]
        self.assertEqual(len({len(one) for one in made}), 1)
        for one in made:
            self.assertRegex(one, rb"\A<[a-z0-9]{20,}@mail\.i2p>\Z")

    def test_own_and_restore(self):
        """Remembered ids come back both ways; others are left out."""
        self.remember(self.jondoe, b"<1@pc>", b"<2@pc>")
        given = self.threads.give_out(self.jondoe, b"<1@pc>")
        own = self.get(self.threads.own(self.jondoe, [b"<1@pc>", b"<x@else>"]))
        self.assertEqual(own, {b"<1@pc>": given})
        back = self.get(self.threads.restore(self.jondoe, [given, b"<x@else>"]))
        self.assertEqual(back, {given: b"<1@pc>"})

    def test_anothers_ids_are_not_own(self):
        """What was given out for one member means nothing for another."""
        self.remember(self.jondoe, b"<1@pc>")
        given = self.threads.give_out(self.jondoe, b"<1@pc>")
        self.assertEqual(self.get(self.threads.own(self.alice, [b"<1@pc>"])), {})
        self.assertEqual(self.get(self.threads.restore(self.alice, [given])), {})

    def test_no_ids(self):
        """Nothing asked, nothing answered."""
        self.assertEqual(self.get(self.threads.own(self.jondoe, [])), {})
        self.assertEqual(self.get(self.threads.restore(self.jondoe, iter([]))), {})

    def test_longest_id(self):
        """250 octets are kept whole; one more is refused, by name of the fault."""
        longest = b"<" + b"a" * 248 + b">"
        self.remember(self.jondoe, longest)
        given = self.threads.give_out(self.jondoe, longest)
        back = self.get(self.threads.restore(self.jondoe, [given]))
        self.assertEqual(back, {given: longest})
        with self.assertRaises(ValueError):
            self.threads.row(self.jondoe, longest + b"b")

    def test_remembering_twice(self):
        """A message sent again brings the same row, and that is no fault."""
        self.remember(self.jondoe, b"<1@pc>")
        self.remember(self.jondoe, b"<1@pc>")
        own = self.get(self.threads.own(self.jondoe, [b"<1@pc>"]))
        self.assertEqual(list(own), [b"<1@pc>"])

    def test_a_new_password_forgets_nothing(self):
        """Threads belong to the keys, and those outlive the password."""
        self.remember(self.jondoe, b"<1@pc>")
        self.operator().set_password("jondoe", b"other")
        again = self.unlock("jondoe", b"other")
        self.assertIn(b"<1@pc>", self.get(self.threads.own(again, [b"<1@pc>"])))
