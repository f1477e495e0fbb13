"""What the regular expressions of any Python 3.11 are trusted with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import postmand
from postmand.message.address import AddressError, parse_path
from postmand.message.questions import host_name

_REPEATED_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")


def test_no_group_is_repeated_possessively() -> None:
    """Nobody writes `(...)*+`: an atomic group, `(?>(...)*)`, says the same.

    Before 3.11.5 such a repeat stays where its last try failed (gh-106052). Debian 12
    has 3.11.2, and there no name of a domain was one: no signature was good, and no
    sender's domain known.
    """
    found = [
        f"{path.name}:{number}"
        for path in Path(postmand.__file__).parent.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if _REPEATED_GROUP.search(line)
    ]
    assert not found


def test_names_and_paths() -> None:
    """What it broke there is whole."""
    for name in (b"example.org", b"a-b.example.org", b"localhost"):
        assert host_name(name) == name.decode()
    assert host_name(b"a-.example.org") == ""
    with pytest.raises(AddressError, match="not a path"):
        parse_path(b'jondoe"@mail.i2p')
