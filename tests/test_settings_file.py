"""Changing a configuration file: little, and whole."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from postmand.admin.settings_file import append_table, replace_values
from postmand.admin.terminal import CommandError

TEXT = """\
# My gateway.
[node]
state = "var"  # here

[link]
listen = ["unix:a"]
host_pin = ""   # to be told

[exit]
host_pin = "another section's"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file that only its owner and group may read."""
    path = tmp_path / "gateway.toml"
    path.write_text(TEXT, encoding="utf-8")
    path.chmod(0o640)
    return path


def test_values(path: Path) -> None:
    """A value is replaced in its place, a new one added to its section alone."""
    replace_values(path, "link", {"host_pin": "sha256/x=", "host_key": 'a"b\\'})
    text = path.read_text(encoding="utf-8")
    assert tomllib.loads(text) == {
        "node": {"state": "var"},
        "link": {"listen": ["unix:a"], "host_pin": "sha256/x=", "host_key": 'a"b\\'},
        "exit": {"host_pin": "another section's"},
    }
    kept = [line for line in TEXT.splitlines() if "to be told" not in line]
    assert [line for line in text.splitlines() if line in kept] == kept


def test_twice(path: Path) -> None:
    """Written again it is the same file."""
    replace_values(path, "link", {"host_pin": "x", "host_key": "y"})
    once = path.read_bytes()
    replace_values(path, "link", {"host_pin": "x", "host_key": "y"})
    assert path.read_bytes() == once


def test_last_section(path: Path) -> None:
    """The last section ends with the file."""
    replace_values(path, "exit", {"host_pin": "x", "resolver": "127.0.0.1:53"})
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert table["exit"] == {"host_pin": "x", "resolver": "127.0.0.1:53"}


def test_no_section(path: Path) -> None:
    """A section that is not there is asked for, and nothing is written."""
    with pytest.raises(CommandError, match=r"no section \[inbound\]; add it"):
        replace_values(path, "inbound", {"host_pin": "x"})
    assert path.read_text(encoding="utf-8") == TEXT


def test_table(path: Path) -> None:
    """Tables of an array are added at the end, one after the other."""
    for pin in ("one", "two"):
        append_table(path, "gateways", {"pin": pin, "lmtp": True})
    text = path.read_text(encoding="utf-8")
    assert text.startswith(TEXT)
    assert tomllib.loads(text)["gateways"] == [
        {"pin": "one", "lmtp": True},
        {"pin": "two", "lmtp": True},
    ]


def test_file(path: Path) -> None:
    """It keeps its mode, and no draft stays behind."""
    append_table(path, "gateways", {"pin": "x"})
    replace_values(path, "link", {"host_pin": "x"})
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == ["gateway.toml"]


def test_write_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails the old file stays whole."""

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        append_table(path, "gateways", {"pin": "x"})
    assert path.read_text(encoding="utf-8") == TEXT
