"""What real clients sent, as the Internet gets it: nothing of the sender is left.

Each message is handed in twice, hours apart, and both leave with one batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.flow.abroad import abroad, date_of, is_signed, record
from tests.flow.corpus import (
    Captured,
    decoded,
    field_names,
    fields,
    load,
    parsed,
    skeleton,
    tree,
)
from tests.flow.sink import Sink, Taken
from tests.flow.test_corpus import content, outline

MESSAGES = load()
PLAIN = [one for one in MESSAGES if one.name.endswith("-plain")]
HOUR = 3_600
MANY = {"per_day": 1_000, "first_day": 1_000}
# In this order, each once at most.
ORDER = (
    *("DKIM-Signature", "Date", "From", "Reply-To", "To", "Cc", "Subject"),
    *("Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type"),
    *("Content-Transfer-Encoding", "Content-Disposition"),
)
NEEDED = {"DKIM-Signature", "Date", "From", "Message-ID", "MIME-Version"}
Twice = tuple[Taken, Taken]

each = pytest.mark.parametrize("sent", MESSAGES, ids=lambda sent: sent.name)


@pytest.fixture(scope="module")
def went(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Sink, float, tuple[bytes, bytes]]]:
    """Send the whole corpus to the Internet, twice; return the sink, and when it left.

    Each message goes to a domain of its own, so that none waits for another.
    """
    base = tmp_path_factory.mktemp("corpus")
    delays = {"default": "batch"}
    with abroad(base, quota=MANY, delays=delays) as (house, sink):
        house.add("jondoe")
        published = record(house)
        house.start()
        # Midnight or noon is far enough away.
        house.later(12 * HOUR - house.now() % (12 * HOUR) + HOUR)
        for _ in range(2):
            for number, sent in enumerate(MESSAGES):
                to = f"person@c{number}.example.org"
                house.submit("jondoe", [to], sent.message)
            house.later(4 * HOUR)
        assert not sink.taken
        left = house.later(8 * HOUR)
        sink.wait_for(2 * len(MESSAGES), 120)
        yield sink, left, published


@pytest.fixture
def twice(sent: Captured, went: tuple[Sink, float, tuple[bytes, bytes]]) -> Twice:
    """Return a message as it came, both times."""
    to = f"person@c{MESSAGES.index(sent)}.example.org"
    first, second = (one for one in went[0].taken if one.recipients == (to,))
    return first, second


@pytest.fixture
def got(twice: Twice) -> bytes:
    """Return a message as it came."""
    return twice[0].data


@each
def test_nothing_leaks(sent: Captured, got: bytes) -> None:
    """No disclosing string is left outside text and attachments."""
    message = tree(got)
    bones = skeleton(message)
    legible = decoded(bones)
    for leak in sent.leaks:
        place = message.header if leak.where == "top-level header" else bones
        assert leak.text.encode() not in place, leak
        if leak.where != "top-level header":
            assert leak.text not in legible, leak


@each
def test_header_is_ours(
    sent: Captured,
    twice: Twice,
    went: tuple[Sink, float, tuple[bytes, bytes]],
) -> None:
    """Signed; sender, Date and Message-ID as they are made at the release."""
    _, left, published = went
    taken = twice[0]
    names = [name.decode() for name in field_names(tree(taken.data).header)]
    assert names == [name for name in ORDER if name in names]
    assert set(names) >= NEEDED
    lines = fields(tree(taken.data).header)
    assert b"From: jondoe@i2pmail.org" in lines
    assert any(re.fullmatch(rb"Message-ID: <[\w.-]+@i2pmail\.org>", x) for x in lines)
    assert left - 60 < date_of(taken.header) < left + HOUR
    assert taken.sender == "jondoe@i2pmail.org"
    assert not re.search(rb"@mail\.i2p(?![.\w])", without_subject(taken.header))
    assert is_signed(taken.data, published)


@each
def test_content_is_whole(sent: Captured, got: bytes) -> None:
    """Structure, file names, text and attachments' octets are as they were sent."""
    before, after = parsed(sent.message), parsed(got)
    assert outline(after) == outline(before)
    for old, new in zip(before.walk(), after.walk(), strict=True):
        if not old.is_multipart():
            assert content(new) == content(old)
    assert " ".join(str(after["Subject"] or "").split()) == " ".join(
        str(before["Subject"] or "").split()
    )


@each
def test_hand_in_is_not_told(sent: Captured, twice: Twice) -> None:
    """Handed in hours apart, left together: but for random ids the same octets."""
    first, second = twice
    assert without_random(first.data) == without_random(second.data)


def test_plain_messages_look_the_same(
    went: tuple[Sink, float, tuple[bytes, bytes]],
) -> None:
    """All clients' plain messages have the same fields in the same order."""
    shapes = set()
    for taken in went[0].taken:
        number = int(re.findall(r"@c(\d+)\.", taken.recipients[0])[0])
        if MESSAGES[number] in PLAIN:
            shapes.add(tuple(field_names(tree(taken.data).header)))
    assert len(shapes) == 1


def without_subject(header: bytes) -> bytes:
    """Return a header block without the member's own words."""
    lines = fields(header)
    return b"\r\n".join(one for one in lines if not one.startswith(b"Subject:"))


def without_random(message: bytes) -> bytes:
    """Return a message without what is drawn by lot: signature, boundaries, ids."""
    message = re.sub(rb"(?s)\ADKIM-Signature: .*?\r\n(?=\S)", b"", message)
    for number, part in enumerate(tree(message).walk()):
        found = re.search(rb'boundary="?([^"\r\n;]+)', part.field(b"content-type"))
        if found:
            message = message.replace(found[1], b"boundary %d" % number)
        own = part.field(b"content-id").strip(b"<>")
        if own:
            message = message.replace(own, b"content-id %d" % number)
    return re.sub(rb"(?m)^Message-ID: <[0-9a-f]{40}@", b"Message-ID: <@", message)
