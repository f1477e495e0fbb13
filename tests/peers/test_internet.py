"""A member's mail to the Internet among real programs: swaks, hashcash(1), Postfix."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postmand.link import new_identity, pin_of
from tests.conftest import need
from tests.flow.abroad import (
    MINUTE,
    accepted,
    date_of,
    is_signed,
    let_all_leave,
    let_midnight_pass,
    quick,
    record,
)
from tests.flow.corpus import field_names, fields, parsed, tree
from tests.flow.house import House, free_port, password
from tests.flow.sink import Sink
from tests.peers.clients import BODY, HOST, REAL_NAME, SUBJECT, TRACES, Home
from tests.peers.postfix import Postfix

Peer = Callable[..., str]
HOUR = 3_600
# As the guide has them.
STAMPS = {"26": 20, "27": 40, "28": 80}


def people(number: int) -> list[str]:
    """Return addresses at the one domain that Postfix takes mail for."""
    return [f"person{n}@example.org" for n in range(number)]


# Quota and stamps, with swaks and hashcash(1).


@pytest.fixture
def selling(tmp_path: Path) -> Iterator[tuple[Home, Sink]]:
    """Run a node that sells recipients for stamps as the guide has it."""
    let_midnight_pass()
    sink = Sink(free_port()).start()
    house = House(tmp_path, **quick(sink.port, quota={"stamps": STAMPS}))
    house.add("jondoe", "alice")
    house.start()
    try:
        yield Home(tmp_path / "home", house), sink
    finally:
        house.stop()
        sink.stop()


def swaks(home: Home, program: str, *to: str, more: tuple[str, ...] = ()) -> str:
    """Run swaks, which goes on when some recipients are refused; return its words."""
    command = [
        *(program, "--server", home.smtp, "--helo", HOST),
        *("--from", "jondoe@mail.i2p", "--to", ",".join(to)),
        *("--auth", "PLAIN", "--auth-user", "jondoe", "--auth-password", home.password),
        *("--h-From", f"{REAL_NAME} <jondoe@mail.i2p>"),
        *("--h-Subject", SUBJECT, "--body", BODY, "--suppress-data", *more),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=home.path,
        env=home.environment,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def hashcash(home: Home, program: str, *options: str, to: str = "jondoe") -> str:
    """Make a stamp; return it."""
    made = home.run(program, "-mqu", *options, f"quota/{to}@mail.i2p")
    return made.decode().strip()


def test_twenty_one_recipients_and_a_stamp(
    selling: tuple[Home, Sink], peer: Peer
) -> None:
    """Twenty are accepted, the 21st refused at its RCPT; a 26-bit stamp buys more."""
    home, sink = selling
    program, minter = peer("swaks"), peer("hashcash")
    said = swaks(home, program, *people(21))
    assert said.count("2.1.5 Ok, ") == 20
    (refusal,) = re.findall(r"<\*\* 452 (.*)", said)
    assert refusal.startswith("4.7.1 0 Internet recipients are left; 20 come back at")
    assert "250 2.0.0 Ok: kept" in said
    (taken,) = sink.wait_for(1)
    assert sorted(taken.recipients) == sorted(people(20))
    for trace in (*TRACES, b"swaks", b"X-Mailer"):
        assert trace.lower() not in taken.header.lower()
    bought = home.house.ctl(
        "quota", "buy", "jondoe", hashcash(home, minter, "-b", "26")
    )
    assert "jondoe may write to 20 more recipients" in bought
    said = swaks(home, program, *people(21))
    assert said.count("2.1.5 Ok, ") == 20
    assert len(re.findall(r"<\*\* 452 4\.7\.1 0 Internet recipients", said)) == 1
    assert len(sink.wait_for(2)[1].recipients) == 20


def test_stamps_that_buy_nothing(selling: tuple[Home, Sink], peer: Peer) -> None:
    """Each is refused with its reason, by mail and by postmanctl; nothing changes."""
    home, _ = selling
    minter = peer("hashcash")
    few = hashcash(home, minter, "-b", "20")
    refused = {
        hashcash(home, minter, "-b", "20", to="alice"): "made out to something else",
        hashcash(home, minter, "-b", "20", "-t", "-7d"): "the stamp is too old",
        few: "the smallest that buys has 26",
        few.replace("1:20:", "1:26:"): "claims 26 bits, and its hash has",
    }
    before = home.house.quota("jondoe")
    for stamp, reason in refused.items():
        with pytest.raises(AssertionError, match=reason):
            home.house.ctl("quota", "buy", "jondoe", stamp)
        swaks(home, peer("swaks"), "quota@mail.i2p", more=("--h-Subject", stamp))
        (answer,) = home.house.collect("jondoe")
        assert parsed(answer)["Subject"] == "Stamp refused"
        assert reason in " ".join(parsed(answer).get_content().split())
        assert home.house.quota("jondoe") == before


def test_stamp_by_mail(tmp_path: Path, peer: Peer) -> None:
    """Handed in with a mail and read about with POP3; the same stamp again is refused.

    Of few bits, for time's sake.
    """
    house = House(tmp_path, **quick(free_port(), quota={"stamps": {"20": 20}}))
    house.add("jondoe")
    house.start()
    try:
        home = Home(tmp_path / "home", house)
        stamp = hashcash(home, peer("hashcash"), "-b", "20")
        told = []
        for _ in range(2):
            swaks(home, peer("swaks"), "quota@mail.i2p", more=("--h-Subject", stamp))
            (answer,) = house.collect("jondoe")
            told.append(parsed(answer)["Subject"])
        assert told == ["Stamp accepted", "Stamp refused"]
        assert b"spent already" in answer
        assert house.quota("jondoe")["bought_left"] == 20
    finally:
        house.stop()


# The ten steps of the guide, seen at a real Postfix.


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    """Run a Postfix that takes mail for example.org."""
    need("smtp-sink", "postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix runs as root only")
    identity = new_identity()
    running = Postfix(identity, pin_of(identity))
    try:
        yield running
    finally:
        running.stop()


Sending = tuple[House, Postfix, tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def sending(
    postfix: Postfix, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sending]:
    """Run a node, on clocks, whose gateway is Postfix; its pool is of three."""
    delays = {"default": "defer", "pool_set": 3}
    base = tmp_path_factory.mktemp("sending")
    house = House(base, **quick(postfix.plain, delays=delays)).on_a_clock()
    house.add("jondoe", "alice", "bob")
    published = record(house)
    house.start()
    try:
        yield house, postfix, published
    finally:
        house.stop()


MESSAGE = """\
From: Jon Doe <jondoe@mail.i2p>
To: person0@example.org, alice@mail.i2p
Cc: stranger@mail.i2p
References: <theirs@example.org>
Subject: Greetings
Date: Mon, 05 Oct 2026 06:07:08 -0430
Message-ID: <20261005060708.5150@marys-laptop.home.example.org>
User-Agent: Swiftmail 1.2
X-Originating-IP: 10.77.66.55
Received: from [10.77.66.55] by marys-laptop.home.example.org
Postman-Delay: {mode}
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hällo,
.one dot
From the start of a line
bye
"""


def hand_in(house: House, name: str, mode: str) -> None:
    """Hand in as the guide has it (steps 1 to 6), and see what must not be done."""
    with house.smtp() as session:
        # 2. The user logs in: relaying is not allowed at all otherwise.
        session.ehlo()
        assert session.mail(f"{name}@mail.i2p")[0] == 530
        session.login(name, password(name))
        # 3. The sender is the login's own.
        assert session.mail("somebody@mail.i2p")[0] == 553
        # 4. The quota is asked at each recipient.
        assert accepted(session, name, *people(1)) == [250]
        assert session.rcpt("alice@mail.i2p")[0] == 250
        # 6. It is accepted and queued.
        text = MESSAGE.format(mode=mode).replace("jondoe@", f"{name}@")
        wire = text.replace("\n", "\r\n").encode()
        assert session.data(wire) == (250, b"2.0.0 Ok: kept")


def check_delivered(
    message: bytes, published: tuple[bytes, bytes], earliest: float, latest: float
) -> None:
    """See what Postfix delivered (steps 7 to 10): this and nothing else left the host.

    Times bound the moment of its release.
    """
    wire = message.replace(b"\n", b"\r\n")
    start = wire.index(b"DKIM-Signature:")
    added, sent = wire[:start], wire[start:]
    names = field_names(tree(sent).header)
    # 7. Return-Path and From are of the Internet's domain.
    name = parsed(sent)["From"].addresses[0].username.encode()
    assert b"Return-Path: <%b@i2pmail.org>\r\n" % name in added
    assert name in (b"jondoe", b"alice", b"bob")
    lines = fields(tree(sent).header)
    assert b"From: %b@i2pmail.org" % name in lines
    assert b"To: person0@example.org, alice@i2pmail.org" in lines
    assert b"Cc: stranger@i2pmail.org" in lines
    # 8. The host calls itself by its public name; loopback stands for the tunnel.
    assert re.search(rb"Received: from mail\.i2p \(unknown \[127\.0\.0\.1\]\)", added)
    assert added.count(b"Received:") == 1
    # 5 and 9. The header is sanitised: these fields, and of them these values.
    assert names == [
        *(b"DKIM-Signature", b"Date", b"From", b"To", b"Cc", b"Subject"),
        *(b"Message-ID", b"References", b"MIME-Version", b"Content-Type"),
        b"Content-Transfer-Encoding",
    ]
    for trace in (*TRACES, b"Swiftmail", b"0430", b"5150", b"06:07", b"mail.i2p"):
        assert trace not in sent
    assert earliest - MINUTE < date_of(sent) <= latest
    assert any(re.fullmatch(rb"Message-ID: <[0-9a-f]+@i2pmail\.org>", x) for x in lines)
    assert is_signed(sent, published)
    # 10. What arrives is what was written.
    text = parsed(sent).get_content().replace("\r\n", "\n")
    assert text == MESSAGE.partition("\n\n")[2]


def still(postfix: Postfix) -> bool:
    """Whether nothing has come."""
    return postfix.collect(0) == []


def test_none(sending: Sending) -> None:
    """Without a delay."""
    house, postfix, published = sending
    begun = house.now()
    hand_in(house, "jondoe", "none")
    (message,) = postfix.collect(1)
    check_delivered(message, published, begun, house.now())


def test_defer(sending: Sending) -> None:
    """2,000 to 4,000 s later."""
    house, postfix, published = sending
    begun = house.now()
    hand_in(house, "jondoe", "defer")
    house.later(1_900)
    hand_in(house, "bob", "none")
    (fence,) = postfix.collect(1)
    assert b"bob@i2pmail.org" in fence
    house.later(2_200)
    (message,) = postfix.collect(1)
    check_delivered(message, published, begun + 2_000, house.now())
    assert b"jondoe@i2pmail.org" in message


def test_batch(sending: Sending) -> None:
    """At 0:00 or 12:00 UTC."""
    house, postfix, published = sending
    # Right after one of them.
    house.later(12 * HOUR - house.now() % (12 * HOUR) + MINUTE)
    batch = (house.now() // (12 * HOUR) + 1) * 12 * HOUR
    hand_in(house, "alice", "batch")
    hand_in(house, "jondoe", "batch")
    house.later(11 * HOUR)
    assert still(postfix)
    house.later(HOUR)
    messages = postfix.collect(2)
    assert len(messages) == 2
    for message in messages:
        check_delivered(message, published, batch, house.now())


def test_pool(sending: Sending) -> None:
    """When there are enough others, and then together."""
    house, postfix, published = sending
    for name in ("jondoe", "alice"):
        hand_in(house, name, "pool")
    house.later(3 * HOUR)
    assert still(postfix)
    begun = house.now()
    hand_in(house, "bob", "pool")
    messages = postfix.collect(3)
    assert len(messages) == 3
    for message in messages:
        check_delivered(message, published, begun, house.now())


def test_in_real_time(postfix: Postfix, tmp_path: Path) -> None:
    """No clock is moved: a delay of seconds, and as a due is a whole minute, up to one.

    Refused by a recipient at Postfix, the mail comes back.
    """
    delays = {"defer_min_seconds": 1, "defer_max_seconds": 2, "tick_seconds": 0.2}
    house = House(tmp_path, **quick(postfix.plain, delays=delays))
    house.add("jondoe", "alice")
    published = record(house)
    house.start()
    try:
        begun = time.time()
        hand_in(house, "jondoe", "defer")
        nobody = b"Postman-Delay: none\r\nSubject: for nobody\r\n\r\n"
        house.submit("jondoe", ["nobody@example.org"], nobody)
        messages: list[bytes] = []
        while not messages and time.time() < begun + 120:
            messages = postfix.collect(1)
        (message,) = messages
        check_delivered(message, published, begun + 1, time.time())
        let_all_leave(house)
        (report,) = house.collect("jondoe")
        assert b"Final-Recipient: rfc822; nobody@example.org" in report
        told = b" ".join(report.split())
        assert b"550 5.1.1" in told, report
        assert b"no such user" in told, report
    finally:
        house.stop()
