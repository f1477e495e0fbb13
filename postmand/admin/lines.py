"""The lines of a message as local files keep them: LF ends, and mbox's quoting.

Both read a message in pieces that are cut anywhere, and hold back a few octets only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_FROM_INSIDE = re.compile(rb"(?<=\n)(>*+From )")
_FROM_FIRST = re.compile(rb">*+From ")
# The last line so far: quoting marks, and what may become "From " yet.
_MAYBE_FROM = re.compile(rb">*+((?:F(?:r(?:o(?:m)?)?)?)?)")


def local_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `pieces` with every CRLF become LF; a CR alone stays."""
    held = b""
    for piece in pieces:
        data = held + piece
        held = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    if held:
        yield held


def quoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield LF-ended `pieces` with a ">" more before every ">…>From " (mboxrd).

    What is read back with one ">" less is what went in. Because the marks are alike
    the new one may follow those written already: only "From" is ever held back.
    """
    held, at_start = b"", True
    for piece in pieces:
        if not piece:
            continue
        data = held + piece
        if at_start and _FROM_FIRST.match(data):
            data = b">" + data
            # The line is decided; what follows it is judged below.
        last = data.rfind(b"\n") + 1
        undecided = _MAYBE_FROM.fullmatch(data, last) if last or at_start else None
        at_start = undecided is not None
        held = undecided[1] if undecided else b""
        yield _FROM_INSIDE.sub(rb">\1", data[: len(data) - len(held)])
    if held:
        yield held
