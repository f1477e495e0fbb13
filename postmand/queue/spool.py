"""A message while it is still coming in: in memory while small, else sealed on disk.

The file has no name (it is gone with the process) and holds only ciphertext under a key
that exists in memory: what a crash or a seizure leaves in the blocks of the disk opens
for nobody.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nacl import bindings as sodium
from twisted.internet.defer import Deferred

# Pieces are gathered to about this size before they are sealed and written.
PIECE = 262_144
_CRUMB = 4_096

InThread = Callable[..., "Deferred[Any]"]


class Memory:
    """How many octets of bodies may be held in memory at once, over all sessions."""

    def __init__(self, octets: int) -> None:
        self._free = octets

    def take(self, octets: int) -> bool:
        """Reserve room; False where there is none."""
        if octets > self._free:
            return False
        self._free -= octets
        return True

    def give(self, octets: int) -> None:
        """Give reserved room back."""
        self._free += octets


class Spool:
    """One incoming message.

    `write` never blocks. Where it returns True the caller awaits `flush` before it
    writes again. `read` blocks and is called in a thread once `on_disk` is true.
    """

    def __init__(
        self, memory: Memory, keep: int, directory: Path, in_thread: InThread
    ) -> None:
        self.size = 0
        self._memory = memory
        self._keep = keep
        self._directory = directory
        self._in_thread = in_thread
        self._pieces: list[bytes | bytearray] = []
        self._gathered = 0
        self._held = 0
        self._flushing = False
        self._closed = False
        self._file: _SealedFile | None = None

    @property
    def on_disk(self) -> bool:
        """Whether a part of the message is on disk."""
        return self._file is not None

    def write(self, piece: bytes) -> bool:
        """Take a piece; True when `flush` has to come before the next one."""
        self.size += len(piece)
        self._gather(piece)
        if not self._memory.take(len(piece)):
            return True
        self._held += len(piece)
        spilling = self.on_disk or self.size > self._keep
        return spilling and self._gathered >= PIECE

    def _gather(self, piece: bytes) -> None:
        """Add a piece; crumbs are put together, or each would cost an object."""
        self._gathered += len(piece)
        if len(piece) >= _CRUMB:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))

    async def flush(self) -> None:
        """Seal what was gathered and bring it to the disk, in a thread."""
        piece = b"".join(self._pieces)
        self._pieces, self._gathered = [], 0
        self._flushing = True
        try:
            await self._in_thread(self._append, piece)
        finally:
            self._flushing = False
            self._memory.give(self._held)
            self._held = 0
            if self._closed:
                self._close_file()

    def read(self) -> bytes:
        """Return the whole message. Blocks where a part of it is on disk."""
        written = [] if self._file is None else self._file.read()
        return b"".join([*written, *self._pieces])

    def close(self) -> None:
        """Forget the message; may be called twice."""
        self._closed = True
        self._pieces, self._gathered = [], 0
        if not self._flushing:
            self._memory.give(self._held)
            self._held = 0
            self._close_file()

    def _close_file(self) -> None:
        sealed, self._file = self._file, None
        if sealed is not None:
            sealed.close()

    def _append(self, piece: bytes) -> None:
        if self._file is None:
            self._file = _SealedFile(self._directory)
        self._file.append(piece)


class _SealedFile:
    """An unnamed file of secretstream pieces (libsodium: XChaCha20-Poly1305)."""

    def __init__(self, directory: Path) -> None:
        self._key = sodium.crypto_secretstream_xchacha20poly1305_keygen()
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        self._header = sodium.crypto_secretstream_xchacha20poly1305_init_push(
            self._state, self._key
        )
        self._lengths: list[int] = []
        self._file = tempfile.TemporaryFile(  # noqa: SIM115 (close() ends it)
            dir=directory, buffering=0
        )

    def append(self, piece: bytes) -> None:
        sealed = sodium.crypto_secretstream_xchacha20poly1305_push(self._state, piece)
        self._lengths.append(len(sealed))
        view = memoryview(sealed)
        while view:
            view = view[self._file.write(view) :]

    def read(self) -> list[bytes]:
        state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(
            state, self._header, self._key
        )
        pieces = []
        offset = 0
        for length in self._lengths:
            sealed = os.pread(self._file.fileno(), length, offset)
            offset += length
            piece, _ = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed)
            pieces.append(piece)
        return pieces

    def close(self) -> None:
        self._file.close()
