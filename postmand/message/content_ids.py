"""Which parts of a message something refers to, and how text does (RFC 2392)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from postmand.message import transfer
from postmand.message.mime import ARMOUR, Forwarded, Leaf, Multipart, Part

# As long as an id may be, every octet of it quoted; what is longer is no id of ours.
# Parentheses belong to it in pairs: the last one of `url(cid:logo(1)@x)` does not.
_PLAIN = rb"[^\x00-\x20\"&';<>()\\]"
IN_HTML = re.compile(
    rb"(\bcid:)((?>(?:%b|&amp;|\(%b{0,99}+\)){1,768}))" % (_PLAIN, _PLAIN),
    re.IGNORECASE,
)
# How Outlook names a picture in the plain text beside its HTML, with the clock in it.
IN_PLAIN = re.compile(rb"(\[cid:)([^\x00-\x20\[\]]{1,768}+)(?=\])", re.IGNORECASE)


def named(octets: bytes) -> bytes:
    """Return the id that stands behind `cid:`."""
    octets = octets.replace(b"&amp;", b"&")
    return unquote_to_bytes(octets) if b"%" in octets else octets


def in_use(root: Part) -> frozenset[bytes]:
    """Return the ids of parts within multipart/related, and those that HTML names.

    Any other is nothing but its program's habit: Gmail and Exchange put one on every
    file, others the clock into each.
    """
    used: set[bytes] = set()
    others: set[bytes] = set()
    pages: list[Leaf] = []
    for part, within in _parts(root):
        if isinstance(part, Leaf) and _is_page(part):
            pages.append(part)
        if part.label.content_id:
            related = within == b"multipart/related"
            (used if related else others).add(part.label.content_id)
    for page in pages if others else ():
        text = transfer.decode(page.content, page.encoding)
        if ARMOUR not in text:
            found = IN_HTML.finditer(text)
            used.update(others.intersection(named(match[2]) for match in found))
    return frozenset(used)


def _is_page(leaf: Leaf) -> bool:
    """Tell whether it is HTML that is shown, in which ids are renamed: no file."""
    label = leaf.label
    attached = label.file_name or label.disposition == b"attachment"
    return label.kind == b"text/html" and not attached


def _parts(part: Part, within: bytes = b"") -> Iterator[tuple[Part, bytes]]:
    """Yield the part and all parts in it, each with the type of what it stands in."""
    yield part, within
    if isinstance(part, Multipart):
        for child in part.parts:
            yield from _parts(child, part.label.kind)
    elif isinstance(part, Forwarded) and part.root is not None:
        yield from _parts(part.root)
