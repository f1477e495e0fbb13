"""The sealed spool: on the disk when it says so, bounded, and found again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postmand.interfaces import StoreBusyError
from postmand.store import sealed_spool
from postmand.store.database import StoreInUseError
from postmand.store.sealed_spool import SealedSpool


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(place: Path) -> Iterator[SealedSpool]:
    made = SealedSpool(place, 3, 1_000, lambda: 100.0)
    made.open()
    yield made
    made.close()


def read(spool: SealedSpool, name: str) -> bytes:
    with spool.read(name) as file:
        return file.read()


def again(place: Path, *bounds: int) -> tuple[SealedSpool, int]:
    """What the next start finds."""
    spool = SealedSpool(place, *(bounds or (3, 1_000)))
    return spool, spool.open()


def test_there_and_back(spool: SealedSpool) -> None:
    """A crate is read as it came, and is gone when removed, once and for all."""
    lying = spool.add([b"one ", b"", b"crate"])
    assert (lying.octets, lying.since) == (9, 100.0)
    assert read(spool, lying.name) == b"one crate"
    assert spool.oldest() == lying
    spool.remove(lying.name)
    spool.remove(lying.name)
    assert spool.oldest() is None
    with pytest.raises(FileNotFoundError):
        spool.read(lying.name)


def test_what_the_disk_tells(spool: SealedSpool, place: Path) -> None:
    """For the owner alone; a random name and a fixed date tell nothing."""
    names = {spool.add([b"x"]).name, spool.add([b"x"]).name}
    assert len(names) == 2
    assert {len(name) for name in names} == {32}
    assert place.stat().st_mode & 0o777 == 0o700
    for name in names:
        state = (place / name).stat()
        assert (state.st_mode & 0o777, state.st_mtime, state.st_atime) == (0o600, 0, 0)
    read(spool, min(names))
    assert (place / min(names)).stat().st_atime == 0


def test_order(spool: SealedSpool, place: Path) -> None:
    """The oldest is first, also after a new start."""
    names = [spool.add([b"%d" % number]).name for number in range(3)]
    assert [one.name for one in spool.waiting()] == names
    spool.close()
    last = (place / names[0]).stat().st_ctime_ns
    for name in names[::-1]:
        while (place / name).stat().st_ctime_ns <= last:  # its clock has coarse ticks
            (place / name).chmod(0o600)
        last = (place / name).stat().st_ctime_ns
    found, _ = again(place)
    assert [one.name for one in found.waiting()] == names[::-1]
    oldest = found.oldest()
    assert oldest is not None
    assert read(found, oldest.name) == b"2"
    found.close()


def test_bounded_in_number(spool: SealedSpool, place: Path) -> None:
    """One too many is refused and leaves nothing; one removed makes room."""
    names = [spool.add([b"x"]).name for _ in range(3)]
    with pytest.raises(StoreBusyError):
        spool.add([b"x"])
    assert set(os.listdir(place)) == set(names)
    spool.remove(names[0])
    spool.add([b"x"])


def test_bounded_in_octets(spool: SealedSpool, place: Path) -> None:
    """So for octets: what is too large stops while it is written."""
    asked = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            asked.append(number)
            yield b"x" * 100

    with pytest.raises(StoreBusyError):
        spool.add(pieces())
    assert len(asked) == 11
    assert os.listdir(place) == []
    spool.add([b"x" * 1_000])
    with pytest.raises(StoreBusyError):
        spool.add([b"x"])


def test_bounds_after_a_start(spool: SealedSpool, place: Path) -> None:
    """What lay there before counts, and is kept though the bounds are smaller now."""
    names = {spool.add([b"x" * 300]).name for _ in range(3)}
    spool.close()
    found, _ = again(place, 2, 500)
    assert {one.name for one in found.waiting()} == names
    with pytest.raises(StoreBusyError):
        found.add([b"x"])
    found.remove(min(names))
    found.remove(max(names))
    found.add([b"x"])
    found.close()


def test_leftovers(spool: SealedSpool, place: Path) -> None:
    """What a crash left unfinished is swept; what was finished stays."""
    kept = spool.add([b"kept"]).name
    spool.close()
    (place / ("0" * 32 + ".new")).write_bytes(b"half")
    found, swept = again(place)
    assert swept == 1
    assert os.listdir(place) == [kept]
    found.close()


def test_one_process(spool: SealedSpool, place: Path) -> None:
    """Two would each sweep what the other is writing."""
    with pytest.raises(StoreInUseError):
        again(place)


def test_source_fails(spool: SealedSpool, place: Path) -> None:
    """A fault while sealing leaves nothing, and no room is lost."""

    def pieces() -> Iterator[bytes]:
        yield b"x" * 900
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spool.add(pieces())
    assert os.listdir(place) == []
    spool.add([b"x" * 1_000])


@pytest.mark.parametrize("broken", ["fsync", "rename", "directory"])
def test_disk_fails(
    spool: SealedSpool, place: Path, monkeypatch: Any, broken: str
) -> None:
    """A disk that will not keep it: refused for now, and nothing is left."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if broken == "fsync":
            patch.setattr(os, "fsync", fail)
        elif broken == "rename":
            patch.setattr(Path, "rename", fail)
        else:
            patch.setattr(sealed_spool, "sync_directory", fail)
        with pytest.raises(StoreBusyError, match="No space"):
            spool.add([b"x" * 1_000])
    assert os.listdir(place) == []
    spool.add([b"x" * 1_000])


def test_synced_in_order(spool: SealedSpool, place: Path, monkeypatch: Any) -> None:
    """The octets are synced under another name, then the name is."""
    seen = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        seen.append((Path(target).name, sorted(os.listdir(place))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    name = spool.add([b"x"]).name
    assert seen == [(name + ".new", [name + ".new"]), ("spool", [name])]
    del seen[:]
    spool.remove(name)
    assert seen == [("spool", [])]


def test_threads(place: Path) -> None:
    """Many at once take exactly the room there is."""
    spool = SealedSpool(place, 20, 10_000)
    spool.open()
    refused = []

    def fill() -> None:
        for _ in range(5):
            try:
                spool.add([b"x" * 10])
            except StoreBusyError:
                refused.append(1)

    threads = [threading.Thread(target=fill) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spool.waiting()) == 20
    assert len(os.listdir(place)) == 20
    assert len(refused) == 20
    spool.close()
