"""Gateways that were shut out: a file, read at every question."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def test_asked_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read once, as long as it is the same."""
    node, command = Retired(tmp_path), Retired(tmp_path)
    read: list[Path] = []
    whole = Path.read_text

    def noted(path: Path, *of: str, **named: str) -> str:
        read.append(path)
        return whole(path, *of, **named)

    monkeypatch.setattr(Path, "read_text", noted)
    for pin in (ONE, OTHER):
        command.add(pin)
        read.clear()
        assert [node.holds(pin) for _ in range(50)] == [True] * 50
        assert len(read) == 1
    command.forget(ONE)
    assert not node.holds(ONE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_by_root(tmp_path: Path) -> None:
    """What root writes is the node's user's all the same."""
    os.chown(tmp_path, 1234, 1235)
    Retired(tmp_path).add(ONE)
    status = (tmp_path / NAME).stat()
    assert (status.st_uid, status.st_gid) == (1234, 1235)


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
