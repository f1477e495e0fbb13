"""A mail host seized while mail waits for the Internet shows nothing of it (X3).

Without the node's key, that is: the file it is in here stands for a passphrase, or for
what systemd keeps. All else is searched, live and after a stop.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from postmand.rules.hashcash import mint, resource
from tests.flow.abroad import abroad, let_all_leave, record
from tests.flow.corpus import load
from tests.flow.house import House
from tests.flow.search import Words
from tests.flow.sink import Sink, Taken
from tests.flow.test_seizure import LARGE, OURS, files, open_files, traces

MESSAGES = load()
MEMBERS = ("jondoe", "alice", "bob", "eve")
MODES = ("none", "defer", "batch", "pool")
MANY = {"per_day": 1_000, "first_day": 1_000}
HEADER_OF_LARGE = b"Postman-Delay: %b\r\nSubject: the large one\r\n\r\n"
# What is taken away with the machine, but for the key.
Seized = dict[str, bytes]


def recipient(number: int) -> str:
    """Return whom a message is for, a domain each."""
    return f"secret-friend{number}@hidden-company{number}.example.org"


def stamp(name: str) -> bytes:
    """Make a stamp that buys."""
    return mint(resource(name, "mail.i2p"), 16, time.time(), random.Random())


def hand_in_everything(house: House) -> bytes:
    """Hand in the corpus, by all modes, and large ones, and a stamp: returned."""
    for number, sent in enumerate(MESSAGES):
        mode = f"Postman-Delay: {MODES[number % 4]}\r\n".encode()
        house.submit("jondoe", [recipient(number)], mode + sent.message)
    for mode in (b"none", b"batch"):
        message = HEADER_OF_LARGE % mode + LARGE
        house.submit("bob", [recipient(len(MESSAGES))], message)
    bought = stamp("alice")
    house.submit("alice", ["quota@mail.i2p"], b"Subject: %b\r\n\r\n" % bought)
    return bought


def everything(bought: bytes, left: list[Taken]) -> Words:
    """Return all words that must not be found."""
    words = {trace for sent in MESSAGES for trace in traces(sent)}
    words |= {f"{name}@{domain}".encode() for name in MEMBERS for domain in DOMAINS}
    words |= set(LARGE.split(b"\r\n")[:1000])
    for number in range(len(MESSAGES) + 1):
        words.add(recipient(number).encode())
        words.add(recipient(number).partition("@")[2].encode())
    words |= {bought, bought.split(b":")[-2], b"the large one"}
    for taken in left:
        # As it was released: what the Internet saw must not be in the house, either.
        words |= set(re.findall(rb"(?m)^Message-ID: <([^>@]+)", taken.data))
        words |= set(re.findall(rb"\b(?:b|bh)=([\w+/=]{30,})", taken.data))
        words |= {line.strip() for line in taken.data.split(b"\r\n")}
    return Words(words - OURS - COMMON)


DOMAINS = ("mail.i2p", "i2pmail.org")
# Words of everybody's: no message is known by them, and programs are full of them.
COMMON = {b"MIME-Version: 1.0", b"i2pmail.org"}


@pytest.fixture(scope="module")
def seized(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Seized, Words, str]]:
    """Seize a node with mail in every state; return its files, the words, and its log.

    The sink has seen each message that was released, and puts it off.
    """
    base = tmp_path_factory.mktemp("seized")
    limits = {"spool_bytes": 65_536}
    with abroad(base, quota={**MANY}, limits=limits) as (house, sink):
        sink.mood = lambda: "refuse body for now"
        house.add(*MEMBERS)
        record(house)
        house.start()
        begun = house.log.read_text()
        bought = hand_in_everything(house)
        released = len(MESSAGES[::4]) + 1
        sink.wait_until(lambda: len(recipients(sink)) == released)
        found = {f"open: {name}": data for name, data in open_files(house).items()}
        found |= {f"live: {name}": data for name, data in files(house).items()}
        worked = house.log.read_text().removeprefix(begun)
        left = list(sink.put_off)
        house.stop()
        found |= {f"stopped: {name}": data for name, data in files(house).items()}
        found = {name: data for name, data in found.items() if "node.key" not in name}
        yield found, everything(bought, left), worked


def recipients(sink: Sink) -> set[str]:
    """Return the recipients to whom a message was on its way."""
    return {one for taken in sink.put_off for one in taken.recipients}


def test_the_search_finds(seized: tuple[Seized, Words, str]) -> None:
    """The words are there, those of the released messages too: the next can fail."""
    _, words, _ = seized
    assert words.count > 1_500
    noise = os.urandom(1_000)
    for word in (recipient(3).encode(), b"the large one", b"jondoe@i2pmail.org"):
        assert word in words.found(noise + word.hex().encode() + noise)
    assert not words.found(noise)


def test_nothing_is_found(seized: tuple[Seized, Words, str]) -> None:
    """No address, subject, text or id of what waits, was released, or was bought."""
    found, words, _ = seized
    assert {"live: postman.db", "live: postman.db-wal", "live: the log"} <= set(found)
    assert sum(name.startswith("stopped: bodies/") for name in found) == 2
    hits = {name: words.found(data) for name, data in found.items()}
    assert {name: words for name, words in hits.items() if words} == {}


def test_log_tells_no_moment(seized: tuple[Seized, Words, str]) -> None:
    """From its start to its end a node in normal work writes no line.

    Each line has a time to the second: of a hand-in, a release, or a connection to a
    gateway, which on a quiet node is the same.
    """
    _, _, worked = seized
    assert worked == ""


def test_files_tell_no_time(tmp_path: Path) -> None:
    """Of a queued body, as of a delivered one: their owner's alone, and of 1970."""
    with abroad(tmp_path) as (house, _):
        house.add("bob")
        house.start()
        message = HEADER_OF_LARGE % b"batch" + LARGE
        house.submit("bob", [recipient(1)], message)
        house.stop()
        (body,) = (house.state / "bodies").iterdir()
        assert body.stat().st_mtime == body.stat().st_atime == 0
        for path in house.state.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nothing_is_left_when_all_has_left(tmp_path: Path) -> None:
    """What was delivered leaves no row, no file, and no octet of what was sealed."""
    with abroad(tmp_path) as (house, sink):
        house.add("bob")
        house.start()
        for mode in (b"none", b"pool"):
            message = HEADER_OF_LARGE % mode
            house.submit("bob", [recipient(1)], message + LARGE)
            house.submit("bob", [recipient(2)], message + b"short\r\n")
        with closing(sqlite3.connect(house.state / "postman.db")) as database:
            cards = [
                card for (card,) in database.execute("SELECT card FROM queue_items")
            ]
        assert cards
        let_all_leave(house)
        assert len(sink.wait_for(4)) == 4
        house.stop()
        assert shape(house)["queue_items"] == shape(house)["queue_bodies"] == []
        assert not list((house.state / "bodies").iterdir())
        left = (house.state / "postman.db").read_bytes()
        assert not any(card[:64] in left for card in cards)


Shape = dict[str, list[tuple[object, ...]]]
TABLES = ("queue_items", "queue_bodies", "standings", "stamps")
# What these hold is seen as it is; of all else the length.
SEEN = ("stage", "held", "trying", "size_class")
# Random numbers, whose digits are nobody's doing.
RANDOM = ("id", "body_id")


def shape(house: House) -> Shape:
    """Return the lengths of all values of all rows, and of all files."""
    found: Shape = {}
    with closing(sqlite3.connect(house.state / "postman.db")) as database:
        for table in TABLES:
            columns = [
                column if column in SEEN else f"LENGTH({column})"
                for _, column, *_ in database.execute(f"PRAGMA table_info({table})")
                if column not in RANDOM
            ]
            rows = database.execute(f"SELECT {', '.join(columns)} FROM {table}")
            found[table] = sorted(rows.fetchall(), key=repr)
    bodies = (house.state / "bodies").iterdir()
    found["files"] = sorted((file.stat().st_size,) for file in bodies)
    return found


def history(place: Path, who: Callable[[int], str], words: list[bytes]) -> Shape:
    """Return the shape of what is left of a run in which `who(n)` sent letter n.

    A stamp is bought with in each, and of what is due all is released and put off.
    """
    place.mkdir()
    with abroad(place) as (house, sink):
        sink.mood = lambda: "refuse body for now"
        house.add("carol", "david", "alice", "henry")
        house.start()
        for number, word in enumerate(words):
            name = who(number)
            head = f"From: {name}@mail.i2p\r\nPostman-Delay: {MODES[number % 4]}\r\n"
            text = word * 9 + b"\r\n"
            to = f"{word.decode()}@{word[::-1].decode()}.example.org"
            body = text * (3_000 if number == 1 else 5)
            house.submit(
                name, [to], head.encode() + b"Subject: %b\r\n\r\n" % word + body
            )
        buyer = who(0)
        subject = b"Subject: " + stamp(buyer)
        house.submit(buyer, ["quota@mail.i2p"], subject + b"\r\n\r\n")
        sink.wait_until(lambda: bool(sink.put_off))
        house.stop()
        return shape(house)


def test_who_sent_what_leaves_no_shape(tmp_path: Path) -> None:
    """Two runs that differ only in who sent what to whom leave the same shape."""
    first = history(
        tmp_path / "one",
        lambda number: ("carol", "david")[number % 2],
        [b"tulips", b"potato", b"onions", b"radish"],
    )
    second = history(
        tmp_path / "two",
        lambda number: ("henry", "henry", "alice", "henry")[number],
        [b"rifles", b"cannon", b"powder", b"bullet"],
    )
    assert first == second
    assert {table: len(rows) for table, rows in first.items()} == {
        "queue_items": 4,
        "queue_bodies": 4,
        "standings": 2,
        "stamps": 1,
        "files": 1,
    }


def test_numbers_change_at_release(tmp_path: Path) -> None:
    """What was seen to wait is not known again by its number once it has left."""
    with abroad(tmp_path, quota=MANY) as (house, sink):
        sink.mood = lambda: "refuse body for now"
        house.add("bob")
        house.start()
        for number in range(12):
            mode = "batch" if number % 2 else "none"
            head = f"Postman-Delay: {mode}\r\nSubject: {number}\r\n\r\n"
            house.submit("bob", [recipient(number)], head.encode())
        before = ids(house)
        house.later(13 * 3_600)
        sink.wait_until(lambda: len(recipients(sink)) == 12)
        assert len(before) == 12
        assert not {item for item, stage in before.items() if stage != LEG} & set(
            ids(house)
        )


LEG = 2


def ids(house: House) -> dict[int, int]:
    """Return {number: stage} of all that is queued."""
    with closing(sqlite3.connect(house.state / "postman.db")) as database:
        return dict(database.execute("SELECT id, stage FROM queue_items"))
