"""The structure of a message: from header and body to a tree of parts.

RFC 2045 and 2046. Reading never fails but for limits: what is not well-formed becomes a
leaf that keeps its octets. A tree holds the content as it came; `parts` writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from attrs import Factory, define, evolve, field, frozen

from postmand.message import headers, parameters, transfer
from postmand.message.headers import Header
from postmand.message.limits import Limits, MessageError
from postmand.message.lines import bare_ends
from postmand.message.parameters import base_name

ARMOUR = b"-----BEGIN PGP "
"""How text begins that is signed or encrypted in place: not an octet may change."""

_PLAIN = b"text/plain"
_OCTETS = b"application/octet-stream"
_MESSAGES = frozenset((b"message/rfc822", b"message/global", b"message/news"))
_REPORTS = frozenset((b"message/delivery-status", b"message/disposition-notification"))
# What may stay octet for octet, and the part that has to be there for it: the second
# of a signed multipart, the first of an encrypted one (RFC 1847, RFC 3156, RFC 8551).
_SEALING = {
    b"multipart/signed": (
        1,
        frozenset(
            (
                b"application/pgp-signature",
                b"application/pkcs7-signature",
                b"application/x-pkcs7-signature",
            )
        ),
    ),
    b"multipart/encrypted": (0, frozenset((b"application/pgp-encrypted",))),
}
_SEAL_HEADER = 4_096

_DELIMITER_END = re.compile(rb"(--)?[ \t]*+(?:\r\n|\Z)")
# Some write `base64;` or put it in quotes: a token it is in either case.
_ENCODING = re.compile(rb'"?+([!#-\'*+\-.0-9A-Z^-~]{1,40}+)')
_BOUNDARY_OCTETS = 256
_DECODINGS = 2


@frozen
class Label:
    """What a part says about itself.

    `disposition` is b"", b"inline" or b"attachment"; `file_name` is a base name, empty
    where there is none; `content_id` is without brackets.
    """

    kind: bytes
    parameters: Mapping[bytes, bytes] = field(factory=dict)
    disposition: bytes = b""
    file_name: str = ""
    content_id: bytes = b""


@frozen
class Leaf:
    """A part with content of its own, still in its transfer encoding.

    `clean` is true where CR and LF are known to stand in `content` as CRLF only.
    """

    label: Label
    encoding: bytes
    content: bytes = field(repr=False)
    clean: bool = False


@frozen
class Multipart:
    """A part made of parts."""

    label: Label
    parts: tuple[Part, ...]


@frozen
class Sealed:
    """A signed or encrypted multipart: its two parts, octet for octet (RFC 1847)."""

    label: Label
    parts: tuple[bytes, bytes] = field(repr=False)


@frozen
class Forwarded:
    """A message within the message; `root` is None where it is a header block alone."""

    label: Label
    header: Header
    root: Part | None


Part: TypeAlias = Leaf | Multipart | Sealed | Forwarded


@frozen
class Body:
    """A header that was read, and where in `data` the body under it lies.

    `clean` is true where `data` has no bare CR; a bare LF it never has. `root` is true
    for a message, own or forwarded, and false for a part of one. `decodings` counts the
    transfer encodings `data` was under.
    """

    header: Header
    data: bytes = field(repr=False)
    start: int
    stop: int
    clean: bool
    root: bool = True
    decodings: int = 0

    @classmethod
    def of_message(
        cls, raw: bytes, limits: Limits, decodings: int = 0, *, clean: bool = False
    ) -> Body:
        """Read the header of a whole message, its lines ending with CRLF or LF.

        `clean` says that it is known to have neither a bare CR nor a bare LF.
        """
        data, clean = (raw, True) if clean else transfer.with_crlf(raw)
        whole = cls(Header(), data, 0, len(data), clean, decodings=decodings)
        return whole.message(limits)

    def message(self, limits: Limits) -> Body:
        """Read the header of the message this body is."""
        start = headers.mbox_line_end(self.data, self.start, self.stop)
        header, body = headers.read(self.data, start, self.stop, limits)
        return evolve(self, header=header, start=body, root=True)

    def child(self, start: int, stop: int, limits: Limits) -> Body:
        """Read the header of the part data[start:stop]."""
        header, body = headers.read(self.data, start, stop, limits)
        return evolve(self, header=header, start=body, stop=stop, root=False)

    @property
    def content(self) -> bytes:
        """The body itself, in its transfer encoding."""
        return self.data[self.start : self.stop]


@define
class Reader:
    """Reads one message's parts and counts them.

    `ids` gathers the msg-ids of forwarded messages.
    """

    limits: Limits
    count: int = 0
    ids: dict[bytes, None] = Factory(dict)

    def part(self, body: Body, depth: int = 0, default: bytes = _PLAIN) -> Part:
        """Return the part with that header and body; `default` is its type unsaid."""
        self._bound(depth)
        label = self._label(body, default)
        encoding = _encoding(body.header)
        if label.kind.startswith(b"multipart/"):
            return self._multipart(label, encoding, body, depth)
        if label.kind in _MESSAGES or label.kind == b"text/rfc822-headers":
            return self._forwarded(label, encoding, body, depth)
        if encoding.startswith(b"x-"):  # RFC 2045 6.4: it can not be read
            label = _retyped(label, _OCTETS)
        if label.kind in _REPORTS:
            text = transfer.decode(body.content, encoding)
            self.ids.update(dict.fromkeys(headers.message_ids(text)))
        elif label.kind == b"message/partial":
            # Its first piece has the header of the whole, as the client wrote it.
            raise MessageError(
                "message-in-pieces",
                "The client cut the message into pieces: let it send it whole",
            )
        elif label.kind == b"message/external-body":
            # What says where it is kept falls, and its own header tells the host.
            octets = transfer.decode(body.content, encoding)
            inner = Body.of_message(octets, self.limits)
            return Leaf(_retyped(label, _OCTETS), b"", inner.content, inner.clean)
        elif label.kind.startswith(b"message/"):
            label = _retyped(label, _OCTETS)
        return Leaf(label, encoding, body.content, body.clean)

    def _bound(self, depth: int) -> None:
        self.count += 1
        if self.count > self.limits.parts:
            raise _too_many_parts(self.limits)
        if depth > self.limits.depth:
            raise _too_deep(self.limits)

    def _label(self, body: Body, default: bytes) -> Label:
        header = body.header
        kind, named = _content_type(header, default, self.limits)
        value = header.first(b"content-disposition")
        disposition, described = parameters.parse(value or b"", self.limits)
        if disposition not in (b"", b"inline"):  # RFC 2183 2.8
            disposition = b"attachment"
        name = described.get(b"filename") or named.get(b"name") or b""
        content_id = b""
        if not body.root:  # nothing refers to a whole message
            content_id = (header.first(b"content-id") or b"").strip(b"<> \t")
        return Label(kind, named, disposition, base_name(name), content_id)

    def _multipart(self, label: Label, encoding: bytes, body: Body, depth: int) -> Part:
        data = body.data
        # RFC 2046 5.1.1: it does not end with a blank, whatever its parameter says.
        boundary = label.parameters.get(b"boundary", b"").rstrip(b" \t")
        spans = _split(body, boundary, self.limits)
        if not spans:
            content = body.content
            kind = _OCTETS if b"\0" in content else _PLAIN
            label = Label(kind, content_id=label.content_id)
            return Leaf(label, encoding, content, body.clean)
        if label.kind in _SEALING and len(spans) == 2:
            first, second = (data[begin:end] for begin, end in spans)
            if (
                _is_sealed(label, (first, second))
                and _can_stay(first, self.limits)
                and _can_stay(second, self.limits)
            ):
                self.count += 2
                return Sealed(label, (first, second))
        digest = label.kind == b"multipart/digest"
        default = b"message/rfc822" if digest else _PLAIN
        parts: list[Part] = []
        for begin, end in spans:
            child = body.child(begin, end, self.limits)
            parts.append(self.part(child, depth + 1, default))
        return Multipart(label, tuple(parts))

    def _forwarded(self, label: Label, encoding: bytes, body: Body, depth: int) -> Part:
        if encoding in transfer.ENCODED:
            # Each holds a copy; RFC 2046 5.2.1 allows none at all.
            if body.decodings == _DECODINGS:
                raise _too_deep(self.limits)
            octets = transfer.decode(body.content, encoding)
            body = Body.of_message(octets, self.limits, body.decodings + 1)
        else:
            body = body.message(self.limits)
        header = body.header
        ids = header.ids(b"message-id", b"in-reply-to", b"references")
        self.ids.update(dict.fromkeys(ids))
        if label.kind == b"text/rfc822-headers":
            return Forwarded(label, header, None)
        label = _retyped(label, b"message/rfc822")
        root = self.part(body, depth + 1)
        return Forwarded(label, header, root)


def _too_deep(limits: Limits) -> MessageError:
    return MessageError(
        "nested-too-deep",
        f"Parts nested over {limits.depth} deep, or encoded twice: send one file",
    )


def _too_many_parts(limits: Limits) -> MessageError:
    return MessageError(
        "too-many-parts", f"More than {limits.parts} parts: send them as one file"
    )


def _retyped(label: Label, kind: bytes) -> Label:
    return Label(kind, {}, label.disposition, label.file_name, label.content_id)


def _content_type(
    header: Header, default: bytes, limits: Limits
) -> tuple[bytes, dict[bytes, bytes]]:
    """Return (type, parameters); a malformed type is read as octets (RFC 2045 5.2)."""
    value = header.first(b"content-type")
    if value is None:
        return default, {}
    kind, named = parameters.parse(value, limits)
    if kind == b"text":  # what old mailers wrote
        return _PLAIN, named
    return (kind if b"/" in kind else _OCTETS), named


def _encoding(header: Header) -> bytes:
    match = _ENCODING.match(header.first(b"content-transfer-encoding") or b"")
    return match[1].lower() if match else b""


def _is_sealed(label: Label, parts: tuple[bytes, bytes]) -> bool:
    """Tell whether there is what the multipart claims: it is no shelter otherwise."""
    place, protocols = _SEALING[label.kind]
    protocol = label.parameters.get(b"protocol", b"").lower()
    header = parts[place][:_SEAL_HEADER].lower()
    # RFC 8551 names a type that older programs write with x-, and some write both.
    told = protocol.replace(b"/x-", b"/") in header.replace(b"/x-", b"/")
    return protocol in protocols and told


def _can_stay(content: bytes, limits: Limits) -> bool:
    """Tell whether octets can travel as they are; a longest line is a limit."""
    if b"\0" in content or bare_ends(content)[0]:
        return False
    if transfer.has_long_line(content, limits.line_bytes):
        raise MessageError(
            "line-too-long",
            f"A signed part has a line over {limits.line_bytes} octets: encode it",
        )
    return True


def _split(body: Body, boundary: bytes, limits: Limits) -> list[tuple[int, int]]:
    """Return where the parts are; preamble and epilogue fall (RFC 2046 5.1.1).

    A delimiter is a line of its own, the boundary exactly: one that only begins like it
    is content. A missing end is forgiven.
    """
    if not 0 < len(boundary) <= _BOUNDARY_OCTETS:
        return []
    data, start, stop = body.data, body.start, body.stop
    delimiter = b"--" + boundary
    line = b"\r\n" + delimiter
    spans: list[tuple[int, int]] = []
    begin = -1
    # The line end before a delimiter is part of it; the first one may have none.
    found = start - 2 if data.startswith(delimiter, start, stop) else -1
    if found == -1:
        found = data.find(line, start, stop)
    while found != -1:
        after = found + len(line)
        end = _DELIMITER_END.match(data, after, stop)
        if end is None:
            found = data.find(line, after, stop)
            continue
        if begin >= 0:
            spans.append((begin, max(begin, found)))
            if len(spans) > limits.parts:
                raise _too_many_parts(limits)
        if end[1]:
            return spans
        begin = end.end()
        found = data.find(line, max(begin - 2, after), stop)
    if 0 <= begin < stop:
        spans.append((begin, stop))
    return spans
