"""The border: every address of the mail domain leaves in the Internet's form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message import encoded, fields
from postmand.message.address import Address, Group, Mailbox, parse_list
from postmand.message.border import Border
from postmand.message.headers import unfolded_lines

BORDER = Border(b"mail.i2p", b"i2pmail.org")
NOWHERE = Border(b"nowhere.example", b"somewhere.example")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"jondoe@mail.i2p", b"jondoe@i2pmail.org"),
        (b"Jon Doe <jondoe@mail.i2p>", b"Jon Doe <jondoe@i2pmail.org>"),
        (b"<jondoe@mail.i2p>", b"jondoe@i2pmail.org"),
        # A member or not: who is in it does not count.
        (b"a@mail.i2p, b@x.org, c@mail.i2p", b"a@i2pmail.org, b@x.org, c@i2pmail.org"),
        (b"jondoe@MAIL.i2P", b"jondoe@i2pmail.org"),
        (b"jondoe@mail.i2p.", b"jondoe@i2pmail.org"),
        (b"jondoe(c)@(c)mail.i2p(c)", b"jondoe@i2pmail.org"),
        (b"jon.\r\n doe@mail.i2p,\r\n\tx@y", b"jon.doe@i2pmail.org, x@y"),
        (b'"jon doe"@mail.i2p', b'"jon doe"@i2pmail.org'),
        (b"<@mail.i2p,@x:jondoe@mail.i2p>", b"jondoe@i2pmail.org"),
        (b"us: a@mail.i2p, b@x;", b"us: a@i2pmail.org, b@x;"),
        (b"undisclosed-recipients:;", b"undisclosed-recipients:;"),
        # Not the mail domain.
        (b"a@sub.mail.i2p", b"a@sub.mail.i2p"),
        (b"a@mail.i2p.example", b"a@mail.i2p.example"),
        (b"a@xmail.i2p", b"a@xmail.i2p"),
        (b"a@[mail.i2p]", b"a@[mail.i2p]"),
        # A local part is its own host's business.
        (b'"a@mail.i2p"@x.org', b'"a@mail.i2p"@x.org'),
        (b'"a@mail.i2p"@mail.i2p', b'"a@mail.i2p"@i2pmail.org'),
    ],
)
def test_addresses(before: bytes, after: bytes) -> None:
    """Whatever way an address is written in, it leaves in one form."""
    for name in (b"From", b"To", b"Cc", b"Reply-To"):
        assert BORDER.field_body(name, before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bob@mail.i2p", "bob@i2pmail.org"),
        ("BOB@Mail.I2P", "BOB@i2pmail.org"),
        ("Bob (bob@mail.i2p)", "Bob (bob@i2pmail.org)"),
        ("bob@mail.i2p.", "bob@i2pmail.org."),
        ("bob@ mail.i2p, or a@mail.i2p", "bob@i2pmail.org, or a@i2pmail.org"),
        ("jörg@mail.i2p", "jörg@i2pmail.org"),
        # No address of the mail domain.
        ("bob@sub.mail.i2p", "bob@sub.mail.i2p"),
        ("bob@mail.i2p.example", "bob@mail.i2p.example"),
        ("bob@mail.i2p-x", "bob@mail.i2p-x"),
        ("bob@mailxi2p", "bob@mailxi2p"),
        ("bob of mail.i2p", "bob of mail.i2p"),
    ],
)
def test_names(before: str, after: str) -> None:
    """A display name that shows an address shows it in the Internet's form.

    The same holds for the name of a group.
    """
    swapped = BORDER.field_body(b"To", _one(before, Address(b"bob", b"x.org")))
    assert parse_list(_flat(swapped)) == (Mailbox(after, Address(b"bob", b"x.org")),)
    group = fields.addresses(b"To", [Group(before, ())])
    assert parse_list(_flat(BORDER.field_body(b"To", group))) == (Group(after, ()),)


def test_names_in_encoded_words() -> None:
    """An encoded word hides no address, in either encoding."""
    for hidden in (b"=?utf-8?q?bob=40mail=2Ei2p?=", b"=?utf-8?b?Ym9iQG1haWwuaTJw?="):
        swapped = BORDER.field_body(b"To", hidden + b" <bob@mail.i2p>")
        assert swapped == b'"bob@i2pmail.org" <bob@i2pmail.org>'


def test_international_address() -> None:
    """An address shown as a name (RFC 6857) crosses the border as any other."""
    jorg = Address("jörg".encode(), b"mail.i2p")
    body = fields.addresses(b"To", [Mailbox("Jörg", jorg)])
    swapped = BORDER.field_body(b"To", body)
    name = "Jörg Internationalized Address jörg@i2pmail.org"
    assert parse_list(_flat(swapped)) == (Group(name, ()),)


def test_folding() -> None:
    """Hundreds of addresses are folded again as if they had been written so."""
    before = [
        Mailbox(f"No {number}", Address(b"n%d" % number, domain))
        for number in range(400)
        for domain in (b"mail.i2p", b"x.org")
    ]
    after = [Mailbox(one.name, BORDER.address(one.address)) for one in before]
    swapped = BORDER.field_body(b"Cc", fields.addresses(b"Cc", before))
    assert swapped == fields.addresses(b"Cc", after)
    assert max(map(len, swapped.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<a1@mail.i2p>", b"<a1@i2pmail.org>"),
        (b"<A1@MAIL.I2P>", b"<A1@i2pmail.org>"),
        (b"<A1@mail.i2p.>", b"<A1@i2pmail.org>"),
        (b"<a1@x>\r\n <a2@mail.i2p>", b"<a1@x> <a2@i2pmail.org>"),
        (b"<a@sub.mail.i2p> <mail.i2p@x>", b"<a@sub.mail.i2p> <mail.i2p@x>"),
        (b"mail.i2p>", b"mail.i2p>"),
    ],
)
def test_ids(before: bytes, after: bytes) -> None:
    """Msg-ids of the mail domain keep their token; others stay."""
    for name in (b"Message-ID", b"In-Reply-To", b"References"):
        assert BORDER.field_body(name, before) == after


def test_ids_are_folded_again() -> None:
    """A long thread is folded by the lengths its ids have afterwards."""
    ids = [b"<%040x@mail.i2p>" % number for number in range(50)]
    swapped = BORDER.field_body(b"References", b"\r\n ".join(ids))
    assert [BORDER.home_id(one) for one in swapped.split()] == ids
    assert b"@mail.i2p" not in swapped
    assert max(map(len, swapped.split(b"\r\n"))) <= 78


def test_other_fields_stay() -> None:
    """A domain in the subject or in a MIME field is no address."""
    for name in (b"Subject", b"Content-Type", b"Content-Disposition", b"Date"):
        body = b'bob@mail.i2p <bob@mail.i2p>; x="bob@mail.i2p"\r\n  y'
        assert BORDER.field_body(name, body) == body


def test_nobody() -> None:
    """An address field in which nothing is an address is not left empty."""
    assert BORDER.field_body(b"To", b"mail.i2p") == b"undisclosed-recipients:;"


def _one(name: str, address: Address) -> bytes:
    return fields.addresses(b"To", [Mailbox(name, address)])


def _flat(body: bytes) -> bytes:
    (line,) = unfolded_lines(body)
    return line


_OURS = re.compile(r"@\s*mail\.i2p(?!\.?[\w-])", re.IGNORECASE)
_DOMAINS = (
    b"mail.i2p",
    b"i2pmail.org",
    b"sub.mail.i2p",
    b"mail.i2p.example",
    b"x.org",
    b"[127.0.0.1]",
)
_LOCALS = st.one_of(
    st.sampled_from((b"bob", b"a@mail.i2p", b'q"\\ x', "jörg".encode(), b"a" * 64)),
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1)
    .map(str.encode)
    .filter(lambda octets: len(octets) <= 64),
)
_NAMES = st.one_of(
    st.text(max_size=100),
    st.lists(
        st.sampled_from(
            ("bob", "@", "mail.i2p", ".", " ", "ö", '"', "\\", "=?", "?=", ",", "\r\n")
        ),
        max_size=12,
    ).map("".join),
).map(encoded.clean)
_MAILBOXES = st.builds(
    Mailbox, _NAMES, st.builds(Address, _LOCALS, st.sampled_from(_DOMAINS))
)
_ENTRIES = st.lists(
    st.one_of(
        _MAILBOXES,
        st.builds(Group, _NAMES, st.lists(_MAILBOXES, max_size=3).map(tuple)),
    ),
    min_size=1,
    max_size=6,
)


def _written(entries: list[Mailbox | Group]) -> bytes:
    """Return the body the sanitizer writes for what a client sent so."""
    once = fields.addresses(b"To", entries)
    return fields.addresses(b"To", parse_list(_flat(once))) or fields.NOBODY


def _mailboxes(body: bytes) -> list[Mailbox]:
    return [
        member
        for entry in parse_list(_flat(body))
        for member in (entry.members if isinstance(entry, Group) else (entry,))
    ]


@pytest.mark.long
@given(_ENTRIES)
def test_nothing_to_swap(entries: list[Mailbox | Group]) -> None:
    """What the sanitizer wrote comes through octet for octet where nothing is ours."""
    body = _written(entries)
    assert NOWHERE.field_body(b"To", body) == body


@pytest.mark.long
@given(_ENTRIES)
def test_no_address_is_left(entries: list[Mailbox | Group]) -> None:
    """No address of the mail domain is left, nobody is lost, twice is as once."""
    body = _written(entries)
    swapped = BORDER.field_body(b"To", body)
    before, after = _mailboxes(body), _mailboxes(swapped)
    assert [one.address for one in after] == [
        BORDER.address(one.address) for one in before
    ]
    assert all(one.address.domain != b"mail.i2p" for one in after)
    for entry in (*after, *parse_list(_flat(swapped))):
        shown = entry.name if isinstance(entry, Mailbox | Group) else ""
        assert _OURS.search(shown) is None
    assert swapped.isascii()
    assert BORDER.field_body(b"To", swapped) == swapped
