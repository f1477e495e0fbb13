"""A line of IRC as octets: read, written, and cut to length.

RFC 1459 2.3, and the message tags of IRCv3. Nothing is decoded, and nothing is
"dequoted": what a line holds is what was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import Factory, field, frozen

from postmand.biff.events import Source

LINE_OCTETS = 512
"""The longest line without tags, CR LF included (RFC 1459 2.3)."""

_ROOM = LINE_OCTETS - len(b"\r\n")
# Leaves room for a command before it.
_LIST = 400
# What a server may put before our text when it passes it on, besides our nick.
_USER_OCTETS = 12
_HOST_OCTETS = 64
# The last word of these is a text, even where it is a single word.
_TEXTS = frozenset((b"PRIVMSG", b"NOTICE", b"SQUERY", b"QUIT", b"USER"))
_ESCAPED = {b":": b";", b"s": b" ", b"r": b"\r", b"n": b"\n"}


class LineError(ValueError):
    """No line of IRC; the message is a constant and quotes nothing."""


class TooLongError(LineError):
    """More than a line may hold."""


@frozen
class Line:
    """One line as it came. `command` is in capitals; `tags` are unescaped."""

    command: bytes
    params: tuple[bytes, ...] = field(default=(), repr=False)
    source: Source | None = None
    tags: Mapping[bytes, bytes] = field(factory=dict, repr=False)
    code: int = field(
        init=False,
        default=Factory(
            lambda self: int(self.command) if self.command.isdigit() else 0,
            takes_self=True,
        ),
    )

    def param(self, number: int) -> bytes:
        """Return a parameter, or b"" where the line has not that many."""
        return self.params[number] if number < len(self.params) else b""


def parse(octets: bytes) -> Line:
    """Read one line, without its line feed. Raises LineError."""
    octets = octets.removesuffix(b"\r")
    if b"\r" in octets or b"\n" in octets or b"\0" in octets:
        raise LineError("control character")
    tags: Mapping[bytes, bytes] = {}
    source = None
    if octets.startswith(b"@"):
        words, _, octets = octets[1:].partition(b" ")
        tags = dict(_tag(word) for word in words.split(b";"))
    octets = octets.lstrip(b" ")
    if octets.startswith(b":"):
        prefix, _, octets = octets[1:].partition(b" ")
        source = _source(prefix)
    middle, colon, text = octets.lstrip(b" ").partition(b" :")
    words_ = [word for word in middle.split(b" ") if word]
    if not words_ or not _is_command(words_[0]):
        raise LineError("no command")
    params = (*words_[1:], text) if colon else tuple(words_[1:])
    return Line(words_[0].upper(), params, source, tags)


def _is_command(word: bytes) -> bool:
    return word.isalpha() or (word.isdigit() and len(word) == 3)


def _source(prefix: bytes) -> Source:
    before, _, host = prefix.partition(b"@")
    nick, _, user = before.partition(b"!")
    return Source(nick, user, host)


def _tag(word: bytes) -> tuple[bytes, bytes]:
    name, _, value = word.partition(b"=")
    if b"\\" not in value:
        return name, value
    plain, position = bytearray(), 0
    while position < len(value):
        octet = value[position : position + 1]
        if octet == b"\\":
            position += 1
            octet = value[position : position + 1]
            octet = _ESCAPED.get(octet, octet)
        plain += octet
        position += 1
    return name, bytes(plain)


def write(command: bytes, *params: bytes) -> bytes:
    """Return the line, CR LF included; only its last parameter may hold spaces.

    Raises LineError for CR, LF or NUL anywhere, for a parameter that would be read as
    another, and TooLongError for a line of more than 512
    octets.
    """
    if not _is_command(command):
        raise LineError("no command")
    words = [command, *params]
    for word in params[:-1]:
        if not word or b" " in word or word.startswith(b":"):
            raise LineError("a parameter that would be read as another")
    if params:
        last = params[-1]
        if not last or b" " in last or last.startswith(b":") or command in _TEXTS:
            words[-1] = b":" + last
    line = b" ".join(words)
    if b"\r" in line or b"\n" in line or b"\0" in line:
        raise LineError("control character")
    if len(line) > _ROOM:
        raise TooLongError("too long")
    return line + b"\r\n"


def room(nick: bytes, command: bytes, target: bytes) -> int:
    """Return how many octets of text fit, once the server put our name before them."""
    name = len(nick) + _USER_OCTETS + _HOST_OCTETS + len(b":!@ ")
    return _ROOM - name - len(command) - len(target) - len(b"  :")


def lists(words: Iterable[bytes]) -> Iterator[bytes]:
    """Yield all words in lists with commas between, each as long as a line may be."""
    taken = b""
    for word in words:
        if taken and len(taken) + len(word) >= _LIST:
            yield taken
            taken = b""
        taken = taken + b"," + word if taken else word
    if taken:
        yield taken


def cut(text: bytes, octets: int) -> bytes:
    """Return what of `text` fits, no UTF-8 character taken apart."""
    if len(text) <= octets:
        return text
    end = max(octets, 0)
    # A character has three octets of continuation at most; more is no UTF-8.
    for border in range(end, max(end - 4, -1), -1):
        if text[border] & 0xC0 != 0x80:
            return text[:border]
    return text[:end]
