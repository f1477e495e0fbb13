"""Gateways that were shut out: their pins, in a file the running node looks into."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "gateways.retired"


class Retired:
    """The pins of retired gateways.

    Asking costs a look at the file's inode; it is read when it is another one.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / NAME
        self._known: tuple[tuple[int, int, int], frozenset[str]] | None = None

    def holds(self, pin: str) -> bool:
        """Tell whether the gateway with this pin was shut out. Raises OSError."""
        return pin in self._pins()

    def add(self, pin: str) -> None:
        """Shut a gateway out; on the disk when it returns."""
        self._write(sorted({*self._pins(), pin}))

    def forget(self, pin: str) -> None:
        """Let a gateway in again."""
        if self.holds(pin):
            self._write(sorted(self._pins() - {pin}))

    def _pins(self) -> frozenset[str]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return frozenset()
        # Each file that is put in place has an inode and a change time of its own; the
        # time it was written is nobody's to know.
        mark = (status.st_ino, status.st_ctime_ns, status.st_size)
        if self._known is None or self._known[0] != mark:
            pins = frozenset(self._path.read_text(encoding="ascii").split())
            self._known = mark, pins
        return self._known[1]

    def _write(self, pins: list[str]) -> None:
        draft = self._path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            if os.geteuid() == 0:
                # The node must be able to read it, or it would let no gateway in.
                owner = self._path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write("".join(f"{pin}\n" for pin in pins))
            file.flush()
            os.utime(file.fileno(), ns=(0, 0))
            os.fsync(file.fileno())
        draft.replace(self._path)
