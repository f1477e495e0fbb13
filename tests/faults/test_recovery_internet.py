"""Mail on its way to the Internet outlives a locked store, a stop, an operator."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.flow.abroad import abroad, accepted, let_all_leave, letter, quick
from tests.flow.house import House
from tests.flow.sink import WELL, Sink

TO = "person@example.org"
LARGE = letter("large", "Postman-Delay: batch") + (b"x" * 74 + b"\r\n") * 14_000
HOUR = 3_600


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[House, Sink]]:
    """Run a node with a gateway."""
    with abroad(tmp_path) as (house, sink):
        house.add("jondoe")
        house.start()
        yield house, sink


def test_store_locked_behind_the_answer(place: tuple[House, Sink]) -> None:
    """What the far end took is not sent again because we could not write it down."""
    house, sink = place
    with closing(
        sqlite3.connect(
            house.state / "postman.db", isolation_level=None, check_same_thread=False
        )
    ) as locking:

        def lock_at_mail() -> str:
            # Asked at the greeting, too.
            if sink.connections and not locking.in_transaction and not sink.taken:
                lock(locking)
            return WELL

        sink.mood = lock_at_mail
        house.submit("jondoe", [TO], letter("one"))
        sink.wait_for(1)
        # Longer than SQLite itself would wait.
        time.sleep(8)
        with house.smtp("jondoe") as session:
            assert accepted(session, "jondoe", "other@example.org") == [250]
            assert session.data(letter("two"))[0] == 452
        locking.execute("ROLLBACK")
    sink.mood = lambda: WELL
    let_all_leave(house)
    assert [one.recipients for one in sink.taken] == [(TO,)]
    assert house.quota("jondoe")["spent"] == 1


def lock(connection: sqlite3.Connection) -> None:
    """Lock the database for others' writing, as a backup at the wrong time does."""
    deadline = time.monotonic() + 30
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


def test_stop_while_it_hangs(place: tuple[House, Sink]) -> None:
    """A node is stopped in time while a gateway hangs, and knows at its next start."""
    house, sink = place
    sink.mood = lambda: "hang after body"
    house.submit("jondoe", [TO], letter("one"))
    sink.wait_until(lambda: bool(sink.asked))
    house.stop()
    sink.mood = lambda: WELL
    before = len(sink.taken)
    house.start()
    let_all_leave(house)
    assert len(sink.wait_for(before + 1)) == before + 1
    assert "and may arrive twice:" in house.log.read_text()


def test_no_gateway_for_a_while(place: tuple[House, Sink]) -> None:
    """Without [[gateways]] nothing is taken for the Internet, and what waits stays.

    A large body's file, too, at that node's start. With the gateways back it leaves.
    """
    house, sink = place
    house.submit("jondoe", [TO], LARGE)
    house.stop()
    house.configure()
    house.start()
    with house.smtp("jondoe") as session:
        session.mail("jondoe@mail.i2p")
        code, text = session.rcpt(TO)
        assert (code, text[:5]) == (550, b"5.7.1")
    house.stop()
    house.configure(**quick(sink.port))
    house.start()
    house.later(13 * HOUR)
    (taken,) = sink.wait_for(1)
    assert len(taken.body) > 1_000_000
    let_all_leave(house)
    assert not list((house.state / "bodies").iterdir())


def test_account_removed_while_mail_waits(place: tuple[House, Sink]) -> None:
    """What a member handed in before leaves, or does not; the node goes on.

    A refusal finds no mailbox, and nobody else's.
    """
    house, sink = place
    house.add("alice")
    sink.refused = lambda address: address == TO
    house.submit("jondoe", [TO], letter("orphan", "Postman-Delay: batch"))
    house.ctl("account", "remove", "jondoe", "--yes")
    house.add("jondoe", reopen=True)
    house.later(13 * HOUR)
    let_all_leave(house)
    house.submit("alice", ["other@example.org"], letter("next", sender="alice"))
    sink.wait_for(1)
    assert house.collect("alice") == []
    # The name's next owner gets no report of mail that was not his.
    assert house.collect("jondoe") == []


def test_account_disabled_while_mail_waits(place: tuple[House, Sink]) -> None:
    """Nothing of it leaves but what the operator lets go; the others' mail does."""
    house, sink = place
    house.add("alice")
    for subject in ("one", "two"):
        house.submit("jondoe", [TO], letter(subject, "Postman-Delay: batch"))
    other = letter("three", "Postman-Delay: batch", sender="alice")
    house.submit("alice", ["other@example.org"], other)
    house.ctl("account", "disable", "jondoe")
    house.later(13 * HOUR)
    sink.wait_for(1)
    items = held(house, 2)
    house.ctl("account", "enable", "jondoe")
    house.later(13 * HOUR)
    assert [one.recipients for one in sink.taken] == [("other@example.org",)]
    house.ctl("account", "disable", "jondoe")
    house.ctl("queue", "release", items[0])
    house.ctl("queue", "drop", items[1], "--yes")
    sink.wait_for(2)
    let_all_leave(house)
    assert len(sink.taken) == 2


def held(house: House, many: int) -> list[str]:
    """Return the numbers of the messages that are held, once they are so many."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        listed = json.loads(house.ctl("queue", "list", "--json"))
        found = [one["item"] for one in listed if one["held"]]
        if len(found) == many == len(listed):
            return found
        time.sleep(0.1)
    raise AssertionError(house.ctl("queue", "list"))
