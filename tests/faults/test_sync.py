"""250 means kept: strace shows what was synced before it was said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import strace
from tests.flow.house import House

CALLS = "fsync,fdatasync,sendto,write,sendmsg"
_CALL = re.compile(
    r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(\d+<([^>]*)>| resumed>)?(.*?)"
    r"(= [-?\d]+|<unfinished)"
)


@pytest.fixture
def traced(peer: Callable[..., str], tmp_path: Path) -> Iterator[House]:
    """Run a node under strace; its trace is in `trace` beside the state."""
    house = House(tmp_path)
    strace.under(house, peer("strace"), CALLS)
    house.add("jondoe", "alice")
    house.start()
    try:
        yield house
    finally:
        house.kill()


def events(house: House) -> list[str]:
    """Return what happened in order: "sync NAME" when it was done, "say WORDS"."""
    found = []
    begun: dict[str, str] = {}
    for line in strace.lines(house):
        match = _CALL.match(line)
        if match is None:
            continue
        thread, call, path, words, end = match.groups()
        if call in ("fsync", "fdatasync"):
            path = path or begun.pop(thread, "")
            if end == "= 0":
                found.append(f"sync {Path(path).relative_to(house.state)}")
            else:
                begun[thread] = path
        elif path and path.startswith(("socket:", "TCP:")):
            said = re.search(r'"(.*?)(?:\\r|")', words)
            found.append(f"say {said[1] if said else ''}")
    return found


def last_before(found: list[str], words: str) -> list[str]:
    """Return what happened between the reply before `words` and `words` itself."""
    (end,) = [n for n, one in enumerate(found) if one.startswith(f"say {words}")]
    begin = max(n for n in range(end) if found[n].startswith("say "))
    return found[begin + 1 : end]


def test_small_message(traced: House) -> None:
    """The log of the database is synced between the end of data and its 250."""
    traced.submit("jondoe", ["alice@mail.i2p"], b"Subject: small\r\n\r\ntext\r\n")
    traced.kill()
    between = last_before(events(traced), "250 2.0.0 Ok: kept")
    assert between
    assert between[-1] == "sync postman.db-wal"


def test_large_message(traced: House) -> None:
    """First the body's file, then its directory, then the log that names it."""
    body = (b"x" * 74 + b"\r\n") * 14_000
    traced.submit("jondoe", ["alice@mail.i2p"], b"Subject: large\r\n\r\n" + body)
    (file,) = (traced.state / "bodies").iterdir()
    traced.kill()
    between = last_before(events(traced), "250 2.0.0 Ok: kept")
    order = [
        between.index(f"sync bodies/{file.name}"),
        between.index("sync bodies"),
        len(between) - 1 - between[::-1].index("sync postman.db-wal"),
    ]
    assert order == sorted(order)
    assert order[-1] == len(between) - 1


def test_deletion(traced: House) -> None:
    """POP3's goodbye comes after the deletes are on disk, too."""
    traced.submit("jondoe", ["alice@mail.i2p"], b"Subject: small\r\n\r\ntext\r\n")
    traced.collect("alice")
    traced.kill()
    between = last_before(events(traced), "+OK OK - Bye")
    assert between
    assert between[-1] == "sync postman.db-wal"
