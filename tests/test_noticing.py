"""Mailboxes that tell: of what is on disk, to whom it may concern, at no price."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.interfaces import Copy, MailboxFullError, StoreBusyError
from postmand.notice import INotice
from postmand.postoffice.noticing import Noticing
from tests.contracts.mailboxes import MailboxesPromises
from tests.contracts.stores import MemoryStoreCase
from tests.sessions import Held, HouseCase

HEADER = b"Subject: x\r\n\r\n"


@implementer(INotice)
@define
class Told:
    """What was told. While `error` is set, it is raised."""

    heard: list[set[int]] = Factory(list)
    error: Exception | None = None

    def arrived(self, accounts: Iterable[int]) -> None:
        """Take note."""
        self.heard.append(set(accounts))
        if self.error is not None:
            raise self.error


class _NoticingCase(MemoryStoreCase):
    """A store whose mailboxes tell."""

    def setUp(self) -> None:
        """Wrap them."""
        super().setUp()
        self.told = Told()
        self.store.mailboxes = Noticing(self.store.mailboxes, self.told)  # type: ignore[assignment]


class NoticingPromisesTests(MailboxesPromises, _NoticingCase):
    """IMailboxes holds with the wrapping as without."""


class NoticingTests(HouseCase):
    """Who is told, when, and what becomes of it."""

    def setUp(self) -> None:
        """Hold the store's answers back."""
        super().setUp()
        self.told = Told()
        self.held = Held(self.house.store.mailboxes, "deliver")
        self.mailboxes = Noticing(self.held, self.told)

    def deliver(self, *names: str) -> Deferred[Any]:
        """Deliver a message to these."""
        copies = [Copy(self.house.recipient(name), HEADER, [b"x"]) for name in names]
        return self.mailboxes.deliver(copies, {})

    def number(self, name: str) -> int:
        """Return an account's number."""
        return self.house.member(name).account

    def test_after_the_commit(self) -> None:
        """Nobody is told of mail that may yet be lost, then all its recipients are."""
        done = self.deliver("jondoe", "alice", "jondoe")
        self.assertEqual(self.told.heard, [])
        self.held.step()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(
            self.told.heard, [{self.number("jondoe"), self.number("alice")}]
        )

    def test_what_was_not_kept(self) -> None:
        """A delivery that fails does so as before, and is not told of."""
        for error in (StoreBusyError("x"), MailboxFullError("jondoe", permanent=False)):
            done = self.deliver("jondoe")
            self.held.step(error)
            self.assertIs(self.failureResultOf(done).value, error)
        self.assertEqual(self.told.heard, [])

    def test_mail_for_the_internet_alone(self) -> None:
        """Where no mailbox got anything there is nothing to tell."""
        done = self.deliver()
        self.held.step()
        self.successResultOf(done)
        self.assertEqual(self.told.heard, [])

    def test_a_fault_is_the_listeners_own(self) -> None:
        """It is logged without its words, and the sender has the 250."""
        self.told.error = ValueError("jondoe@mail.i2p")
        done = self.deliver("jondoe")
        self.held.step()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.faults(), 1)
        self.assertIn("ValueError", self.logged())
        self.assertNotIn("jondoe", self.logged())

    def test_through_the_post_office(self) -> None:
        """Mail that a member hands in is told of by whoever it is for."""
        house = self.house
        house.office.mailboxes = Noticing(house.store.mailboxes, self.told)
        session = house.submitting()
        for line in (b"MAIL FROM:<jondoe@mail.i2p>", b"RCPT TO:<alice@mail.i2p>"):
            session.line(line)
        session.line(b"DATA")
        self.assertIn(b"250", session.send(b"Subject: x\r\n\r\nhello\r\n.\r\n"))
        self.assertEqual(self.told.heard, [{self.number("alice")}])
