"""Mail both ways while gateway and host are killed, and the link between them is cut.

Each message answered 250 is there in the end, a member's or the Internet's, or came
back as one report. Doubles are there only where SMTP leaves no choice, and are counted.

MESSAGES in the environment asks for a longer run than the suite's.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import smtplib
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from attrs import Factory, define, frozen

from tests.faults.apart import PEER, SENDER, Apart, Patience, apart, wait_for
from tests.faults.senders import Note, Senders, Told
from tests.faults.test_kill_internet import Moods, Passing, doubles
from tests.figures import Tell
from tests.flow.house import House, password
from tests.flow.program import LOCAL, Section
from tests.flow.sink import Sink, Taken

MESSAGES = int(os.environ.get("MESSAGES", "120"))
MEMBERS = ("alice", "bob", "jondoe")
# How often each fault comes at the least, and how many seconds lie between two.
LEAST, BETWEEN = max(1, MESSAGES // 100), (0.1, 6.0)
# How far host and gateway are apart, in seconds one way: more is on its way at a fault.
AWAY = 0.1
# What comes in is numbered from here on.
INWARD = 1_000_000
TOKEN = re.compile(rb"token-(\d+)-end")
STRANGER = re.compile(rb"stranger(\d+)@")
MANY = 1_000_000

HOST: dict[str, Section] = {
    "delays": {"default": "none", "tick_seconds": 0.1},
    "quota": {"per_day": 100_000, "first_day": 100_000},
    "relay": {
        "away_seconds": 0.2,
        "retry_first_seconds": 1,
        "retry_longest_seconds": 4,
        "connect_seconds": 10,
        "reply_seconds": 90,
    },
    "inbound": {
        "messages_per_hour": MANY,
        "bytes_per_hour": MANY * 10_000,
        "questions_per_hour": MANY,
    },
}
GATEWAY: dict[str, Section] = {
    "exchange": {
        "banner_seconds": 0.0,
        "greylist": False,
        "questions_per_network_minute": MANY,
        "questions_per_network_hour": MANY,
    },
    "exit": {
        "reply_seconds": 5.0,
        "connect_seconds": 5.0,
        "messages_per_domain_minute": MANY,
    },
    "link": {"questions_per_minute": MANY},
}


def text(number: int) -> bytes:
    """Return a message; some are long enough for a file, or for the gateway's disk."""
    lines = 18_000 if number % 40 == 0 else 2_000 if number % 16 == 0 else 10
    sender = MEMBERS[number % 3] + "@mail.i2p" if number < INWARD else SENDER
    head = f"From: {sender}\r\nSubject: token-{number}-end\r\n"
    return (head + "\r\n" + ("x" * 70 + "\r\n") * lines).encode()


def for_the_internet(number: int) -> Note:
    """Return a member's message; every tenth is for nobody at all."""
    local = "nobody" if number % 10 == 0 else "person"
    to = f"{local}{number}@d{number % 40}.sink.test"
    return Note(f"{MEMBERS[number % 3]}@mail.i2p", to, text(number))


def for_a_member(number: int) -> Note:
    """Return a message from the Internet; every tenth is for nobody at all."""
    local = f"stranger{number}" if number % 10 == 0 else MEMBERS[number % 3]
    return Note(SENDER, f"{local}@i2pmail.org", text(number))


def member(house: House, name: str) -> smtplib.SMTP:
    """Open a member's session."""
    session = smtplib.SMTP(LOCAL, house.smtp_port, "c", 20)
    session.login(name, password(name))
    return session


def server(all_: Apart) -> smtplib.SMTP:
    """Open a session as a server of the Internet does."""
    gateway = all_.gateway
    session = smtplib.SMTP(timeout=90, source_address=(PEER, 0))
    session.connect(gateway.address, gateway.port)
    session.ehlo("mx.comes.test")
    return session


@define
class Faults:
    """Does what must do no harm. `eras` are how many messages lay there at each kill.

    They are by member; what came later came from the next life of the host.
    """

    all_: Apart
    done: Counter[str] = Factory(Counter)
    eras: list[dict[str, int]] = Factory(list)
    dice: random.Random = Factory(random.Random)

    def kill_gateway(self) -> None:
        """Kill the gateway; it is away for a moment."""
        self.all_.gateway.kill()
        self.all_.sink.era += 1
        time.sleep(self.dice.uniform(0, 0.5))
        self.all_.gateway.start()

    def kill_host(self) -> None:
        """Kill the mail host."""
        house = self.all_.house
        house.kill()
        self.eras.append(lying(house))
        time.sleep(self.dice.uniform(0, 0.5))
        house.start()

    def cut(self) -> None:
        """Drop the connections of the link, in one direction or in both."""
        links = [self.all_.inward, self.all_.outward]
        for link in self.dice.sample(links, self.dice.randint(1, 2)):
            link.cut()

    def part(self) -> None:
        """Have no link for a while."""
        links = self.all_.inward, self.all_.outward
        for link in links:
            link.cut(stays=True)
        time.sleep(self.dice.uniform(0.5, 2))
        for link in links:
            link.mend()

    def some(self) -> None:
        """Do what was not done often enough, or anything."""
        kinds: list[Callable[[], None]] = [
            *(self.kill_gateway, self.kill_host, self.cut, self.part)
        ]
        seldom = [one for one in kinds if self.done[one.__name__] < LEAST]
        kind = self.dice.choice(seldom or kinds)
        time.sleep(self.dice.uniform(*BETWEEN))
        kind()
        self.done[kind.__name__] += 1

    @property
    def enough(self) -> bool:
        """Whether each was done often enough."""
        return len(self.done) == 4 and min(self.done.values()) >= LEAST


def lying(house: House) -> dict[str, int]:
    """Return how many messages each member has, by a copy of a dead host's files."""
    with tempfile.TemporaryDirectory() as copy:
        for file in house.state.glob("postman.db*"):
            shutil.copy(file, copy)
        with closing(sqlite3.connect(Path(copy) / "postman.db")) as database:
            return dict(
                database.execute(
                    "SELECT name, COUNT(messages.id) FROM accounts LEFT JOIN messages"
                    " ON messages.account = accounts.id GROUP BY name"
                )
            )


@frozen
class Outcome:
    """What is there in the end.

    `there` are copies at the sink of what members sent, `back` reports to them. `came`
    are the lives of the host in which copies came to members, of what was sent in;
    `reports` are those to its sender, the copies of each by itself. `seconds` passed
    until all was handed in, and from then on.
    """

    outward: Told
    inward: Told
    faults: Mapping[str, int]
    there: Mapping[int, list[Taken]]
    back: Counter[int]
    came: Mapping[int, list[int]]
    reports: Mapping[int, list[list[Taken]]]
    seconds: tuple[float, float]


@pytest.fixture(params=["verify", "seal"])
def outcome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Outcome]]:
    """Let all of it go wrong until all is handed in; then let it finish in peace."""
    moods = Moods()
    exchange = {**GATEWAY["exchange"], "inbound": request.param}  # type: ignore[dict-item]
    with apart(
        tmp_path_factory.mktemp(request.param),
        members=MEMBERS,
        host=HOST,
        gateway={**GATEWAY, "exchange": exchange},
        seconds=AWAY,
        on_a_clock=True,
        sink=partial(Sink, mood=moods, refused=lambda one: one.startswith("nobody")),
    ) as all_:
        begun = time.monotonic()
        with Passing(all_.house):
            told_out, told_in, faults = troubled(all_)
            handed_in = time.monotonic() - begun
            moods.well = True
            wait_for(lambda: all_.idle, lambda: (len(all_.sink.taken), all_.lying))
        seconds = handed_in, time.monotonic() - begun - handed_in
        yield request.param, seen(all_, told_out, told_in, faults, seconds)


def troubled(all_: Apart) -> tuple[Told, Told, Faults]:
    """Have mail sent both ways, and do harm until all of it is handed in."""
    numbers = range(1, MESSAGES + 1)
    outward = [
        Senders(
            [number for number in numbers if number % 3 == one],
            partial(member, all_.house, name),
            for_the_internet,
            stubborn=False,
            threads=3,
        )
        for one, name in enumerate(MEMBERS)
    ]
    inward = Senders(
        [INWARD + number for number in numbers],
        partial(server, all_),
        for_a_member,
        stubborn=True,
        threads=8,
    )
    faults, patience = Faults(all_), Patience()
    senders = [*outward, inward]
    try:
        for one in senders:
            one.start()
        while any(map(len, senders)) or not faults.enough:
            left = sum(map(len, senders))
            patience.see(left or faults.done.total())
            faults.some()
    finally:
        for one in senders:
            one.end()
    return together(one.told for one in outward), inward.told, faults


def together(told: Iterator[Told]) -> Told:
    """Return what several were told."""
    every = Told()
    for one in told:
        every.kept |= one.kept
        every.refused |= one.refused
        every.unsure += one.unsure
    return every


def seen(
    all_: Apart,
    outward: Told,
    inward: Told,
    faults: Faults,
    seconds: tuple[float, float],
) -> Outcome:
    """Gather what the sink and the mailboxes have."""
    there: dict[int, list[Taken]] = {}
    reports: dict[int, dict[bytes, list[Taken]]] = {}
    for taken in list(all_.sink.taken):
        if taken.sender:
            there.setdefault(number_in(TOKEN, taken.data), []).append(taken)
        else:
            same = reports.setdefault(number_in(STRANGER, taken.data), {})
            same.setdefault(signed(taken), []).append(taken)
    back: Counter[int] = Counter()
    came: dict[int, list[int]] = {}
    for name in MEMBERS:
        for place, message in enumerate(all_.house.collect(name)):
            number = number_in(TOKEN, message)
            if number < INWARD:
                back[number] += 1
            else:
                era = sum(place >= counts[name] for counts in faults.eras)
                came.setdefault(number, []).append(era)
    each = {number: [*same.values()] for number, same in reports.items()}
    return Outcome(outward, inward, faults.done, there, back, came, each, seconds)


def signed(taken: Taken) -> bytes:
    """Return a message as the mail host wrote it, without the gateway's line."""
    return taken.data.partition(b"\r\nDKIM-")[2]


def number_in(pattern: re.Pattern[bytes], message: bytes) -> int:
    """Return the number of a message, or of the one that is reported on."""
    match = pattern.search(message)
    assert match, message[:600]
    return int(match[1])


def test_all_is_there_once(outcome: tuple[str, Outcome], tell: Tell) -> None:
    """Members' mail and the Internet's is there, once but for SMTP's own window."""
    mode, found = outcome
    out, into = found.outward, found.inward
    sent = [*found.there.values(), *itertools.chain(*found.reports.values())]
    twice_out = sum(map(doubles, sent), Counter[str]())
    twice_in = sum((doubles_in(found, number) for number in found.came), Counter[str]())
    unanswered = sum(not one.answered for copies in sent for one in copies)
    tell(
        f"{mode}: {MESSAGES} messages each way in {found.seconds[0]:.0f} s, and "
        f"{found.seconds[1]:.0f} s more until all had arrived; "
        f"{dict(found.faults)}\n"
        f"out: {len(out.kept)} answered 250, {out.unsure.total()} without an answer"
        f"; {len(found.there)} at the sink, {len(found.back)} came back; the sink "
        f"lost {unanswered} answers; twice: {dict(twice_out)}\n"
        f"in: {len(into.kept)} answered 250, {len(into.refused)} refused, "
        f"{into.unsure.total()} tries without an answer; {len(found.came)} in "
        f"mailboxes, {len(found.reports)} reported; twice: {dict(twice_in)}"
    )
    assert not out.refused
    accepted = set(found.there) | set(found.back)
    # Nothing is lost, and nothing came from nowhere.
    assert out.kept <= accepted
    assert accepted - out.kept <= set(+out.unsure)
    # Each ended in one way: what nobody takes came back, once; nothing else did.
    assert {one for one in accepted if one % 10 == 0} == set(found.back)
    assert set(found.back.values()) <= {1}
    assert not set(found.back) & set(found.there)
    assert not twice_out["unexplained"]
    # What came twice is the same but for the gateway's own line.
    for copies in found.there.values():
        assert len(set(map(signed, copies))) == 1

    # The other way.
    everybody = set(range(INWARD + 1, INWARD + MESSAGES + 1))
    strangers = {one for one in everybody if one % 10 == 0}
    assert into.kept | into.refused == everybody
    assert into.refused <= strangers
    assert set(found.came) == everybody - strangers
    assert not twice_in["unexplained"]
    assert into.kept & strangers <= set(found.reports)
    assert set(found.reports) <= strangers
    assert mode == "seal" or not into.kept & strangers
    assert reports_are_explained(found)


def reports_are_explained(found: Outcome) -> bool:
    """Whether strangers' mail was reported on no oftener than crates came twice."""
    twice = sum(len(every) - 1 for every in found.reports.values())
    unsure = sum(found.inward.unsure[one] for one in found.reports)
    return twice <= unsure + found.faults["kill_host"]


def doubles_in(found: Outcome, number: int) -> Counter[str]:
    """Return why a member has more than one copy: a reason for each but the last."""
    reasons: Counter[str] = Counter()
    unsure = found.inward.unsure[number]
    for this, following in itertools.pairwise(found.came[number]):
        if this != following:
            reasons["host killed after it"] += 1
        elif unsure:
            unsure -= 1
            reasons["answer lost"] += 1
        else:
            reasons["unexplained"] += 1
    return reasons
