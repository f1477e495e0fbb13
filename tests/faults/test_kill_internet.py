"""kill -9 while mail is handed in, released and relayed to a sink that misbehaves.

Each message answered 250 is at the sink in the end, or came back as one report. Doubles
are there only where SMTP leaves no choice, and are counted.

MESSAGES in the environment asks for a longer run than the suite's.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import smtplib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from attrs import Factory, define, frozen

from tests.figures import Tell
from tests.flow.abroad import handed_in, quick
from tests.flow.house import House, Section, free_port, password
from tests.flow.sink import MOODS, WELL, Sink, Taken

MESSAGES = int(os.environ.get("MESSAGES", "500"))
SENDERS = ("jondoe", "alice", "bob")
# How often the sink does what it likes; it hangs seldom, for that costs time.
SHARE_OF_MOODS, SHARE_OF_HANGING = 0.25, 0.005
# In seconds, at most: a node's life under load, a sender's pause, the sink's.
LIFE, PAUSE, TARRIES = 1.2, 0.1, 0.1
LEAST_KILLS = 5
MINUTE, DAY = 60, 86_400
TOKEN = re.compile(rb"token-(\d+)-end")
IN_FLIGHT = re.compile(r"and may arrive twice: (\d+)")


def recipient(number: int) -> str:
    """Return whom a message is for; every tenth is for nobody at all."""
    local = "nobody" if number % 10 == 0 else "person"
    return f"{local}{number}@d{number % 40}.example.org"


class Moods:
    """What the sink feels like."""

    def __init__(self) -> None:
        self.well = False
        self._dice = random.Random()
        self._hanging = [mood for mood in MOODS if mood.startswith("hang")]
        self._other = [mood for mood in MOODS if not mood.startswith("hang")]

    def __call__(self) -> str:
        """Return a mood."""
        number = self._dice.random()
        if self.well or number > SHARE_OF_MOODS:
            return WELL
        hanging = number < SHARE_OF_HANGING
        return self._dice.choice(self._hanging if hanging else self._other)


@define
class Ledger:
    """What the senders know: numbers of messages, by what they were told."""

    kept: set[int] = Factory(set)
    unsure: set[int] = Factory(set)
    refused: set[int] = Factory(set)


class Load:
    """Members who hand in numbered messages while the node is there."""

    def __init__(self, house: House) -> None:
        self.ledger = Ledger()
        self._house = house
        self._numbers = itertools.count(1)
        self._up = threading.Event()
        self._given_up = False
        self._wrong: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._send, args=(name,))
            for name in SENDERS
            for _ in range(2)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Whether all was handed in."""
        return not any(thread.is_alive() for thread in self._threads)

    def up(self) -> None:
        """Tell the senders that the node runs."""
        self._up.set()

    def down(self) -> None:
        """Let those who lose their session wait."""
        self._up.clear()

    def end(self) -> None:
        """Wait for the senders; a surprise of theirs is raised here."""
        self._given_up = True
        self._up.set()
        for thread in self._threads:
            thread.join()
        if self._wrong:
            raise self._wrong[0]

    def _send(self, name: str) -> None:
        try:
            number = next(self._numbers)
            while number <= MESSAGES and not self._given_up:
                self._up.wait()
                # The node may be killed at any word.
                with (
                    suppress(OSError, smtplib.SMTPException),
                    smtplib.SMTP("127.0.0.1", self._house.smtp_port, "c", 20) as to,
                ):
                    to.login(name, password(name))
                    while number <= MESSAGES and not self._given_up:
                        this, number = number, next(self._numbers)
                        self._hand_in(to, name, this)
        except BaseException as error:
            self._wrong.append(error)

    def _hand_in(self, session: smtplib.SMTP, name: str, number: int) -> None:
        # Some are long enough for a file of their own.
        body = ("x" * 70 + "\r\n") * (2_000 if number % 16 == 0 else 10)
        message = f"Subject: token-{number}-end\r\n\r\n{body}".encode()
        time.sleep(random.uniform(0, PAUSE))
        assert session.mail(f"{name}@mail.i2p")[0] == 250
        assert session.rcpt(recipient(number))[0] == 250
        try:
            code = handed_in(session, message)
        except (OSError, smtplib.SMTPException):
            self.ledger.unsure.add(number)
            raise
        (self.ledger.kept if code == 250 else self.ledger.refused).add(number)


class Passing:
    """Lets the node's time pass, a minute every so often."""

    def __init__(self, house: House) -> None:
        self._over = threading.Event()
        self._house = house
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.3):
            self._house.later(MINUTE)

    def __enter__(self) -> Passing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@frozen
class Outcome:
    """What is there in the end."""

    ledger: Ledger
    kills: int
    copies: dict[int, list[Taken]]
    bounces: Counter[int]
    in_flight: list[int]
    spent: int
    left: dict[str, int]
    files: list[str]

    @property
    def accepted(self) -> set[int]:
        """The messages that are anywhere at all."""
        return set(self.copies) | set(self.bounces)


@pytest.fixture
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Kill a node under load until all is handed in; then let it finish in peace."""
    moods = Moods()
    sink = Sink(
        free_port(),
        mood=moods,
        refused=lambda address: address.startswith("nobody"),
        tarries=TARRIES,
    )
    house = House(tmp_path_factory.mktemp("kill"), **settings(sink.port)).on_a_clock()
    house.add(*SENDERS)
    # A day's start, so that no quota begins anew meanwhile.
    house.later(DAY - house.now() % DAY + MINUTE)
    sink.start()
    try:
        load, kills = killed_under_load(house, sink)
        moods.well = True
        sink.era += 1
        house.start()
        finish(house, sink, load.ledger)
        yield seen(house, sink, load.ledger, kills)
    finally:
        house.kill()
        sink.stop()


def settings(port: int) -> dict[str, Section]:
    """Return a configuration with little patience and much quota."""
    many = {"per_day": 100_000, "first_day": 100_000}
    relay = {
        "retry_longest_seconds": 60,
        "reply_seconds": 5,
        "connections_per_gateway": 8,
    }
    return quick(port, quota=many, relay=relay)


def killed_under_load(house: House, sink: Sink) -> tuple[Load, int]:
    """Start and kill the node, again and again, until everything is handed in."""
    dice = random.Random()
    load = Load(house)
    kills = 0
    try:
        with Passing(house):
            while not load.over or kills < LEAST_KILLS:
                sink.era += 1
                house.start()
                load.up()
                time.sleep(dice.uniform(0.02, LIFE))
                load.down()
                house.kill()
                kills += 1
    finally:
        load.end()
    return load, kills


def finish(house: House, sink: Sink, ledger: Ledger) -> None:
    """Let time pass until nothing is queued."""
    deadline = time.monotonic() + 300
    while house.ctl("queue", "list"):
        assert time.monotonic() < deadline, house.ctl("queue", "list")
        house.later(3 * MINUTE)
        time.sleep(0.2)


def seen(house: House, sink: Sink, ledger: Ledger, kills: int) -> Outcome:
    """Gather what the sink, the mailboxes, the store and the log have."""
    copies: dict[int, list[Taken]] = {}
    for taken in list(sink.taken):
        copies.setdefault(token(taken.data), []).append(taken)
    bounces = Counter(
        token(message) for name in SENDERS for message in house.collect(name)
    )
    spent = sum(house.quota(name)["spent"] for name in SENDERS)
    house.stop()
    with closing(sqlite3.connect(house.state / "postman.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        left = {
            table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("queue_items", "queue_bodies")
        }
    files = [file.name for file in Path(house.state / "bodies").iterdir()]
    in_flight = [int(number) for number in IN_FLIGHT.findall(house.log.read_text())]
    return Outcome(ledger, kills, copies, bounces, in_flight, spent, left, files)


def token(message: bytes) -> int:
    """Return the number of a message, or of the one that is reported on."""
    match = TOKEN.search(message)
    assert match, message[:600]
    return int(match[1])


def doubles(copies: Sequence[Taken]) -> Counter[str]:
    """Return why there is more than one copy: a reason for each but the last."""
    found: Counter[str] = Counter()
    for this, following in itertools.pairwise(copies):
        if not this.answered:
            found["answer lost"] += 1
        elif this.era < following.era:
            found["killed after the answer"] += 1
        else:
            found["unexplained"] += 1
    return found


def test_kill(outcome: Outcome, tell: Tell) -> None:
    """Nothing acknowledged is lost; nothing is twice without need; all is paid once."""
    ledger = outcome.ledger
    twice = sum(map(doubles, outcome.copies.values()), Counter[str]())
    lost_answers = sum(
        not one.answered for copies in outcome.copies.values() for one in copies
    )
    tell(
        f"{outcome.kills} kills, {MESSAGES} messages: "
        f"{len(ledger.kept)} answered 250, {len(ledger.unsure)} without an answer "
        f"of which {len(outcome.accepted - ledger.kept)} were kept; "
        f"{len(outcome.copies)} at the sink, {len(outcome.bounces)} came back; "
        f"the sink lost {lost_answers} answers; twice: {dict(twice)}; "
        f"in flight at the starts: {outcome.in_flight}"
    )
    assert len(ledger.kept) > MESSAGES / 2
    assert not ledger.refused
    # Nothing is lost.
    assert ledger.kept <= outcome.accepted
    assert outcome.accepted - ledger.kept <= ledger.unsure
    # What nobody takes came back, once; nothing else came back.
    assert {number for number in outcome.accepted if number % 10 == 0} == set(
        outcome.bounces
    )
    assert set(outcome.bounces.values()) == {1}
    assert not set(outcome.bounces) & set(outcome.copies)
    # Each copy has its reason, and the log knows of at least as many.
    assert not twice["unexplained"]
    assert twice["killed after the answer"] <= sum(outcome.in_flight)
    # The same message each time, to the octet: so nobody need see it twice.
    for copies in outcome.copies.values():
        assert len({one.data for one in copies}) == 1
    # Each was paid for in the transaction that took it, and nothing stays behind.
    assert outcome.spent == len(outcome.accepted)
    assert outcome.left == {"queue_items": 0, "queue_bodies": 0}
    assert outcome.files == []
