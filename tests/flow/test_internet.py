"""Mail to the Internet at the submission server: who may send how much (guide 7.5)."""

from __future__ import annotations

import itertools
import random
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from postmand.rules.hashcash import mint, resource, zero_bits
from tests.flow.abroad import (
    abroad,
    accepted,
    handed_in,
    let_midnight_pass,
    letter,
    told_left,
)
from tests.flow.corpus import parsed
from tests.flow.house import House
from tests.flow.sink import Sink

WEEK = 7 * 86_400
_names = itertools.count(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Sink]]:
    """Run a node with a gateway for a module's tests."""
    let_midnight_pass()
    with abroad(tmp_path_factory.mktemp("abroad")) as (house, sink):
        house.start()
        yield house, sink


@pytest.fixture
def house(place: tuple[House, Sink]) -> House:
    """Return the node."""
    return place[0]


@pytest.fixture
def sink(place: tuple[House, Sink]) -> Sink:
    """Return the sink, with nothing in it."""
    place[1].taken.clear()
    return place[1]


@pytest.fixture
def member(house: House) -> str:
    """Make a member of the test's own."""
    let_midnight_pass()
    name = f"member{next(_names)}"
    house.add(name)
    return name


def people(number: int, start: int = 0) -> list[str]:
    """Return addresses on the Internet."""
    return [f"person{n}@example.org" for n in range(start, start + number)]


# The day's own.


def test_twenty_and_no_more(house: House, sink: Sink, member: str) -> None:
    """Each RCPT tells what is left; the 21st is refused, and so tells when more come.

    The session goes on: the message goes to the twenty, and local mail is free.
    """
    with house.smtp(member) as session:
        session.mail(f"{member}@mail.i2p")
        left = [told_left(session.rcpt(one)) for one in people(20)]
        assert left == list(range(19, -1, -1))
        code, text = session.rcpt("one-more@example.org")
        assert code == 452
        assert text.startswith(b"4.7.1 0 Internet recipients are left; 20 come back at")
        assert b"0:00 UTC, in " in text
        assert session.rcpt(f"{member}@mail.i2p") == (250, b"2.1.5 Ok")
        assert session.data(letter("to twenty", sender=member))[0] == 250
    (taken,) = sink.wait_for(1)
    assert sorted(taken.recipients) == sorted(people(20))
    assert len(house.collect(member)) == 1
    shown = house.quota(member)
    assert (shown["left"], shown["own"], shown["spent"]) == (0, 20, 20)


def test_each_over_quota_is_answered(house: House, member: str) -> None:
    """Forty recipients in one burst: twenty are accepted, each other is refused."""
    with house.smtp(member) as session:
        assert session.mail(f"{member}@mail.i2p")[0] == 250
        session.send("".join(f"RCPT TO:<{one}>\r\n" for one in people(40)))
        codes = [session.getreply()[0] for _ in range(40)]
        assert codes == [250] * 20 + [452] * 20
        assert session.noop()[0] == 250


def test_named_twice_counts_once(house: House, sink: Sink, member: str) -> None:
    """The same recipient in one transaction, however it is written, is one."""
    spellings = ["x@example.org", "x@example.org", "x@EXAMPLE.org"]
    with house.smtp(member) as session:
        session.mail(f"{member}@mail.i2p")
        for spelling in spellings:
            assert told_left(session.rcpt(spelling)) == 19
        assert session.data(letter("twice", sender=member))[0] == 250
    (taken,) = sink.wait_for(1)
    assert taken.recipients == ("x@example.org",)
    assert house.quota(member)["spent"] == 1


def test_members_are_free(house: House, member: str) -> None:
    """Mail to members costs nothing, in either domain."""
    here = [f"{member}@mail.i2p", f"{member}@i2pmail.org"]
    for one in here:
        house.submit(member, [one], letter("at home", sender=member))
    assert len(house.collect(member)) == 2
    assert house.quota(member)["spent"] == 0


def rset(session: smtplib.SMTP) -> None:
    assert session.rset()[0] == 250


def hang_up(session: smtplib.SMTP) -> None:
    session.close()


def hang_up_in_data(session: smtplib.SMTP) -> None:
    assert session.docmd("DATA")[0] == 354
    session.send(b"Subject: half\r\n\r\nQUIT\r\n")
    session.close()


def fail_data(session: smtplib.SMTP) -> None:
    assert session.docmd("DATA")[0] == 354
    session.send(b"Subject: bad\r\n\r\na NUL: \0\r\n.\r\n")
    assert session.getreply()[0] == 554


def ask_bad_delay(session: smtplib.SMTP) -> None:
    assert session.data(letter("never", "Postman-Delay: tomorrow"))[0] == 554


def say_ehlo(session: smtplib.SMTP) -> None:
    assert session.ehlo()[0] == 250


def say_quit(session: smtplib.SMTP) -> None:
    assert session.quit()[0] == 221


ENDS = [rset, hang_up, hang_up_in_data, fail_data, ask_bad_delay, say_ehlo, say_quit]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_given_back(
    house: House, sink: Sink, member: str, end: Callable[[smtplib.SMTP], None]
) -> None:
    """What was reserved and not sent is there again, for everybody at once."""
    with suppress(smtplib.SMTPServerDisconnected), house.smtp(member) as session:
        assert set(accepted(session, member, *people(20))) == {250}
        end(session)
    # The node may hear of a lost connection a moment later.
    deadline = time.monotonic() + 30
    while True:
        with house.smtp(member) as session:
            session.mail(f"{member}@mail.i2p")
            reply = session.rcpt("again@example.org")
        if reply[0] == 250 or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert told_left(reply) == 19
    assert house.quota(member)["spent"] == 0
    assert not sink.taken


# Races.


def at_once(
    house: House, member: str, number: int, act: Callable[[int, smtplib.SMTP], None]
) -> None:
    """Log in `number` sessions, and have them act at the same moment."""
    ready = threading.Barrier(number)
    wrong: list[BaseException] = []

    def run(index: int) -> None:
        try:
            with house.smtp(member) as session:
                ready.wait(60)
                act(index, session)
        except BaseException as error:
            wrong.append(error)
            ready.abort()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


def test_eight_race_for_the_last(house: House, sink: Sink, member: str) -> None:
    """Eight sessions, one recipient left: one wins it, the others are refused."""
    for number in range(19):
        house.submit(member, people(1, number), letter(number, sender=member))
    codes: list[int] = []
    sent: list[int] = []
    met = threading.Barrier(8)

    def act(index: int, session: smtplib.SMTP) -> None:
        codes.extend(accepted(session, member, f"racer{index}@example.org"))
        met.wait(60)
        sent.append(handed_in(session, letter("the last", sender=member)))

    at_once(house, member, 8, act)
    assert sorted(codes) == [250] + [452] * 7
    assert sorted(sent) == [250] + [554] * 7
    assert len(sink.wait_for(20)) == 20
    assert house.quota(member)["spent"] == 20


def test_eight_spend_all_at_once(house: House, sink: Sink, member: str) -> None:
    """Eight sessions of five each spend all twenty, and not one more."""
    won: list[int] = []

    def act(index: int, session: smtplib.SMTP) -> None:
        for _ in range(3):
            codes = accepted(session, member, *people(5, 100 * index))
            if 250 in codes:
                assert session.data(letter(index, sender=member))[0] == 250
                won.append(codes.count(250))
            else:
                session.rset()

    at_once(house, member, 8, act)
    assert sum(won) == 20
    taken = sink.wait_for(len(won))
    assert sum(len(one.recipients) for one in taken) == 20
    assert house.quota(member)["spent"] == 20


# Stamps.


def stamp(name: str, bits: int = 16, when: float = 0.0) -> str:
    """Make a stamp for an account; `when` is seconds from now."""
    made = resource(name, "mail.i2p")
    return mint(made, bits, time.time() + when, random.Random()).decode()


def lying_stamp(name: str) -> str:
    """Return a stamp that claims 16 bits, and is not worth them."""
    day = time.strftime("%y%m%d", time.gmtime())
    for number in itertools.count():
        lie = f"1:16:{day}:quota/{name}@mail.i2p::salt:{number:x}"
        if zero_bits(lie.encode()) < 16:
            return lie
    raise AssertionError


def by_mail(house: House, name: str, stamp: str, to: str = "quota@mail.i2p") -> str:
    """Buy by a mail to the desk; return the answer's subject and text."""
    subject = f"From: {name}@mail.i2p\r\nSubject: {stamp}\r\n\r\n".encode()
    house.submit(name, [to], subject)
    (answer,) = house.collect(name)
    message = parsed(answer)
    assert message["From"] == "quota@mail.i2p"
    assert message["To"] == f"{name}@mail.i2p"
    return f"{message['Subject']}: {message.get_content()}"


def by_tool(house: House, name: str, stamp: str) -> str:
    """Buy with postmanctl; return what it says."""
    try:
        return house.ctl("quota", "buy", name, stamp)
    except AssertionError as error:
        return str(error)


WAYS = [by_mail, by_tool]
ways = pytest.mark.parametrize("buy", WAYS, ids=lambda buy: buy.__name__)
Buy = Callable[[House, str, str], str]


@ways
def test_stamp_buys(house: House, member: str, sink: Sink, buy: Buy) -> None:
    """A stamp buys twenty, which are used when the day's own are gone."""
    with house.smtp(member) as session:
        assert set(accepted(session, member, *people(20))) == {250}
        assert session.data(letter("own", sender=member))[0] == 250
    told = buy(house, member, stamp(member))
    assert "20" in told
    assert house.quota(member)["left"] == 20
    with house.smtp(member) as session:
        codes = accepted(session, member, *people(21))
        assert codes == [250] * 20 + [452]
        assert session.data(letter("bought", sender=member))[0] == 250
    sink.wait_for(2)
    shown = house.quota(member)
    assert (shown["left"], shown["spent"], shown["bought_left"]) == (0, 20, 0)


BAD_STAMPS: dict[str, tuple[Callable[[str], str], str]] = {
    "another's": (lambda _: stamp("somebody"), "made out to something else"),
    "last week's": (lambda name: stamp(name, when=-WEEK), "too old"),
    "next week's": (lambda name: stamp(name, when=WEEK), "still to come"),
    "too few bits": (lambda name: stamp(name, 12), "the smallest that buys has 16"),
    "lying": (lying_stamp, "claims 16 bits"),
}


@ways
@pytest.mark.parametrize("kind", BAD_STAMPS)
def test_bad_stamp(house: House, member: str, buy: Buy, kind: str) -> None:
    """Refused with its reason, and nothing is credited."""
    make, reason = BAD_STAMPS[kind]
    before = house.quota(member)
    assert reason in " ".join(buy(house, member, make(member)).split())
    assert house.quota(member) == before


@ways
@pytest.mark.parametrize("again", WAYS, ids=lambda buy: f"then_{buy.__name__}")
def test_stamp_buys_once(house: House, member: str, buy: Buy, again: Buy) -> None:
    """The same stamp again, the same way or another, buys nothing."""
    made = stamp(member)
    buy(house, member, made)
    bought = house.quota(member)
    assert bought["bought_left"] == 20
    told = again(house, member, made)
    assert "already" in told
    assert house.quota(member) == bought


def test_one_stamp_in_eight_sessions(house: House, member: str) -> None:
    """Handed in eight times at once, a stamp buys once."""
    made = stamp(member)
    letters = f"From: {member}@mail.i2p\r\nSubject: {made}\r\n\r\n".encode()

    def act(_: int, session: smtplib.SMTP) -> None:
        assert not session.sendmail(f"{member}@mail.i2p", ["quota@mail.i2p"], letters)

    at_once(house, member, 8, act)
    subjects = [parsed(one)["Subject"] for one in house.collect(member)]
    assert sorted(subjects) == ["Stamp accepted"] + ["Stamp refused"] * 7
    assert house.quota(member)["bought_today"] == 20


def test_smaller_purchase_is_refused(house: House, member: str) -> None:
    """Purchases do not add up: a larger one replaces, a smaller one is unspent."""
    small = stamp(member, 16)
    assert "accepted" in by_mail(house, member, stamp(member, 17))
    assert house.quota(member)["bought_left"] == 40
    assert "use those first" in " ".join(by_mail(house, member, small).split())
    assert house.quota(member)["bought_left"] == 40
    assert "accepted" in by_mail(house, member, stamp(member, 18))
    shown = house.quota(member)
    assert (shown["bought_left"], shown["bought_today"]) == (80, 120)
    # The refused one is as good as before: once those are used it buys.
    with house.smtp(member) as session:
        assert set(accepted(session, member, *people(81))) == {250}
        assert session.data(letter("many", sender=member))[0] == 250
    assert house.quota(member)["bought_left"] == 19
    assert "accepted" in by_mail(house, member, small)
    assert house.quota(member)["bought_left"] == 20
