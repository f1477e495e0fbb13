"""The hash of a body under DKIM's "relaxed" canonicalisation, piece by piece."""

from __future__ import annotations

import hashlib
import re

_BLANKS = re.compile(rb"[ \t]+")
_RUN = b"\r\n" * 4096


class RelaxedHash:
    """The hash of a body under RFC 6376 3.4.4.

    Takes the body in pieces that are cut anywhere, and holds none of them. Lines end
    with CRLF; no CR or LF stands alone. Takes the same time for every body of a size.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._empty = True
        # Line ends that belong to the body only if something follows, and what may be
        # the beginning of another.
        self._ends = 0
        self._rest = b""

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        data = self._rest + piece
        last = len(data.rstrip(b" \t\r\n"))
        if last:
            self._write_ends()
            self._hash.update(_reduced(data[:last]))
            self._empty = False
        tail = _reduced(data[last:])
        self._ends += tail.count(b"\r\n")
        self._rest = tail.rpartition(b"\r\n")[2]

    def digest(self) -> bytes:
        """Return the hash, once the body is at its end."""
        whole = self._hash.copy()
        if not self._empty:
            whole.update(b"\r\n")
        return whole.digest()

    def _write_ends(self) -> None:
        while self._ends > 0:
            self._hash.update(_RUN[: 2 * self._ends])
            self._ends -= len(_RUN) // 2
        self._ends = 0


def _reduced(octets: bytes) -> bytes:
    """Return the octets with one blank for a run of them, and none before CRLF."""
    return _BLANKS.sub(b" ", octets).replace(b" \r\n", b"\r\n")
