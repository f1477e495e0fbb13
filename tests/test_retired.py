"""Gateways that were shut out: a file, read at every question."""

from __future__ import annotations

import os
from pathlib import Path

from postmand.store.retired import NAME, Retired

ONE, OTHER = "sha256/" + "A" * 43 + "=", "sha256/" + "B" * 43 + "="


def test_nobody(tmp_path: Path) -> None:
    """Without a file nobody is shut out, and asking makes none."""
    retired = Retired(tmp_path)
    assert not retired.holds(ONE)
    retired.forget(ONE)
    assert os.listdir(tmp_path) == []


def test_between_processes(tmp_path: Path) -> None:
    """What one writes, another finds at its next question."""
    node, command = Retired(tmp_path), Retired(tmp_path)
    assert not node.holds(ONE)
    command.add(ONE)
    assert (node.holds(ONE), node.holds(OTHER)) == (True, False)
    command.add(OTHER)
    command.add(ONE)
    assert (node.holds(ONE), node.holds(OTHER)) == (True, True)
    command.forget(ONE)
    assert (node.holds(ONE), node.holds(OTHER)) == (False, True)
    assert not node.holds("")


def test_file(tmp_path: Path) -> None:
    """It tells pins, in no order of time and with no time, to its owner alone."""
    retired = Retired(tmp_path)
    retired.add(OTHER)
    retired.add(ONE)
    path = tmp_path / NAME
    assert os.listdir(tmp_path) == [NAME]
    assert path.read_text(encoding="ascii") == f"{ONE}\n{OTHER}\n"
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o600, 0)
