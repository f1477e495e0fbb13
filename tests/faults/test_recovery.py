"""Disk full, database locked, sync failing: 452 or 451, then recovery by itself."""

from __future__ import annotations

import os
import poplib
import re
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from tests.flow.house import House, password

TEXT = re.compile(rb"token-(\d+)-end")
SIZES = {"small": 10, "a file of its own": 4_000, "spooled": 12_000}
LIMITS = {"spool_bytes": 524_288}


Obstacle = Callable[[House], AbstractContextManager[None]]


def hand_in(house: House, number: int, lines: int = 10) -> int:
    """Hand in a numbered message for alice; return the code of the last reply."""
    body = b"x" * 74 + b"\r\n"
    header = b"Subject: test\r\n\r\ntoken-%d-end\r\n" % number
    with house.smtp("jondoe") as session:
        session.ehlo()
        assert session.mail("jondoe@mail.i2p")[0] == 250
        assert session.rcpt("alice@mail.i2p")[0] == 250
        code, text = session.data(header + body * lines)
        if code != 250:
            assert re.match(rb"4\.\d\.\d ", text), text
            # It is a refusal, not the end of the session.
            assert session.noop()[0] == 250
        return code


def tokens(messages: list[bytes]) -> list[int]:
    """Return the numbers of messages."""
    return [int(found[1]) for one in messages if (found := TEXT.search(one))]


def assert_recovers(house: House, obstacle: Obstacle) -> None:
    """See that all is refused while the obstacle stands, and nothing after it."""
    kept = [1]
    assert hand_in(house, 1) == 250
    with obstacle(house):
        for number, (size, lines) in enumerate(SIZES.items(), 2):
            assert hand_in(house, number, lines) in (451, 452), size
        # What is there can be read.
        assert tokens(house.collect("alice", delete=False)) == kept
    for number, lines in enumerate(SIZES.values(), 10):
        assert hand_in(house, number, lines) == 250
        kept.append(number)
    assert tokens(house.collect("alice")) == kept
    assert house.collect("alice") == []


@contextmanager
def no_room_to_grow(house: House) -> Iterator[None]:
    """Let every write of the node that makes a file grow fail (EFBIG)."""
    assert house.process
    pid = house.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk_full(house: House) -> Iterator[None]:
    """Fill the small file system that the state lies on (ENOSPC)."""
    ballast = house.state.parent / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        yield
    finally:
        ballast.unlink()


def small_disk(path: Path) -> bool:
    """Mount a file system of a few megabytes at `path`, where that is allowed."""
    path.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Iterator[House]:
    """Run a node on a small disk of its own; without root it shares the others'."""
    disk = tmp_path / "disk"
    mounted = small_disk(disk)
    house = House(tmp_path, limits=LIMITS, node={"state": str(disk / "state")})
    house.state = disk / "state"
    house.add("jondoe", "alice")
    house.start()
    try:
        yield house
    finally:
        house.stop()
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Run a node of its own for each test."""
    house = House(tmp_path, limits=LIMITS)
    house.add("jondoe", "alice")
    house.start()
    try:
        yield house
    finally:
        house.stop()


def test_disk_full(on_small_disk: House) -> None:
    """No space left: refused for now, what is there is readable, then all is well."""
    obstacle = disk_full if on_small_disk.state.parent.is_mount() else no_room_to_grow
    assert_recovers(on_small_disk, obstacle)


def test_files_cannot_grow(house: House) -> None:
    """The same where the system's limit on files' size is met."""
    assert_recovers(house, no_room_to_grow)


def test_delete_on_full_disk_is_told(on_small_disk: House) -> None:
    """A QUIT that cannot delete says so, and the messages are still there."""
    house = on_small_disk
    obstacle = disk_full if house.state.parent.is_mount() else no_room_to_grow
    for number in (1, 2):
        assert hand_in(house, number) == 250
    with obstacle(house):
        session = poplib.POP3("127.0.0.1", house.pop_port, 60)
        with closing(session):
            session.user("alice")
            session.pass_(password("alice"))
            session.dele(1)
            try:
                told = session.quit()
            except poplib.error_proto as error:
                told = error.args[0]
    left = tokens(house.collect("alice"))
    if told.startswith(b"+OK"):
        assert left == [2]
    else:
        assert told.startswith(b"-ERR [SYS/TEMP]")
        assert left == [1, 2]


@contextmanager
def locked(house: House) -> Iterator[None]:
    """Hold the database's write lock, as a backup program may."""
    with closing(sqlite3.connect(house.state / "postman.db")) as database:
        database.isolation_level = None
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def test_database_locked(house: House) -> None:
    """Locked for long: 452, and mail can still be read; then all is well."""
    assert hand_in(house, 1) == 250
    with locked(house):
        assert hand_in(house, 2) in (451, 452)
        assert tokens(house.collect("alice", delete=False)) == [1]
    assert hand_in(house, 3) == 250
    assert tokens(house.collect("alice")) == [1, 3]


def test_sync_fails(peer: Callable[..., str], tmp_path: Path) -> None:
    """What could not be synced is not answered 250; later messages are kept."""
    house = House(tmp_path, limits=LIMITS)
    house.add("jondoe", "alice")
    # Of each thread the fourth to sixth: well after the start, in the writer's.
    fault = "inject=fdatasync,fsync:error=EIO:when=4..6"
    house.before = [
        *(peer("strace"), "-D", "-f", "-o", "/dev/null"),
        *("-e", "trace=fdatasync,fsync", "-e", fault, "-e", "signal=none"),
    ]
    house.start()
    codes = {number: hand_in(house, number) for number in range(1, 13)}
    house.kill()
    house.before = []
    house.start()
    try:
        found = tokens(house.collect("alice"))
    finally:
        house.stop()
    refused = {number for number, code in codes.items() if code != 250}
    assert refused
    assert codes[12] == 250
    assert set(codes) - refused <= set(found)
    assert len(set(found)) == len(found)
