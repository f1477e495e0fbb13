"""kill -9 under load: what was answered 250 is there once, and nothing else is."""

from __future__ import annotations

import itertools
import poplib
import random
import re
import smtplib
import sqlite3
import threading
from collections import Counter
from contextlib import closing, suppress

import pytest
from attrs import Factory, define

from tests.figures import Tell
from tests.flow.house import House, password, take_all

KILLS = 50
SENDERS = 6
BOTH = ["alice@mail.i2p", "bob@mail.i2p"]
TOKEN = re.compile(rb"token-(\d+)-end")


@define
class Ledger:
    """What the clients know: numbers of messages, by what they were told."""

    kept: set[int] = Factory(set)
    unsure: set[int] = Factory(set)
    refused: set[int] = Factory(set)
    drained: Counter[int] = Factory(Counter)
    maybe_drained: list[set[int]] = Factory(list)
    again: set[int] = Factory(set)


class Load:
    """Members who hand in numbered messages, and one who collects, while it runs."""

    def __init__(self, house: House) -> None:
        self.ledger = Ledger()
        self._house = house
        self._numbers = itertools.count(1)
        self._over = threading.Event()
        self._up = threading.Event()
        self._wrong: list[BaseException] = []
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        self._threads.append(threading.Thread(target=self._drain))

    def start(self) -> None:
        """Let the clients wait for the node."""
        for thread in self._threads:
            thread.start()

    def up(self) -> None:
        """Tell the clients that the node runs."""
        self._up.set()

    def down(self) -> None:
        """Let those who lose their session wait."""
        self._up.clear()

    def stop(self) -> None:
        """Let everybody finish what was begun; a client's surprise is raised here."""
        self._over.set()
        self._up.set()
        for thread in self._threads:
            thread.join()
        if self._wrong:
            raise self._wrong[0]

    def _while_up(self, once: object) -> None:
        try:
            while not self._over.is_set():
                self._up.wait()
                # The node may be killed at any word.
                with suppress(OSError, EOFError, smtplib.SMTPException):
                    once()  # type: ignore[operator]
        except BaseException as error:
            self._wrong.append(error)

    def _send(self) -> None:
        self._while_up(self._send_some)

    def _send_some(self) -> None:
        port = self._house.smtp_port
        with smtplib.SMTP("127.0.0.1", port, "client", 20) as session:
            session.login("jondoe", password("jondoe"))
            while not self._over.is_set():
                self._hand_in(session, next(self._numbers))

    def _hand_in(self, session: smtplib.SMTP, number: int) -> None:
        # Every eighth is long enough for a file of its own.
        filling = "x" * 70 + "\r\n"
        body = filling * (2000 if number % 8 == 0 else 10)
        message = f"Subject: {number}\r\n\r\ntoken-{number}-end\r\n{body}"
        session.ehlo_or_helo_if_needed()
        assert session.mail("jondoe@mail.i2p")[0] == 250
        for recipient in BOTH:
            assert session.rcpt(recipient)[0] == 250
        try:
            code, _ = session.data(message)
        except (OSError, smtplib.SMTPException):
            self.ledger.unsure.add(number)
            raise
        (self.ledger.kept if code == 250 else self.ledger.refused).add(number)

    def _drain(self) -> None:
        self._while_up(self._drain_once)

    def _drain_once(self) -> None:
        try:
            self._drain_session()
        except poplib.error_proto as error:
            # poplib's word for a lost connection; any other refusal is a surprise.
            if "EOF" not in str(error):
                raise
            raise EOFError from error

    def _drain_session(self) -> None:
        port = self._house.pop_port
        with closing(poplib.POP3("127.0.0.1", port, 20)) as session:
            session.user("bob")
            session.pass_(password("bob"))
            seen = [token(message) for message in take_all(session, most=40)]
            # What a session before was told to be deleted must not come again.
            self.ledger.again |= {one for one in seen if self.ledger.drained[one]}
            try:
                session.quit()
            except (OSError, poplib.error_proto):
                self.ledger.maybe_drained.append(set(seen))
                raise
            self.ledger.drained.update(seen)


def token(message: bytes) -> int:
    """Return the number of a message."""
    match = TOKEN.search(message)
    assert match, message[:300]
    return int(match[1])


@pytest.fixture
def under_load(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, Ledger]:
    """Kill a node under load, again and again; return it running, with the ledger."""
    everything = {"max_bytes": 2**36}
    house = House(tmp_path_factory.mktemp("kill"), mailboxes=everything)
    house.add("jondoe", "alice", "bob")
    load = Load(house)
    load.start()
    dice = random.Random()
    try:
        for _ in range(KILLS):
            house.start()
            load.up()
            threading.Event().wait(dice.uniform(0.02, 0.6))
            load.down()
            house.kill()
    finally:
        load.stop()
        house.kill()
    house.start()
    return house, load.ledger


def test_kill(under_load: tuple[House, Ledger], tell: Tell) -> None:
    """Fifty kills at random moments: nothing lost, nothing twice, no half delivery."""
    house, ledger = under_load
    try:
        alices = Counter(map(token, house.collect("alice", delete=False)))
        bobs = Counter(map(token, house.collect("bob", delete=False)))
        with closing(sqlite3.connect(house.state / "postman.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            files = "SELECT file FROM messages WHERE file IS NOT NULL"
            named = {name for (name,) in database.execute(files)}
    finally:
        house.stop()
    lucky = set(alices) - ledger.kept
    tell(
        f"{KILLS} kills: {len(ledger.kept)} answered 250, {len(ledger.unsure)} "
        f"without an answer of which {len(lucky)} were kept; "
        f"{len(ledger.drained)} drained"
    )
    assert len(ledger.kept) > KILLS
    assert ledger.kept <= set(alices)
    assert lucky <= ledger.unsure
    assert set(alices.values()) == {1}
    assert not ledger.refused
    # Bob's: the same messages, in the mailbox or drained, never both.
    assert set(bobs.values()) <= {1}
    assert set(alices) == set(bobs).union(ledger.drained, *ledger.maybe_drained)
    assert not ledger.again
    assert not set(bobs) & set(ledger.drained)
    assert set(ledger.drained.values()) <= {1}
    # A QUIT without an answer removed all that its session marked, or nothing.
    for number, marked in enumerate(ledger.maybe_drained, 1):
        seen_later = set(bobs).union(ledger.drained, *ledger.maybe_drained[number:])
        assert marked & seen_later in (set(), marked)
    # No file without a row, no row without a file.
    assert {file.name for file in (house.state / "bodies").iterdir()} == named
