"""The second profile of washing: what the Internet sends to members.

The same two steps as in `sanitizer`, with its `parse` as the first, and the same shape
of parts. What differs is the header: how a message was sent is its sender's business,
so lists, automatic answers and the sender's own Date and Message-ID stay. What traced
it on its way, what its programs wrote for themselves, and what was said of its origin
by others falls. Our addresses and ids come home over the border; within the parts, as
on the way out, nothing is moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from postmand.message import dates, fields, headers
from postmand.message.address import Address, Group, Mailbox, parse_list
from postmand.message.border import Border
from postmand.message.fields import NOBODY, Field, Identity, Threads
from postmand.message.headers import Header, fold, unfolded_lines
from postmand.message.parts import Random, Writer
from postmand.message.sanitizer import Draft, Washed, chunked
from postmand.message.seen import seen

_UNKNOWN = b"unknown-sender:;"
_LONGEST_WORD = 900
_LONGEST_FIELD = 4_000
_PRINTABLE = re.compile(rb"[ -~]*+")
_SHOWN_DOMAIN = re.compile(r"@\s*([\w.-]+)")

# How a list speaks to its readers and their programs (RFC 2369, 2919, 8058).
_LIST_FIELDS = (
    b"List-Id",
    b"List-Post",
    b"List-Subscribe",
    b"List-Unsubscribe",
    b"List-Unsubscribe-Post",
    b"List-Archive",
    b"List-Owner",
    b"List-Help",
)
# Said by a machine (RFC 3834 5), and the older way to say so: words of ours.
_KEYWORDS = (
    (
        b"Auto-Submitted",
        (b"no", b"auto-generated", b"auto-replied", b"auto-notified"),
    ),
    (b"Precedence", (b"bulk", b"list", b"junk")),
)
_KEYWORD = re.compile(rb"[a-z-]+")


@frozen
class _AllIds(Threads):
    """Every id stays: none of a message from outside is a member's client's own."""

    def translated(self, ids: list[bytes]) -> list[bytes]:
        """Return the ids, without doubles and bounded."""
        return headers.bounded_references(ids)


@frozen
class _HomeIds(Threads):
    """Every id stays, and ours come home."""

    border: Border

    def translated(self, ids: list[bytes]) -> list[bytes]:
        """Return the ids as the members' mailboxes know them."""
        return headers.bounded_references(map(self.border.home_id, ids))


_NOBODY = Identity(Address(b"", b""), "", frozenset())
_ALL_IDS = _AllIds({}, frozenset())


@frozen
class Homeward:
    """The way in over the border."""

    border: Border

    def address(self, address: Address) -> Address:
        """Return the address as members know it; theirs are in lower case."""
        if self.border.holds(address.domain):
            return Address(address.local.lower(), self.border.mail_domain)
        return address

    def entries(self, entry: Mailbox | Group) -> Iterator[Mailbox | Group]:
        """Yield an address field's entry as members see it, if it may be seen."""
        members = entry.members if isinstance(entry, Group) else (entry,)
        home = tuple(filter(self._is_plain, map(self._mailbox, members)))
        if isinstance(entry, Group):
            yield Group(self._name(entry.name), home)
        else:
            yield from home

    def thread(self, header: Header) -> Iterator[Field]:
        """Yield In-Reply-To and References, their ids come home."""
        return fields.thread(header, _HomeIds({}, frozenset(), self.border))

    def _mailbox(self, mailbox: Mailbox) -> Mailbox:
        return Mailbox(self._name(mailbox.name), self.address(mailbox.address))

    def _is_plain(self, mailbox: Mailbox) -> bool:
        """Whether what a header makes of a mailbox shows no address of ours as a name.

        So it does where an address does not fit into it.
        """
        shown = fields.address_as_name(mailbox)
        return shown is None or not self._shows_ours(shown)

    def _name(self, name: str) -> str:
        """Return a display name without one that shows an address of ours.

        Most clients show the name alone: beside that address it says nothing new,
        beside any other it is a lie.
        """
        return "" if self._shows_ours(name) else name

    def _shows_ours(self, name: str) -> bool:
        shown = _SHOWN_DOMAIN.findall(seen(name))
        return any(self.border.holds(one.rstrip(".").encode()) for one in shown)


def wash(
    draft: Draft,
    border: Border,
    rng: Random,
    *,
    results: bytes,
    date: bytes,
    message_id: bytes,
) -> Washed:
    """Write a message from the Internet anew, all its fields but the trace's.

    `results` is the body of our own Authentication-Results field, left out where it is
    empty or not printable. `date` (a Date field's body) and `message_id` stand in for
    the sender's, where there is none that can be read. Raises MessageError for limits.
    """
    writer = Writer(_NOBODY, _ALL_IDS, rng, draft.content_ids)
    written = writer.write(draft.root, top=True)
    head = (
        *_results(results),
        *_fields(draft.header, Homeward(border), date, message_id),
        (b"MIME-Version", b"1.0"),
        *written.fields,
    )
    return Washed(head, chunked(written.chunks))


def _results(results: bytes) -> Iterator[Field]:
    value = _one_line(results)
    if value:
        name = b"Authentication-Results"
        yield name, fold(name, value.split())


def _fields(
    header: Header, homeward: Homeward, date: bytes, message_id: bytes
) -> Iterator[Field]:
    """Yield the fields in canonical order, but for MIME's."""
    sent = dates.in_utc(header.first(b"date") or b"")
    yield b"Date", sent or date
    yield b"From", _addresses(b"From", header, homeward) or _UNKNOWN
    answers = _addresses(b"Reply-To", header, homeward)
    if answers:
        yield b"Reply-To", answers
    yield b"To", _addresses(b"To", header, homeward) or NOBODY
    copies = _addresses(b"Cc", header, homeward)
    if copies:
        yield b"Cc", copies
    yield fields.subject(header)
    own = headers.message_id(header.first(b"message-id"))
    yield b"Message-ID", message_id if own is None else homeward.border.home_id(own)
    yield from homeward.thread(header)
    yield from _keywords(header)
    yield from _list_fields(header)


def _addresses(name: bytes, header: Header, homeward: Homeward) -> bytes:
    entries = (
        home
        for value in header.every(name.lower())
        for entry in parse_list(value)
        for home in homeward.entries(entry)
    )
    return fields.addresses(name, entries)


def _keywords(header: Header) -> Iterator[Field]:
    for name, words in _KEYWORDS:
        said = _KEYWORD.match((header.first(name.lower()) or b"").lower())
        if said and said[0] in words:
            yield name, said[0]


def _list_fields(header: Header) -> Iterator[Field]:
    for name in _LIST_FIELDS:
        value = _one_line(header.first(name.lower()) or b"")
        if value:
            yield name, fold(name, value.split())


def _one_line(value: bytes) -> bytes:
    """Return a field body that can be folded anew; b"" for one that can not."""
    line = unfolded_lines(value)[0].replace(b"\t", b" ").strip(b" ")
    if len(line) > _LONGEST_FIELD or not _PRINTABLE.fullmatch(line):
        return b""
    return b"" if any(len(word) > _LONGEST_WORD for word in line.split()) else line
