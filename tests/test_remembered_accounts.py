"""Accounts remembered by a node: never longer than they are true."""

from __future__ import annotations

import pytest

from postmand.interfaces import Copy
from postmand.store.opening import open_registry
from tests.contracts.stores import MailboxCase

pytestmark = pytest.mark.long

HEADER = b"Subject: x\r\n\r\n"


class RememberedTest(MailboxCase):
    """A store with jondoe and alice, and the register as another process has it."""

    def setUp(self) -> None:
        """Count what is read."""
        super().setUp()
        self.store = self.reopened()
        self.reads = 0
        crew = self.store.accounts._crew
        call = crew.call

        def counted(run):
            self.reads += 1
            return call(run)

        self.patch(crew, "call", counted)
        self.elsewhere = open_registry(self.url, self.state, self.settings)

    def free(self) -> int:
        """Return the room alice's mailbox has."""
        return self.get(self.store.accounts.recipient("alice")).free

    def test_read_once(self) -> None:
        """Login and recipient of one account cost one look-up, until it changes."""
        for _ in range(5):
            self.get(self.store.accounts.credential("alice"))
            self.free()
        self.assertEqual(self.reads, 1)

    def test_unknown_is_not_remembered(self) -> None:
        """Names that are nobody's fill no memory, and may become somebody's."""
        self.assertIsNone(self.get(self.store.accounts.credential("carol")))
        self.elsewhere.add("carol", b"a password", day=20_000)
        self.assertIsNotNone(self.get(self.store.accounts.credential("carol")))

    def test_other_process(self) -> None:
        """What another process changes is seen with the next question."""
        self.assertFalse(self.get(self.store.accounts.credential("alice")).disabled)
        self.elsewhere.disable("alice")
        self.assertTrue(self.get(self.store.accounts.credential("alice")).disabled)
        self.assertIsNone(self.get(self.store.accounts.recipient("alice")))
        self.elsewhere.enable("alice")
        self.assertIsNotNone(self.get(self.store.accounts.recipient("alice")))
        self.elsewhere.remove("alice")
        self.assertIsNone(self.get(self.store.accounts.recipient("alice")))

    def test_room_follows_what_is_delivered_and_removed(self) -> None:
        """The remembered room is what a look-up would find."""
        before = self.free()
        recipient = self.get(self.store.accounts.recipient("alice"))
        for body in (b"short", bytes(100_000)):
            copy = Copy(recipient, HEADER, [body])
            self.get(self.store.mailboxes.deliver([copy], {}))
        remembered, reads = self.free(), self.reads
        self.store.accounts.forget(recipient.account)
        self.assertEqual(self.free(), remembered)
        self.assertEqual(self.reads, reads + 1)
        entries = self.get(self.store.mailboxes.entries(self.alice))
        self.get(self.store.mailboxes.remove(self.alice, entries))
        self.assertEqual(self.free(), before)

    def test_removed_while_it_was_read(self) -> None:
        """A look-up that a removal overtook is not remembered."""
        accounts = self.store.accounts
        asked = accounts.recipient("alice")
        accounts.forget(0)
        self.get(asked)
        reads = self.reads
        self.free()
        self.assertEqual(self.reads, reads + 1)

    def test_bounded(self) -> None:
        """The account asked for longest ago is forgotten first."""
        self.store.accounts._most = 1
        self.get(self.store.accounts.credential("alice"))
        self.get(self.store.accounts.credential("jondoe"))
        self.assertEqual(list(self.store.accounts._known), ["jondoe"])
        self.assertEqual(len(self.store.accounts._names), 1)
