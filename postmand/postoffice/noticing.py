"""Mailboxes that tell what came into them, whoever put it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from postmand.faults import log_fault
from postmand.interfaces import (
    Copy,
    Entry,
    IMailboxes,
    Member,
    Outgoing,
    Spending,
    Stored,
)
from postmand.notice import INotice

log = Logger()


@implementer(IMailboxes)
@frozen(eq=False)
class Noticing:
    """Others' mailboxes, which tell `notice` of each account that got mail.

    They are told after the commit, before who delivered is answered. A fault in
    `notice` is logged; it delays nothing and fails nothing.
    """

    _mailboxes: IMailboxes = field(repr=False)
    _notice: INotice

    def deliver(
        self,
        copies: Sequence[Copy],
        remember: Mapping[bytes, bytes],
        outgoing: Outgoing | None = None,
        spending: Spending | None = None,
    ) -> Deferred[None]:
        """Put every copy into its mailbox (see IMailboxes), then tell."""
        accounts = {copy.recipient.account for copy in copies}
        done = self._mailboxes.deliver(copies, remember, outgoing, spending)
        return done.addCallback(self._tell, accounts) if accounts else done

    def _tell(self, _: None, accounts: set[int]) -> None:
        try:
            self._notice.arrived(accounts)
        except Exception as error:  # the mail is on disk, whatever it is
            log_fault(log, "mail was not told of", error)

    def entries(self, member: Member) -> Deferred[Sequence[Entry]]:
        """Fire with the mailbox's entries, oldest first."""
        return self._mailboxes.entries(member)

    def read(
        self, member: Member, entries: Sequence[Entry], *, bodies: bool = True
    ) -> Deferred[Sequence[Stored]]:
        """Fire with the messages asked for, in that order."""
        return self._mailboxes.read(member, entries, bodies=bodies)

    def remove(self, member: Member, entries: Sequence[Entry]) -> Deferred[None]:
        """Remove these messages."""
        return self._mailboxes.remove(member, entries)
