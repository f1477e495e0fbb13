"""How much of one letter is looked at: whoever sent it, looking costs us time."""

from __future__ import annotations

import zlib

from attrs import define

_OCTETS = 1_048_576
_INFLATED = 524_288
_ARCHIVED = 4_194_304
# So much is unpacked before it is counted: a broken stream costs no more than this.
_STEP = 16_384


@define
class Budget:
    """What is left for a letter: each purse only ever becomes smaller.

    `octets` is what may be searched, `inflated` what may be unpacked, `archived` what
    may be decoded of archives, of which only the directory is searched. `unread` counts
    the parts that it was too small for; `short` tells that one was not unpacked whole.
    """

    octets: int = _OCTETS
    inflated: int = _INFLATED
    archived: int = _ARCHIVED
    unread: int = 0
    short: bool = False

    def search(self, octets: int) -> int:
        """Take octets that are to be searched; return how many are granted."""
        granted = min(octets, self.octets)
        self.octets -= granted
        return granted

    def archive(self, octets: int) -> bool:
        """Take the octets of an archive: all of them, as a part of one is nothing."""
        if octets > self.archived:
            self.unread += 1
            return False
        self.archived -= octets
        return True

    def unpack(self, octets: int) -> int:
        """Take octets that are to be unpacked; return how many are granted."""
        granted = min(octets, self.inflated)
        self.inflated -= granted
        self.short = self.short or granted < octets
        return granted

    def inflate(self, packed: bytes, most: int) -> bytes:
        """Return the first `most` octets of a zlib stream, fewer where it is broken."""
        stream = zlib.decompressobj()
        pieces: list[bytes] = []
        while packed and most > 0:
            granted = self.unpack(min(most, _STEP))
            if not granted:
                break
            try:
                piece = stream.decompress(packed, granted)
            except zlib.error:
                break
            self.inflated += granted - len(piece)
            pieces.append(piece)
            most -= len(piece)
            packed = stream.unconsumed_tail
            if not piece:
                break
        return b"".join(pieces)
