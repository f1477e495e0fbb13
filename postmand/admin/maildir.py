"""Letters into a Maildir: a file each, in `new`, named after the unique-id.

A name tells no host, process or time. A letter that is there already, wherever its
reader moved it, is not written again: an export can be repeated.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from postmand.admin.letters import Letter
from postmand.admin.lines import local_lines
from postmand.admin.terminal import CommandError
from postmand.store.database import sync_directory

_ROOMS = "tmp", "new", "cur"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@contextmanager
def to_maildir(path: Path) -> Iterator[Maildir]:
    """Give a Maildir to be filled; at the end the names in it are durable.

    It is made, or found; CommandError for anything else.
    """
    if path.exists() and not _is_maildir(path):
        raise CommandError(f"{path} is there and is no Maildir; name a new directory")
    path.mkdir(mode=0o700, exist_ok=True)
    for room in _ROOMS:
        (path / room).mkdir(mode=0o700, exist_ok=True)
    sync_directory(path)
    sync_directory(path.absolute().parent)
    names = [name for room in ("new", "cur") for name in os.listdir(path / room)]
    try:
        yield Maildir(path, {name.partition(":")[0] for name in names})
    finally:
        sync_directory(path / "new")


@define(eq=False)
class Maildir:
    """A Maildir being filled."""

    path: Path
    _there: set[str] = field(repr=False)

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


def _is_maildir(path: Path) -> bool:
    """Tell whether the rooms are there, or nothing is."""
    if not path.is_dir():
        return False
    found = set(os.listdir(path))
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
