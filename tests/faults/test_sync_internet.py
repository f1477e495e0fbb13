"""What is synced before what is said, for mail to the Internet: strace shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import strace
from tests.faults.test_sync import last_before
from tests.flow.abroad import let_all_leave, letter, quick
from tests.flow.house import House, free_port
from tests.flow.sink import WELL, Sink

CALLS = "fsync,fdatasync,sendto,sendmsg,write,writev,recvfrom,unlink,unlinkat"
_LINE = re.compile(r"(\d+) +(<\.\.\. )?(\w+)(.*)")
SAID_KEPT = "250 2.0.0 Ok: kept"
WAL = "sync postman.db-wal"
LARGE = letter("large") + (b"x" * 74 + b"\r\n") * 14_000
TO = "person@example.org"


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Run a sink that takes everything."""
    sink = Sink(free_port()).start()
    yield sink
    sink.stop()


@pytest.fixture
def traced(peer: Callable[..., str], tmp_path: Path, sink: Sink) -> Iterator[House]:
    """Run a node under strace; its trace is in `trace` beside the state."""
    house = House(tmp_path, **quick(sink.port)).on_a_clock()
    strace.under(house, peer("strace"), CALLS)
    house.add("jondoe", "fence")
    house.start()
    try:
        yield house
    finally:
        house.kill()


def file_of(house: House) -> str:
    """Return the name of the one file there is of a body."""
    (file,) = (house.state / "bodies").iterdir()
    return file.name


def test_small_message_is_kept(traced: House) -> None:
    """The log is synced between the end of data and its 250, for a waiting message."""
    traced.submit("jondoe", [TO], letter("small", "Postman-Delay: batch"))
    traced.kill()
    between = last_before(story(traced), SAID_KEPT)
    assert between
    assert between[-1] == WAL


def test_large_message_is_kept(traced: House) -> None:
    """First the body's file, then its directory, then the log that names it."""
    late = LARGE.replace(b"\r\n", b"\r\nPostman-Delay: batch\r\n", 1)
    traced.submit("jondoe", [TO], late)
    file = file_of(traced)
    traced.kill()
    between = last_before(story(traced), SAID_KEPT)
    order = [
        between.index(f"sync bodies/{file}"),
        between.index("sync bodies"),
        len(between) - 1 - between[::-1].index(WAL),
    ]
    assert order == sorted(order)
    assert order[-1] == len(between) - 1


def test_purchase_is_kept(traced: House) -> None:
    """The desk's answer, and the 250, come after the purchase is on the disk."""
    traced.submit("jondoe", ["quota@mail.i2p"], b"Subject: 1:16:x\r\n\r\n")
    traced.kill()
    assert last_before(story(traced), SAID_KEPT)[-1] == WAL


def test_release_and_relay(traced: House, sink: Sink) -> None:
    """The release and the mark of what is on its way are on the disk before it goes.

    They are two transactions. A third follows the far end's answer.
    """
    traced.submit("jondoe", [TO], letter("one"))
    let_all_leave(traced)
    traced.kill()
    found = story(traced)
    kept = found.index(f"say {SAID_KEPT}")
    # Without DKIM a released message begins so; nobody else says it.
    (sent,) = [n for n, one in enumerate(found) if one.startswith("say Date: ")]
    answered = found.index("hear 250 2.0.0 Ok: taken")
    assert kept < sent < answered
    assert found[kept:sent].count(WAL) == 2
    assert found[answered:].count(WAL) >= 1
    assert sink.taken


def test_refusal_and_retry(traced: House, sink: Sink) -> None:
    """What is to be tried again is on the disk before it is, with a mark of its own."""
    # It is asked at the greeting, too.
    moods = iter([WELL, "refuse body for now"])
    sink.mood = lambda: next(moods, WELL)
    traced.submit("jondoe", [TO], letter("one"))
    sink.wait_until(lambda: bool(sink.put_off))
    let_all_leave(traced)
    traced.kill()
    found = story(traced)
    refused = found.index("hear 451 4.3.0 Not now")
    first, again = [n for n, one in enumerate(found) if one.startswith("say Date: ")]
    assert first < refused < again
    assert found[refused:again].count(WAL) == 2


def test_file_goes_last(traced: House, sink: Sink) -> None:
    """A large body's file is removed when it is on the disk that nobody needs it."""
    traced.submit("jondoe", [TO], LARGE)
    let_all_leave(traced)
    traced.stop()
    found = story(traced)
    answered = found.index("hear 250 2.0.0 Ok: taken")
    (removed,) = [n for n, one in enumerate(found) if one.startswith("remove bodies/")]
    assert found[answered:removed].count(WAL) == 1
    assert not list((traced.state / "bodies").iterdir())


def story(house: House) -> list[str]:
    """Return what happened in order: sync NAME, say WORDS, hear WORDS, remove NAME.

    A sync stands where it was done, all else where it was begun.
    """
    found: list[str] = []
    begun: dict[str, str] = {}
    for line in strace.lines(house):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, resumed, call, words = match.groups()
        if resumed:
            words = begun.pop(thread, "") + words
        elif words.endswith("<unfinished ...>"):
            begun[thread] = words.removesuffix("<unfinished ...>")
            if call not in ("sendto", "sendmsg", "writev", "write"):
                continue
        found += _told(call, words, house, resumed=bool(resumed))
    return found


def _told(call: str, words: str, house: House, *, resumed: bool) -> Iterator[str]:
    state = f"{house.state}/"
    quoted = re.search(r'"(.*?)(?:\\r|")', words)
    socket = "<socket:" in words or "<TCP:" in words
    if call in ("fsync", "fdatasync"):
        file = re.search(r"<([^>]*)>", words)
        if file and words.endswith("= 0"):
            yield f"sync {file[1].removeprefix(state)}"
    elif call.startswith("unlink"):
        if quoted and quoted[1].startswith(state):
            yield f"remove {quoted[1].removeprefix(state)}"
    elif socket and quoted and call.startswith("recv"):
        yield f"hear {quoted[1]}"
    elif socket and quoted and not resumed:
        yield f"say {quoted[1]}"
