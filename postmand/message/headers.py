"""Header blocks: read with care for what is broken, written in one shape.

A field is read as (name in lower case, unfolded value without outer blanks). Nothing a
block holds can pass by being malformed: what is no field is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import frozen

from postmand.message.limits import Limits, MessageError

_NAME = re.compile(rb"[!-9;-~]++")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_COLON = re.compile(rb"[ \t]*+:")
_CLOCK = re.compile(rb"\d:\d\d")
_MBOX_LINE = 400
_WIDTH = 78  # RFC 5322 2.1.1

# RFC 5322 3.6.4, without its quoted and obsolete forms.
_MESSAGE_ID = re.compile(rb"<[!-;=?A-~]{1,248}+@[!-;=?A-~]{1,248}+>")
_MESSAGE_ID_OCTETS = 250
_REFERENCES = 50

# A block whose first line is no field is a header only if one of these follows.
_KNOWN = frozenset(
    b"bcc cc content-disposition content-id content-transfer-encoding content-type date"
    b" delivered-to from in-reply-to message-id mime-version received references"
    b" reply-to return-path sender subject to user-agent x-mailer".split()
)


# Whole families of such fields, where the first line is a field at all.
_FAMILIES = (
    *(b"x-", b"content-", b"resent-", b"list-", b"dkim-", b"arc-", b"thread-"),
    b"postman-",
)


@frozen
class Header:
    """The fields of one block, in order, names in lower case."""

    fields: tuple[tuple[bytes, bytes], ...] = ()

    def first(self, name: bytes) -> bytes | None:
        """Return the value of the first field of that name."""
        for field, value in self.fields:
            if field == name:
                return value
        return None

    def every(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of that name."""
        return [value for field, value in self.fields if field == name]

    def ids(self, *names: bytes) -> list[bytes]:
        """Return the msg-ids in all fields of these names."""
        return [
            one
            for name in names
            for value in self.every(name)
            for one in message_ids(value)
        ]


def read(data: bytes, start: int, stop: int, limits: Limits) -> tuple[Header, int]:
    """Read the block at `start`; return it and where the body begins.

    Lines end with CRLF. Without an empty line all is header; but a block whose first
    line is no field, with no well-known field after it, is body text from the start.
    """
    if data.startswith(b"\r\n", start, stop):
        return Header(), start + 2
    # The CRLF before the empty line belongs to the last field.
    end = data.find(b"\r\n\r\n", start, stop)
    body = stop if end < 0 else end + 4
    if end < 0:
        end = stop
    block = data[start:end]
    if _is_text(block[: limits.header_bytes]):
        return Header(), start
    if len(block) > limits.header_bytes:
        raise MessageError(
            "header-too-long",
            f"Header block over {limits.header_bytes} octets: shorten it",
        )
    return Header(tuple(_fields(block, limits))), body


def mbox_line_end(data: bytes, start: int, stop: int) -> int:
    """Return where the message at `start` begins, behind an mbox `From ` line."""
    if not data.startswith(b"From ", start, stop):
        return start
    end = data.find(b"\r\n", start, min(stop, start + _MBOX_LINE))
    return end + 2 if end > 0 and _CLOCK.search(data, start, end) else start


def unfolded_lines(block: bytes) -> list[bytes]:
    """Split into unfolded lines; a CR that ends no line is a blank."""
    if b"\r\n " in block or b"\r\n\t" in block:
        block = _FOLD.sub(b"", block)
    return block.replace(b"\r\n", b"\n").replace(b"\r", b" ").split(b"\n")


def _fields(block: bytes, limits: Limits) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in unfolded_lines(block):
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")  # RFC 5322 4.5: blanks before the colon
        if colon and _NAME.fullmatch(name):
            fields.append((name.lower(), value.strip(b" \t")))
    if len(fields) > limits.fields:
        raise MessageError(
            "too-many-fields", f"More than {limits.fields} header fields: remove some"
        )
    return fields


def _is_text(block: bytes) -> bool:
    """Tell whether the block is body text of a message that has no header.

    It is where no line is a field that mail has: `Hello:` alone makes no header.
    """
    name, colon, _ = block[: block.find(b"\n") + 1 or None].partition(b":")
    begins = colon and _NAME.fullmatch(name.rstrip(b" \t"))
    families = _FAMILIES if begins else ()
    for line in block.split(b"\n"):
        if line[:1].isalpha():
            name, colon, _ = line.partition(b":")
            name = name.rstrip(b" \t").lower()
            if colon and (name in _KNOWN or name.startswith(families)):
                return False
    return True


def fold(name: bytes, words: Iterable[bytes]) -> bytes:
    """Return the field body: the words joined by single spaces, folded at 78 columns.

    A word is never broken, and the first stays on the line of the field's name.
    """
    words = list(words)
    width = len(name) + 2
    value = b" ".join(words)
    if width + len(value) <= _WIDTH:
        return value
    pieces: list[bytes] = []
    column = width - 1
    for word in words:
        size = len(word) + 1
        if pieces and column + size > _WIDTH:
            pieces.append(b"\r\n ")
            column = 0
        elif pieces:
            pieces.append(b" ")
        pieces.append(word)
        column += size
    return b"".join(pieces)


def write(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the block: one `Name: body` after the other, the final empty line too."""
    lines = [
        b"%s: %s\r\n" % field if field[1] else b"%s:\r\n" % field[0] for field in fields
    ]
    lines.append(b"\r\n")
    return b"".join(lines)


def message_ids(value: bytes) -> list[bytes]:
    """Return the well-formed msg-ids of a field body, with their angle brackets."""
    return [
        found
        for found in _MESSAGE_ID.findall(value)
        if len(found) <= _MESSAGE_ID_OCTETS
    ]


def message_id(value: bytes | None) -> bytes | None:
    """Return the one msg-id a Message-ID field holds, None where it is malformed."""
    if value is None or len(value) > _MESSAGE_ID_OCTETS:
        return None
    return value if _MESSAGE_ID.fullmatch(value) else None


def bounded_references(ids: Iterable[bytes]) -> list[bytes]:
    """Return the ids without doubles, at most 50: the thread's first and its last."""
    unique = list(dict.fromkeys(ids))
    if len(unique) > _REFERENCES:
        del unique[1 : len(unique) - _REFERENCES + 1]
    return unique


def thread_ids(header: bytes) -> tuple[bytes, ...]:
    """Return the msg-ids in In-Reply-To and References of a header block.

    In the block's order, each time they occur: `replace_thread_ids` makes the block
    longer by what the sum of these grows.
    """
    return tuple(
        one
        for start, stop in _thread_spans(header)
        for one in message_ids(header[start:stop])
    )


def replace_thread_ids(header: bytes, ids: Mapping[bytes, bytes]) -> bytes:
    """Return the block with `ids` replaced in In-Reply-To and References.

    In place, id for id: everything else, folding too, stays byte for byte.
    """

    def replaced(found: re.Match[bytes]) -> bytes:
        return ids.get(found[0], found[0])

    pieces: list[bytes] = []
    place = 0
    for start, stop in _thread_spans(header):
        pieces += header[place:start], _MESSAGE_ID.sub(replaced, header[start:stop])
        place = stop
    pieces.append(header[place:])
    return b"".join(pieces)


def _thread_spans(header: bytes) -> list[tuple[int, int]]:
    """Return where the bodies of the two fields begin (past the colon) and end.

    The end is before the last line's CRLF. Plain searches in a lower-cased copy: this
    runs for every card of a mailbox.
    """
    folded = b"\n" + header.lower()  # an index in it is one more than in `header`
    spans: list[tuple[int, int]] = []
    for name in (b"\nin-reply-to", b"\nreferences"):
        found = folded.find(name)
        while found >= 0:
            after = found + len(name)
            colon = _COLON.match(folded, after)
            if colon:
                start = colon.end() - 1
                spans.append((start, _field_end(header, start)))
            found = folded.find(name, after)
    return sorted(spans)


def _field_end(header: bytes, start: int) -> int:
    """Return where the field that goes on at `start` ends, its CRLF not included."""
    place = start
    while True:
        newline = header.find(b"\n", place)
        if newline < 0:
            return len(header)
        if header[newline + 1 : newline + 2] not in (b" ", b"\t"):
            return newline - 1 if header[newline - 1 : newline] == b"\r" else newline
        place = newline + 1
