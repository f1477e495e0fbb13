"""Addresses: SMTP paths and address lists, well-formed, obsolete and hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message.address import (
    Address,
    AddressError,
    Group,
    Mailbox,
    parse_list,
    parse_path,
)

JON = Address(b"jondoe", b"mail.i2p")


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"<jondoe@mail.i2p>", JON),
        (b" <jondoe@mail.i2p>", JON),
        (b" jondoe@mail.i2p", JON),
        (b"jondoe@mail.i2p ", JON),
        (b"<JonDoe@Mail.I2P.>", JON),
        (b'<"jondoe"@mail.i2p>', JON),
        (b'<"jon\\doe"@mail.i2p>', JON),
        (b"<>", None),
        (b" <> ", None),
        (b"<postmaster>", Address(b"postmaster", b"")),
        (b"<JonDoe>", Address(b"jondoe", b"")),
        (b"jondoe", Address(b"jondoe", b"")),
        (b'<"jon doe"@mail.i2p>', Address(b"jon doe", b"mail.i2p")),
        (b'<"a@b"@mail.i2p>', Address(b"a@b", b"mail.i2p")),
        (b"<jondoe@[127.0.0.1]>", Address(b"jondoe", b"[127.0.0.1]")),
        ("<jörg@mail.i2p>".encode(), Address("jörg".encode(), b"mail.i2p")),
        (b"<%s@mail.i2p>" % (b"a" * 64), Address(b"a" * 64, b"mail.i2p")),
    ],
)
def test_paths(argument: bytes, address: Address | None) -> None:
    """Every way a client writes one mailbox comes to the same value."""
    assert parse_path(argument) == (address, {})


def test_parameters() -> None:
    """ESMTP parameters have upper-case keys; one without a value has None."""
    address, parameters = parse_path(b"<a@b> size=10 BODY=8BITMIME Smtputf8")
    assert address == Address(b"a", b"b")
    assert parameters == {b"SIZE": b"10", b"BODY": b"8BITMIME", b"SMTPUTF8": None}
    assert parse_path(b" a@b AUTH=<>") == (Address(b"a", b"b"), {b"AUTH": b"<>"})
    assert parse_path(b"<> SIZE=1") == (None, {b"SIZE": b"1"})


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b" ",
        b"<",
        b"<a@b",
        b"a@b>",
        b"<a@b>x",
        b"<a@b>SIZE=1",
        b"<a@b> <c@d>",
        b"<a@b> junk@x",
        b"<a@b> =1",
        b"<a@b> SIZE=",
        b"<a@b> SIZE=1 size=2",
        b"<@a,@b:u@c>",
        b"<@a:u@c>",
        b"@a:u@c",
        b"<u%c@d>",
        b"<c!u@d>",
        b"<c!u>",
        b'<"u%c"@d>',
        b"<a@b@c>",
        b'<""@b>',
        b"<@>",
        b"<a@>",
        b"<a@b..c>",
        b"<a@.b>",
        b"<a@-b>",
        b"<a@b c>",
        b"<a b@c>",
        b"<a..b@c>",
        b"<.a@c>",
        b"<a.@c>",
        b'<"a"b@c>',
        b"<a(b)@c>",
        b"<a,b@c>",
        b"<a\x00@b>",
        b"<a@b\r\n>",
        b"<a\t@b>",
        b"<a\x7f@b>",
        b"<a@b> SIZE=1\x00",
        b"<\xff@b>",
        b"<a@\xff>",
        b"<a@[1 2]>",
        b"<%s@b>" % (b"a" * 65),
        b"<a@%s>" % (b"b" * 256),
        b"<%s@%s>" % (b"a" * 64, b"b" * 200),
    ],
)
def test_refused_paths(argument: bytes) -> None:
    """Routes, junk, control octets and over-long paths are named faults of the peer."""
    with pytest.raises(AddressError):
        parse_path(argument)


@given(st.binary(max_size=300))
def test_any_path(argument: bytes) -> None:
    """Whatever is sent, the answer is an address or an AddressError."""
    try:
        address, _ = parse_path(argument)
    except AddressError:
        return
    if address is not None:
        assert parse_path(b"<%s>" % bytes(address)) == (address, {})


def test_written() -> None:
    """An address is quoted again where it must be, and only there."""
    assert bytes(Address(b"JON", b"Mail.I2P.")) == b"JON@mail.i2p"
    assert Address(b"JON", b"x") == Address(b"jon", b"x")
    assert hash(Address(b"JON", b"x")) == hash(Address(b"jon", b"x"))
    assert str(JON) == "jondoe@mail.i2p"
    assert bytes(Address(b'a "b\\', b"c")) == b'"a \\"b\\\\"@c'
    assert bytes(Address(b"postmaster", b"")) == b"postmaster"


def _plain(*addresses: bytes) -> tuple[Mailbox, ...]:
    split = (address.split(b"@") for address in addresses)
    return tuple(Mailbox("", Address(*pair)) for pair in split)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"a@b, c@d", _plain(b"a@b", b"c@d")),
        (b"<a@b>,<c@d>", _plain(b"a@b", b"c@d")),
        (b",, a@b,\t, ,c@d,,", _plain(b"a@b", b"c@d")),
        (b"a@b; c@d", _plain(b"a@b", b"c@d")),
        (b"(x) a (y) @ (z\\)(n)) b (w)", _plain(b"a@b")),
        (b"a . x @ b . c", _plain(b"a.x@b.c")),
        (b"<@r,@s:a@b>, <@t:c@d>", _plain(b"a@b", b"c@d")),
        (b"a@b.", _plain(b"a@b")),
        (b"A@B", _plain(b"a@b")),
        (b'"a"@b', _plain(b"a@b")),
        (b"a@[127.0.0.1]", _plain(b"a@[127.0.0.1]")),
        # Unclosed things end with the element or with the field.
        (b"<a@b, c@d", _plain(b"a@b", b"c@d")),
        (b"a@b (never closed, c@d", _plain(b"a@b")),
        # No addresses.
        (b"a@b@c, x y@z, @q, w@, @, .a@b, a..b@c, alice", ()),
        (b"a@b c@d", ()),
        (b"a\x00b@c", ()),
        (b"\xff@c", ()),
        (b"", ()),
    ],
)
def test_lists(value: bytes, found: tuple[Mailbox, ...]) -> None:
    """Obsolete forms are read as RFC 5322 4.4 says; what is no address is dropped."""
    assert parse_list(value) == found


def test_misleading_addresses() -> None:
    """What the standard library took for alice (CVE-2023-27043) is never alice."""
    assert parse_list(b"alice@example.org)bob@example.com") == ()
    assert parse_list(b"alice@example.org]bob@example.com") == ()
    assert parse_list(b"alice@example.org<bob@example.com>") == (
        Mailbox("alice@example.org", Address(b"bob", b"example.com")),
    )
    assert parse_list(b'"alice@example.org" <bob@example.com>') == (
        Mailbox("alice@example.org", Address(b"bob", b"example.com")),
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"Jon Doe <a@b>", "Jon Doe"),
        (b'"Doe, Jon" <a@b>', "Doe, Jon"),
        (b'"a \\"b\\" \\\\" <a@b>', 'a "b" \\'),
        (b"J. Q. Doe <a@b>", "J. Q. Doe"),
        (b"=?iso-8859-1?q?J=F6rg?= <a@b>", "Jörg"),
        (b'"=?utf-8?b?SsO2cmc=?=" <a@b>', "Jörg"),
        ("Jörg <a@b>".encode(), "Jörg"),
        (b"J\xf6rg <a@b>", "Jörg"),
        (b"=?utf-8?q?Jon=0D=0ABcc=3A_x=40y?= <a@b>", "Jon Bcc: x@y"),
        (b"=?utf-8?q?a=2C_b=40c?= <a@b>", "a, b@c"),
        (b"=?UTF-8?Q?Doe,_Jon_(J)?= <a@b>", "Doe, Jon (J)"),
        (b"=?utf-8?q?Re:x;y?= =?utf-8?q?_z?= <a@b>", "Re:x;y z"),
        (b"Jon (Jonny) Doe <a@b>", "Jon Doe"),
        (b"(Jon Doe) <a@b>", ""),
        (b'"\x07 bell" <a@b>', "bell"),
    ],
)
def test_display_names(value: bytes, name: str) -> None:
    """Names are decoded to one clean line and never change who is meant."""
    assert parse_list(value) == (Mailbox(name, Address(b"a", b"b")),)


def test_groups() -> None:
    """A group keeps its name and its members, closed or not."""
    assert parse_list(b"undisclosed-recipients:;") == (
        Group("undisclosed-recipients", ()),
    )
    members = _plain(b"a@b", b"c@d")
    assert parse_list(b"My =?utf-8?q?Gr=C3=BC=C3=9Fe?=: a@b, c@d;, e@f") == (
        Group("My Grüße", members),
        *_plain(b"e@f"),
    )
    assert parse_list(b"x: a@b, junk, c@d") == (Group("x", members),)
    assert parse_list(b"x: y: a@b; c@d") == (
        Group("x", ()),
        Group("y", members[:1]),
        *members[1:],
    )


@given(
    st.lists(
        st.sampled_from(
            [b"a", b"@", b"b", b"=?u?q?", b"?=", *map(bytes, zip(b'<>,;:."()\\ \t[]'))]
        )
    )
)
def test_any_list(pieces: list[bytes]) -> None:
    """Whatever stands in a list, each address found is one that can be written."""
    for entry in parse_list(b"".join(pieces)):
        members = entry.members if isinstance(entry, Group) else (entry,)
        for member in members:
            assert parse_list(bytes(member.address)) == (Mailbox("", member.address),)


@pytest.mark.long
@pytest.mark.parametrize(
    "piece",
    [
        b"(",
        b"<",
        b'"',
        b"\\",
        b":",
        b";",
        b"<@a,",
        b"a@b,",
        b"=?utf-8?q?x?= ",
        b"=?utf-8?q?,",
        b"((a) ",
    ],
)
def test_long_lists(piece: bytes) -> None:
    """A field as long as a header may be is no work: it just comes to an end."""
    parse_list(piece * 20_000)
