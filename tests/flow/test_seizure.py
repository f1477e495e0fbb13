"""A seized mail host shows nothing: state directory, log, live and after a stop."""

from __future__ import annotations

import base64
import os
import poplib
import re
import sqlite3
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.flow.corpus import Captured, load, parsed
from tests.flow.house import House, password
from tests.flow.program import Program
from tests.flow.search import Words

MESSAGES = load()
MEMBERS = ("jondoe", "alice", "bob", "eve")
# What the node says itself, of its own accord, to everybody.
OURS = {b"mail.i2p", b"localhost", b"127.0.0.1", b"[127.0.0.1]"}
LARGE = b"".join(
    b"a line of the large message, the %d. of them\r\n" % n for n in range(40_000)
)


def traces(sent: Captured) -> Iterator[bytes]:
    """Yield what a message and its session say, line by line and word by word."""
    message = parsed(sent.message)
    for name in ("Subject", "From", "To", "Cc", "Message-ID", "In-Reply-To", "Date"):
        value = str(message[name] or "")
        yield value.encode()
        yield value.strip("<> ").encode()
    for leak in sent.leaks:
        yield leak.text.encode()
    for part in message.walk():
        yield (part.get_filename() or "").encode()
        payload = part.get_payload(decode=True)
        if payload:
            yield payload[40:60]
        if part.get_content_maintype() == "text":
            yield from (line.strip() for line in payload.splitlines())
    for line in sent.message.split(b"\r\n"):
        yield line.strip()


def everything() -> Words:
    """Return all words that must not be found."""
    words = {trace for sent in MESSAGES for trace in traces(sent)}
    for name in MEMBERS:
        words |= {password(name).encode(), f"{name}@mail.i2p".encode()}
        words.add(b"\0%b\0%b" % (name.encode(), password(name).encode()))
    words |= set(LARGE.split(b"\r\n")[:1000])
    return Words(words - OURS)


def files(house: House) -> dict[str, bytes]:
    """Return every file of the state directory, and the log."""
    found = {
        str(path.relative_to(house.state)): path.read_bytes()
        for path in house.state.rglob("*")
        if path.is_file()
    }
    return {**found, "the log": house.log.read_bytes()}


def open_files(house: Program) -> dict[str, bytes]:
    """Return the files that the running node has open, those without a name too."""
    assert house.process
    found = {}
    for link in Path(f"/proc/{house.process.pid}/fd").iterdir():
        try:
            if stat.S_ISREG(link.stat().st_mode):
                found[f"{link.name} {link.readlink()}"] = link.read_bytes()
        except FileNotFoundError:
            continue
    return found


def spooling(house: House) -> dict[str, bytes]:
    """Return the open files once the most of the large message is among them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = open_files(house)
        if any(
            name.endswith(" (deleted)") and len(data) > len(LARGE) // 2
            for name, data in found.items()
        ):
            return found
        time.sleep(0.05)
    raise AssertionError(f"the large message is not spooled: {sorted(found)}")


@pytest.fixture(scope="module")
def seized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return all files of a node after the corpus went through it, live and stopped."""
    house = House(tmp_path_factory.mktemp("seized"), limits={"spool_bytes": 65_536})
    house.add(*MEMBERS)
    house.start()
    try:
        for sent in MESSAGES:
            house.submit("jondoe", list(sent.recipients), sent.message)
        house.submit("bob", ["alice@mail.i2p"], b"Subject: large one\r\n\r\n" + LARGE)
        house.collect("bob")
        with house.greet(house.pop_port) as wire:
            wire.say("USER alice", "PASS wrong-" + password("alice"), "QUIT")
            assert b"-ERR [AUTH]" in wire.file.read()
        found = live(house)
    finally:
        house.stop()
    stopped = {f"stopped: {name}": data for name, data in files(house).items()}
    return {**found, **stopped}


def live(house: House) -> dict[str, bytes]:
    """Return all files while one member reads and another's large message comes in."""
    with house.pop("alice") as reading, house.smtp("jondoe") as sending:
        reading.retr(1)
        sending.mail("jondoe@mail.i2p")
        sending.rcpt("alice@mail.i2p")
        assert sending.docmd("DATA")[0] == 354
        sending.send(b"Subject: half handed in\r\n\r\n" + LARGE)
        sending.send(b"\r\n")
        found = {f"open: {name}": data for name, data in spooling(house).items()}
        found |= {f"live: {name}": data for name, data in files(house).items()}
        sending.send(b".\r\n")
        assert sending.getreply()[0] == 250
    return found


def test_the_search_finds() -> None:
    """Each word of the list is found in each of its disguises."""
    words = everything()
    assert words.count > 500
    secret = password("alice").encode()
    noise = os.urandom(1000)
    for disguise in (
        secret,
        *(base64.b64encode(b"xxx"[:n] + secret + b"yyy") for n in range(3)),
        secret.hex().encode(),
        zlib.compress(b"told: " + secret),
        zlib.compress(b"told: " + base64.b64encode(secret)),
    ):
        assert secret in words.found(noise + disguise + noise)
    umlauts = "Grüße aus dem Süden".encode()
    assert Words([umlauts]).found(b"x Gr=C3=BC=C3=9Fe aus dem S=C3=BCden y")
    assert not words.found(noise)


def test_nothing_is_found(seized: dict[str, bytes]) -> None:
    """No subject, body, password, address or trace of a sender, in any file."""
    words = everything()
    assert {"live: postman.db", "stopped: postman.db", "live: the log"} <= set(seized)
    assert any(name.endswith(" (deleted)") for name in seized)
    assert any(name.startswith("stopped: bodies/") for name in seized)
    found = {name: words.found(data) for name, data in seized.items()}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_modes_and_times(tmp_path: Path) -> None:
    """Files are their owner's alone; a body's file tells no time."""
    house = House(tmp_path)
    house.add("alice")
    house.start()
    house.submit("alice", ["alice@mail.i2p"], b"Subject: large\r\n\r\n" + LARGE)
    house.stop()
    assert stat.S_IMODE(house.state.stat().st_mode) == 0o700
    for path in house.state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    (body,) = (house.state / "bodies").iterdir()
    assert body.stat().st_mtime == body.stat().st_atime == 0
    assert (house.state / "postman.db").stat().st_mtime == 0


Shape = dict[str, list[tuple[object, ...]]]


def shape(house: House) -> Shape:
    """Return, for every table, the lengths of all values of all rows."""
    found: Shape = {}
    with closing(sqlite3.connect(house.state / "postman.db")) as database:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for (table,) in database.execute(tables).fetchall():
            columns = [
                row[1] for row in database.execute(f"PRAGMA table_info({table})")
            ]
            lengths = ", ".join(
                f'"{column}"' if column.endswith("_bytes") else f'LENGTH("{column}")'
                for column in columns
                # Random numbers, whose digits are nobody's doing.
                if column not in ("account", "id")
            )
            if lengths:
                query = f"SELECT {lengths} FROM {table}"
                found[table] = sorted(database.execute(query).fetchall(), key=repr)
    bodies = (house.state / "bodies").iterdir()
    found["files"] = sorted((file.stat().st_size,) for file in bodies)
    return found


def letter(sender: str, word: bytes, lines: int) -> bytes:
    """Return a letter; two of the same size differ in who sent what only."""
    header = f"From: {sender}@mail.i2p\r\nTo: alice@mail.i2p\r\nMessage-ID: "
    own = word * 3 + b"@" + word
    line = word * (60 // len(word)) + b"\r\n"
    return (
        header.encode()
        + b"<"
        + own
        + b">\r\nSubject: "
        + word
        + b"\r\n\r\n"
        + line * lines
    )


def history(place: Path, who: Callable[[int], str], words: list[bytes]) -> Shape:
    """Return the shape of what is left of a run in which `who(n)` sent letter n."""
    place.mkdir()
    house = House(place)
    house.add("carol", "david", "alice", "henry")
    house.start()
    try:
        for number, word in enumerate(words):
            to = ["alice@mail.i2p", "henry@mail.i2p"][: 1 + number % 2]
            message = letter(who(number), word, 3000 if number == 1 else 5)
            house.submit(who(number), to, message)
        house.collect("henry")
    finally:
        house.stop()
    return shape(house)


def test_who_sent_what_leaves_no_shape(tmp_path: Path) -> None:
    """Two runs that differ only in who sent what leave states of the same shape."""
    first = history(
        tmp_path / "one",
        lambda _: "carol",
        [b"tulips", b"potato", b"onions", b"radish"],
    )
    second = history(
        tmp_path / "two",
        lambda number: ("david", "carol", "david", "henry")[number],
        [b"rifles", b"cannon", b"powder", b"bullet"],
    )
    assert first == second
    assert len(first["messages"]) == 4
    assert len(first["files"]) == 1


SECRET = b"From: bob@mail.i2p\r\nSubject: only for alice\r\n\r\nthe text\r\n"


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[House]:
    """Run a node whose member alice has one letter."""
    house = House(tmp_path, accounts={"remember_seconds": 0})
    house.add("alice", "bob")
    house.start()
    house.submit("bob", ["alice@mail.i2p"], SECRET)
    try:
        yield house
    finally:
        house.stop()


def test_recovery_code_opens(sealed: House) -> None:
    """The recovery code opens the mailbox under a new password, and works once."""
    code = sealed.recovery["alice"].strip()
    told = sealed.ctl(
        *("account", "recover", "alice", "--password-stdin"),
        told=f"{code}\nquite another password\n",
    )
    assert code not in told
    with sealed.pop() as session:
        session.user("alice")
        with pytest.raises(poplib.error_proto, match="AUTH"):
            session.pass_(password("alice"))
        session.user("alice")
        session.pass_("quite another password")
        assert b"Subject: only for alice" in session.retr(1)[1]
    with pytest.raises(AssertionError):
        sealed.ctl(
            *("account", "recover", "alice", "--password-stdin"),
            told=f"{code}\na third password\n",
        )


def test_changed_password_opens(sealed: House) -> None:
    """After a change the old password opens nothing, the new one all there was."""
    sealed.ctl(
        *("account", "passwd", "alice", "--password-stdin"),
        told=f"{password('alice')}\nquite another password\n",
    )
    with sealed.pop() as session:
        session.user("alice")
        with pytest.raises(poplib.error_proto, match="AUTH"):
            session.pass_(password("alice"))
        session.user("alice")
        session.pass_("quite another password")
        assert b"Subject: only for alice" in session.retr(1)[1]


def test_another_password_put_in_her_row_opens_nothing(sealed: House) -> None:
    """Who may write the database can let himself in, but reads nothing sealed."""
    with closing(sqlite3.connect(sealed.state / "postman.db")) as database:
        keys = "salt, passes, memory_kib, verifier, wrapped_key"
        database.execute(
            f"UPDATE accounts SET ({keys}) = "
            f"(SELECT {keys} FROM accounts WHERE name = 'bob') WHERE name = 'alice'"
        )
        database.commit()
    with sealed.greet(sealed.pop_port) as wire:
        wire.say("USER alice", "PASS " + password("bob"), "RETR 1", "TOP 1 9", "QUIT")
        said = wire.file.read()
    assert b"only for alice" not in said
    assert b"the text" not in said


def test_every_column_is_named_in_the_docs(sealed: House) -> None:
    """docs/privacy.rst tells what each column of each table holds."""
    told = (Path(__file__).parents[2] / "docs" / "privacy.rst").read_text()
    with closing(sqlite3.connect(sealed.state / "postman.db")) as database:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        missing = [
            f"{table}.{column}"
            for (table,) in database.execute(tables).fetchall()
            if not table.startswith("sqlite_")
            for (_, column, *_) in database.execute(f"PRAGMA table_info({table})")
            if not re.search(rf"``(?:{table}\.)?{column}``", told)
        ]
    assert missing == []
