"""Text in header fields: encoded words (RFC 2047) read leniently, written one way."""

from __future__ import annotations

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_qp, b2a_base64

from postmand.message import charsets

# RFC 2047 2; RFC 2231 5 adds the language. Possessive, so it can not backtrack.
_WORD = re.compile(
    rb"=\?([!-)+->@-~]{1,40}+)(?:\*[!->@-~]{0,40}+)?\?([bq])\?([^?\s]*+)\?=",
    re.IGNORECASE,
)
_BLANK = re.compile(rb"[ \t\r\n]*+")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_WORD_OCTETS = 64  # fits on the first line of every field that holds words
_PREFIX = len(b"=?utf-8?q??=")
_PAYLOAD = _WORD_OCTETS - _PREFIX
_LONGEST_TOKEN = 200

# RFC 2047 5 (3): what may stand bare inside a phrase; used everywhere.
_BARE = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
)
_QUOTED = tuple(
    b"_" if octet == 0x20 else bytes((octet,)) if octet in _BARE else b"=%02X" % octet
    for octet in range(256)
)


def clean(text: str) -> str:
    """Return the text on one line: control characters become a space, ends stripped.

    This is where a line break hidden in an encoded word ends (CVE-2024-6923).
    """
    if text.isascii() and text.isprintable():
        return text.strip(" ")
    return _CONTROLS.sub(" ", text).strip()


def decode_words(value: bytes) -> str:
    """Return the text of an unfolded field body or phrase, cleaned.

    Neighbouring words of one character set are joined before they are decoded: some
    clients split a character in two. A word of unknown character set stays as it is.
    """
    if b"=?" not in value:
        return clean(charsets.decode_unlabelled(value))
    text: list[str] = []
    label = b""
    octets: list[bytes] = []
    place = 0
    after_word = False
    for match in _WORD.finditer(value):
        payload = _payload(match[2], match[3])
        between = value[place : match.start()]
        glued = after_word and _BLANK.fullmatch(between) is not None
        if not (glued and match[1].lower() == label):
            text.append(_run(octets, label))
            octets = []
        if not glued:
            text.append(charsets.decode_unlabelled(between))
        place = match.end()
        known = payload is not None and charsets.decode(b"", match[1]) is not None
        if payload is None or not known:
            text.append(charsets.decode_unlabelled(match[0]))
            after_word = False
            continue
        label = match[1].lower()
        octets.append(payload)
        after_word = True
    text.append(_run(octets, label))
    text.append(charsets.decode_unlabelled(value[place:]))
    return clean("".join(text))


def _payload(form: bytes, data: bytes) -> bytes | None:
    if form in b"qQ":
        return a2b_qp(data, header=True)
    try:
        return a2b_base64(data + b"=" * (-len(data) % 4))
    except BinasciiError:
        return None


def _run(octets: list[bytes], label: bytes) -> str:
    """Decode joined words; what breaks the rules of its label is marked, not lost."""
    if not octets:
        return ""
    joined = b"".join(octets)
    text = charsets.decode(joined, label)
    return joined.decode("utf-8", "replace") if text is None else text


def words(text: str) -> list[bytes]:
    """Return cleaned text as words for `headers.fold`, in the one way we write it.

    Printable ASCII stays as it is, each word keeping the spaces it has beyond the
    first; any other text becomes encoded words as a whole, in UTF-8, with the shorter
    of the two encodings (Q where both are as long).
    """
    if is_plain(text):
        return split_plain(text.encode("ascii"))
    return encode_words(text)


def is_plain(text: str) -> bool:
    """Tell whether the text can stand in a field without encoding."""
    if not (text.isascii() and text.isprintable()) or "=?" in text:
        return False
    return len(text) <= _LONGEST_TOKEN or all(
        len(token) <= _LONGEST_TOKEN for token in split_plain(text.encode("ascii"))
    )


def split_plain(text: bytes) -> list[bytes]:
    """Split at the first space of each run, so that joining by one space restores."""
    found: list[bytes] = re.findall(rb" *+[^ ]++", text)
    return [token[1:] if token[:1] == b" " else token for token in found]


def encode_words(text: str) -> list[bytes]:
    """Return the text as encoded words of at most 64 octets."""
    characters = [character.encode("utf-8", "replace") for character in text]
    size = sum(map(len, characters))
    quoted = [b"".join([_QUOTED[octet] for octet in one]) for one in characters]
    if sum(map(len, quoted)) <= (size + 2) // 3 * 4:
        runs = _runs(quoted, _PAYLOAD)
        return [b"=?utf-8?q?%s?=" % run for run in runs]
    runs = _runs(characters, _PAYLOAD // 4 * 3)
    return [b"=?utf-8?b?%s?=" % b2a_base64(run, newline=False) for run in runs]


def _runs(pieces: list[bytes], room: int) -> list[bytes]:
    runs: list[bytes] = []
    run: list[bytes] = []
    used = 0
    for piece in pieces:
        if used + len(piece) > room:
            runs.append(b"".join(run))
            run, used = [], 0
        run.append(piece)
        used += len(piece)
    runs.append(b"".join(run))
    return runs
