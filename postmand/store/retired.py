"""Gateways that were shut out: their pins, in a file the running node looks into."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "gateways.retired"


class Retired:
    """The pins of retired gateways. Asked at each connection of a gateway: seldom."""

    def __init__(self, state: Path) -> None:
        self._path = state / NAME

    def holds(self, pin: str) -> bool:
        """Tell whether the gateway with this pin was shut out."""
        return pin in self._pins()

    def add(self, pin: str) -> None:
        """Shut a gateway out; on the disk when it returns."""
        self._write(sorted({*self._pins(), pin}))

    def forget(self, pin: str) -> None:
        """Let a gateway in again."""
        if self.holds(pin):
            self._write(sorted(self._pins() - {pin}))

    def _pins(self) -> set[str]:
        try:
            return set(self._path.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return set()

    def _write(self, pins: list[str]) -> None:
        draft = self._path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("".join(f"{pin}\n" for pin in pins))
            file.flush()
            os.utime(file.fileno(), ns=(0, 0))
            os.fsync(file.fileno())
        draft.replace(self._path)
