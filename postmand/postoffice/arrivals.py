"""Mail from the Internet for members: judged again, washed, kept in one transaction.

A gateway is believed nothing that would let it speak for a member: whoever is named in
From with an address of ours has signed with the node's own key, or is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.counts import Counts
from postmand.inbound import Crate, IOffice
from postmand.interfaces import (
    Copy,
    MailboxFullError,
    NoSuchMailboxError,
    Outgoing,
    Recipient,
    StoreBusyError,
)
from postmand.internet import Reply
from postmand.message import headers, inbound
from postmand.message.address import Address
from postmand.message.authentication import authors, own_signature
from postmand.message.border import Border
from postmand.message.dsn import Failure
from postmand.message.limits import Limits, MessageError
from postmand.message.restamp import utc_date
from postmand.message.sanitizer import Draft, Washed, parse
from postmand.message.trace import received, return_path
from postmand.message.undelivered import undelivered
from postmand.postoffice.crates import (
    FORGED,
    NO_FROM,
    NO_RELAY,
    STORE_BUSY,
    TOO_LARGE,
    Addressed,
    Overdue,
    client_id,
    envelope_address,
    last_word,
    whole_block,
)
from postmand.postoffice.office import TOO_MANY_COPIES, PostOffice
from postmand.queue.room import Room
from postmand.rules.routing import (
    MAILBOX_FULL,
    NO_INTERNET,
    NO_SUCH_USER,
    TOO_LARGE_FOR_MAILBOX,
    Internet,
)
from postmand.rules.verdict import Verdict

if TYPE_CHECKING:
    from random import Random

TAKEN = Reply(250, "2.0.0", "Ok: kept")
WOULD_BE_TAKEN = Reply(250, "2.1.5", "Ok")
_WASHING = 3  # as PostOffice's: a message and its washed form
# What is counted for each who gets nothing, and whose sender is not vouched for.
SENDER_NOT_TOLD = "sender-not-told"
_NODE = 0  # the account of what the node itself sends


@frozen
class ArrivalSettings:
    """What a gateway's crate may hold, and how mail of our own is known.

    `own_keys` are the TXT values that publish the node's DKIM keys for the Internet's
    domain, their strings joined: the present one, and former ones as long as mail
    signed with them may come back. `max_recipients` and octets are of one message.
    """

    border: Border
    own_keys: tuple[bytes, ...]
    max_message_bytes: int
    max_recipients: int = 1_000


@implementer(IOffice)
class Arrivals:
    """The mail host's side of the link. One for a node.

    `leaves` is the queue's clock, for bounces; without one nothing leaves, and who can
    not be told is not. `room` may be shared with whoever washes, too.
    """

    def __init__(
        self,
        settings: ArrivalSettings,
        office: PostOffice,
        *,
        seconds: Callable[[], float],
        random: Random,
        in_thread: Callable[..., Deferred[Any]],
        counts: Counts,
        leaves: Callable[[], int] | None = None,
        room: Room | None = None,
    ) -> None:
        self._settings = settings
        self._office = office
        self._seconds = seconds
        self._random = random
        self._in_thread = in_thread
        self._counts = counts
        self._leaves = leaves
        self._room = room or Room(office.settings.wash_memory)
        self._overdue = Overdue(random.getrandbits(256).to_bytes(32, "big"))

    def recipient(
        self,
        gateway: int,  # noqa: ARG002 (the seam's: all are judged alike)
        address: bytes,
        size: int,
    ) -> Deferred[Reply]:
        """Judge a recipient for a gateway (see IOffice)."""
        return Deferred.fromCoroutine(self._recipient(address, size))

    def accept(
        self,
        gateway: int,  # noqa: ARG002
        crate: Crate,
        *,
        live: bool = False,
    ) -> Deferred[Reply]:
        """Wash and deliver (see IOffice).

        In one transaction, with the report on those who get nothing, if there is one:
        whatever stands against it for good. Where nobody gets it, a `live` caller hears
        so in the reply; to another, who was told 250, it is reported. Where that can
        not be the reply says so, too; else it is 250.
        """
        return Deferred.fromCoroutine(self._accept(crate, live=live))

    async def _recipient(self, address: bytes, size: int) -> Reply:
        found = await self._judged(address, size)
        return WOULD_BE_TAKEN if isinstance(found, Recipient) else self._refused(found)

    async def _judged(self, address: bytes, size: int) -> Recipient | Verdict:
        """Return who gets mail for an address; desks answer members alone."""
        parsed = envelope_address(address)
        if parsed is None:
            return NO_SUCH_USER
        found = await self._office.recipient(parsed, size)
        if isinstance(found, Recipient):
            return found
        if isinstance(found, Internet) or found == NO_INTERNET:
            return NO_RELAY
        return found if isinstance(found, Verdict) else NO_SUCH_USER

    async def _accept(self, crate: Crate, *, live: bool) -> Reply:
        size = len(crate.header) + sum(map(len, crate.body))
        verdict = self._bounds(crate, size)
        try:
            if verdict is None:
                verdict = await self._kept(crate, size, live=live)
            if verdict and not live and await self._returned(crate, verdict):
                self._counts.count("refused", verdict.reason)
                verdict = None
        except StoreBusyError:
            verdict = STORE_BUSY
        return TAKEN if verdict is None else self._refused(verdict)

    async def _kept(self, crate: Crate, size: int, *, live: bool) -> Verdict | None:
        try:
            async with self._room.of(_WASHING * size):
                return await self._keep(crate, size, live=live)
        except MessageError as error:
            return Verdict(error.reason, error.code, error.enhanced, error.text)

    async def _returned(self, crate: Crate, why: Verdict) -> bool:
        """Tell the sender that nobody gets it, if that may be and it is for good."""
        if not why.permanent or len(crate.recipients) > self._settings.max_recipients:
            return False
        failed = dict.fromkeys(map(bytes.lower, crate.recipients), why)
        limits = self._office.settings.message
        answers = await self._in_thread(client_id, crate.header, limits)
        report = self._report(Addressed({}, {}, failed), crate, answers)
        if report is None:
            return False
        await self._office.mailboxes.deliver([], {}, report)
        self._counts.count("bounces", "to-internet", len(failed))
        return True

    def _bounds(self, crate: Crate, size: int) -> Verdict | None:
        copies = len(crate.recipients)
        if copies > self._settings.max_recipients:
            return TOO_MANY_COPIES
        if size > self._settings.max_message_bytes:
            return TOO_LARGE
        if copies * size > self._office.settings.copies_bytes:
            return TOO_MANY_COPIES
        return None

    async def _keep(self, crate: Crate, size: int, *, live: bool) -> Verdict | None:
        """Read, judge the author, wash, deliver."""
        addressed = await self._addressed(crate.recipients, size)
        limits = self._office.settings.message
        draft: Draft = await self._in_thread(_read, crate, limits)
        author = await self._in_thread(self._judge_author, draft, crate)
        if isinstance(author, Verdict):
            return author
        washed: Washed = await self._in_thread(self._wash, draft, crate)
        octets = sum(map(len, washed.body)) * len(addressed.members)
        if octets > self._office.settings.copies_bytes:
            return TOO_MANY_COPIES
        answers = draft.client_id
        sender = self._sender(crate, author)
        return await self._deliver(addressed, crate, sender, washed, answers, live=live)

    async def _addressed(self, recipients: Sequence[bytes], size: int) -> Addressed:
        members: dict[str, Recipient] = {}
        called: dict[str, bytes] = {}
        failed: dict[bytes, Verdict] = {}
        # Members' names have no capitals: how somebody writes them is a habit.
        for address in dict.fromkeys(map(bytes.lower, recipients)):
            found = await self._judged(address, size)
            if isinstance(found, Recipient):
                members[found.name] = found
                called.setdefault(found.name, address)
            else:
                failed[address] = found
        return Addressed(members, called, failed)

    def _judge_author(self, draft: Draft, crate: Crate) -> Address | Verdict | None:
        """Return the author who is one of us, by our signature; None for a stranger.

        Refuse who uses an address of ours and is not one of us. For a thread.
        """
        named = authors(draft.header)
        if len(named) != 1 or len(draft.header.every(b"from")) != 1:
            return NO_FROM
        domain = named[0].address.domain
        border = self._settings.border
        # As it is read, not as it is written: in full-width letters it is ours as well.
        if not border.holds(domain):
            return None
        # What leaves is from the Internet's domain: the other one stays inside.
        own = border.internet_domain.decode("ascii")
        if domain == border.internet_domain and any(
            own_signature(crate.header, crate.body, own, key)
            for key in self._settings.own_keys
        ):
            return named[0].address
        return FORGED

    def _sender(self, crate: Crate, author: Address | None) -> Address | None:
        """Return the envelope's sender as it is kept: null where it is not believed.

        One of ours is its own to name, who wrote and signed the message.
        """
        sender = envelope_address(crate.sender)
        if sender is None or not self._settings.border.holds(sender.domain):
            return sender
        home = inbound.Homeward(self._settings.border).address
        return home(sender) if author and home(author) == home(sender) else None

    def _wash(self, draft: Draft, crate: Crate) -> Washed:
        """Write the message anew. For a thread."""
        return inbound.wash(
            draft,
            self._settings.border,
            self._random,
            results=crate.results,
            date=utc_date(self._seconds()),
            message_id=self._new_id(),
        )

    async def _deliver(
        self,
        addressed: Addressed,
        crate: Crate,
        sender: Address | None,
        washed: Washed,
        answers: bytes | None,
        *,
        live: bool,
    ) -> Verdict | None:
        """Keep the copies; who proves to have no room is left out, and told of."""
        header = self._header(sender, washed)
        while True:
            nobody = not addressed.members
            told = nobody and live
            report = None if told else self._report(addressed, crate, answers)
            if nobody and report is None:
                return last_word(addressed.failed)
            copies = [
                Copy(one, header, washed.body) for one in addressed.members.values()
            ]
            try:
                await self._office.mailboxes.deliver(copies, {}, report)
            except MailboxFullError as error:
                why = TOO_LARGE_FOR_MAILBOX if error.permanent else MAILBOX_FULL
                addressed = addressed.without(error.args[0], why)
            except NoSuchMailboxError as error:
                addressed = addressed.without(error.args[0], NO_SUCH_USER)
            else:
                self._tell(addressed, report)
                return None

    def _header(self, sender: Address | None, washed: Washed) -> bytes:
        """Return the header block of every copy."""
        date = utc_date(self._seconds())
        trace_id = b"%016x" % self._random.getrandbits(64)
        return b"".join(
            (
                return_path(sender),
                received(self._office.settings.host_name, date, trace_id),
                headers.write(washed.fields),
            )
        )

    def _report(
        self, addressed: Addressed, crate: Crate, answers: bytes | None
    ) -> Outgoing | None:
        """Return what tells the sender of those who get nothing, if that may be.

        While there is hope for all of them the reply says more: it is tried again.
        """
        sender = envelope_address(crate.sender)
        failed = addressed.failed
        if not failed or sender is None or not crate.vouched or self._leaves is None:
            return None
        if self._settings.border.holds(sender.domain):
            # Whoever says so is no gateway's word: none of us is out there to be told.
            return None
        if not addressed.members and self._hope(crate, failed):
            return None
        fields, body = undelivered(
            sender,
            [self._failure(address, why) for address, why in failed.items()],
            answers=answers,
            host_name=self._settings.border.internet_domain,
            border=self._settings.border,
            rng=self._random,
        )
        return Outgoing(
            account=_NODE,
            name="",
            recipients=(crate.sender,),
            fields=fields,
            message_id=self._new_id(),
            body=[body],
            due=self._leaves(),
        )

    def _hope(self, crate: Crate, failed: Mapping[bytes, Verdict]) -> bool:
        """Whether a later try may find somebody who gets it."""
        if all(verdict.permanent for verdict in failed.values()):
            return False
        return not self._overdue.holds(crate, self._seconds())

    def _failure(self, address: bytes, why: Verdict) -> Failure:
        """Return a failure as the sender knows the recipient."""
        parsed = envelope_address(address)
        shown = bytes(self._settings.border.address(parsed)) if parsed else address
        return Failure(shown, Reply(why.code, why.enhanced, why.text))

    def _tell(self, addressed: Addressed, report: Outgoing | None) -> None:
        if not addressed.failed:
            return
        if report is None:
            self._counts.count("refused", SENDER_NOT_TOLD, len(addressed.failed))
        else:
            self._counts.count("bounces", "to-internet", len(addressed.failed))

    def _refused(self, verdict: Verdict) -> Reply:
        self._counts.count("refused", verdict.reason)
        return Reply(verdict.code, verdict.enhanced, verdict.text)

    def _new_id(self) -> bytes:
        domain = self._settings.border.mail_domain
        return b"<%032x@%s>" % (self._random.getrandbits(128), domain)


def _read(crate: Crate, limits: Limits) -> Draft:
    return parse(b"".join((whole_block(crate.header), *crate.body)), limits)
