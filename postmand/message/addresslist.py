"""The grammar of address lists: from a field body to its elements (RFC 5322 3.4, 4.4).

One pass over tokens, each octet looked at once: nothing here can be made slow. The
values made of the elements are in `address`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field, frozen

_TOKEN = re.compile(
    rb'([ \t\r\n]++)|"((?>(?:[^"\\]|\\.)*))(?:"|\\?\Z)|(\()|(\[[^\[\]\\\r\n<>,;]*+\])'
    rb"|([<>,;:@.])|(=\?[^\s?<>@\"]{1,60}+\?[bq]\?[^\s?<>@\"]*+\?=)"
    rb"|([^\x00-\x20\x7f\"()<>\[\],;:@.\\]++)|(.)",
    re.DOTALL | re.IGNORECASE,
)
_COMMENT = re.compile(rb"[()]|\\.", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

_ATOM, _STRING, _LITERAL, _SPECIAL, _BLANK = range(5)
_ROUTE_HOSTS = 64  # past that many a comma ends the element after all


@frozen
class Element:
    """One element of a list: a mailbox's pieces, or a group with its members.

    `phrase` is the display name before RFC 2047 decoding. `local` is unquoted, and
    empty where the element is no address.
    """

    phrase: bytes
    local: bytes = b""
    domain: bytes = b""
    members: tuple[Element, ...] | None = None


def elements(value: bytes) -> Iterator[Element]:
    """Yield the elements in order, well-formed or not."""
    parser = _Parser()
    for kind, text in _tokens(value):
        yield from parser.take(kind, text)
    yield from parser.end()


def _tokens(value: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, text); a comment counts as a blank, stray octets fall."""
    place = 0
    while match := _TOKEN.match(value, place):  # it takes any octet, so up to the end
        place = match.end()
        group = match.lastindex
        if group == 1:
            yield _BLANK, b" "
        elif group == 2:
            yield _STRING, _ESCAPED.sub(rb"\1", match[2])
        elif group == 3:
            place = _comment_end(value, place)
            yield _BLANK, b" "
        elif group == 4:
            yield _LITERAL, match[4]
        elif group == 5:
            yield _SPECIAL, match[5]
        elif group in (6, 7):
            # RFC 2047 5 (3) lets no comma into an encoded word; some write it there.
            yield _ATOM, match[group]


def _comment_end(value: bytes, place: int) -> int:
    """Return where the comment opened before `place` ends; unclosed, it takes all."""
    depth = 1
    for match in _COMMENT.finditer(value, place):
        if match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
            if not depth:
                return match.end()
    return len(value)


@define
class _Parser:
    """Where the pass stands: the words of the element, and the group around it.

    `angle` holds what stood between the brackets, None before the first one. A route
    in front of it (`<@a,@b:user@c>`, RFC 5322 4.4) is dropped as it is read.
    """

    words: list[tuple[int, bytes]] = field(factory=list)
    at: bool = False
    angle: list[tuple[int, bytes]] | None = None
    closed: bool = False
    route: int = 0
    group: bytes | None = None
    members: list[Element] = field(factory=list)

    def take(self, kind: int, text: bytes) -> Iterator[Element]:
        if kind != _SPECIAL:
            self._add(kind, text)
        elif text == b";" or (text == b"," and not self._in_route()):
            yield from self._finish()
            if text == b";":
                yield from self._close_group()
        elif text == b":" and self.angle is None and not self.at:
            yield from self._open_group()
        elif text in b"<>":
            self._bracket(text)
        elif not self._in_route(text):
            self.at = self.at or text == b"@"
            self._add(kind, text)

    def end(self) -> Iterator[Element]:
        yield from self._finish()
        yield from self._close_group()

    def _add(self, kind: int, text: bytes) -> None:
        if self.angle is None:
            self.words.append((kind, text))
        elif not self.closed:
            self.angle.append((kind, text))

    def _bracket(self, text: bytes) -> None:
        if text == b">":
            self.closed = self.angle is not None
        elif self.angle is None:
            self.angle = []

    def _in_route(self, text: bytes = b",") -> bool:
        """Tell whether this special belongs to a route; a colon ends it."""
        if self.closed or self.angle is None:
            return False
        if not self.angle and text == b"@":
            self.route = _ROUTE_HOSTS
        if self.route and text == b":":
            self.route = 0
            self.angle.clear()
            return True
        if self.route and text == b",":
            self.route -= 1
            self.angle.clear()
            return True
        return self.route > 0 and text == b"@"

    def _open_group(self) -> Iterator[Element]:
        name = _phrase(self.words)
        self.words = []
        yield from self._close_group()
        self.group = name

    def _close_group(self) -> Iterator[Element]:
        if self.group is not None:
            yield Element(self.group, members=tuple(self.members))
        self.group, self.members = None, []

    def _finish(self) -> Iterator[Element]:
        words, angle = self.words, self.angle
        self.words, self.angle = [], None
        self.at = self.closed = False
        self.route = 0
        if angle is None and all(kind == _BLANK for kind, _ in words):
            return
        if angle is None:
            local, domain = _addr_spec(words)
            element = Element(b"", local, domain)
        else:
            local, domain = _addr_spec(angle)
            element = Element(_phrase(words), local, domain)
        if self.group is None:
            yield element
        else:
            self.members.append(element)


def _phrase(words: list[tuple[int, bytes]]) -> bytes:
    """Join a display name's words, each run of blanks between them to one."""
    pieces: list[bytes] = []
    blank = False
    for kind, text in words:
        if kind == _BLANK:
            blank = True
            continue
        if blank and pieces:
            pieces.append(b" ")
        pieces.append(text)
        blank = False
    return b"".join(pieces)


def _addr_spec(words: list[tuple[int, bytes]]) -> tuple[bytes, bytes]:
    """Return (local, domain) of `word *("." word) "@" domain`, or (b"", b"").

    Blanks and comments around the dots are gone by now (RFC 5322 4.4). Anything else,
    such as a second `@` or two words side by side, is no address.
    """
    words = [word for word in words if word[0] != _BLANK]
    if (_SPECIAL, b"@") not in words:
        return b"", b""
    at = words.index((_SPECIAL, b"@"))
    local, domain = words[:at], words[at + 1 :]
    if len(domain) == 1 and domain[0][0] == _LITERAL:
        pass
    elif not _dotted(domain, (_ATOM,)):
        return b"", b""
    if not _dotted(local, (_ATOM, _STRING)):
        return b"", b""
    return _joined(local), _joined(domain)


def _dotted(words: list[tuple[int, bytes]], kinds: tuple[int, ...]) -> bool:
    """Tell whether words of `kinds` alternate with dots, beginning with a word."""
    if words and words[-1] == (_SPECIAL, b"."):
        words = words[:-1]
    return (
        len(words) % 2 == 1
        and all(kind in kinds for kind, _ in words[::2])
        and all(word == (_SPECIAL, b".") for word in words[1::2])
    )


def _joined(words: list[tuple[int, bytes]]) -> bytes:
    return b"".join([text for _, text in words])
