"""The stamp: what one process changes another sees at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from postmand.store.stamp import Stamp


def _change(path: Path) -> None:
    with Stamp(path).changing():
        pass


def test_seen_in_another_process(tmp_path: Path) -> None:
    """A change made by another process moves the number here."""
    stamp = Stamp(tmp_path / "stamp")
    before = stamp.read()
    other = multiprocessing.get_context("spawn").Process(
        target=_change, args=(tmp_path / "stamp",)
    )
    other.start()
    other.join()
    assert before is not None
    assert stamp.read() not in (None, before)


def test_nothing_is_relied_on_during_a_change(tmp_path: Path) -> None:
    """While a change is under way there is no number, here and elsewhere."""
    stamp, other = Stamp(tmp_path / "stamp"), Stamp(tmp_path / "stamp")
    with stamp.changing():
        assert stamp.read() is None
        assert other.read() is None
    assert stamp.read() == other.read() is not None


def test_a_change_that_fails_moves_it_too(tmp_path: Path) -> None:
    """Nobody knows what a failed change did: it counts."""
    stamp = Stamp(tmp_path / "stamp")
    before = stamp.read()
    try:
        with stamp.changing():
            raise RuntimeError
    except RuntimeError:
        pass
    assert stamp.read() not in (None, before)


def test_died_in_a_change(tmp_path: Path) -> None:
    """An odd number stays nobody's until the next change is through."""
    path = tmp_path / "stamp"
    path.write_bytes((7).to_bytes(8, "little"))
    stamp = Stamp(path)
    assert stamp.read() is None
    with stamp.changing():
        pass
    assert stamp.read() == 8


def test_closed(tmp_path: Path) -> None:
    """A closed stamp has no number, and its file no time."""
    stamp = Stamp(tmp_path / "stamp")
    with stamp.changing():
        pass
    stamp.close()
    assert stamp.read() is None
    assert (tmp_path / "stamp").stat().st_mtime_ns == 0
    assert (tmp_path / "stamp").stat().st_mode & 0o777 == 0o600
