"""What the tests of mail to the Internet share: a node with a sink for its gateway."""

from __future__ import annotations

import re
import secrets
import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import dkim

from tests.flow.house import House, Section, free_port
from tests.flow.sink import Sink

# Stamps of a few bits, so that tests need not compute for minutes.
STAMPS = {"16": 20, "17": 40, "18": 80}
# Ticks as often as a node may have them, and gaps as small.
QUICK: dict[str, dict[str, object]] = {
    "delays": {"default": "none", "tick_seconds": 0.1},
    "quota": {"stamps": STAMPS},
    "relay": {
        "away_seconds": 0.1,
        "retry_first_seconds": 1,
        "connect_seconds": 10,
        "reply_seconds": 60,
    },
}
MINUTE = 60


@contextmanager
def abroad(
    base: Path, sink: Sink | None = None, **overrides: Section
) -> Iterator[tuple[House, Sink]]:
    """Run a node whose gateway is the sink; `overrides` go over QUICK."""
    sink = sink or Sink(free_port())
    house = House(base, **quick(sink.port, **overrides)).on_a_clock()
    sink.start()
    try:
        yield house, sink
    finally:
        try:
            house.stop()
        finally:
            sink.stop()


def quick(port: int, **overrides: Section) -> dict[str, Section]:
    """Return sections of a node whose gateway listens on a port of this machine."""
    sections: dict[str, Section] = {name: dict(table) for name, table in QUICK.items()}
    for name, table in overrides.items():
        before = sections.get(name, {})
        sections[name] = {**before, **table}  # type: ignore[dict-item]
    sections["gateways"] = [{"endpoint": f"tcp:127.0.0.1:{port}"}]
    return sections


def let_midnight_pass(seconds: float = 120.0) -> None:
    """See that no day ends, in UTC, within so many seconds from now."""
    left = 86_400 - time.time() % 86_400
    if left < seconds:
        time.sleep(left + 1)


def letter(number: object, *more: str, sender: str = "jondoe", to: str = "") -> bytes:
    """Return a message as a client writes it, telling of its hand-in in every field."""
    lines = [
        f"From: Jon Doe <{sender}@mail.i2p>",
        f"To: {to or 'somebody@example.org'}",
        f"Subject: letter {number}",
        "Date: Mon, 05 Oct 2026 06:07:08 -0430",
        f"Message-ID: <{number}.20261005060708.5150@marys-laptop.example.net>",
        "X-Mailer: Swiftmail 1.2 (marys-laptop)",
        *more,
    ]
    return "\r\n".join([*lines, "", f"text of {number}", "..two dots", ""]).encode()


def told_left(reply: tuple[int, bytes]) -> int:
    """Return how many recipients a RCPT's reply says are left."""
    assert reply[0] == 250, reply
    found = re.fullmatch(rb"2\.1\.5 Ok, (\d+) Internet recipients? left.*", reply[1])
    assert found, reply
    return int(found[1])


def accepted(session: smtplib.SMTP, sender: str, *recipients: str) -> list[int]:
    """Begin a transaction and name recipients; return the reply codes to them."""
    assert session.mail(f"{sender}@mail.i2p")[0] == 250
    return [session.rcpt(one)[0] for one in recipients]


def handed_in(session: smtplib.SMTP, message: bytes) -> int:
    """End a transaction with a message; return the last reply's code."""
    try:
        return session.data(message)[0]
    except smtplib.SMTPDataError as error:
        return error.smtp_code


def fence(house: House, sink: Sink) -> int:
    """Wait for two ticks and what they release; return how many came meanwhile.

    At each a message without a delay is handed in, and taken out of the sink again.
    What was due before leaves with the first at the latest.
    """
    before = len(sink.taken)
    for _ in range(2):
        to = f"fence-{secrets.token_hex(8)}@fence.example.org"
        house.submit("fence", [to], letter("fence", sender="fence"))
        sink.wait_until(partial(_is_there, sink, to))
        sink.taken[:] = [one for one in sink.taken if to not in one.recipients]
    return len(sink.taken) - before


def _is_there(sink: Sink, to: str) -> bool:
    return any(to in one.recipients for one in sink.taken)


def let_all_leave(house: House) -> None:
    """Let time pass until nothing waits in the queue, and nothing is on its way."""
    for _ in range(100):
        if not house.ctl("queue", "list"):
            return
        house.later(86_400)
    raise AssertionError(f"some mail does not leave:\n{house.ctl('queue', 'list')}")


def date_of(header: bytes) -> float:
    """Return what the Date field says: a whole minute of UTC, in seconds since 1970."""
    (said,) = re.findall(rb"^Date: ([^\r\n]*)", header, re.MULTILINE)
    assert re.fullmatch(rb"\w{3}, \d{2} \w{3} \d{4} \d\d:\d\d:00 \+0000", said), said
    return parsedate_to_datetime(said.decode()).timestamp()


def record(house: House, *more: str) -> tuple[bytes, bytes]:
    """Make the node's DKIM key; return the DNS record's name and what it says."""
    made = house.ctl("dkim", "make", *more)
    line = next(one for one in made.splitlines() if " IN TXT " in one)
    name = line.partition(" IN TXT ")[0]
    return name.encode(), "".join(re.findall(r'"([^"]*)"', line)).encode()


def is_signed(message: bytes, published: tuple[bytes, bytes]) -> bool:
    """Whether a message's DKIM signature is good, the DNS being this one record."""

    def look_up(name: Any, timeout: float = 5) -> bytes | None:
        name = name.encode() if isinstance(name, str) else name
        return published[1] if name.rstrip(b".") == published[0].rstrip(b".") else None

    return bool(dkim.verify(message, dnsfunc=look_up))
