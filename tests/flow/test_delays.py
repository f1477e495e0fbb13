"""When mail leaves for the Internet (guide 7.4), on clocks that are moved ahead."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from tests.flow.abroad import MINUTE, abroad, date_of, fence, let_all_leave, letter
from tests.flow.corpus import field_names, fields, tree
from tests.flow.house import House
from tests.flow.sink import Sink

HOUR, DAY = 3_600, 86_400
_names = itertools.count(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Sink]]:
    """Run a node with a gateway, and a small pool."""
    delays = {"default": "defer", "pool_set": 3}
    many = {"per_day": 1_000, "first_day": 1_000}
    base = tmp_path_factory.mktemp("delays")
    with abroad(base, delays=delays, quota=many) as (house, sink):
        house.add("fence")
        house.ctl("account", "delay", "fence", "none")
        house.start()
        yield house, sink


@pytest.fixture
def house(place: tuple[House, Sink]) -> House:
    """Return the node."""
    return place[0]


@pytest.fixture
def sink(place: tuple[House, Sink]) -> Iterator[Sink]:
    """Return the sink; nothing waits in the node before a test, nor after it."""
    yield place[1]
    let_all_leave(place[0])
    place[1].taken.clear()


def members(house: House, number: int) -> list[str]:
    """Make members of the test's own."""
    names = [f"member{next(_names)}" for _ in range(number)]
    house.add(*names)
    return names


def hand_in(house: House, name: str, number: int, *more: str) -> None:
    """Hand in a letter to a domain of its own."""
    to = f"person@d{number}.example.org"
    house.submit(name, [to], letter(number, *more, sender=name))


def numbers(sink: Sink) -> list[int]:
    """Return the numbers of the letters taken, in order; a fence has none."""
    found = (re.search(r"@d(\d+)\.", one.recipients[0]) for one in sink.taken)
    return [int(match[1]) for match in found if match]


def test_none(house: House, sink: Sink) -> None:
    """It leaves with the next tick, dated with the minute of that."""
    (name,) = members(house, 1)
    house.ctl("account", "delay", name, "none")
    before = house.now()
    hand_in(house, name, 1)
    (taken,) = sink.wait_for(1)
    assert before - MINUTE < date_of(taken.header) <= house.now()


def test_defer_is_the_default(house: House, sink: Sink) -> None:
    """Between 2,000 and 4,000 s, each at a random moment, dated with that."""
    (name,) = members(house, 1)
    begun = house.now()
    for number in range(24):
        hand_in(house, name, number)
    ended = house.now()
    house.later(2_000 - (house.now() - begun) - 2 * MINUTE)
    assert fence(house, sink) == 0
    came = []
    while house.now() < ended + 4_000 + MINUTE:
        house.later(200)
        came.append(fence(house, sink))
    sink.wait_for(24)
    assert sorted(numbers(sink)) == list(range(24))
    # Not all in one heap, and not in the order of their hand-in.
    assert sum(number > 0 for number in came) > 3
    assert numbers(sink) != sorted(numbers(sink))
    for taken in sink.taken:
        assert begun + 2_000 - MINUTE <= date_of(taken.header) <= house.now()


def test_batch(house: House, sink: Sink) -> None:
    """At 0:00 and 12:00 UTC, together."""
    names = members(house, 2)
    for name in names:
        house.ctl("account", "delay", name, "batch")
    to_the_hour = HOUR - house.now() % HOUR
    # Well away from the batch, whatever the time of day is now.
    house.later(to_the_hour + (HOUR if house.now() // HOUR % 12 == 11 else 0) + MINUTE)
    begun = house.now()
    batch = (begun // (12 * HOUR) + 1) * 12 * HOUR
    for number in range(6):
        hand_in(house, names[number % 2], number)
    house.later(batch - house.now() - 2 * MINUTE)
    assert fence(house, sink) == 0
    house.later(2 * MINUTE)
    fence(house, sink)
    sink.wait_for(6)
    assert sorted(numbers(sink)) == list(range(6))
    for taken in sink.taken:
        assert batch <= date_of(taken.header) <= house.now()


def test_pool(house: House, sink: Sink) -> None:
    """A mail waits until there are enough others' mails; then all leave at once.

    The set here is three. Whoever wrote twice counts for less than one by himself.
    """
    first, second, third, fourth = members(house, 4)
    for number, name in enumerate((first, first, second, third)):
        hand_in(house, name, number, "Postman-Delay: pool")
    house.later(5 * HOUR)
    assert fence(house, sink) == 0
    hand_in(house, fourth, 4, "Postman-Delay: pool")
    sink.wait_for(5)
    assert sorted(numbers(sink)) == list(range(5))
    assert len({date_of(one.header) for one in sink.taken}) == 1


def test_pool_of_one(house: House, sink: Sink) -> None:
    """Whom nobody hides leaves in the end, between 18 and 24 hours later."""
    (name,) = members(house, 1)
    begun = house.now()
    hand_in(house, name, 1, "Postman-Delay: pool")
    house.later(18 * HOUR - 2 * MINUTE)
    assert fence(house, sink) == 0
    house.later(6 * HOUR + 3 * MINUTE)
    (taken,) = sink.wait_for(1)
    assert begun + 18 * HOUR - MINUTE <= date_of(taken.header) <= house.now()


def test_header_goes_before_the_account(house: House, sink: Sink) -> None:
    """Postman-Delay is honoured, in any case, and eaten: in no copy there is any."""
    (name,) = members(house, 1)
    house.ctl("account", "delay", name, "batch")
    recipients = ["person@d1.example.org", f"{name}@mail.i2p"]
    house.submit(name, recipients, letter(1, "POSTMAN-delay:  None", sender=name))
    (taken,) = sink.wait_for(1)
    (copy,) = house.collect(name)
    for message in (taken.data, copy):
        assert b"postman-delay" not in message.lower()
    assert taken.sender == f"{name}@i2pmail.org"
    # The same from a member who chose none, the other way.
    house.ctl("account", "delay", name, "none")
    hand_in(house, name, 2, "Postman-Delay: defer")
    house.later(1_800)
    assert fence(house, sink) == 0


def test_account_delay_and_back(house: House, sink: Sink) -> None:
    """A choice holds from then on, and so does taking it back."""
    (name,) = members(house, 1)
    with house.smtp(name) as session:
        for mode, number in (("none", 1), ("default", 2)):
            house.ctl("account", "delay", name, mode)
            to = f"person@d{number}.example.org"
            text = letter(number, sender=name)
            assert not session.sendmail(f"{name}@mail.i2p", [to], text)
    sink.wait_for(1)
    assert fence(house, sink) == 0
    assert numbers(sink) == [1]
    house.later(4_000 + 2 * MINUTE)
    sink.wait_for(2)
    assert numbers(sink) == [1, 2]


@pytest.mark.parametrize(
    "lines",
    [
        ("Postman-Delay: soon",),
        ("Postman-Delay:",),
        ("Postman-Delay: none", "Postman-Delay: none"),
    ],
    ids=["unknown", "empty", "twice"],
)
def test_bad_choice_is_refused(
    house: House, sink: Sink, lines: tuple[str, ...]
) -> None:
    """Not guessed at: a delay the member did not get would betray them."""
    (name,) = members(house, 1)
    with house.smtp(name) as session:
        session.mail(f"{name}@mail.i2p")
        session.rcpt("person@d1.example.org")
        code, text = session.data(letter(1, *lines, sender=name))
    assert (code, text[:6]) == (554, b"5.6.0 ")
    assert b"Postman-Delay" in text
    assert fence(house, sink) == 0
    assert house.quota(name)["spent"] == 0


def test_restart_loses_and_doubles_nothing(house: House, sink: Sink) -> None:
    """What waits and what is in the pool outlives the node, and leaves once."""
    first, second = members(house, 2)
    for number in range(4):
        hand_in(house, first, number)
    hand_in(house, second, 4, "Postman-Delay: pool")
    house.stop()
    house.later(MINUTE)
    house.start()
    assert fence(house, sink) == 0
    house.kill()
    house.later(DAY)
    house.start()
    sink.wait_until(lambda: len(numbers(sink)) >= 5)
    house.later(DAY)
    fence(house, sink)
    assert sorted(numbers(sink)) == list(range(5))


def test_what_waits_is_seen_by_the_operator(house: House, sink: Sink) -> None:
    """`postmanctl queue`: held back it does not leave, let go it does; dropped, never.

    Nothing of who wrote to whom is shown.
    """
    (name,) = members(house, 1)
    for number in range(2):
        hand_in(house, name, number)
    listed = house.ctl("queue", "list")
    first, second = (line.split()[0] for line in listed.splitlines()[1:])
    assert name not in listed
    assert "example.org" not in listed
    house.ctl("queue", "hold", first)
    house.ctl("queue", "drop", second, "--yes")
    house.later(5_000)
    assert fence(house, sink) == 0
    house.ctl("queue", "release", first)
    assert len(sink.wait_for(1)) == 1
    fence(house, sink)
    assert house.ctl("queue", "list") == ""


def test_nothing_but_what_was_written(house: House, sink: Sink) -> None:
    """The fields that leave are those of the member's message, and a signature's."""
    (name,) = members(house, 1)
    hand_in(house, name, 1, "Postman-Delay: none", "Received: from here by there; now")
    (taken,) = sink.wait_for(1)
    header = tree(taken.data).header
    assert field_names(header) == [
        *(b"Date", b"From", b"To", b"Subject", b"Message-ID", b"MIME-Version"),
        *(b"Content-Type", b"Content-Transfer-Encoding"),
    ]
    assert b"From: %b@i2pmail.org" % name.encode() in fields(header)
