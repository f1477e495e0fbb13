"""How mail leaves for the Internet: made new at its release, and telling no time (X1).

What the far end gets is looked at to the octet; a real Postfix is in tests/peers.
"""

from __future__ import annotations

import base64
import itertools
import quopri
import random
import re
from collections.abc import Iterator

import pytest

from tests.flow.abroad import (
    MINUTE,
    abroad,
    date_of,
    is_signed,
    let_all_leave,
    letter,
    record,
)
from tests.flow.corpus import field_names, fields, parsed, tree
from tests.flow.house import House
from tests.flow.sink import WELL, Sink, Taken

HOUR = 3_600
MANY = {"per_day": 1_000, "first_day": 1_000}
_names = itertools.count(1)
Place = tuple[House, Sink, tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run a node that signs, with a gateway."""
    with abroad(tmp_path_factory.mktemp("release"), quota=MANY) as (house, sink):
        house.add("jondoe", "alice")
        published = record(house)
        house.start()
        yield house, sink, published


@pytest.fixture
def house(place: Place) -> Iterator[House]:
    """Return the node; nothing waits in it after a test."""
    house, sink, _ = place
    sink.taken.clear()
    sink.put_off.clear()
    house.collect("jondoe")
    house.collect("alice")
    yield house
    sink.mood = lambda: WELL
    let_all_leave(house)


@pytest.fixture
def sink(place: Place) -> Sink:
    """Return the sink."""
    return place[1]


@pytest.fixture
def published(place: Place) -> tuple[bytes, bytes]:
    """Return the DNS record of the node's key."""
    return place[2]


def field(message: bytes, name: bytes) -> bytes:
    """Return the unfolded value of a field that is there once."""
    lines = fields(message.partition(b"\r\n\r\n")[0])
    (line,) = [one for one in lines if one.lower().startswith(name.lower() + b":")]
    return line.partition(b":")[2].strip()


def test_from_the_internets_side(
    house: House, sink: Sink, published: tuple[bytes, bytes]
) -> None:
    """Sender and every address of ours are of i2pmail.org; the rest is as it was.

    A member's or not: who is one is nobody's business. Text is nobody's, either.
    """
    message = (
        b"From: Jon <jondoe@mail.i2p>\r\n"
        b"To: alice@mail.i2p, Friends: stranger@mail.i2p, x@example.org;\r\n"
        b"Cc: =?utf-8?q?J=C3=B6rg?= <nobody@MAIL.I2P>, y@mail.i2p.example.org\r\n"
        b"Reply-To: <jondoe@mail.i2p>\r\n"
        b"References: <theirs@example.org> <other@mail.i2p>\r\n"
        b"In-Reply-To: <other@mail.i2p>\r\n"
        b"Subject: about alice@mail.i2p\r\n\r\n"
        b"write to alice@mail.i2p\r\n"
    )
    house.submit("jondoe", ["x@example.org", "alice@mail.i2p"], message)
    (taken,) = sink.wait_for(1)
    assert taken.sender == "jondoe@i2pmail.org"
    assert taken.recipients == ("x@example.org",)
    told = parsed(taken.data)
    addresses = [one.addr_spec for name in ("To", "Cc") for one in told[name].addresses]
    assert addresses == [
        *("alice@i2pmail.org", "stranger@i2pmail.org", "x@example.org"),
        *("nobody@i2pmail.org", "y@mail.i2p.example.org"),
    ]
    assert told["From"].addresses[0].addr_spec == "jondoe@i2pmail.org"
    assert field(taken.data, b"References") == (
        b"<theirs@example.org> <other@i2pmail.org>"
    )
    own_words = b"about alice@mail.i2p"
    assert not re.search(rb"@mail\.i2p(?![.\w])", taken.header.replace(own_words, b""))
    assert taken.body == b"write to alice@mail.i2p\r\n"
    assert is_signed(taken.data, published)
    # The member's own domain stays in the copy that stays.
    (copy,) = house.collect("alice")
    assert b"Friends: stranger@mail.i2p" in copy


def test_thread_token_is_kept(house: House, sink: Sink) -> None:
    """The id that leaves is the one a member of the house sees, but for its domain."""
    to = ["x@example.org", "alice@mail.i2p"]
    house.submit("jondoe", to, letter("first"))
    (first,) = sink.wait_for(1)
    (copy,) = house.collect("alice")
    given = field(copy, b"Message-ID")
    assert given == field(first.data, b"Message-ID").replace(
        b"i2pmail.org", b"mail.i2p"
    )
    # The member's reply to the first: both of its ids cross the border, too.
    mine = field(letter("first"), b"Message-ID").decode()
    house.submit("jondoe", to, letter("second", f"In-Reply-To: {mine}"))
    second = sink.wait_for(2)[1]
    assert field(second.data, b"In-Reply-To") == field(first.data, b"Message-ID")
    assert b"marys-laptop" not in second.data


def test_date_and_id_are_those_of_the_release(
    house: House, sink: Sink, published: tuple[bytes, bytes]
) -> None:
    """Fixed at the first release, and the same octets at every try, hours later too."""
    moods = itertools.chain(["refuse body for now"] * 4, itertools.repeat(WELL))
    sink.mood = lambda: next(moods)
    handed_in = house.now()
    house.submit("jondoe", ["x@example.org"], letter(1, "Postman-Delay: batch"))
    released = house.later(13 * HOUR)
    sink.wait_until(lambda: bool(sink.put_off))
    let_all_leave(house)
    (taken,) = sink.wait_for(1)
    tries = [*sink.put_off, taken]
    assert len(tries) >= 4
    assert len({one.data for one in tries}) == 1
    assert handed_in + MINUTE < released - MINUTE
    assert released - MINUTE < date_of(taken.header) < released + HOUR
    assert is_signed(taken.data, published)


def test_case_of_a_stranger_is_kept(house: House, sink: Sink) -> None:
    """What stands before the @ is the other side's business (RFC 5321 2.4)."""
    stranger = "Confirm+AbCdEf"
    message = f"To: {stranger}@example.org\r\n\r\n".encode()
    house.submit("jondoe", [f"{stranger}@Example.ORG"], message)
    (taken,) = sink.wait_for(1)
    assert b"To: Confirm+AbCdEf@example.org" in taken.header
    assert taken.recipients == (f"{stranger}@example.org",)


def test_large_message(
    house: House, sink: Sink, published: tuple[bytes, bytes]
) -> None:
    """Thirty megabytes arrive whole, signed, at each of two domains."""
    octets = random.Random(1).randbytes(22 * 2**20)
    head = (
        b"Subject: large\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )
    message = head + base64_lines(octets, 76)
    house.submit("jondoe", ["x@one.example", "x@two.example"], message)
    first, second = sink.wait_for(2, 120)
    assert first.data == second.data
    assert base64.b64decode(first.body) == octets
    assert is_signed(first.data, published)
    let_all_leave(house)
    assert not list((house.state / "bodies").iterdir())


def test_one_transaction_a_domain(house: House, sink: Sink) -> None:
    """No domain hears of the others' recipients; all get the same octets."""
    to = ["a@one.example", "b@two.example", "c@one.example", "d@three.example"]
    house.submit("jondoe", to, letter(1))
    taken = sink.wait_for(3)
    assert sorted(sorted(one.recipients) for one in taken) == [
        ["a@one.example", "c@one.example"],
        ["b@two.example"],
        ["d@three.example"],
    ]
    assert len({one.data for one in taken}) == 1


def test_refused_comes_back(house: House, sink: Sink) -> None:
    """One report into the member's mailbox, of who refused; the others have it."""
    sink.refused = lambda address: address.startswith("nobody")
    to = ["nobody@example.org", "somebody@example.org", "nobody@other.example"]
    house.submit("jondoe", to, letter("for nobody"))
    sink.wait_for(1)
    let_all_leave(house)
    reports = house.collect("jondoe")
    assert len(reports) == 2
    told = [
        re.findall(rb"Final-Recipient: rfc822; ?(\S+)", report) for report in reports
    ]
    assert sorted(told) == [[b"nobody@example.org"], [b"nobody@other.example"]]
    for report in reports:
        assert parsed(report).get_content_type() == "multipart/report"
        assert field(report, b"Return-Path") == b"<>"
        mine = b"<for nobody.20261005060708.5150@marys-laptop.example.net>"
        # The thread is the one of the member's client, if its id was an id.
        assert mine not in report
        assert b"letter for nobody" in report
        assert b"5.1.1" in report
        assert report.replace(b"\r\n", b"").isascii()
    assert [one.recipients for one in sink.taken] == [("somebody@example.org",)]


def test_report_threads(house: House, sink: Sink) -> None:
    """A report answers the id that the member's client gave."""
    sink.refused = lambda address: address.startswith("nobody")
    house.submit("jondoe", ["nobody@example.org"], letter("threaded"))
    let_all_leave(house)
    (report,) = house.collect("jondoe")
    mine = field(letter("threaded"), b"Message-ID")
    assert field(report, b"In-Reply-To") == mine


# The same words by two clients, hours apart.

TEXT = "Grüße,\r\n\r\n.dot\r\nFrom the field: " + "long " * 30 + "\r\n"
DATA = bytes(range(256)) * 9


def base64_lines(octets: bytes, width: int) -> bytes:
    text = base64.b64encode(octets)
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return b"\r\n".join([*lines, b""])


def by_one_client() -> bytes:
    """Return the message as an elaborate client writes it."""
    text = quopri.encodestring(TEXT.replace("\r\n", "\n").encode())
    return b"\r\n".join(
        [
            b"Received: from [10.77.66.55] by marys-laptop; Mon, 05 Oct 2026 06:07:08",
            b"Message-ID: <5150.1@marys-laptop.example.net>",
            b"Date: Mon, 05 Oct 2026 06:07:08 -0430",
            b"MIME-Version: 1.0 (Mail 2.3)",
            b"User-Agent: Swiftmail/1.2",
            b"Subject: =?iso-8859-1?q?Gr=FC=DFe?=",
            b"From: Mary Realname <jondoe@mail.i2p>",
            b"To: x@example.org",
            b'Content-Type: multipart/mixed; boundary="----=_Part_1790000000.5150"',
            b"Content-Language: en-GB",
            b"",
            b"This is a multi-part message in MIME format.",
            b"------=_Part_1790000000.5150",
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Transfer-Encoding: quoted-printable",
            b"",
            text.replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
            b"------=_Part_1790000000.5150",
            b'Content-Type: application/octet-stream; name="a.bin"',
            b'Content-Disposition: attachment; filename="a.bin"; size=2304',
            b"Content-Transfer-Encoding: base64",
            b"",
            base64_lines(DATA, 60).removesuffix(b"\r\n"),
            b"------=_Part_1790000000.5150--",
            b"",
        ]
    )


def by_another_client() -> bytes:
    """Return the same message as a plain client writes it."""
    return b"\r\n".join(
        [
            b"From: jondoe@i2pmail.org",
            b"To: <x@example.org>",
            b"X-Mailer: Other 9",
            "Subject: Grüße".encode(),
            b"Content-Type: multipart/mixed; boundary=b",
            b"Mime-version: 1.0",
            b"",
            b"--b",
            b"Content-Transfer-Encoding: 8bit",
            b'Content-Type: TEXT/PLAIN; charset="UTF-8"',
            b"",
            TEXT.encode().removesuffix(b"\r\n"),
            b"--b",
            b"Content-Disposition: attachment; filename=a.bin",
            b"Content-Transfer-Encoding: BASE64",
            b"Content-Type: application/octet-stream",
            b"Content-ID: <1790000000@laptop>",
            b"",
            base64_lines(DATA, 76).removesuffix(b"\r\n"),
            b"--b--",
        ]
    )


def without_random(taken: Taken) -> bytes:
    """Return what was taken, without what is drawn by lot for each message."""
    data = re.sub(rb"(?s)\ADKIM-Signature: .*?\r\n(?=\S)", b"", taken.data)
    data = re.sub(rb"(?m)^Message-ID: <[0-9a-f]{40}@", b"Message-ID: <@", data)
    (boundary,) = set(re.findall(rb'boundary="?([^"\r\n;]+)', data)) or {b"\n\n"}
    return data.replace(boundary, b"boundary")


def test_two_clients_look_the_same(house: House, sink: Sink) -> None:
    """Handed in hours apart and released together, nothing tells them apart."""
    # Right after a batch, so that there is none between the two.
    house.later(12 * HOUR - house.now() % (12 * HOUR) + MINUTE)
    for client in (by_one_client, by_another_client):
        message = b"Postman-Delay: batch\r\n" + client()
        house.submit("jondoe", ["x@example.org"], message)
        if client is by_one_client:
            house.later(3 * HOUR)
    house.later(12 * HOUR)
    first, second = sink.wait_for(2)
    assert first.data != second.data
    assert field_names(tree(first.data).header) == field_names(tree(second.data).header)
    assert without_random(first) == without_random(second)
