"""The addresses at which the node itself answers, into the asking member's mailbox."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from postmand.interfaces import Credential
from postmand.internet import IQuotas, PurchaseError, StampSpentError, Standing
from postmand.message.address import Address, Mailbox
from postmand.message.answers import letter
from postmand.message.disclosure import Spoken
from postmand.message.encoded import decode_words
from postmand.message.restamp import utc_date
from postmand.message.sanitizer import Draft, Identity, Washed
from postmand.rules import hashcash, quota

if TYPE_CHECKING:
    from random import Random


@frozen
class Question:
    """A member's message to a desk: as it came, and as it was washed.

    `given_out` is the id given out for it. `raw` returns the message itself; it may
    block for the disk.
    """

    credential: Credential
    draft: Draft = field(repr=False)
    given_out: bytes
    identity: Identity
    washed: Washed = field(repr=False)
    spoken: Spoken = field(repr=False)
    raw: Callable[[], bytes] = field(repr=False)


Answer = Callable[[Question], Awaitable[tuple[bytes, bytes]]]
"""Answers a member's message; fires with the answer's header block and body."""

# RFC 3834 5.
_BY_PEOPLE = re.compile(rb"\s*no\s*([;(].*)?", re.IGNORECASE | re.DOTALL)
# What else programs and lists say, RFC 2919, RFC 3834 2 and custom.
_IN_BULK = re.compile(rb"\s*(bulk|junk|list)\b", re.IGNORECASE)
_NOTHING = re.compile(rb"\s*(none\s*)?", re.IGNORECASE)
# A stamp holds no space; a client may have folded the subject it stands in.
_STAMP = re.compile(r"[0-9]+:[0-9]+:[!-~]+")


def to_be_answered(desks: Sequence[str], draft: Draft) -> Sequence[str]:
    """Return the desks that answer a message: none what a program says it wrote.

    A member's automatic reply to a desk would be answered for ever (RFC 3834 2). So it
    is with what a list sent, or what asks for no answer.
    """
    header = draft.header
    by_people = all(map(_BY_PEOPLE.fullmatch, header.every(b"auto-submitted")))
    in_bulk = any(map(_IN_BULK.match, header.every(b"precedence")))
    suppressed = header.every(b"x-auto-response-suppress")
    unwanted = not all(map(_NOTHING.fullmatch, suppressed))
    by_list = bool(header.every(b"list-id"))
    return desks if by_people and not (in_bulk or unwanted or by_list) else ()


class StampCounter:
    """Sells Internet recipients for stamps: to the desk, to tools, to pages."""

    def __init__(
        self,
        quotas: IQuotas,
        mail_domain: str,
        stamp_days: int,
        seconds: Callable[[], float],
    ) -> None:
        self._quotas = quotas
        self._domain = mail_domain
        self._days = stamp_days
        self._seconds = seconds

    async def buy(self, account: int, name: str, stamp: bytes) -> Standing:
        """Credit a stamp, on disk when it returns.

        Raises StampError, StampSpentError or PurchaseError: nothing is credited then,
        and the stamp is as good as before.
        """
        now = self._seconds()
        resource = hashcash.resource(name, self._domain)
        weighed = hashcash.weigh(stamp, resource, now, self._days)
        return await self._quotas.buy(
            account, stamp, weighed.bits, weighed.expires_day, int(now)
        )


@frozen
class Stationery:
    """What the desks write their answers on."""

    mail_domain: bytes
    seconds: Callable[[], float]
    random: Random

    def answer(
        self, question: Question, desk: bytes, subject: str, text: str
    ) -> tuple[bytes, bytes]:
        """Return the header block and the body of a desk's answer, in the thread."""
        name = question.credential.name.encode()
        domain = self.mail_domain
        return letter(
            Mailbox("", Address(name, domain)),
            subject,
            text,
            sender=Mailbox("", Address(desk, domain)),
            date=utc_date(int(self.seconds())),
            message_id=b"<%032x@%s>" % (self.random.getrandbits(128), domain),
            in_reply_to=question.given_out,
        )


@frozen
class QuotaDesk:
    """quota@: takes a stamp in the subject, and tells what is left."""

    quotas: IQuotas
    counter: StampCounter
    rules: quota.Rules
    least_bits: int | None
    stationery: Stationery

    async def answer(self, question: Question) -> tuple[bytes, bytes]:
        """Buy if there is a stamp; answer in words either way (see Answer)."""
        credential = question.credential
        subject, text = await self._told(credential, _stamp(question.draft))
        now = int(self.stationery.seconds())
        standing = await self.quotas.standing(credential.account, now)
        text += "\n\n" + self._account(credential, standing, now)
        return self.stationery.answer(question, b"quota", subject, text)

    async def _told(
        self, credential: Credential, stamp: bytes | None
    ) -> tuple[str, str]:
        if stamp is None:
            return "Your quota", "There was no stamp in the subject."
        try:
            await self.counter.buy(credential.account, credential.name, stamp)
        except (hashcash.StampError, PurchaseError) as error:
            return "Stamp refused", f"Your stamp bought nothing: {error}."
        except StampSpentError:
            return "Stamp refused", "Your stamp bought nothing: it was spent already."
        return "Stamp accepted", "Thank you. Your stamp was accepted."

    def _account(self, credential: Credential, standing: Standing, now: int) -> str:
        own = quota.own_left(standing, self.rules, credential.created_day, now)
        standing = quota.on_day(standing, now)
        lines = [f"Left of the day's own, until 0:00 UTC: {own} Internet recipients."]
        if standing.bought:
            until = utc_date(standing.until).decode()
            lines.append(f"Left of what was bought, until {until}: {standing.bought}.")
        if self.least_bits is not None:
            domain = self.stationery.mail_domain.decode()
            resource = hashcash.resource(credential.name, domain)
            lines += [
                "",
                "To buy more, send a stamp in the subject of a mail to this address.",
                "One is made with:",
                "",
                f"  hashcash -m -b {self.least_bits} {resource.decode()}",
            ]
        return "\n".join(lines)


def _stamp(draft: Draft) -> bytes | None:
    """Return the stamp in a message's subject."""
    subject = decode_words(draft.header.first(b"subject") or b"")
    found = _STAMP.search(subject) or _STAMP.search("".join(subject.split()))
    return None if found is None else found[0].encode("ascii")
