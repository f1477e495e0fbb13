"""Letters into a Maildir: a file each, in `new`, named after the unique-id.

A name tells no host, process or time. A letter that is there already, wherever its
reader moved it, is not written again: an export can be repeated.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from attrs import define, field

from postmand.admin.letters import Letter
from postmand.admin.lines import local_lines
from postmand.admin.terminal import CommandError
from postmand.store.database import sync_directory

_ROOMS = "tmp", "new", "cur"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@define(eq=False)
class Maildir(AbstractContextManager["Maildir"]):
    """A Maildir being filled; made, if need be, when the context is entered."""

    path: Path
    _there: set[str] = field(factory=set, init=False)

    def __enter__(self) -> Maildir:
        """Make the directories, or find them; CommandError for anything else."""
        if self.path.exists() and not self._is_maildir():
            raise CommandError(
                f"{self.path} is there and is no Maildir; name a new directory"
            )
        self.path.mkdir(mode=0o700, exist_ok=True)
        for room in _ROOMS:
            (self.path / room).mkdir(mode=0o700, exist_ok=True)
        sync_directory(self.path)
        sync_directory(self.path.absolute().parent)
        for room in ("new", "cur"):
            names = os.listdir(self.path / room)
            self._there |= {name.partition(":")[0] for name in names}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make the names of what was written durable."""
        sync_directory(self.path / "new")

    def put(self, letter: Letter) -> bool:
        """Write a letter and sync it; False if it was there."""
        name = f"{letter.uid}.postmand"
        if name in self._there:
            return False
        unfinished = self.path / "tmp" / f"{name}.{secrets.token_hex(8)}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in local_lines(letter.pieces):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            take_name(unfinished, self.path / "new" / name)
        except FileExistsError:
            return False  # by another export, just now
        finally:
            unfinished.unlink(missing_ok=True)
        self._there.add(name)
        return True

    def _is_maildir(self) -> bool:
        """Tell whether the rooms are there, or nothing is."""
        if not self.path.is_dir():
            return False
        found = set(os.listdir(self.path))
        return not found or found.issuperset(_ROOMS)


def take_name(unfinished: Path, name: Path) -> None:
    """Give a finished file its name; FileExistsError if that is taken."""
    try:
        os.link(unfinished, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: nothing better than to look first.
        if name.exists() or name.is_symlink():
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), str(name)
            ) from None
        unfinished.rename(name)
