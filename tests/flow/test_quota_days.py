"""The days of a quota: midnight, and how long what was bought is good (guide 7.5)."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

import pytest

from postmand.rules.hashcash import mint, resource
from tests.flow.abroad import abroad, accepted, handed_in, letter, told_left
from tests.flow.corpus import parsed
from tests.flow.house import House, password

HOUR, DAY = 3_600, 86_400
_names = itertools.count(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a node with a gateway."""
    base = tmp_path_factory.mktemp("days")
    with abroad(base, delays={"default": "batch"}) as (house, _):
        house.start()
        yield house


@pytest.fixture
def house(running: House) -> House:
    """Return the node, at noon of a new day."""
    running.later(DAY - running.now() % DAY + DAY // 2)
    return running


@pytest.fixture
def member(house: House) -> str:
    """Make a member of the test's own."""
    name = f"member{next(_names)}"
    house.add(name)
    return name


def people(number: int) -> list[str]:
    """Return addresses on the Internet."""
    return [f"person{n}@example.org" for n in range(number)]


def spend(house: House, member: str, number: int) -> None:
    """Write to so many people."""
    with house.smtp(member) as session:
        assert set(accepted(session, member, *people(number))) == {250}
        assert handed_in(session, letter("spent", sender=member)) == 250


def left(house: House, member: str) -> int:
    """Return how many recipients are left, as RCPT tells it; 0 for a refusal."""
    with house.smtp(member) as session:
        session.mail(f"{member}@mail.i2p")
        reply = session.rcpt("one@example.org")
    return 0 if reply[0] == 452 else told_left(reply) + 1


def to_midnight(house: House) -> float:
    """Return the seconds until the next midnight of UTC."""
    return DAY - house.now() % DAY


def buy(house: House, member: str, stamp: bytes) -> str:
    """Send a stamp to the desk; return the answer's subject and text."""
    house.submit(member, ["quota@mail.i2p"], b"Subject: %b\r\n\r\n" % stamp)
    (answer,) = house.collect(member)
    text = parsed(answer).get_content()
    return " ".join(f"{parsed(answer)['Subject']}: {text}".split())


def stamp(house: House, member: str) -> bytes:
    """Make a stamp by the node's clock that buys twenty."""
    made_out = resource(member, "mail.i2p")
    return mint(made_out, 16, house.now(), random.Random())


def test_midnight_gives_it_back(house: House, member: str) -> None:
    """Twenty are there again at 0:00 UTC, as the refusal had said, and not before."""
    spend(house, member, 20)
    house.later(to_midnight(house) - 150)
    with house.smtp(member) as session:
        session.mail(f"{member}@mail.i2p")
        code, text = session.rcpt("one@example.org")
        assert code == 452
        assert re.search(rb"20 come back at 0:00 UTC, in [123] min;", text)
        house.later(180)
        # In the same session, the same transaction.
        assert told_left(session.rcpt("one@example.org")) == 19


def test_reserved_before_midnight_spent_after(house: House, member: str) -> None:
    """A transaction over midnight is paid for on the day that takes the message."""
    house.later(to_midnight(house) - 60)
    with house.smtp(member) as session:
        assert accepted(session, member, *people(20)) == [250] * 20
        house.later(120)
        assert handed_in(session, letter("late", sender=member)) == 250
    assert left(house, member) == 0
    house.later(DAY)
    assert left(house, member) == 20


def test_bought_is_good_for_a_day(house: House, member: str) -> None:
    """What was bought lasts 24 h over midnight, beside the new day's own."""
    assert "Stamp accepted" in buy(house, member, stamp(house, member))
    assert left(house, member) == 40
    house.later(23 * HOUR)
    assert left(house, member) == 40
    house.later(HOUR + 120)
    assert left(house, member) == 20


def test_own_is_spent_before_the_bought(house: House, member: str) -> None:
    """So nothing of what was paid for is lost at midnight."""
    buy(house, member, stamp(house, member))
    spend(house, member, 25)
    assert left(house, member) == 15
    house.later(to_midnight(house) + 60)
    assert left(house, member) == 20 + 15


def test_stamp_is_known_as_long_as_it_is_good(house: House, member: str) -> None:
    """Tomorrow it still has its date, and buys nothing; then it is too old."""
    made = stamp(house, member)
    assert "Stamp accepted" in buy(house, member, made)
    house.later(DAY)
    assert "spent already" in buy(house, member, made)
    # Whatever a start forgets of the days gone by.
    house.stop()
    house.start()
    assert "spent already" in buy(house, member, made)
    house.later(DAY)
    assert "too old" in buy(house, member, made)


def test_clock_set_back_gives_nothing(house: House, member: str) -> None:
    """A clock that steps back a day gives nobody the day's twenty again."""
    spend(house, member, 20)
    house.later(-DAY)
    try:
        assert left(house, member) == 0
    finally:
        house.later(DAY)
    assert left(house, member) == 0


def test_password_changed_after_rcpt(house: House, member: str) -> None:
    """The message is refused, and what was reserved is there for the new login."""
    with house.smtp(member) as session:
        assert set(accepted(session, member, *people(20))) == {250}
        told = f"{password(member)}\n{password(member)}-new\n"
        house.ctl("account", "passwd", member, "--password-stdin", told=told)
        assert handed_in(session, letter("after", sender=member)) == 550
        with house.smtp() as other:
            other.login(member, f"{password(member)}-new")
            other.mail(f"{member}@mail.i2p")
            assert told_left(other.rcpt("one@example.org")) == 19
