"""The header block a message leaves with: it tells nothing of its hand-in."""

from __future__ import annotations

import random
import re
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message.border import Border
from postmand.message.restamp import RELEASED, release_block, utc_date
from postmand.message.sanitizer import Limits, Washed, parse, wash
from tests.fuzz_sanitizer import ME, ORDER, corpus, names

BORDER = Border(b"mail.i2p", b"i2pmail.org")
GIVEN_OUT = b"<d6b1ef02@mail.i2p>"
RELEASE = 1795360919.0

_MESSAGES = corpus()


def handed_in(raw: bytes, seed: int = 1) -> Washed:
    """Return the message as the queue keeps it."""
    return wash(parse(raw, Limits()), ME, {}, random.Random(seed))


def released(washed: Washed, seconds: float = RELEASE) -> bytes:
    """Return the header block it leaves with at that time."""
    return release_block(
        washed.fields,
        date=utc_date(seconds),
        message_id=GIVEN_OUT,
        border=BORDER,
    )


def test_octets() -> None:
    """The whole block, as the Internet gets it."""
    raw = (
        b'From: "Mary" <mary@home.example.org>\r\n'
        b'To: "B, bob@mail.i2p" <Bob@Mail.I2P>, Eve <eve@example.com>\r\n'
        b"Cc: jondoe@mail.i2p\r\n"
        b"Reply-To: mary@home.example.org\r\n"
        b"Date: Sun, 22 Nov 2026 05:27:01 -0400\r\n"
        b"Subject: to bob@mail.i2p\r\n"
        b"Message-ID: <20261122.4711@marys-laptop>\r\n"
        b"In-Reply-To: <0a@mail.i2p>\r\n"
        b"References: <1@example.com> <0a@mail.i2p>\r\n"
        b"X-Mailer: Mutt\r\n"
        b"\r\n"
        b"Hello\r\n"
    )
    assert released(handed_in(raw)) == (
        b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
        b"From: jondoe@i2pmail.org\r\n"
        b'To: "B, bob@i2pmail.org" <bob@i2pmail.org>, Eve <eve@example.com>\r\n'
        b"Cc: jondoe@i2pmail.org\r\n"
        b"Subject: to bob@mail.i2p\r\n"
        b"Message-ID: <d6b1ef02@i2pmail.org>\r\n"
        b"In-Reply-To: <0a@i2pmail.org>\r\n"
        b"References: <1@example.com> <0a@i2pmail.org>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
    )


def test_order_is_the_sanitizers() -> None:
    """Local mail and mail for the Internet show their fields in one order."""
    assert [name for name in RELEASED if name in ORDER] == ORDER


def test_nothing_else() -> None:
    """A field that is not on the list does not leave; the order does not depend."""
    fields = [
        (b"References", b"<1@x>"),
        (b"X-Secret", b"1"),
        (b"Received", b"from marys-laptop"),
        (b"Reply-To", b"jondoe@mail.i2p"),
        (b"Bcc", b"eve@x"),
        (b"Message-ID", b"<client@laptop>"),
        (b"Date", b"yesterday"),
        (b"Subject", b""),
        (b"To", b"bob@x"),
        (b"From", b"jondoe@mail.i2p"),
    ]
    block = released(Washed(tuple(fields), ()))
    assert names(block) == (
        b"Date From Reply-To To Subject Message-ID References".split()
    )
    assert b"Subject:\r\n" in block
    for gone in (b"client", b"laptop", b"yesterday", b"eve", b"mail.i2p"):
        assert gone not in block


@pytest.mark.long
@pytest.mark.parametrize("name", _MESSAGES)
def test_corpus(name: str) -> None:
    """Real clients' mail leaves whole, and with no address of the mail domain."""
    washed = handed_in(_MESSAGES[name])
    block = released(washed)
    kept = {field for field, _ in washed.fields} | {b"Date", b"Message-ID"}
    assert names(block) == [one for one in ORDER if one in kept]
    assert block.isascii()
    subject = dict(washed.fields)[b"Subject"]
    assert subject in block
    others = block.replace(subject, b"")
    assert not re.search(rb"@mail\.i2p", others, re.IGNORECASE)
    whole = block + b"".join(washed.body)
    parsed = message_from_bytes(whole, policy=policy.default)
    assert [one.addr_spec for one in parsed["From"].addresses] == ["jondoe@i2pmail.org"]
    assert parsed["Message-ID"] == "<d6b1ef02@i2pmail.org>"
    assert not parsed.defects


_CLOCKS = st.integers(0, 2**31).map(
    lambda seconds: utc_date(seconds) + b" (marys clock)"
)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mutt-plain", "thunderbird-ccbcc", "python-utf8"])
@given(
    first=_CLOCKS,
    second=_CLOCKS,
    at=st.integers(RELEASE, RELEASE + 1_000_000),
    seconds=st.floats(0, 59.9),
)
def test_hand_in_can_not_be_read_back(
    name: str, first: bytes, second: bytes, at: int, seconds: float
) -> None:
    """X1: handed in at two times and released in one minute, it is the same octets."""
    body = re.sub(
        rb"(?im)^(date|message-id|received):.*\n([ \t].*\n)*", b"", _MESSAGES[name]
    )
    minute = at // 60 * 60
    leaving = []
    for number, clock, offset in ((1, first, 0.0), (2, second, seconds)):
        raw = b"Date: %s\nMessage-ID: <%d@pc>\nReceived: by x; %s\n%s" % (
            clock,
            number,
            clock,
            body,
        )
        washed = handed_in(raw)
        leaving.append((released(washed, minute + offset), washed.body))
    assert leaving[0] == leaving[1]


def test_only_the_boundary_is_random() -> None:
    """Handed in twice, a message with parts differs in its random boundary alone."""
    leaving = []
    for seed in (1, 2):
        washed = handed_in(_MESSAGES["mutt-attach"], seed)
        whole = released(washed) + b"".join(washed.body)
        leaving.append((whole, re.sub(rb"=_[0-9a-f]{32}", b"=_", whole)))
    assert leaving[0][0] != leaving[1][0]
    assert leaving[0][1] == leaving[1][1]


def test_twice_is_once() -> None:
    """What was released is released again as it is: retries may not differ."""
    for raw in _MESSAGES.values():
        block = released(handed_in(raw))
        again = re.sub(rb"\r\n([ \t])", rb"\0\1", block).removesuffix(b"\r\n\r\n")
        fields = tuple(
            (name, value.replace(b"\0", b"\r\n"))
            for name, _, value in (
                line.partition(b": ") for line in again.split(b"\r\n")
            )
        )
        assert released(Washed(fields, ())) == block
