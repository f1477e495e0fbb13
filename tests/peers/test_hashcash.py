"""Stamps between us and others: hashcash(1) and the package `hashcash`, both ways."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import hashcash as package
import pytest

from postmand.rules.hashcash import StampError, mint, resource, weigh, zero_bits

Run = Callable[..., "subprocess.CompletedProcess[str]"]

MINE = resource("jondoe", "mail.i2p")
BITS = range(10, 18)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program in a directory of its own, which is its home; it takes UTC+14."""

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TZ": "Pacific/Kiritimati",
        }
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def program(peer: Callable[..., str]) -> str:
    """Find hashcash(1)."""
    return peer("hashcash")


def bits_of(stamp: str) -> int:
    """Weigh a stamp of jondoe's; return its bits."""
    return weigh(stamp.strip().encode(), MINE, time.time(), 1).bits


def ours() -> Iterator[tuple[int, str]]:
    """Yield stamps of our own, with their bits."""
    for bits in BITS:
        yield bits, mint(MINE, bits, time.time(), Random(bits)).decode()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-u",),
        ("-z", "10"),
        ("-z", "12"),
        ("-u", "-z", "12"),
        ("-x", "name=a,b;other"),
        ("-Z", "2"),
    ],
)
def test_program_mints(run: Run, program: str, options: tuple[str, ...]) -> None:
    """Each of its dates, its extension field, its counters: they weigh what it says."""
    for bits in BITS:
        made = run(program, "-mq", "-b", str(bits), *options, MINE.decode())
        assert made.returncode == 0, made.stderr
        assert bits_of(made.stdout) >= bits


def test_program_in_a_far_zone(run: Run, program: str) -> None:
    """Of a stamp dated by the clock of its owner's zone only the day may differ."""
    made = run(program, "-mq", "-b", "10", "-z", "12", MINE.decode())
    stamp = made.stdout.strip().encode()
    weigh(stamp, MINE, time.time(), 1)
    with pytest.raises(StampError, match="too old"):
        weigh(stamp, MINE, time.time() + 4 * 86_400, 1)


def test_program_mints_old_stamps(run: Run, program: str) -> None:
    """One of last week is refused, and so is one of next week."""
    for offset, reason in (("-7d", "too-old"), ("+7d", "in-the-future")):
        made = run(program, "-mq", "-b", "10", "-t", offset, MINE.decode())
        with pytest.raises(StampError) as caught:
            bits_of(made.stdout)
        assert caught.value.reason == reason


def test_program_checks(run: Run, program: str, tmp_path: Path) -> None:
    """It takes ours, once; and not for more bits, nor for somebody else."""
    spent = tmp_path / "spent.sdb"
    for bits, stamp in ours():

        def check(many: int, to: str, made: str = stamp) -> int:
            options = "-cq", "-d", "-f", str(spent), "-e", "2d", "-C"
            return run(program, *options, "-b", str(many), "-r", to, made).returncode

        assert check(bits, "quota/alice@mail.i2p") != 0
        assert check(bits + 1, MINE.decode()) != 0
        assert check(bits, MINE.decode()) == 0
        assert check(bits, MINE.decode()) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["spent.sdb"]


def test_program_counts_as_we_do(run: Run, program: str) -> None:
    """The bits of a hash, to the bit."""
    for bits, stamp in ours():
        counted = run(program, "-w", stamp)
        told = re.search(r"\d+", counted.stdout + counted.stderr)
        assert told is not None, counted
        assert int(told[0]) >= bits


def test_package_mints() -> None:
    """It rounds what it makes up to four bits, and claims what was asked for."""
    for bits in BITS:
        assert bits_of(package.mint(MINE.decode(), bits=bits)) == bits
        assert bits_of(package.mint(MINE.decode(), bits, stamp_seconds=True)) == bits
    assert bits_of(package.mint(MINE.decode(), 10, ext="a=b;c", saltchars=16)) == 10


def test_package_checks(capsys: pytest.CaptureFixture[str]) -> None:
    """It takes ours, without a word; and not for more bits, nor for somebody else."""
    for bits, stamp in ours():
        assert package.check(stamp, MINE.decode(), bits) is True
        assert package.check(stamp, MINE.decode(), bits + 1) is False
        assert package.check(stamp, "quota/alice@mail.i2p", bits) is False
    assert capsys.readouterr() == ("", "")


def test_package_takes_a_lie_that_we_do_not() -> None:
    """Why we do not check with it: it rounds the claim down to four bits."""
    day = time.strftime("%y%m%d", time.gmtime())
    head = f"1:11:{day}:{MINE.decode()}::salt:"
    lie = next(
        stamp
        for number in count()
        if 8 <= zero_bits((stamp := f"{head}{number:x}").encode()) < 11
    )
    assert package.check(lie, MINE.decode(), 11) is True
    with pytest.raises(StampError) as caught:
        bits_of(lie)
    assert caught.value.reason == "lying-bits"


def test_postmanctl_mints_on_all_cores(run: Run, program: str) -> None:
    """A stamp that takes a moment: made by several processes, alone on the output."""
    command = sys.executable, "-m", "postmand.admin.main"
    made = run(*command, "stamp", "mint", "jondoe", "--bits", "22")
    assert (made.returncode, made.stderr) == (0, "")
    assert bits_of(made.stdout) == 22
    assert made.stdout.count("\n") == 1
    options = "-cqy", "-b", "22", "-e", "2d", "-r", MINE.decode()
    assert run(program, *options, made.stdout.strip()).returncode == 0
