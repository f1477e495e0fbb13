"""Messages as they stand on the wire: their end, their doubled dots. No I/O."""

from __future__ import annotations

from postmand.message.lines import bare_ends

_END = b"\r\n.\r\n"
_HELD = len(_END) - 1


class DataScan:
    """Finds the end of a message (RFC 5321 4.1.1.4) and hands out what is before it.

    Chunks in, pieces of the message out, with the doubled dots undone (4.5.2) and a
    bare LF brought to CRLF: that happens behind the search for the end, which is
    CRLF.CRLF and nothing else. `faults` names what a message may not hold: "nul",
    "bare-cr", "long-line"; `bare_lf` is told apart, because submission mends it and a
    gateway refuses it.
    """

    def __init__(self, line_bytes: int) -> None:
        self.faults: set[str] = set()
        self.bare_lf = False
        self._line_bytes = line_bytes
        self._line = 0
        self._at_start = True
        # A message may be empty: DATA's own CRLF is the one before the dot.
        self._held = b"\r\n"
        self._virtual = 2

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """Return the next piece of the message, and what follows its end.

        The second value is None while the end has not come.
        """
        window = self._held + chunk
        # A dot at a line's start is seldom, and only there the end can be.
        dot = window.find(b"\r\n.") if b"." in window else -1
        end = window.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self._held = b""
            rest = window[end + len(_END) :]
            return self._cleaned(window[self._virtual : end + 2], dot < end), rest
        keep = _HELD
        if window[-keep - 1 : -keep] == b"\r":
            keep += 1  # a piece never parts a CRLF
        if len(window) <= keep:
            self._held = window
            return b"", None
        start, self._virtual = self._virtual, 0
        self._held = window[-keep:]
        return self._cleaned(window[start:-keep], dot >= 0), None

    def _cleaned(self, piece: bytes, stuffed: bool) -> bytes:
        """Note the faults of a piece, undo what the wire did to it."""
        if not piece:
            return piece
        if b"\0" in piece:
            self.faults.add("nul")
        bare_cr, bare_lf = bare_ends(piece)
        if bare_cr:
            self.faults.add("bare-cr")
        self.bare_lf |= bare_lf
        self._measure(piece)
        at_start, self._at_start = self._at_start, piece.endswith(b"\r\n")
        # Only a line that began after a CRLF was stuffed by its sender: dots first.
        if at_start and piece.startswith(b"."):
            piece = piece[1:]
        if stuffed:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if self.bare_lf:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return piece

    def _measure(self, piece: bytes) -> None:
        if self._line + len(piece) <= self._line_bytes:
            newline = piece.rfind(b"\n")
            self._line = len(piece) - newline - 1 + (self._line if newline < 0 else 0)
            return
        first, *lines = piece.split(b"\n")
        longest = max(self._line + len(first), *map(len, lines), 0)
        self._line = len(lines[-1]) if lines else longest
        if longest > self._line_bytes:
            self.faults.add("long-line")


class Stuffing:
    """Doubles leading dots over the pieces of one multi-line answer, and ends it."""

    def __init__(self) -> None:
        self._tail = b"\n"

    def piece(self, piece: bytes) -> bytes:
        """Return the piece as it is to be sent. Lines end with CRLF."""
        if not piece:
            return b""
        at_start = self._tail == b"\n" and piece.startswith(b".")
        self._tail = piece[-1:]
        if b"\n." in piece:
            piece = piece.replace(b"\n.", b"\n..")
        return b"." + piece if at_start else piece

    def end(self) -> bytes:
        """Return what ends the answer (RFC 1939 3)."""
        return b".\r\n" if self._tail == b"\n" else b"\r\n.\r\n"


def first_lines(body: bytes, lines: int) -> tuple[bytes, int]:
    """Return the first `lines` lines, and how many are still missing."""
    end = 0
    while lines:
        found = body.find(b"\n", end)
        if found < 0:
            return body, lines
        end = found + 1
        lines -= 1
    return body[:end], 0
