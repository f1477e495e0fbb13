"""Looking for words in octets, as somebody would who has seized a disk.

A word is looked for as it is, as base64 in all three alignments, as quoted-printable,
as hexadecimal digits and as UTF-16, in the octets themselves and in every zlib or gzip
stream that begins anywhere in them.
"""

from __future__ import annotations

import base64
import quopri
import re
import zlib
from collections.abc import Iterable, Iterator

_KEY = 8
_STREAM = re.compile(rb"(?=(\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]))")
_MOST_INFLATED = 16 * 1024 * 1024


class Words:
    """What is looked for. Words under eight octets are too short to be told by."""

    def __init__(self, words: Iterable[bytes]) -> None:
        self._forms: dict[bytes, dict[bytes, bytes]] = {}
        self.count = 0
        for word in {word for word in words if len(word) >= _KEY}:
            self.count += 1
            for form in forms(word):
                self._forms.setdefault(form[:_KEY], {})[form] = word

    def found(self, data: bytes) -> set[bytes]:
        """Return the words that are in `data`, plain, encoded or compressed."""
        hits = self._plain(data)
        for stream in inflated(data):
            hits |= self._plain(stream)
        return hits

    def _plain(self, data: bytes) -> set[bytes]:
        hits = set()
        known = self._forms
        for at in range(len(data) - _KEY + 1):
            begun = known.get(data[at : at + _KEY])
            if begun is not None:
                hits |= {w for form, w in begun.items() if data.startswith(form, at)}
        return hits


def forms(word: bytes) -> set[bytes]:
    """Return the word in all its disguises that are long enough to be told by."""
    found = {word, word.hex().encode(), word.hex().upper().encode()}
    found.add(quopri.encodestring(word, quotetabs=True).replace(b"=\n", b""))
    found.add(quopri.encodestring(word).replace(b"=\n", b""))
    found.add(word.decode("latin-1").encode("utf-16-le"))
    for shift in range(3):
        # Only the digits that depend on no neighbour of the word.
        whole = base64.b64encode(bytes(shift) + word)
        first = (shift * 8 + 5) // 6
        last = (shift + len(word)) * 8 // 6
        found.add(whole[first:last])
        found.add(base64.urlsafe_b64encode(bytes(shift) + word)[first:last])
    return {form for form in found if len(form) >= _KEY}


def inflated(data: bytes) -> Iterator[bytes]:
    """Yield what every compressed stream in `data` holds, as far as it opens."""
    for match in _STREAM.finditer(data):
        inflate = zlib.decompressobj(47)  # zlib or gzip, told by its header
        try:
            opened = inflate.decompress(data[match.start() :], _MOST_INFLATED)
        except zlib.error:
            continue
        if len(opened) >= _KEY:
            yield opened
