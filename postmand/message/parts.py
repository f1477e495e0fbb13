"""A tree of parts written anew, in one shape (RFC 2045, 2046, 2183, 2387, 1847).

Of a part's own words only those on the lists below remain. Boundaries and Content-IDs
are fresh; transfer encodings follow `transfer`; signed and encrypted multiparts are
passed octet for octet between fresh boundaries.
"""

from __future__ import annotations

import re
from typing import Protocol

from attrs import Factory, define, field

from postmand.message import (
    charsets,
    content_ids,
    fields,
    headers,
    parameters,
    reports,
    transfer,
)
from postmand.message.fields import Field, Identity, Threads
from postmand.message.headers import fold
from postmand.message.limits import MessageError
from postmand.message.lines import bare_ends
from postmand.message.mime import (
    ARMOUR,
    Forwarded,
    Label,
    Leaf,
    Multipart,
    Part,
    Sealed,
)

_TEXT = frozenset((b"text/plain", b"text/html"))
_MULTIPARTS = frozenset(
    b"multipart/" + kind
    for kind in (
        b"alternative",
        b"digest",
        b"mixed",
        b"parallel",
        b"related",
        b"report",
    )
)
# The parameters that remain, in this order, where their value is in the pattern.
_WORD = re.compile(rb"[!#-'*+\-.0-9A-Z^-~]{1,127}+")
_PRINTABLE = re.compile(rb"[ -!#-\[\]-~]{1,127}+")
_PARAMETERS: dict[bytes, tuple[tuple[bytes, re.Pattern[bytes]], ...]] = {
    b"text/plain": (
        (b"format", re.compile(rb"flowed", re.IGNORECASE)),
        (b"delsp", re.compile(rb"yes", re.IGNORECASE)),
    ),
    b"text/calendar": ((b"method", _WORD),),
    b"multipart/related": ((b"type", _PRINTABLE),),
    b"multipart/report": ((b"report-type", _WORD),),
    b"multipart/signed": ((b"micalg", _WORD), (b"protocol", _PRINTABLE)),
    b"multipart/encrypted": ((b"protocol", _PRINTABLE),),
    b"application/pkcs7-mime": ((b"smime-type", _WORD),),
    b"application/x-pkcs7-mime": ((b"smime-type", _WORD),),
}
# A short id used very often would make a message many times its size.
_MOST_CIDS = 10_000


class Random(Protocol):
    """What is asked of a source of randomness (`random.Random` has it)."""

    def getrandbits(self, k: int, /) -> int:
        """Return k random bits."""


@define
class Written:
    """A part written: its MIME fields, and its content in chunks.

    `eight_bit` is true where a sealed part within holds 8-bit octets.
    """

    fields: list[Field]
    chunks: list[bytes] = field(repr=False)
    eight_bit: bool = False


@define
class Writer:
    """Writes the parts of one message.

    `content_ids` are those of its parts that are in use; others fall.
    """

    identity: Identity
    threads: Threads
    rng: Random
    content_ids: frozenset[bytes] = frozenset()
    _fresh_ids: dict[bytes, bytes] = Factory(dict)
    _cids: int = 0

    def write(self, part: Part, *, top: bool = False, within: bytes = b"") -> Written:
        """Return the part written; `top` is the root of a message, own or forwarded.

        `within` is the type of the multipart it stands in. A root's content ends with
        CRLF, any other's does not need to.
        """
        part = _data_fork(part)
        if isinstance(part, Leaf):
            written = self._leaf(part, top)
        elif isinstance(part, Multipart):
            written = self._multipart(part)
        elif isinstance(part, Sealed):
            written = self._sealed(part)
        else:
            written = self._forwarded(part)
        label = part.label
        used = label.content_id in self.content_ids and not top
        if isinstance(part, Leaf | Forwarded) and _is_attached(label, top):
            shown = used or within == b"multipart/alternative"
            written.fields.append(_disposition(label, shown))
        if used:
            content_id = b"<%s>" % self._content_id(label.content_id)
            written.fields.append((b"Content-ID", content_id))
        if top and written.chunks and not written.chunks[-1].endswith(b"\r\n"):
            written.chunks.append(b"\r\n")
        return written

    def _leaf(self, leaf: Leaf, top: bool) -> Written:
        label = leaf.label
        charset = label.parameters.get(b"charset", b"").lower()
        if label.kind in _TEXT and not _is_attached(label, top):
            octets = transfer.decode(leaf.content, leaf.encoding)
            charset, encoding, chunks = self._text(leaf, charset, octets, top=top)
        elif label.kind in reports.KINDS:
            octets = transfer.decode(leaf.content, leaf.encoding)
            encoding, chunks = b"7bit", reports.wash(label.kind, octets, self.threads)
        else:
            chunks = transfer.to_base64(leaf.content, leaf.encoding)
            encoding = b"base64"
        kept = _parameters(label)
        if label.kind.startswith(b"text/") and _WORD.fullmatch(charset):
            kept.insert(0, (b"charset", charset))
        written = [
            (b"Content-Type", _structured(b"Content-Type", label.kind, kept)),
            (b"Content-Transfer-Encoding", encoding),
        ]
        return Written(written, chunks)

    def _text(
        self, leaf: Leaf, charset: bytes, octets: bytes, *, top: bool
    ) -> tuple[bytes, bytes, list[bytes]]:
        """Return (charset, encoding, chunks) of text shown in place.

        It is in UTF-8 where it decodes. What does not, and text in PGP armour, keeps
        its octets and its label.
        """
        text = charsets.to_utf8(octets, charset)
        armoured = ARMOUR in octets
        if text is None or armoured:
            if charsets.is_ascii_label(charset) or not _WORD.fullmatch(charset):
                charset = b"unknown-8bit" if text is None else b"utf-8"
            text = octets
        else:
            charset = b"utf-8"
            if not (leaf.clean and text is leaf.content):
                text, _ = transfer.with_crlf(text)
        if self.content_ids and not armoured:
            html = leaf.label.kind == b"text/html"
            cid = content_ids.IN_HTML if html else content_ids.IN_PLAIN
            text = cid.sub(self._renamed, text)
        untouched = leaf.clean and text is leaf.content
        clean = untouched or not any(bare_ends(text))
        if top and text and not text.endswith(b"\r\n"):
            text += b"\r\n"
        encoding, chunks = transfer.encode_text(text, clean=clean)
        return charset, encoding, chunks

    def _renamed(self, match: re.Match[bytes]) -> bytes:
        old = content_ids.named(match[2])
        if old not in self.content_ids:
            return match[0]
        self._cids += 1
        if self._cids > _MOST_CIDS:
            raise MessageError(
                "too-many-pictures",
                "Too many pictures are shown in the text: remove some",
            )
        return match[1] + self._content_id(old)

    def _content_id(self, old: bytes) -> bytes:
        if old not in self._fresh_ids:
            # No domain of ours: the body is the same for members and the Internet.
            self._fresh_ids[old] = b"%032x@part" % self.rng.getrandbits(128)
        return self._fresh_ids[old]

    def _multipart(self, part: Multipart) -> Written:
        label = part.label
        kind = label.kind if label.kind in _MULTIPARTS else b"multipart/mixed"
        children = [self.write(child, within=kind) for child in part.parts]
        contents = [[headers.write(child.fields), *child.chunks] for child in children]
        kept = _parameters(label) if kind == label.kind else []
        start = label.parameters.get(b"start", b"").strip(b"<> \t")
        ids = {child.label.content_id for child in part.parts} - {b""}
        if kind == b"multipart/related" and start in ids:
            kept.append((b"start", b"<%s>" % self._content_id(start)))
        eight_bit = any(child.eight_bit for child in children)
        return self._bounded(kind, kept, contents, eight_bit)

    def _sealed(self, part: Sealed) -> Written:
        eight_bit = not all(content.isascii() for content in part.parts)
        contents = [[content] for content in part.parts]
        kept = _parameters(part.label)
        return self._bounded(part.label.kind, kept, contents, eight_bit)

    def _bounded(
        self,
        kind: bytes,
        kept: list[tuple[bytes, bytes]],
        contents: list[list[bytes]],
        eight_bit: bool,
    ) -> Written:
        """Return a multipart of these contents between fresh boundaries."""
        boundary = self._boundary(contents)
        delimiter = b"--%s\r\n" % boundary
        chunks: list[bytes] = []
        for content in contents:
            chunks.append(delimiter)
            chunks += content
            delimiter = b"\r\n--%s\r\n" % boundary
        chunks.append(b"\r\n--%s--" % boundary)
        kept = [*kept, (b"boundary", boundary)]
        return Written(_container(kind, kept, eight_bit), chunks, eight_bit)

    def _boundary(self, contents: list[list[bytes]]) -> bytes:
        while True:
            # "=_" stands in no base64 and no quoted-printable (RFC 2045 6.7).
            boundary = b"=_%032x" % self.rng.getrandbits(128)
            if not any(boundary in chunk for content in contents for chunk in content):
                return boundary

    def _forwarded(self, part: Forwarded) -> Written:
        own = list(fields.forwarded(part.header, self.identity, self.threads))
        if part.root is None:
            written = Written([], [])
        else:
            written = self.write(part.root, top=True)
            own += [(b"MIME-Version", b"1.0"), *written.fields]
        chunks = [headers.write(own), *written.chunks]
        outer = _container(part.label.kind, [], written.eight_bit)
        return Written(outer, chunks, written.eight_bit)


def _data_fork(part: Part) -> Part:
    """Return the file in a multipart/appledouble (RFC 1740), any other part as it is.

    The half beside it is the Macintosh's own: who made the file, and when, what opened
    it, where it was downloaded.
    """
    if part.label.kind != b"multipart/appledouble" or not isinstance(part, Multipart):
        return part
    forks = [one for one in part.parts if one.label.kind != b"application/applefile"]
    return forks[0] if len(forks) == 1 else part


def _is_attached(label: Label, top: bool) -> bool:
    """Tell whether the part is a file of its own; alone at the top it needs a name."""
    return bool(label.file_name) or (label.disposition == b"attachment" and not top)


def _disposition(label: Label, shown: bool) -> Field:
    """Return Content-Disposition; unsaid, what is `shown` in place is inline."""
    value = label.disposition or (b"inline" if shown else b"attachment")
    name = label.file_name.encode("utf-8", "replace")
    kept = [(b"filename", name)] if name else []
    return b"Content-Disposition", _structured(b"Content-Disposition", value, kept)


def _container(
    kind: bytes, kept: list[tuple[bytes, bytes]], eight_bit: bool
) -> list[Field]:
    """Return the fields of a part that holds parts: always the same two."""
    return [
        (b"Content-Type", _structured(b"Content-Type", kind, kept)),
        (b"Content-Transfer-Encoding", b"8bit" if eight_bit else b"7bit"),
    ]


def _structured(name: bytes, value: bytes, kept: list[tuple[bytes, bytes]]) -> bytes:
    return fold(name, parameters.write(value, kept))


def _parameters(label: Label) -> list[tuple[bytes, bytes]]:
    kept: list[tuple[bytes, bytes]] = []
    for name, allowed in _PARAMETERS.get(label.kind, ()):
        value = label.parameters.get(name, b"")
        if allowed.fullmatch(value):
            kept.append((name, value if name == b"method" else value.lower()))
    return kept
