"""Letters into one mbox file (RFC 4155), quoted so that nothing is lost (mboxrd).

The file gets its name when it is whole and on the disk.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from attrs import field, frozen

from postmand.admin.letters import Letter
from postmand.admin.lines import local_lines, quoted
from postmand.admin.maildir import take_name
from postmand.admin.terminal import CommandError
from postmand.message.dates import in_utc
from postmand.store.database import sync_directory

_RETURN_PATH = re.compile(rb"Return-Path: <([!-;=?-~]+@[!-;=?-~]+)>\r\n")
_DATE = re.compile(rb"^Date:[ \t]*([^\r\n]+)", re.MULTILINE | re.IGNORECASE)
_EPOCH = datetime.fromtimestamp(0, UTC)


@contextmanager
def to_mbox(path: Path) -> Iterator[Mbox]:
    """Give an mbox file to be written; it is `path` when the context ends well.

    After an error nothing is left. CommandError if `path` is there: an mbox is never
    added to.
    """
    if path.exists() or path.is_symlink():
        raise CommandError(f"{path} is there already; name a new file")
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    file = os.fdopen(os.open(unfinished, flags, 0o600), "w+b")
    try:
        yield Mbox(file)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        _named(unfinished, path)
    finally:
        with suppress(OSError):
            file.close()
        unfinished.unlink(missing_ok=True)


def _named(unfinished: Path, path: Path) -> None:
    try:
        take_name(unfinished, path)
    except FileExistsError:
        raise CommandError(
            f"{path} was made by another program meanwhile; name a new file"
        ) from None
    sync_directory(path.absolute().parent)


@frozen(eq=False)
class Mbox:
    """An mbox file being written."""

    _file: BinaryIO = field(repr=False)

    def put(self, letter: Letter) -> bool:
        """Write a letter, all of it or nothing; returns True."""
        start = self._file.tell()
        try:
            self._file.write(from_line(letter.header))
            last = b"\n"
            for piece in _quoted_lines(letter):
                self._file.write(piece)
                last = piece[-1:] or last
            self._file.write(b"\n" if last == b"\n" else b"\n\n")
        except BaseException:
            with suppress(OSError):  # the whole file goes then
                self._file.seek(start)
                self._file.truncate()
            raise
        return True


def from_line(header: bytes) -> bytes:
    """Return the separator line: `From alice@mail.i2p Sun Nov 22 15:21:00 2026`.

    RFC 4155 appendix A: the envelope's sender, and a moment in UTC as asctime writes
    it; here that of the Date field, for the node keeps no other.
    """
    path = _RETURN_PATH.match(header)
    sender = path[1].decode("ascii") if path else "MAILER-DAEMON"
    return f"From {sender} {_moment(header).ctime()}\n".encode("ascii")


def _quoted_lines(letter: Letter) -> Iterator[bytes]:
    return quoted(local_lines(letter.pieces))


def _moment(header: bytes) -> datetime:
    field = _DATE.search(header)
    date = in_utc(field[1]) if field else None
    if date is None:
        return _EPOCH
    # `in_utc` writes one form only; the program never leaves the C locale.
    return datetime.strptime(date.decode("ascii"), "%a, %d %b %Y %H:%M:%S %z")
