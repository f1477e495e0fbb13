"""Who is at a page: cookies of ours are known, all others are not."""

from __future__ import annotations

import base64

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from postmand.membership import Visitor
from postmand.web import cookies
from postmand.web.ended import Ended
from postmand.web.session import Session, Signer

NOW = 1_795_000_000
SIGNER = Signer(b"k" * 32, idle=100, longest=1_000)
MEMBER = Session(b"i" * 16, NOW, NOW, Visitor(-7, "jondoe", 3))
STRANGER = Session(b"j" * 16, NOW, NOW)


def test_there_and_back() -> None:
    """A session comes back from its cookie as it was."""
    for session in (MEMBER, STRANGER):
        assert SIGNER.session(SIGNER.cookie(session), NOW) == session


def test_times() -> None:
    """It ends when nothing was asked for a while, and after the longest time."""
    cookie = SIGNER.cookie(MEMBER)
    assert SIGNER.session(cookie, NOW + 100) == MEMBER
    assert SIGNER.session(cookie, NOW + 101) is None
    seen = SIGNER.seen(MEMBER, NOW + 90)
    assert SIGNER.session(SIGNER.cookie(seen), NOW + 190) == seen
    late = SIGNER.seen(MEMBER, NOW + 950)
    assert SIGNER.session(SIGNER.cookie(late), NOW + 1_000) == late
    assert SIGNER.session(SIGNER.cookie(late), NOW + 1_001) is None


def test_a_clock_set_back() -> None:
    """It makes no session longer."""
    ahead = SIGNER.cookie(Session(b"i" * 16, NOW + 9_999, NOW + 9_999, MEMBER.visitor))
    assert SIGNER.session(ahead, NOW) is None
    assert SIGNER.seen(MEMBER, NOW - 50) == MEMBER


def test_forgeries() -> None:
    """Another key's, a shortened and an altered one are no cookies of ours."""
    cookie = SIGNER.cookie(MEMBER)
    other = Signer(b"l" * 32, 100, 1_000)
    assert other.session(cookie, NOW) is None
    octets = bytearray(base64.urlsafe_b64decode(cookie + "=="[: -len(cookie) % 4]))
    for at in range(len(octets)):
        altered = bytearray(octets)
        altered[at] ^= 1
        assert SIGNER.session(base64.urlsafe_b64encode(altered).decode(), NOW) is None
        short = base64.urlsafe_b64encode(octets[:at]).rstrip(b"=").decode()
        assert SIGNER.session(short, NOW) is None
    assert SIGNER.session(cookie * 20, NOW) is None


@pytest.mark.long
@given(st.text())
def test_any_text_is_no_cookie(text: str) -> None:
    """Whatever comes, nothing is raised."""
    assert SIGNER.session(text, NOW) is None
    assert not SIGNER.is_token(MEMBER, text)


def test_the_clock_is_not_told() -> None:
    """Nothing in a cookie can be read: times least of all; and none is like another."""
    cookie = SIGNER.cookie(MEMBER)
    octets = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
    assert NOW.to_bytes(8, "big") not in octets
    assert b"jondoe" not in octets
    assert SIGNER.cookie(MEMBER) != cookie


def test_tokens() -> None:
    """A form's token is of its session, and of no other or another key."""
    token = SIGNER.token(MEMBER)
    assert SIGNER.is_token(MEMBER, token)
    assert SIGNER.is_token(SIGNER.seen(MEMBER, NOW + 1), token)
    assert not SIGNER.is_token(evolve(MEMBER, id=b"x" * 16), token)
    assert not SIGNER.is_token(STRANGER, token)
    assert not Signer(b"l" * 32, 100, 1_000).is_token(MEMBER, token)
    assert not SIGNER.is_token(MEMBER, "")
    assert not SIGNER.is_token(MEMBER, token[:-1])


def test_ended() -> None:
    """Ended sessions are known for as long as their cookies could live, in bounds."""
    ended = Ended(100, most=3)
    ended.add(b"a", 1, NOW)
    ended.add(b"b", 2, NOW + 60)
    ended.add(b"c", 3, NOW + 101)
    assert [one in ended for one in (b"a", b"b", b"c")] == [False, True, True]
    ended.add(b"d", 1, NOW + 102)
    ended.add(b"e", 2, NOW + 103)
    assert [one in ended for one in (b"b", b"c", b"d", b"e")] == [
        *(False, True, True, True)
    ]


def test_ended_of_one() -> None:
    """Who ends sessions without end has his own forgotten, and nobody else's."""
    ended = Ended(100, most_of_one=2)
    ended.add(b"mine", 1, NOW)
    for number in range(9):
        ended.add(b"%d" % number, 0, NOW)
    assert b"mine" in ended
    assert [number for number in range(9) if b"%d" % number in ended] == [7, 8]
    ended.add(b"8", 0, NOW + 50)
    assert b"7" in ended
    ended.add(b"later", 1, NOW + 120)
    assert [one in ended for one in (b"mine", b"7", b"8")] == [False, False, True]


def test_reading_cookies() -> None:
    """One of a name is read; of two neither is: another program may have set one."""

    def read(*headers: bytes) -> list[str]:
        return list(cookies.read(headers).values())

    assert read(b"postmand=abc") == ["abc", ""]
    assert read(b"a=b; postmand=abc;c", b"postmanda=x") == ["abc", ""]
    assert read() == read(b"", b";;=", b"postmand") == ["", ""]
    assert read(b"postmand=abc; postmand-visit=v; postmand=abd") == ["", "v"]
    assert read(b"postmand-visit=v", b"postmand=abc") == ["abc", "v"]


def test_attributes() -> None:
    """No script reads it, no other page sends it, and it goes by itself."""
    header = cookies.header(cookies.MEMBER, "abc", 1_800).decode()
    assert header == "postmand=abc; Path=/; Max-Age=1800; HttpOnly; SameSite=Strict"
