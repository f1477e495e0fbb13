"""Content transfer encodings: any in, one rule out (RFC 2045 6).

What leaves here is 7-bit, without NUL and bare CR or LF, in lines of at most 998
octets: no hop after us has a reason to encode again.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, a2b_qp, b2a_base64, b2a_qp

from postmand.message.lines import bare_ends

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_LETTERS = _BASE64.removesuffix(b"=")
_LINE_ENDS = b"\r\n\t"
_HIGH = bytes(range(0x80, 0x100))
_PADDING = re.compile(rb"=++")

_LINE_OCTETS = 998  # RFC 5322 2.1.1
_BLOCK = 57 * 16_384  # octets encoded at a time: whole lines of 76

ENCODED = frozenset((b"base64", b"quoted-printable"))


def decode(content: bytes, encoding: bytes) -> bytes:
    """Return the octets; an encoding we do not know is taken for none."""
    if encoding == b"base64":
        return decode_base64(content)
    if encoding == b"quoted-printable":
        return a2b_qp(content)
    return content


def decode_base64(content: bytes) -> bytes:
    """Decode leniently, losing nothing that could be somebody's data.

    Octets outside the alphabet are skipped (RFC 2045 6.8), missing padding is put in,
    and encodings put one behind the other are all decoded. Where more than a tenth is
    outside the alphabet the label is wrong, and the content is returned as it is.
    """
    letters = content.translate(None, _NOT_BASE64)
    strange = len(content) - len(letters)
    if strange * 20 > len(content):
        strange = len(content.translate(None, _LINE_ENDS)) - len(letters)
        if strange * 10 > len(content):
            return content
    first = letters.find(b"=")
    if first < 0 or first >= len(letters) - 2:
        return _decode_run(letters[:first] if first >= 0 else letters)
    return b"".join([_decode_run(run) for run in _PADDING.split(letters)])


def _decode_run(letters: bytes) -> bytes:
    excess = len(letters) % 4
    if excess == 1:  # six bits make no octet
        letters = letters[:-1]
    elif excess:
        letters += b"=" * (4 - excess)
    return a2b_base64(letters)


def to_base64(content: bytes, encoding: bytes) -> list[bytes]:
    """Return content in our base64, whatever it was encoded in; the octets stay."""
    if encoding == b"base64" and _is_canonical(content):
        return [content.removesuffix(b"\r\n")]
    return encode_base64(decode(content, encoding))


def _is_canonical(content: bytes) -> bool:
    """Tell whether decoding and encoding would give the same base64 again.

    So it is with most attachments, and looking costs a tenth of doing. Only the last
    group can have bits that no octet uses (RFC 4648 3.5).
    """
    body = content.removesuffix(b"\r\n")
    lines = (len(body) + 1) // 78
    ends = body[76::78], body[77::78]
    if ends != (b"\r" * lines, b"\n" * lines):
        return False
    rest = body.translate(None, _LETTERS)
    padding = len(rest) - 2 * lines
    last = body[-4:]
    return (
        len(body) - 2 * lines >= 4
        and (len(body) - 2 * lines) % 4 == 0
        and rest == b"\r\n" * lines + b"=" * padding
        and padding <= 2
        and body.endswith(b"=" * padding)
        and b"\n" not in last
        and b2a_base64(a2b_base64(last), newline=False) == last
    )


def encode_base64(octets: bytes) -> list[bytes]:
    """Return base64 in lines of 76, the last without its CRLF, about 1 MB a chunk."""
    chunks: list[bytes] = []
    for start in range(0, len(octets), _BLOCK):
        letters = b2a_base64(octets[start : start + _BLOCK], newline=False)
        lines = [letters[place : place + 76] for place in range(0, len(letters), 76)]
        if start + _BLOCK < len(octets):
            lines.append(b"")
        chunks.append(b"\r\n".join(lines))
    return chunks


def encode_text(octets: bytes, *, clean: bool) -> tuple[bytes, list[bytes]]:
    """Return (encoding, chunks) of text, by a rule that looks at the text alone.

    7bit where it fits as it is; else quoted-printable; but base64 where more than a
    third is not ASCII (nobody could read it there) or where there is a NUL or a line
    end that is not CRLF (quoted-printable's text form would change it). `clean` says
    that no such line end is there.
    """
    if b"\0" in octets or not clean:
        return b"base64", encode_base64(octets)
    if octets.isascii() and not has_long_line(octets, _LINE_OCTETS):
        return b"7bit", [octets] if octets else []
    if (len(octets) - len(octets.translate(None, _HIGH))) * 3 > len(octets):
        return b"base64", encode_base64(octets)
    return b"quoted-printable", [_encode_quoted(octets)]


def _encode_quoted(octets: bytes) -> bytes:
    # binascii takes the form of its soft line ends from the first line of the text.
    if b"\n" in octets:
        return b2a_qp(octets)
    return b2a_qp(octets + b"\r\n").removesuffix(b"\r\n")


def with_crlf(octets: bytes) -> tuple[bytes, bool]:
    """Return text with every bare LF made a CRLF, and whether it has no bare CR."""
    bare_cr, bare_lf = bare_ends(octets)
    if bare_lf:
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return octets, not bare_cr


def has_long_line(octets: bytes, longest: int) -> bool:
    """Tell whether a line, its CRLF not counted, is longer; in steps of that length."""
    place = 0
    end = len(octets)
    while end - place > longest:
        # The last line end in reach: most lines are never looked at one by one.
        newline = octets.rfind(b"\n", place, place + longest + 2)
        if newline < 0:
            return True
        place = newline + 1
    return False
