"""The fields of a washed header: whose names stand in it, in which order and words.

Two lists, both allow-lists: a member's own message, and one forwarded inside it, whose
author and thread stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from attrs import field, frozen

from postmand.message import dates, encoded, headers
from postmand.message.address import Address, Group, Mailbox, parse_list
from postmand.message.headers import Header, fold

Field = tuple[bytes, bytes]

NOBODY = b"undisclosed-recipients:;"
"""The body of a To field without anybody in it."""

_THREAD = ((b"In-Reply-To", b"in-reply-to"), (b"References", b"references"))
_ATEXT = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~ "
)


@frozen
class Identity:
    """Who sends: the one address and name shown, and all addresses that are own."""

    address: Address
    display_name: str = field(converter=encoded.clean)
    own: frozenset[Address]

    @property
    def mailbox(self) -> Mailbox:
        """The sender as every header shows them."""
        return Mailbox(self.display_name, self.address)


@frozen
class Threads:
    """The msg-ids that may stay, and those to be replaced.

    An id outside `known` was never looked up: it could be the member's own, made by
    their client, and falls.
    """

    given_out: Mapping[bytes, bytes]
    known: Set[bytes]

    def translated(self, ids: list[bytes]) -> list[bytes]:
        """Return these ids as they may leave."""
        return headers.bounded_references(
            self.given_out.get(one, one) for one in ids if one in self.known
        )


def submitted(header: Header, identity: Identity, threads: Threads) -> Iterator[Field]:
    """Yield the fields of a member's message, but for Date, Message-ID and MIME's."""
    yield b"From", fold(b"From", _mailbox_words(identity.mailbox))
    yield b"To", _addresses(b"To", header, identity) or NOBODY
    copies = _addresses(b"Cc", header, identity)
    if copies:
        yield b"Cc", copies
    yield subject(header)
    yield from thread(header, threads)


def forwarded(header: Header, identity: Identity, threads: Threads) -> Iterator[Field]:
    """Yield the fields of a message forwarded inside another, but for MIME's."""
    date = dates.in_utc(header.first(b"date") or b"")
    if date:
        yield b"Date", date
    for name in (b"From", b"To", b"Cc"):
        addresses = _addresses(name, header, identity)
        if addresses:
            yield name, addresses
    if header.first(b"subject") is not None:
        yield subject(header)
    own_id = threads.translated(header.ids(b"message-id"))
    if own_id:
        yield b"Message-ID", own_id[0]
    yield from thread(header, threads)


def subject(header: Header) -> Field:
    """Return the Subject field, empty where there was none."""
    text = encoded.decode_words(header.first(b"subject") or b"")
    return b"Subject", fold(b"Subject", encoded.words(text))


def thread(header: Header, threads: Threads) -> Iterator[Field]:
    """Yield In-Reply-To and References, with those ids that may stay."""
    for name, key in _THREAD:
        ids = threads.translated(header.ids(key))
        if ids:
            yield name, fold(name, ids)


def addresses(name: bytes, entries: Iterable[Mailbox | Group]) -> bytes:
    """Return the body of the address field `name`, b"" where nobody is in it.

    What no 7-bit header can hold is shown as a name (RFC 6857 3.1.8).
    """
    words: list[bytes] = []
    for entry in entries:
        members: Iterable[Mailbox] = (entry,) if isinstance(entry, Mailbox) else ()
        if isinstance(entry, Group):
            _append(words, _group_words(entry.name, entry.members))
            # No group stands in a group (RFC 6857 makes one of these).
            members = [member for member in entry.members if not _is_ascii(member)]
        for member in members:
            _append(words, _mailbox_words(member))
    return fold(name, words)


def address_as_name(mailbox: Mailbox) -> str | None:
    """Return the name that an address no 7-bit header can hold is shown as, else None.

    RFC 6857 3.1.8.
    """
    if _is_ascii(mailbox):
        return None
    told = f"{mailbox.name} Internationalized Address {mailbox.address}"
    return encoded.clean(told)


def _addresses(name: bytes, header: Header, identity: Identity) -> bytes:
    entries = (
        shown
        for value in header.every(name.lower())
        for entry in parse_list(value)
        for shown in _shown(entry, identity)
    )
    return addresses(name, entries)


def _append(words: list[bytes], more: list[bytes]) -> None:
    if words and more:
        words[-1] += b","
    words += more


def _is_ascii(mailbox: Mailbox) -> bool:
    return bytes(mailbox.address).isascii()


def _shown(entry: Mailbox | Group, identity: Identity) -> Iterator[Mailbox | Group]:
    """Yield the entry, the member's own mailbox always the same in it."""
    listed = entry.members if isinstance(entry, Group) else (entry,)
    members = tuple(_own(member, identity) for member in listed)
    # A group of nobody is how a program says that there is none to be shown, each in
    # words and a language of its own; with an @ it is `address_as_name`'s.
    if isinstance(entry, Group) and ("@" in entry.name or any(map(_is_ascii, members))):
        yield Group(entry.name, members)
    else:
        yield from members


def _own(mailbox: Mailbox, identity: Identity) -> Mailbox:
    address = mailbox.address
    if address in identity.own or address == identity.address:
        return identity.mailbox
    if any(address.domain == one.domain for one in identity.own):
        # Members' names have no capitals: how somebody writes them is a habit.
        address = Address(address.local.lower(), address.domain)
    # Some programs put the address where there is no name, one of them in quotes.
    unnamed = mailbox.name.strip("'\"<>").lower() == str(address).lower()
    return Mailbox("" if unnamed else mailbox.name, address)


def _group_words(name: str, members: Iterable[Mailbox]) -> list[bytes]:
    """Return a group as words; one without a name is a plain list."""
    words = _phrase(name)
    if words and encoded.is_plain(name):
        words[-1] += b":"
    elif words:
        words.append(b":")  # RFC 2047 5 (3): a blank behind an encoded word
    listed: list[bytes] = []
    for member in members:
        if _is_ascii(member):
            _append(listed, _mailbox_words(member))
    words += listed
    if name:
        words[-1] += b";"
    return words


def _mailbox_words(mailbox: Mailbox) -> list[bytes]:
    told = address_as_name(mailbox)
    if told is not None:
        return [*_phrase(told), b":;"]
    address = bytes(mailbox.address)
    words = _phrase(mailbox.name)
    return [*words, b"<%s>" % address] if words else [address]


def _phrase(name: str) -> list[bytes]:
    """Return a display name as words: atoms, one quoted string, or encoded words."""
    if not name:
        return []
    if not encoded.is_plain(name):
        return encoded.encode_words(name)
    if _ATEXT.issuperset(name) and "  " not in name:
        return name.encode("ascii").split(b" ")
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return encoded.split_plain(f'"{quoted}"'.encode("ascii"))
