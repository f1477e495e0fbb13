"""Directories of mail on the disk: made, counted and emptied."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Who owns delivered mail: a user every Debian has.
MAIL = 8


def make_owned(path: Path, owner: int, group: int, mode: int) -> None:
    """Make a directory with an owner, a group and a mode; it may be there."""
    path.mkdir(exist_ok=True)
    os.chown(path, owner, group)
    path.chmod(mode)


def count_files(places: Iterable[Path]) -> int:
    """Count the files below some directories."""
    return sum(len(files) for place in places for _, _, files in os.walk(place))


def unlink_files(place: Path) -> None:
    """Remove every file below a directory; the directories stay."""
    for directory, _, files in os.walk(place):
        for name in files:
            Path(directory, name).unlink(missing_ok=True)
