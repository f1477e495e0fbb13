"""Messages as they stand on the wire: their end, their doubled dots. No I/O.

A message's end in a stream is CRLF.CRLF and nothing else: chunks in, pieces of the
message out. A piece is as it was sent, dots still doubled; `unstuffed` undoes that once
the whole is there.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"
_HELD = len(_END) - 1


class DataScan:
    """Scans one message body (RFC 5321 4.5.2).

    `faults` names what a message may not hold: "nul", "bare-cr", "long-line";
    `bare_lf` is told apart, because submission mends it and a gateway refuses it.
    """

    def __init__(self, line_bytes: int) -> None:
        self.faults: set[str] = set()
        self.bare_lf = False
        self._line_bytes = line_bytes
        self._line = 0
        # A message may be empty: DATA's own CRLF is the one before the dot.
        self._held = b"\r\n"
        self._virtual = 2

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """Return the next piece of the message, and what follows its end.

        The second value is None while the end has not come.
        """
        window = self._held + chunk
        end = window.find(_END)
        if end >= 0:
            piece, rest = window[: end + 2], window[end + len(_END) :]
            self._held = b""
            return self._checked(piece), rest
        keep = _HELD
        if window[-keep - 1 : -keep] == b"\r":
            keep += 1  # a piece never parts a CRLF
        if len(window) <= keep:
            self._held = window
            return b"", None
        self._held = window[-keep:]
        return self._checked(window[:-keep]), None

    def _checked(self, piece: bytes) -> bytes:
        if self._virtual:
            taken = min(self._virtual, len(piece))
            self._virtual -= taken
            piece = piece[taken:]
        if b"\0" in piece:
            self.faults.add("nul")
        pairs = piece.count(b"\r\n")
        if piece.count(b"\r") != pairs:
            self.faults.add("bare-cr")
        newlines = piece.count(b"\n")
        if newlines != pairs:
            self.bare_lf = True
        self._measure(piece, newlines)
        return piece

    def _measure(self, piece: bytes, newlines: int) -> None:
        if not newlines:
            self._line += len(piece)
            longest = self._line
        elif self._line + len(piece) <= self._line_bytes:
            self._line = len(piece) - piece.rfind(b"\n") - 1
            return
        else:
            first, *lines = piece.split(b"\n")
            longest = max(self._line + len(first), *map(len, lines))
            self._line = len(lines[-1])
        if longest > self._line_bytes:
            self.faults.add("long-line")


def unstuffed(message: bytes) -> bytes:
    """Take the doubled dots out, then bring bare LF to CRLF.

    In this order: only a line that began after a CRLF was stuffed by its sender.
    """
    if message.startswith(b"."):
        message = message[1:]
    if b"\r\n." in message:
        message = message.replace(b"\r\n.", b"\r\n")
    if message.count(b"\n") != message.count(b"\r\n"):
        message = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return message


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
