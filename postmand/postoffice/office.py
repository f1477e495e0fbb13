"""Mail on its way in: judged at RCPT, washed, named, and kept in one transaction.

`accept` reads from top to bottom. What is for members goes into their mailboxes, what
is for the Internet waits in the queue, without any time in it; both are sealed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from postmand.config import Delays
from postmand.interfaces import (
    Copy,
    Credential,
    IAccounts,
    IMailboxes,
    IThreads,
    MailboxFullError,
    Member,
    NoSuchMailboxError,
    Outgoing,
    QuotaSpentError,
    Recipient,
    Spending,
    StoreBusyError,
)
from postmand.internet import Desk, Outbound
from postmand.message.address import Address
from postmand.message.disclosure import Spoken
from postmand.message.restamp import compose, utc_date
from postmand.message.sanitizer import (
    Draft,
    Identity,
    Limits,
    MessageError,
    Washed,
    wash,
)
from postmand.message.trace import received, return_path
from postmand.postoffice import washing
from postmand.postoffice.desks import Question, to_be_answered
from postmand.queue.room import Room
from postmand.queue.spool import Spool
from postmand.rules import delay
from postmand.rules.routing import (
    MAILBOX_FULL,
    NO_SUCH_USER,
    TOO_LARGE_FOR_MAILBOX,
    Internet,
    Routing,
)
from postmand.rules.verdict import Verdict

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.defer import Deferred

    from postmand.postoffice.allowance import Allowance
    from postmand.postoffice.desks import Answer

Accepted = Recipient | Outbound | Desk
"""What a recipient's address is found to be."""

TOO_MANY_COPIES = Verdict(
    "too-many-copies",
    552,
    "5.3.4",
    "Too large for so many recipients; send it to fewer at a time",
)
LOGIN_OVER = Verdict(
    "login-over", 550, "5.7.1", "Your account was changed; log in again"
)
STORE_BUSY = Verdict(
    "store-busy", 452, "4.3.1", "The server can not store it now; try again later"
)

_SILENT = Spoken()
# A message and its washed form: so many times its size.
_WASHING = 3
# What a desk's answer may take of its reader's mailbox, in octets.
_ANSWER = 16_384
# How many members' names and addresses are kept ready.
_IDENTITIES = 1_024


class RefusedError(Exception):
    """The message is refused; the argument is the Verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@frozen
class OfficeSettings:
    """What the post office is called and how much it takes."""

    host_name: bytes
    mail_domain: bytes
    routing: Routing
    message: Limits
    mailbox_bytes: int
    copies_bytes: int
    inline_bytes: int
    wash_memory: int


@frozen
class Abroad:
    """What the post office needs for mail to the Internet.

    `now` is the queue's clock.
    """

    allowance: Allowance
    delays: Delays
    now: Callable[[], int]


@frozen
class _Addressed:
    """Whom a message is for, each once."""

    members: tuple[Recipient, ...]
    abroad: tuple[bytes, ...]
    desks: tuple[str, ...]

    @classmethod
    def of(cls, accepted: Sequence[Accepted]) -> _Addressed:
        """Sort what RCPT accepted."""
        members = {one.account: one for one in accepted if isinstance(one, Recipient)}
        return cls(
            tuple(members.values()),
            tuple(
                dict.fromkeys(
                    one.address for one in accepted if isinstance(one, Outbound)
                )
            ),
            tuple(dict.fromkeys(one.name for one in accepted if isinstance(one, Desk))),
        )

    @property
    def copies(self) -> int:
        """How many times the message is to be kept."""
        return len(self.members) + bool(self.abroad)


class PostOffice:
    """Takes mail in. One for a node."""

    def __init__(
        self,
        settings: OfficeSettings,
        accounts: IAccounts,
        mailboxes: IMailboxes,
        threads: IThreads,
        *,
        seconds: Callable[[], float],
        random: Random,
        in_thread: Callable[..., Deferred[Any]],
        abroad: Abroad | None = None,
        desks: Mapping[str, Answer] | None = None,
    ) -> None:
        self.settings = settings
        self.accounts = accounts
        self.mailboxes = mailboxes
        self.threads = threads
        self.abroad = abroad
        self.desks = desks or {}
        self._seconds = seconds
        self._random = random
        self._identity = lru_cache(_IDENTITIES)(self._make_identity)
        self._in_thread = in_thread
        # Large messages are whole in memory from their washing to their sealing.
        self._large = Room(settings.wash_memory)

    async def recipient(
        self, address: Address, size: int
    ) -> Recipient | Internet | Desk | Verdict:
        """Say who gets mail for `address`, or why nobody does."""
        route = self.settings.routing.route(address.local, address.domain)
        if isinstance(route, Verdict | Internet):
            return route
        if route.name in self.desks:
            return Desk(route.name)
        found = await self.accounts.recipient(route.name)
        if found is None:
            return NO_SUCH_USER
        if size > self.settings.mailbox_bytes:
            return TOO_LARGE_FOR_MAILBOX
        if found.free <= 0 or size > self._coarse(found.free):
            return MAILBOX_FULL
        return found

    def _coarse(self, free: int) -> int:
        """Return the room told at RCPT: in eighths of a mailbox, upwards.

        Exact, it would tell any member when another gets mail and collects it. What
        does not fit after all is refused when it is to be kept.
        """
        step = max(1, self.settings.mailbox_bytes // 8)
        return -(-free // step) * step

    async def credential(self, member: Member) -> Credential | None:
        """Return the account behind a session's login, while that holds.

        None after a passwd, disable or remove.
        """
        credential = await self.accounts.credential(member.name)
        holds = (
            credential is not None
            and not credential.disabled
            and (credential.account, credential.version)
            == (member.account, member.version)
        )
        return credential if holds else None

    async def accept(
        self,
        member: Member,
        recipients: Iterable[Accepted],
        spool: Spool,
        spoken: Spoken = _SILENT,
    ) -> Verdict | None:
        """Wash the message and keep a copy for each recipient, once.

        None means that all copies are on disk. A Verdict means that none is kept.
        What the client had `spoken` is for a desk's answer alone.
        """
        addressed = _Addressed.of(tuple(recipients))
        if spool.size * addressed.copies > self.settings.copies_bytes:
            return TOO_MANY_COPIES
        small = spool.size <= self.settings.inline_bytes and not spool.on_disk
        try:
            if small:
                await self._keep(member, addressed, spool, spoken, washing.at_once)
            else:
                async with self._large.of(_WASHING * spool.size):
                    await self._keep(member, addressed, spool, spoken, self._in_thread)
        except _REFUSALS as error:
            return self._verdict(error)
        return None

    async def _keep(
        self,
        member: Member,
        addressed: _Addressed,
        spool: Spool,
        spoken: Spoken,
        run: Callable[..., Awaitable[Any]],
    ) -> None:
        """Read, wash, name, seal: `run` calls what is heavy, here or in a thread."""
        credential = await self.credential(member)
        if credential is None:
            raise RefusedError(LOGIN_OVER)
        identity = self._identity(member.name, member.display_name)
        draft: Draft
        washed: Washed | None
        draft, washed = await run(
            washing.read, spool, self.settings.message, identity, self._random
        )
        mode = self._delay(draft, credential)
        if washed is None:
            threads = await self.threads.own(member, washing.others(draft))
            washed = await run(wash, draft, identity, threads, self._random)
        octets = sum(map(len, washed.body))
        if octets * addressed.copies > self.settings.copies_bytes:
            raise RefusedError(TOO_MANY_COPIES)
        given_out = self.threads.give_out(member, draft.client_id)
        copies = self._copies(addressed.members, identity, washed, given_out)
        outgoing = spending = None
        if addressed.abroad:
            outgoing = self._outgoing(member, addressed.abroad, washed, given_out, mode)
            spending = self._spending(credential, len(addressed.abroad))
        remember = (
            dict([self.threads.row(member, draft.client_id)]) if draft.client_id else {}
        )
        # Desks first: after the one transaction nothing may be refused any more.
        for name in to_be_answered(addressed.desks, draft):
            question = Question(
                credential, draft, given_out, identity, washed, spoken, spool.read
            )
            copies.append(await self._ask(name, question))
        await self.mailboxes.deliver(copies, remember, outgoing, spending)

    def _copies(
        self,
        recipients: Sequence[Recipient],
        identity: Identity,
        washed: Washed,
        message_id: bytes,
    ) -> list[Copy]:
        if not recipients:
            return []
        date = utc_date(self._seconds())
        header = b"".join(
            (
                return_path(identity.address),
                received(self.settings.host_name, date, self._trace_id()),
                compose(washed, date=date, message_id=message_id),
            )
        )
        return [Copy(recipient, header, washed.body) for recipient in recipients]

    # For the Internet.

    def _delay(self, draft: Draft, credential: Credential) -> str:
        """Return when the message is to leave: its own word, the member's, ours."""
        default = self.abroad.delays.default if self.abroad else ""
        said = draft.header.every(b"postman-delay")
        own = b",".join(said) if said else None
        mode = delay.choice(own, credential.delay, default)
        if isinstance(mode, Verdict):
            raise RefusedError(mode)
        return mode

    def _outgoing(
        self,
        member: Member,
        addresses: tuple[bytes, ...],
        washed: Washed,
        message_id: bytes,
        mode: str,
    ) -> Outgoing:
        abroad = self._way_out()
        when = delay.due(mode, abroad.now(), abroad.delays, self._random)
        return Outgoing(
            member.account,
            member.name,
            addresses,
            washed.fields,
            message_id,
            washed.body,
            when.due,
            when.pooled,
        )

    def _spending(self, credential: Credential, recipients: int) -> Spending:
        now = int(self._seconds())
        return Spending(credential.account, credential.created_day, recipients, now)

    async def _ask(self, desk: str, question: Question) -> Copy:
        """Have a desk answer into the member's own mailbox, if that has room."""
        recipient = await self.accounts.recipient(question.credential.name)
        if recipient is None:
            raise RefusedError(LOGIN_OVER)
        if recipient.free < _ANSWER:
            raise RefusedError(MAILBOX_FULL)
        header, body = await self.desks[desk](question)
        return Copy(recipient, header, [body])

    def _way_out(self) -> Abroad:
        if self.abroad is None:
            raise RuntimeError("mail for the Internet, and no way there")
        return self.abroad

    def _make_identity(self, name: str, display_name: str) -> Identity:
        """Return how a member's mail is signed: address, name, own addresses."""
        local = name.encode()
        own = frozenset(
            Address(local, domain) for domain in self.settings.routing.domains
        )
        return Identity(Address(local, self.settings.mail_domain), display_name, own)

    def _trace_id(self) -> bytes:
        return b"%016x" % self._random.getrandbits(64)

    def _verdict(self, error: Exception) -> Verdict:
        """Return what is said for an error that is no fault of ours."""
        if isinstance(error, RefusedError):
            return error.verdict
        if isinstance(error, MessageError):
            return Verdict(error.reason, error.code, error.enhanced, error.text)
        if isinstance(error, MailboxFullError):
            return TOO_LARGE_FOR_MAILBOX if error.permanent else MAILBOX_FULL
        if isinstance(error, NoSuchMailboxError):
            return NO_SUCH_USER
        if isinstance(error, QuotaSpentError):
            return self._way_out().allowance.refusal()
        return STORE_BUSY


_REFUSALS = (
    MessageError,
    MailboxFullError,
    NoSuchMailboxError,
    QuotaSpentError,
    StoreBusyError,
    RefusedError,
)
