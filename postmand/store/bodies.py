"""Long bodies: sealed files beside the database, under random names.

A file is whole and on the disk before a row names it, and goes after its row went. A
crash between the two leaves a file without a row; the next start sweeps it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Set
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

from postmand.store.database import directory_lock, make_directory, sync_directory

_READ = 64 * 1024
# Sealed pieces are written together: each write lets the interpreter go, and a thread
# that wants it back waits for it.
_WRITE = 1024 * 1024


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
            with os.fdopen(descriptor, "wb", buffering=_WRITE) as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                # No time of arrival, and none of reading (see open).
                os.utime(file.fileno(), ns=(0, 0))
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
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
