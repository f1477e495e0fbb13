"""A number in memory that all processes share: it moves when an account changes.

So a node may keep accounts in memory and still see at once what `postmanctl` does in
another process: reading the number is reading memory, and costs no thread and no lock.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NUMBER = struct.Struct("<Q")


class Stamp:
    """A counter in a mapped file, odd while a change is under way.

    A process that dies in the midst of a change leaves it odd: then nobody relies on
    what it knew, until the next change.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._file).st_size < _NUMBER.size:
            os.ftruncate(self._file, _NUMBER.size)
            os.utime(self._file, ns=(0, 0))
        self._memory = mmap.mmap(self._file, _NUMBER.size)

    def read(self) -> int | None:
        """Return the number, None while something changes, or closed. Never blocks."""
        if self._memory.closed:
            return None
        number: int = _NUMBER.unpack_from(self._memory)[0]
        return None if number % 2 else number

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Move the number on before and after a change. Waits for others' changes."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        number = _NUMBER.unpack_from(self._memory)[0] | 1
        _NUMBER.pack_into(self._memory, 0, number)
        try:
            yield
        finally:
            _NUMBER.pack_into(self._memory, 0, number + 1)
            os.utime(self._file, ns=(0, 0))
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()
        os.close(self._file)
