"""A message's parts as its client wrote them: spelling, order, boundaries, preambles.

The sanitiser's own reader forgets what it does not keep; here just that is wanted.
Reading never fails and is bounded: what is beyond the bounds is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import Factory, define, field, frozen

from postmand.message import charsets, parameters, transfer
from postmand.message.headers import unfolded_lines
from postmand.message.limits import Limits, MessageError

_HEADER = 262_144
_FIELDS = 1_000
_SECTIONS = 200
_DEPTH = 10
_MESSAGES = frozenset(
    ("message/rfc822", "message/global", "message/news", "text/rfc822-headers")
)
_BOUNDARY = 256
_NAME = re.compile(rb"[!-9;-~]++")
_LIMITS = Limits()


@frozen
class Section:
    """A message (number 0) or a part of it: `number` counts them all, outermost first.

    `fields` are (name as it was spelt, unfolded value). The body is data[start:stop];
    of a multipart `preamble` is what stands before its first part. `depth` counts the
    attached messages around it; `heads` tells that `fields` are a message's own header.
    """

    number: int
    fields: tuple[tuple[bytes, bytes], ...]
    data: bytes = field(repr=False)
    start: int
    stop: int
    kind: str
    parameters: Mapping[bytes, bytes]
    boundary: bytes = b""
    preamble: bytes = b""
    depth: int = 0
    heads: bool = False

    @property
    def place(self) -> str:
        """Where this is, for a finding."""
        return f"part {self.number} ({self.kind})"

    def first(self, name: bytes) -> bytes:
        """Return the value of the first field of that name (in lower case)."""
        for spelt, value in self.fields:
            if spelt.lower() == name:
                return value
        return b""

    def decoded(self, most: int) -> bytes:
        """Return the first `most` octets or so of the content."""
        encoding = self.first(b"content-transfer-encoding").strip().lower()
        # Base64 takes 78 octets for 57, quoted-printable up to three for one.
        octets = self.data[self.start : min(self.stop, self.start + 2 * most)]
        return transfer.decode(octets, encoding)[:most]

    def ending(self, most: int) -> bytes:
        """Return the last `most` octets or so of a file."""
        encoding = self.first(b"content-transfer-encoding").strip().lower()
        start = max(self.start, self.stop - 2 * most)
        octets = self.data[start : self.stop]
        if encoding == b"base64" and start > self.start:
            # From the beginning of a line: groups of four would be cut otherwise.
            octets = octets[octets.find(b"\n") + 1 :]
        return transfer.decode(octets, encoding)[-most:]

    @property
    def charset(self) -> bytes:
        """The label of a text, in lower case."""
        return self.parameters.get(b"charset", b"").lower()

    def spelt(self, octets: bytes) -> str:
        """Return the text of this part's octets, whatever its label says."""
        text = charsets.decode(octets, self.charset)
        return charsets.decode_unlabelled(octets) if text is None else text

    @property
    def file_name(self) -> str:
        """The name of a file as it was sent, folders and all; empty for none."""
        named = _parameters(self.first(b"content-disposition"))[1].get(b"filename")
        return (named or self.parameters.get(b"name", b"")).decode("utf-8", "replace")


@frozen
class Letter:
    """A message: its sections, the outermost first."""

    sections: tuple[Section, ...]

    @property
    def top(self) -> Section:
        """The message itself, with its header."""
        return self.sections[0]

    @property
    def own(self) -> Iterator[Section]:
        """The sections that are in no attached message: the client's own work."""
        return (one for one in self.sections if not one.depth)

    @property
    def attached(self) -> Iterator[Section]:
        """The headers of the messages that are attached, or quoted whole."""
        return (one for one in self.sections if one.depth and one.heads)

    @property
    def texts(self) -> Iterator[Section]:
        """The texts that are shown in place."""
        return (
            one
            for one in self.sections
            if one.kind in ("text/plain", "text/html") and not one.file_name
        )


def read(raw: bytes) -> Letter:
    """Take a message apart."""
    data, _ = transfer.with_crlf(raw)
    reader = _Reader(data)
    reader.section(0, len(data), 0, heads=True)
    return Letter(tuple(reader.sections))


@define
class _Reader:
    """Reads the sections of one message, in order."""

    data: bytes
    sections: list[Section] = Factory(list)
    attached: int = 0
    unpacked: bool = False

    def section(
        self,
        start: int,
        stop: int,
        depth: int,
        *,
        heads: bool = False,
        default: str = "text/plain",
    ) -> None:
        fields, body = self._header(start, stop)
        kind, given = _parameters(_first(fields, b"content-type"))
        number = len(self.sections)
        boundary = given.get(b"boundary", b"")[:_BOUNDARY]
        spans: list[tuple[int, int]] = []
        if kind.startswith("multipart/") and boundary and depth < _DEPTH:
            spans = self._spans(boundary, body, stop)
        preamble = self.data[body : spans[0][0]][:1_000] if spans else b""
        self.sections.append(
            Section(
                number,
                fields,
                self.data,
                body,
                stop,
                kind or default,
                given,
                boundary if spans else b"",
                preamble.rpartition(b"\r\n--")[0] if spans else b"",
                self.attached,
                heads,
            )
        )
        within = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        for first, last in spans:
            if len(self.sections) < _SECTIONS:
                self.section(first, last, depth + 1, default=within)
        if (kind or default) in _MESSAGES and depth < _DEPTH:
            self._message(self.sections[number], depth)

    def _message(self, around: Section, depth: int) -> None:
        """Read the message that is a part's content."""
        encoding = around.first(b"content-transfer-encoding").strip().lower()
        reader, start, stop = self, around.start, around.stop
        if encoding in transfer.ENCODED:
            # Once, as the sanitiser does: each is a copy.
            if self.unpacked:
                return
            octets = transfer.decode(self.data[start:stop], encoding)
            reader = _Reader(
                transfer.with_crlf(octets)[0], self.sections, unpacked=True
            )
            start, stop = 0, len(reader.data)
        if len(self.sections) < _SECTIONS and start < stop:
            outside, reader.attached = reader.attached, around.depth + 1
            reader.section(start, stop, depth + 1, heads=True)
            reader.attached = outside

    def _header(
        self, start: int, stop: int
    ) -> tuple[tuple[tuple[bytes, bytes], ...], int]:
        if self.data.startswith(b"\r\n", start, stop):
            return (), start + 2
        end = self.data.find(b"\r\n\r\n", start, min(stop, start + _HEADER))
        body = min(stop, start + _HEADER) if end < 0 else end + 4
        fields = []
        for line in unfolded_lines(self.data[start : body if end < 0 else end]):
            name, colon, value = line.partition(b":")
            name = name.rstrip(b" \t")
            if colon and _NAME.fullmatch(name):
                fields.append((name, value.strip(b" \t")))
        return tuple(fields[:_FIELDS]), body

    def _spans(self, boundary: bytes, start: int, stop: int) -> list[tuple[int, int]]:
        """Return where the parts between these boundaries begin and end."""
        line = re.compile(
            rb"\r\n--" + re.escape(boundary) + rb"(--)?[ \t]{0,80}(?=\r\n|\Z)"
        )
        spans: list[tuple[int, int]] = []
        begun = None
        # The empty line above the body ends with the first delimiter's line break.
        for cut in line.finditer(self.data, max(0, start - 2), stop):
            if begun is not None:
                spans.append((begun, max(begun, cut.start())))
            begun = min(stop, cut.end() + 2)
            if cut[1] or len(spans) >= _SECTIONS:
                break
        else:
            if begun is not None:
                spans.append((begun, stop))
        return spans


def _first(fields: tuple[tuple[bytes, bytes], ...], name: bytes) -> bytes:
    for spelt, value in fields:
        if spelt.lower() == name:
            return value
    return b""


def _parameters(value: bytes) -> tuple[str, Mapping[bytes, bytes]]:
    """Return a MIME field's value, in lower case, and its parameters."""
    try:
        kind, given = parameters.parse(value[:_HEADER], _LIMITS)
    except MessageError:
        return "", {}
    return kind.decode("latin-1"), given
