"""A gateway's queue of sealed crates, on disk until the mail host has taken them.

A file a crate, under a random name and with a fixed date. What comes in is sealed
already: this directory opens for the mail host and for nobody else. The order and the
age of what waits are the inode's change time, which no file can be without.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from postmand.interfaces import StoreBusyError
from postmand.store.database import directory_lock, make_directory, sync_directory

_BUFFER = 64 * 1024
# How a file is called until it is whole.
_UNFINISHED = ".new"


@frozen
class Lying:
    """A crate in the spool: since when (seconds since 1970-01-01 UTC), and its size."""

    since: float
    name: str
    octets: int


class SealedSpool:
    """At most `messages` crates of `octets` in all. Blocks; any thread may call it."""

    def __init__(
        self,
        directory: Path,
        messages: int,
        octets: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._messages = messages
        self._octets = octets
        self._wall = wall
        self._lock = threading.Lock()
        self._held = ExitStack()
        self._lying: dict[str, Lying] = {}
        # What lies there and what is being written, in number and octets.
        self._count = 0
        self._sum = 0

    def open(self) -> int:
        """Make or take over the directory; return how many leftovers were swept.

        Only one process has it: raises StoreInUseError. What lies there is found
        again, whatever the bounds are now.
        """
        make_directory(self._directory)
        self._directory.chmod(0o700)
        self._held.enter_context(directory_lock(self._directory, wait=False))
        swept = 0
        found = []
        for entry in os.scandir(self._directory):
            if entry.name.endswith(_UNFINISHED):
                os.unlink(entry.path)
                swept += 1
            elif entry.is_file(follow_symlinks=False):
                state = entry.stat(follow_symlinks=False)
                found.append(Lying(state.st_ctime, entry.name, state.st_size))
        self._lying = {one.name: one for one in sorted(found, key=attrgetter("since"))}
        self._count = len(self._lying)
        self._sum = sum(one.octets for one in self._lying.values())
        return swept

    def close(self) -> None:
        """Let go of the directory."""
        self._held.close()

    def add(self, pieces: Iterable[bytes]) -> Lying:
        """Keep a sealed crate; on return it is on the disk, with its name.

        Raises StoreBusyError, and keeps nothing, where there is no room for it or the
        disk fails.
        """
        self._reserve(1, 0)
        written = 0
        name = secrets.token_hex(16)
        try:
            for octets in self._write(name, pieces):
                self._reserve(0, octets)
                written += octets
            self._settle(name)
        except BaseException as error:
            self._undo(name)
            self._reserve(-1, -written)
            if isinstance(error, OSError):
                raise StoreBusyError(os.strerror(error.errno or 0)) from error
            raise
        lying = Lying(self._wall(), name, written)
        with self._lock:
            self._lying[name] = lying
        return lying

    def waiting(self) -> list[Lying]:
        """Return what lies there, the oldest first."""
        with self._lock:
            return list(self._lying.values())

    def oldest(self) -> Lying | None:
        """Return what has lain there longest, if there is anything."""
        return next(iter(self.waiting()), None)

    def read(self, name: str) -> BinaryIO:
        """Open a crate for reading; FileNotFoundError if it is gone."""
        descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NOATIME)
        return os.fdopen(descriptor, "rb", buffering=_BUFFER)

    def remove(self, name: str) -> None:
        """Remove a crate; one that is gone already is gone.

        On return it will not come back: the host may have it. Raises OSError.
        """
        with suppress(FileNotFoundError):
            (self._directory / name).unlink()
        with self._lock:
            lying = self._lying.pop(name, None)
        if lying is not None:
            self._reserve(-1, -lying.octets)
            sync_directory(self._directory)

    def _reserve(self, crates: int, octets: int) -> None:
        """Take room, or give it back."""
        with self._lock:
            count, octets_then = self._count + crates, self._sum + octets
            grows = crates > 0 or octets > 0
            if grows and (count > self._messages or octets_then > self._octets):
                raise StoreBusyError("the sealed spool is full")
            self._count, self._sum = count, octets_then

    def _write(self, name: str, pieces: Iterable[bytes]) -> Iterator[int]:
        """Write a file, synced at the end; yield each piece's octets before it."""
        path = self._directory / (name + _UNFINISHED)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=_BUFFER) as file:
            for piece in pieces:
                yield len(piece)
                file.write(piece)
            file.flush()
            os.utime(file.fileno(), ns=(0, 0))
            os.fsync(file.fileno())

    def _settle(self, name: str) -> None:
        path = self._directory / name
        path.with_suffix(_UNFINISHED).rename(path)
        sync_directory(self._directory)

    def _undo(self, name: str) -> None:
        """Leave nothing of a crate; what will not go is found at the next start."""
        for path in (self._directory / name, self._directory / (name + _UNFINISHED)):
            with suppress(OSError):
                path.unlink()
