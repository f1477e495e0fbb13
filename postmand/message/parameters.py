"""Structured MIME fields: `value; name=parameter` (RFC 2045 5.1, 2183, 2231)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from postmand.message import charsets
from postmand.message.encoded import decode_words
from postmand.message.limits import Limits, MessageError

TOKEN = re.compile(rb"[!#-'*+\-.0-9A-Z^-~]{1,127}+")
_VALUE = re.compile(
    rb"[ \t]*+([!#-'*+\-.0-9A-Z^-~]{1,127}+)"
    rb"(?:[ \t]*+/[ \t]*+([!#-'*+\-.0-9A-Z^-~]{1,127}+))?"
)
# The last group: more words, up to where the next parameter can begin.
_PARAMETER = re.compile(
    rb';[ \t]*+([^\s=;"()]++)[ \t]*+=[ \t]*+(?:"((?>(?:[^"\\]|\\.)*))"?'
    rb'|([^\s;]*+)((?>(?:[ \t]++(?:=\?[^\s;"]++|[^\s;="]++))*)(?=[ \t]*+(?:;|\Z)))?)',
    re.DOTALL,
)
_FILE_NAMES = frozenset((b"name", b"filename"))
_NAME = re.compile(rb"([^*]++)(?:\*(\d{1,3}))?(\*)?")
# Only these two are unescaped: `\U` in `C:\Users\mary\cv.pdf` is no escape but a path.
_ESCAPED = re.compile(rb'\\(["\\])')
_NAME_OCTETS = 255
_ENDING_OCTETS = 20
_SPECIAL = re.compile(rb'(["\\])')


def parse(value: bytes, limits: Limits) -> tuple[bytes, dict[bytes, bytes]]:
    """Return (value in lower case, parameters) of an unfolded field body.

    The value is `type/subtype` or one token, b"" where it is malformed. Parameter names
    are in lower case, the first of a name counts; extended and continued ones (RFC
    2231) are put together, brought to UTF-8, and win over plain ones of their name.
    """
    match = _VALUE.match(value)
    if match is None:
        return b"", {}
    kind = match[1] if match[2] is None else b"%s/%s" % (match[1], match[2])
    plain: dict[bytes, bytes] = {}
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    count = 0
    for found in _PARAMETER.finditer(value, match.end()):
        count += 1
        name, quoted, bare, more = found.groups()
        text = bare if quoted is None else _ESCAPED.sub(rb"\1", quoted)
        if more and name.lower() in _FILE_NAMES:
            text += more  # blanks without the quotes they need: `my cv.pdf`
        split = _NAME.fullmatch(name.lower())
        if split is None:
            continue
        if split[2] is None and split[3] is None:
            plain.setdefault(split[1], text)
        else:
            number = int(split[2] or 0)
            pieces.setdefault(split[1], {}).setdefault(
                number, (text, split[3] is not None)
            )
    if count > limits.parameters:
        raise MessageError(
            "too-many-parameters",
            f"A MIME field with more than {limits.parameters} parameters",
        )
    for name, numbered in pieces.items():
        plain[name] = _assemble(numbered)
    return kind.lower(), plain


def _assemble(numbered: dict[int, tuple[bytes, bool]]) -> bytes:
    """Join the pieces of one continued parameter up to a gap (RFC 2231 3, 4)."""
    label = b""
    octets: list[bytes] = []
    for expected, number in enumerate(sorted(numbered)):
        if number != expected:
            break
        text, extended = numbered[number]
        if extended and number == 0 and text.count(b"'") >= 2:
            label, _, text = text.split(b"'", 2)
        octets.append(unquote_to_bytes(text) if extended else text)
    joined = b"".join(octets)
    text_utf8 = charsets.to_utf8(joined, label) if label else None
    return joined if text_utf8 is None else text_utf8


def write(value: bytes, parameters: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the words of the field body, in the one shape we write.

    A value of token characters stands bare, any other printable ASCII is quoted, and
    the rest is percent-encoded UTF-8 (RFC 2231 4).
    """
    words = [value]
    for name, text in parameters:
        words[-1] += b";"
        words.append(_written(name, text))
    return words


def _written(name: bytes, text: bytes) -> bytes:
    if not (text.isascii() and text.decode("ascii").isprintable()):
        return b"%s*=utf-8''%s" % (name, _percent_encoded(text))
    if name != b"filename" and TOKEN.fullmatch(text):
        return b"%s=%s" % (name, text)
    return b'%s="%s"' % (name, _SPECIAL.sub(rb"\\\1", text))


_ATTRIBUTE = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


def _percent_encoded(text: bytes) -> bytes:
    return b"".join(
        [bytes((one,)) if one in _ATTRIBUTE else b"%%%02X" % one for one in text]
    )


def base_name(value: bytes) -> str:
    """Return the base name of a file name as it was sent, decoded, on one line."""
    if not value:
        return ""
    name = decode_words(value).replace("\\", "/").rpartition("/")[2].strip()
    if not name.strip("."):
        return ""
    octets = name.encode("utf-8")
    if len(octets) <= _NAME_OCTETS:
        return name
    stem, dot, ending = octets.rpartition(b".")
    if not dot or len(ending) > _ENDING_OCTETS:
        stem, dot, ending = octets, b"", b""
    kept = stem[: _NAME_OCTETS - len(dot + ending)] + dot + ending
    return kept.decode("utf-8", "ignore").strip()
