"""Character sets mail is written in, from an allow-list of Python's codecs.

A label comes from strangers: `codecs.lookup` on it would reach rot13, zlib, idna or
punycode, some of them not even linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

_UTF_8 = frozenset((b"utf-8", b"utf8"))
_ASCII = frozenset((b"", b"us-ascii", b"ascii", b"ansi-x3.4-1968"))
_LATIN_1 = frozenset((b"iso-8859-1", b"iso8859-1", b"latin1", b"latin-1", b"l1"))


def _families() -> Iterator[tuple[bytes, str]]:
    for number in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16):
        yield b"iso-8859-%d" % number, f"iso8859_{number}"
        yield b"iso8859-%d" % number, f"iso8859_{number}"
    for number in range(1250, 1259):
        yield b"windows-%d" % number, f"cp{number}"
        yield b"cp%d" % number, f"cp{number}"
    for number in (437, 850, 852, 855, 866):
        yield b"ibm%d" % number, f"cp{number}"
        yield b"cp%d" % number, f"cp{number}"


# What is not registered is there because programs write it: Java's names, Eudora's.
_OTHERS = (
    (b"big5", "big5"),
    (b"big5-hkscs", "big5hkscs"),
    (b"cp932", "cp932"),
    (b"cp936", "gb18030"),
    (b"cp949", "cp949"),
    (b"cp950", "cp950"),
    (b"csiso2022jp", "iso2022_jp"),
    (b"euc-jp", "euc_jp"),
    (b"euc-kr", "cp949"),
    (b"gb18030", "gb18030"),
    (b"gb2312", "gb18030"),
    (b"gbk", "gb18030"),
    (b"iso-2022-jp", "iso2022_jp"),
    (b"iso-2022-kr", "iso2022_kr"),
    (b"iso-8859-8-i", "iso8859_8"),  # RFC 1556: the order of display, not the letters
    (b"koi8-r", "koi8_r"),
    (b"koi8-u", "koi8_u"),
    (b"ks-c-5601-1987", "cp949"),
    (b"macintosh", "mac_roman"),
    (b"ms932", "cp932"),
    (b"ms949", "cp949"),
    (b"shift-jis", "cp932"),
    (b"sjis", "cp932"),
    (b"tis-620", "cp874"),
    (b"windows-31j", "cp932"),
    (b"windows-874", "cp874"),
    (b"windows-949", "cp949"),
    (b"x-gbk", "gb18030"),
    (b"x-mac-cyrillic", "mac_cyrillic"),
    (b"x-mac-roman", "mac_roman"),
    (b"x-sjis", "cp932"),
)
_CODECS = dict(chain(_families(), _OTHERS))


def _normal(label: bytes) -> bytes:
    return label.strip().lower().replace(b"_", b"-")


def decode(octets: bytes, label: bytes) -> str | None:
    """Return the text, or None where the label is unknown or its rules are broken.

    An empty label, or us-ascii over 8-bit octets, is taken for UTF-8. ISO-8859-1 is
    read as windows-1252 where that fits, as every mail program does: its C1 octets are
    quotation marks, not controls.
    """
    name = _normal(label)
    try:
        if name in _ASCII or name in _UTF_8:
            return octets.decode("utf-8")
        if name in _LATIN_1:
            return _western(octets)
        codec = _CODECS.get(name)
        if codec is None:
            return None
        text = octets.decode(codec)
        text.encode("utf-8")  # some codecs let lone surrogates through
    except UnicodeError:
        return None
    return text


def _western(octets: bytes) -> str:
    try:
        return octets.decode("cp1252")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def decode_unlabelled(octets: bytes) -> str:
    """Return the text of octets that name no character set: UTF-8, else Western."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return _western(octets)


def to_utf8(octets: bytes, label: bytes) -> bytes | None:
    """Return the same text in UTF-8, or None where it does not decode strictly."""
    name = _normal(label)
    if octets.isascii() and b"2022" not in name and _known(name):
        return octets
    text = decode(octets, label)
    if text is None or name in _ASCII or name in _UTF_8:
        return None if text is None else octets
    return text.encode("utf-8")


def _known(name: bytes) -> bool:
    return name in _ASCII or name in _UTF_8 or name in _LATIN_1 or name in _CODECS


def is_ascii_label(label: bytes) -> bool:
    """Tell whether the label says us-ascii, or says nothing."""
    return _normal(label) in _ASCII
