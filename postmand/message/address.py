"""Mail addresses: SMTP paths (RFC 5321 4.1.2) and address lists (RFC 5322 3.4).

Every decision about who a mail is from or for is taken with the values made here.
"""

from __future__ import annotations

import re
from itertools import islice

from attrs import field, frozen

from postmand.message.addresslist import Element, elements
from postmand.message.encoded import decode_words

_LOCAL_OCTETS = 64  # RFC 5321 4.5.3.1.1
_PATH_OCTETS = 256  # RFC 5321 4.5.3.1.3, brackets included: a domain's 255 and more
_HEADER_OCTETS = 320
# Of more addresses in one field the rest falls: nobody writes to so many at once.
_MOST = 1_000

_ATOM = rb"[!#-'*+\-/-9=?A-Z^-~\x80-\xff]++"
_DOT_ATOM = re.compile(_ATOM + rb"(?>(?:\." + _ATOM + rb")*)")
_NAME_DOMAIN = rb"[0-9A-Za-z_\x80-\xff][0-9A-Za-z_\x80-\xff-]*+"
_DOMAIN = re.compile(
    rb"(?:" + _NAME_DOMAIN + rb"(?>(?:\." + _NAME_DOMAIN + rb")*)|\[[!-Z^-~]++\])"
)
# Most lists are one plain address, and need no grammar.
_ALONE = re.compile(
    rb"(<)?([0-9A-Za-z_+-]++(?>(?:\.[0-9A-Za-z_+-]++)*))@([0-9A-Za-z.-]++)(?(1)>)"
)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SPECIAL = re.compile(rb'(["\\])')

_WORDS = rb'(?:"(?>(?:[^"\\]|\\.)*)"|[^<>" ])'
_PATH = re.compile(
    rb" *+(?:<((?>" + _WORDS + rb"*))>|((?>" + _WORDS + rb"+)))"
    rb"(?: ++(.*+))?",
    re.DOTALL,
)
_PARAMETER = re.compile(rb"([0-9A-Za-z][0-9A-Za-z-]*+)(?:=([!-<>-~\x80-\xff]++))?")
_SPLIT = re.compile(rb'("(?>(?:[^"\\]|\\.)*)"|[^"@]*+)(?:@([^"]*+))?')


class AddressError(ValueError):
    """The text is no address we take; the message says why."""


def _canonical_domain(value: bytes) -> bytes:
    return value.lower().removesuffix(b".")


@frozen
class Address:
    """A mailbox's address in canonical form, so that equal means same.

    `local` is without quoting, as it was written: elsewhere its case may mean
    something (RFC 5321 2.4), though two that differ in it only are equal here. `domain`
    is without a trailing dot, b"" where a bare local part was given, b"[...]" for an
    address literal.
    """

    local: bytes = field(eq=bytes.lower)
    domain: bytes = field(converter=_canonical_domain)

    def __bytes__(self) -> bytes:
        local = self.local
        if not _DOT_ATOM.fullmatch(local):
            local = b'"%s"' % _SPECIAL.sub(rb"\\\1", local)
        return b"%s@%s" % (local, self.domain) if self.domain else local

    def __str__(self) -> str:
        return bytes(self).decode("utf-8", "replace")


@frozen
class Mailbox:
    """An address and the name shown beside it (decoded, on one line, may be empty)."""

    name: str
    address: Address


@frozen
class Group:
    """A named list of mailboxes, which may be empty: `undisclosed-recipients:;`."""

    name: str
    members: tuple[Mailbox, ...]


def parse_path(
    argument: bytes,
) -> tuple[Address | None, dict[bytes, bytes | None]]:
    """Parse what follows `MAIL FROM:` or `RCPT TO:`.

    Return the address (None for the null path) and the ESMTP parameters, keys in upper
    case. The brackets may be missing, as susimail sends it, and so may the domain, as
    in `<postmaster>`. Raise AddressError for all that is not one plain mailbox.
    """
    if _CONTROL.search(argument):
        raise AddressError("control character")
    match = _PATH.fullmatch(argument)
    if match is None:
        raise AddressError("not a path")
    bracketed, bare, rest = match.groups()
    path = bare if bracketed is None else bracketed
    if len(path) > _PATH_OCTETS - 2:
        raise AddressError("path too long")
    address = _parse_mailbox(path) if path else None
    return address, _parse_parameters(rest or b"")


def _parse_mailbox(path: bytes) -> Address:
    if path.startswith(b"@"):
        raise AddressError("source route")
    match = _SPLIT.fullmatch(path)
    if match is None:
        raise AddressError("malformed address")
    local, domain = match.groups()
    _check_utf8(path)
    if local.startswith(b'"'):
        local = _ESCAPED.sub(rb"\1", local[1:-1])
    elif not _DOT_ATOM.fullmatch(local):
        raise AddressError("malformed local part")
    if not local or b"%" in local or b"!" in local:
        raise AddressError("routed local part" if local else "empty local part")
    if len(local) > _LOCAL_OCTETS:
        raise AddressError("local part too long")
    if domain is None:
        return Address(local, b"")
    if not _DOMAIN.fullmatch(domain.removesuffix(b".")):
        raise AddressError("malformed domain")
    return Address(local, domain)


def _check_utf8(path: bytes) -> None:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise AddressError("not UTF-8") from None


def _parse_parameters(rest: bytes) -> dict[bytes, bytes | None]:
    parameters: dict[bytes, bytes | None] = {}
    for word in rest.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise AddressError("malformed parameter")
        keyword = match[1].upper()
        if keyword in parameters:
            raise AddressError("parameter given twice")
        parameters[keyword] = match[2]
    return parameters


def parse_list(value: bytes) -> tuple[Mailbox | Group, ...]:
    """Parse an unfolded address-list field body, in time linear in its length.

    Obsolete forms are understood: comments and routes are dropped, empty elements
    skipped. Elements that are no address are dropped.
    """
    found: list[Mailbox | Group] = []
    alone = _ALONE.fullmatch(value)
    parsed = (
        [Element(b"", alone[2], alone[3])] if alone else islice(elements(value), _MOST)
    )
    for element in parsed:
        if element.members is None:
            mailbox = _mailbox(element)
            if mailbox is not None:
                found.append(mailbox)
        else:
            name = decode_words(element.phrase)
            members = (_mailbox(member) for member in element.members)
            found.append(Group(name, tuple(one for one in members if one is not None)))
    return tuple(found)


def _mailbox(element: Element) -> Mailbox | None:
    local, domain = element.local, element.domain.removesuffix(b".")
    if not local or len(local) + len(domain) > _HEADER_OCTETS:
        return None
    if _CONTROL.search(local) or not _DOMAIN.fullmatch(domain):
        return None
    try:
        _check_utf8(local + domain)
    except AddressError:
        return None
    return Mailbox(decode_words(element.phrase), Address(local, domain))
