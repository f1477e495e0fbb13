"""A large message each way at once over a link that passes 20 KB a second, 2 s apart.

MEGABYTES in the environment asks for larger messages than the suite's: with 25 it takes
22 minutes.
"""

from __future__ import annotations

import base64
import os
import random
import smtplib
import time
from collections.abc import Iterator
from email import message_from_bytes
from functools import partial

import pytest
from attrs import frozen

from tests.faults.apart import PEER, SENDER, Apart, apart, wait_for
from tests.figures import Tell
from tests.flow.outpost import Gateway

MEGABYTES = float(os.environ.get("MEGABYTES", "2"))
OCTETS = int(MEGABYTES * 1_048_576)
PACE, AWAY = 20_480.0, 1.0
LINE = 57
MEMBER, FAR = "alice@i2pmail.org", "somebody@large.sink.test"
# What is sent beside it, and must pass all the same.
SMALL = b"Subject: small\r\n\r\nsmall\r\n"
# The patience that a mail host has by itself, not that of the tests.
RELAY = {"away_seconds": 300, "connect_seconds": 120, "reply_seconds": 300}


def large(sender: str, to: str, content: bytes) -> bytes:
    """Return a message with something attached, as it comes over a wire."""
    text = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return (
        f"From: {sender}\r\nTo: {to}\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        "Content-Type: application/octet-stream; name=data.bin\r\n"
        "Content-Disposition: attachment; filename=data.bin\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + text


def content() -> bytes:
    """Return octets that make a message of OCTETS."""
    return random.randbytes((OCTETS - 400) // (LINE // 3 * 4 + 2) * LINE)


def bring(gateway: Gateway, message: bytes) -> None:
    """Bring a mail to a member, as a server of the Internet does: it comes again."""
    while True:
        with smtplib.SMTP(timeout=900, source_address=(PEER, 0)) as session:
            session.connect(gateway.address, gateway.port)
            session.ehlo("mx.comes.test")
            assert session.mail(SENDER, [f"SIZE={len(message)}"])[0] == 250
            code, text = session.rcpt(MEMBER)
            if code == 250:
                assert session.data(message)[0] == 250
                return
            assert code == 451, text
        time.sleep(1)


@frozen
class Crossing:
    """What was sent, what came, in how many seconds, and what passed the link."""

    sent_in: bytes
    sent_out: bytes
    came_in: list[bytes]
    came_out: list[bytes]
    seconds: float
    passed_in: int
    passed_out: int


def moved(all_: Apart) -> tuple[int, int, int]:
    """Return what changes while something is under way."""
    return all_.inward.to.octets, all_.outward.to.octets, len(all_.sink.taken)


def mailbox(all_: Apart) -> int:
    """Return how many messages the member has."""
    with all_.house.pop("alice") as session:
        return int(session.stat()[0])


@pytest.fixture
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crossing]:
    """Send a large message and a small one each way, and wait until all is quiet."""
    with apart(
        tmp_path_factory.mktemp("slow"),
        members=("alice",),
        host={"relay": RELAY, "delays": {"default": "none", "tick_seconds": 0.5}},
        gateway={"exchange": {"greylist": False}},
        pace=PACE,
        seconds=AWAY,
    ) as all_:
        yield crossed(all_)


def crossed(all_: Apart) -> Crossing:
    """Send both ways at once; return what came of it."""
    going, coming = content(), content()
    own = "alice@mail.i2p"
    before = time.monotonic()
    all_.house.submit("alice", [FAR], large(own, FAR, going))
    bring(all_.gateway, large(SENDER, MEMBER, coming))
    head = f"From: {own}\r\nTo: {FAR}\r\n".encode()
    all_.house.submit("alice", [FAR], head + SMALL)
    head = f"From: {SENDER}\r\nTo: {MEMBER}\r\n".encode()
    bring(all_.gateway, head + SMALL)
    wait_for(
        lambda: len(all_.sink.taken) >= 2 and mailbox(all_) >= 2, partial(moved, all_)
    )
    seconds = time.monotonic() - before
    # What is underway a second time would still come.
    wait_for(lambda: all_.idle, partial(moved, all_))
    return Crossing(
        coming,
        going,
        all_.house.collect("alice"),
        [one.data for one in all_.sink.taken],
        seconds,
        all_.inward.to.octets,
        all_.outward.to.octets,
    )


def attached(messages: list[bytes]) -> list[bytes]:
    """Return what is attached to the large ones."""
    read = [message_from_bytes(one) for one in messages]
    found = [one.get_payload(decode=True) for one in read if one["Subject"] == "large"]
    return [one for one in found if isinstance(one, bytes)]


def test_crossing(crossing: Crossing, tell: Tell) -> None:
    """Each arrives once and whole, and none of it went over the link twice."""
    tell(
        f"{OCTETS:,} octets each way at {PACE:,.0f} a second: there in "
        f"{crossing.seconds:.0f} s; the link passed {crossing.passed_in:,} in, "
        f"{crossing.passed_out:,} out"
    )
    assert attached(crossing.came_in) == [crossing.sent_in]
    assert attached(crossing.came_out) == [crossing.sent_out]
    assert [len(crossing.came_in), len(crossing.came_out)] == [2, 2]
    assert crossing.passed_in < 1.5 * OCTETS
    assert crossing.passed_out < 1.5 * OCTETS
