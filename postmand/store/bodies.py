"""Long bodies: sealed files beside the database, under random names.

A file is whole and on the disk before a row names it, and goes after its row went. A
crash between the two leaves a file without a row; the next start sweeps it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Set
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

from postmand.store.database import directory_lock, make_directory, sync_directory

_READ = 64 * 1024
# Sealed pieces are written together: each write lets the interpreter go, and a thread
# that wants it back waits for it. So many octets, and so many pieces (IOV_MAX is 1024).
_WRITE = 1024 * 1024
_MOST = 512


class Bodies:
    """The directory of sealed bodies. Its methods block, and may run in any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self) -> None:
        """Make the directory, for its owner alone."""
        make_directory(self._directory)
        self._directory.chmod(0o700)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the directory as the one node that writes in it.

        Raises StoreInUseError: another node's new files would look like orphans.
        """
        return directory_lock(self._directory, wait=False)

    def write(self, pieces: Iterable[bytes]) -> str:
        """Write a new file and return its name; its octets are on the disk.

        Its name is durable only after sync(). Raises OSError, and leaves no file then.
        """
        name = secrets.token_hex(16)
        path = self._directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for some in _together(pieces):
                _write(descriptor, some)
            # No time of arrival, and none of reading (see open).
            os.utime(descriptor, ns=(0, 0))
            os.fsync(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return name

    def sync(self) -> None:
        """Make the names of all files written so far durable."""
        sync_directory(self._directory)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; FileNotFoundError if it is gone."""
        descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NOATIME)
        return os.fdopen(descriptor, "rb", buffering=_READ)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone already, or will not go, is left alone.

        What will not go now is an orphan, and swept at the next start.
        """
        for name in names:
            with suppress(OSError):
                (self._directory / name).unlink()

    def names(self) -> set[str]:
        """Return the names of all files."""
        return {entry.name for entry in os.scandir(self._directory)}

    def sweep(self, named: Set[str]) -> int:
        """Remove every file that is not in `named`; return how many there were.

        Only for the node that holds lock(), and before it writes.
        """
        orphans = self.names() - named
        self.remove(orphans)
        return len(orphans)


def _together(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the pieces in lists of about `_WRITE` octets."""
    some: list[bytes] = []
    octets = 0
    for piece in pieces:
        some.append(piece)
        octets += len(piece)
        if octets >= _WRITE or len(some) == _MOST:
            yield some
            some, octets = [], 0
    if some:
        yield some


def _write(descriptor: int, pieces: list[bytes]) -> None:
    """Write all of it, without a copy unless the disk takes only a part."""
    written = os.writev(descriptor, pieces)
    if written == sum(map(len, pieces)):
        return
    left = memoryview(b"".join(pieces))[written:]
    while left:
        left = left[os.write(descriptor, left) :]
