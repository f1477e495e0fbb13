"""The path of a message, to be read top to bottom.

In: `accept` washes what a member hands in, names it, and puts a sealed copy into each
mailbox, all in one transaction. Out: `Maildrop` opens the copies for their owner. This
module decides nothing about addresses, headers or storage: it calls those who do.
"""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from postmand.interfaces import (
    Copy,
    Entry,
    IAccounts,
    IMailboxes,
    IThreads,
    LoginOverError,
    MailboxFullError,
    Member,
    NoSuchMailboxError,
    Recipient,
    StoreBusyError,
    Stored,
)
from postmand.message.address import Address
from postmand.message.headers import replace_thread_ids
from postmand.message.restamp import compose, utc_date
from postmand.message.sanitizer import (
    Draft,
    Identity,
    Limits,
    MessageError,
    Washed,
    parse,
    wash,
)
from postmand.message.trace import received, return_path
from postmand.queue.room import Room
from postmand.queue.spool import Spool
from postmand.rules.routing import (
    MAILBOX_FULL,
    NO_SUCH_USER,
    TOO_LARGE_FOR_MAILBOX,
    Routing,
)
from postmand.rules.verdict import Verdict

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.defer import Deferred

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

# How much of a mailbox is read ahead of a client that collects in order.
_AHEAD_MESSAGES = 32
_AHEAD_OCTETS = 262_144
# A message and its washed form: so many times its size.
_WASHING = 3
# How many members' names and addresses are kept ready.
_IDENTITIES = 1_024


class _TooManyCopiesError(Exception):
    """Washing made the message too large for so many recipients."""


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


class PostOffice:
    """Takes mail in and hands mail out. One for a node."""

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
    ) -> None:
        self.settings = settings
        self.accounts = accounts
        self.mailboxes = mailboxes
        self.threads = threads
        self._seconds = seconds
        self._random = random
        self._identity = lru_cache(_IDENTITIES)(self._make_identity)
        self._in_thread = in_thread
        # Large messages are whole in memory from their washing to their sealing.
        self._large = Room(settings.wash_memory)

    async def recipient(self, address: Address, size: int) -> Recipient | Verdict:
        """Say who gets mail for `address`, or why nobody does."""
        route = self.settings.routing.route(address.local, address.domain)
        if isinstance(route, Verdict):
            return route
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

    async def is_current(self, member: Member) -> bool:
        """Whether a session's login still holds: no passwd, disable, remove since."""
        credential = await self.accounts.credential(member.name)
        return (
            credential is not None
            and not credential.disabled
            and (credential.account, credential.version)
            == (member.account, member.version)
        )

    async def accept(
        self, member: Member, recipients: Iterable[Recipient], spool: Spool
    ) -> Verdict | None:
        """Wash the message and keep a copy for each recipient, once.

        None means that all copies are on disk. A Verdict means that none is kept.
        """
        copies = {recipient.account: recipient for recipient in recipients}
        if spool.size * len(copies) > self.settings.copies_bytes:
            return TOO_MANY_COPIES
        small = spool.size <= self.settings.inline_bytes and not spool.on_disk
        try:
            if small:
                await self._keep(member, list(copies.values()), spool, _at_once)
            else:
                async with self._large.of(_WASHING * spool.size):
                    await self._keep(
                        member, list(copies.values()), spool, self._in_thread
                    )
        except _REFUSALS as error:
            return _verdict(error)
        return None

    async def _keep(
        self,
        member: Member,
        recipients: Sequence[Recipient],
        spool: Spool,
        run: Callable[..., Awaitable[Any]],
    ) -> None:
        """Read, wash, name, seal: `run` calls what is heavy, here or in a thread."""
        draft: Draft = await run(_read, spool, self.settings.message)
        others = [one for one in draft.thread_ids if one != draft.client_id]
        threads = await self.threads.own(member, others) if others else {}
        identity = self._identity(member.name, member.display_name)
        washed: Washed = await run(wash, draft, identity, threads, self._random)
        octets = sum(map(len, washed.body))
        if octets * len(recipients) > self.settings.copies_bytes:
            raise _TooManyCopiesError
        given_out = self.threads.give_out(member, draft.client_id)
        date = utc_date(self._seconds())
        header = b"".join(
            (
                return_path(identity.address),
                received(self.settings.host_name, date, self._trace_id()),
                compose(washed, date=date, message_id=given_out),
            )
        )
        remember = (
            dict([self.threads.row(member, draft.client_id)]) if draft.client_id else {}
        )
        await self.mailboxes.deliver(
            [Copy(recipient, header, washed.body) for recipient in recipients],
            remember,
        )

    def _make_identity(self, name: str, display_name: str) -> Identity:
        """Return how a member's mail is signed: address, name, own addresses."""
        local = name.encode()
        own = frozenset(
            Address(local, domain) for domain in self.settings.routing.domains
        )
        return Identity(Address(local, self.settings.mail_domain), display_name, own)

    def _trace_id(self) -> bytes:
        return b"%016x" % self._random.getrandbits(64)


class Submitter:
    """A member handing in mail (ISubmitter of the submission server)."""

    def __init__(self, office: PostOffice, member: Member) -> None:
        self._office = office
        self._member = member

    def is_own(self, address: Address) -> bool:
        """Whether the address is the member's, in either domain."""
        domains = self._office.settings.routing.domains
        return address.local == self._member.name.encode() and (
            not address.domain or address.domain in domains
        )

    async def recipient(self, address: Address, size: int) -> Recipient | Verdict:
        """Judge a recipient."""
        return await self._office.recipient(address, size)

    async def accept(
        self, recipients: Iterable[Recipient], spool: Spool
    ) -> Verdict | None:
        """Wash and keep the message, if the login still holds."""
        if not await self._office.is_current(self._member):
            return LOGIN_OVER
        return await self._office.accept(self._member, recipients, spool)


class Maildrop:
    """A member collecting mail (IMaildrop of the POP3 server): a snapshot.

    The ids given out for the member's own messages become again those its client gave,
    so that replies join their threads there. How long both are is known from the cards,
    so a size stays exact without a body being opened.
    """

    def __init__(self, office: PostOffice, member: Member) -> None:
        self.account = member.account
        self.sizes: Sequence[int] = ()
        self._office = office
        self._member = member
        self._entries: Sequence[Entry] = ()
        self._ids: Mapping[bytes, bytes] = {}
        self._ahead: dict[int, Stored] = {}
        self._last = -1

    async def open(self) -> None:
        """Take the snapshot."""
        self._entries = await self._office.mailboxes.entries(self._member)
        ids = {one for entry in self._entries for one in entry.thread_ids}
        if ids:
            self._ids = await self._office.threads.restore(self._member, ids)
        self.sizes = [
            entry.size + restored_growth(entry.thread_ids, self._ids)
            for entry in self._entries
        ]

    def uid(self, index: int) -> bytes:
        """Return the message's unique-id."""
        return self._entries[index].uid.hex().encode()

    async def message(self, index: int) -> Stored:
        """Return the whole message, reading ahead of a client that goes in order."""
        await self._check()
        if index not in self._ahead:
            in_order = index == self._last + 1
            await self._read_ahead(self._run_from(index) if in_order else [index])
        self._last = index
        return self._restored(self._ahead.pop(index))

    async def header(self, index: int) -> Stored:
        """Return the message without its body."""
        await self._check()
        (stored,) = await self._read([index], bodies=False)
        return self._restored(stored)

    def close(self) -> None:
        """Let go of what was read ahead and not asked for."""
        ahead, self._ahead = self._ahead, {}
        for stored in ahead.values():
            if stored.more is not None:
                stored.more.close()

    async def remove(self, indexes: Sequence[int]) -> None:
        """Remove these messages, on disk when it returns."""
        await self._check()
        self.close()
        doomed = [self._entries[index] for index in indexes]
        await self._office.mailboxes.remove(self._member, doomed)

    async def _check(self) -> None:
        if not await self._office.is_current(self._member):
            raise LoginOverError

    def _run_from(self, index: int) -> Sequence[int]:
        """Return the indexes to read at once, beginning with `index`."""
        wanted = [index]
        octets = self.sizes[index]
        for following in range(index + 1, len(self.sizes)):
            octets += self.sizes[following]
            if octets > _AHEAD_OCTETS or len(wanted) >= _AHEAD_MESSAGES:
                break
            wanted.append(following)
        return wanted

    async def _read_ahead(self, wanted: Sequence[int]) -> None:
        self.close()
        try:
            self._ahead = dict(zip(wanted, await self._read(wanted), strict=True))
        except LookupError:
            # Another hand removed one of them, perhaps not the first.
            first = wanted[:1]
            self._ahead = dict(zip(first, await self._read(first), strict=True))

    async def _read(
        self, indexes: Sequence[int], *, bodies: bool = True
    ) -> Sequence[Stored]:
        entries = [self._entries[index] for index in indexes]
        return await self._office.mailboxes.read(self._member, entries, bodies=bodies)

    def _restored(self, stored: Stored) -> Stored:
        if not self._ids:
            return stored
        header = replace_thread_ids(stored.header, self._ids)
        return evolve(stored, header=header)


def restored_growth(ids: Iterable[bytes], restored: Mapping[bytes, bytes]) -> int:
    """Return by how many octets a header grows when `ids` are replaced in place."""
    return sum(len(restored[one]) - len(one) for one in ids if one in restored)


_REFUSALS = (
    MessageError,
    MailboxFullError,
    NoSuchMailboxError,
    StoreBusyError,
    _TooManyCopiesError,
)


def _verdict(error: Exception) -> Verdict:
    """Return what is said for an error that is no fault of ours."""
    if isinstance(error, MessageError):
        return Verdict(error.reason, error.code, error.enhanced, error.text)
    if isinstance(error, MailboxFullError):
        return TOO_LARGE_FOR_MAILBOX if error.permanent else MAILBOX_FULL
    if isinstance(error, NoSuchMailboxError):
        return NO_SUCH_USER
    return TOO_MANY_COPIES if isinstance(error, _TooManyCopiesError) else STORE_BUSY


def _read(spool: Spool, limits: Limits) -> Draft:
    return parse(spool.read(), limits, clean=True)


async def _at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
