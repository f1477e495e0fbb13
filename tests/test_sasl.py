"""SASL responses: strict base64, three fields, nothing guessed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.servers.sasl import Login, SASLError, decode, plain


@given(st.binary(max_size=100))
def test_decode(octets: bytes) -> None:
    """What a client encoded comes out."""
    assert decode(base64.b64encode(octets)) == octets


def test_empty() -> None:
    """`=` is the empty response (RFC 4954 4)."""
    assert decode(b"=") == b""


@pytest.mark.parametrize(
    "response",
    [
        b"*",
        b"AGFsaWNl AGFi",
        b"AGFsaWNlAGFi\t",
        b"AGFsaWNlAGF",
        b"AGFsaWNlAGFi=",
        b"AGFsaWNlAG=i",
        b"====",
        b"AGFs-_Nl",
        b"AGFsaWNl!AGFi",
        b"\xff\xfe",
        b"A",
        b"QQ==QQ==",
    ],
)
def test_lax_base64(response: bytes) -> None:
    """Blanks, junk, missing or odd padding: no base64, no guessing."""
    with pytest.raises(SASLError):
        decode(response)


def test_plain() -> None:
    """Authzid NUL authcid NUL password (RFC 4616); octets stay octets."""
    response = base64.b64encode(b"you\0me\0p\xc3\xa4 ss")
    assert plain(response) == Login(b"me", b"p\xc3\xa4 ss", b"you")


@pytest.mark.parametrize(
    "octets",
    [b"", b"me", b"me\0pw", b"\0\0", b"\0me\0", b"\0\0pw", b"a\0b\0c\0d", b"\0a\0b\0"],
)
def test_not_plain(octets: bytes) -> None:
    """Fewer or more fields than three, or an empty name or password, is none."""
    with pytest.raises(SASLError):
        plain(base64.b64encode(octets))


@given(st.binary(max_size=60))
def test_anything(response: bytes) -> None:
    """Whatever comes is a Login or a SASLError."""
    try:
        login = plain(response)
    except SASLError:
        return
    assert login.name
    assert login.password


def test_password_is_not_shown() -> None:
    """A password is in no repr, so in no log."""
    assert "secret" not in repr(Login(b"me", b"secret"))
