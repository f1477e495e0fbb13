"""Lines of IRC as octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.biff import lines
from postmand.biff.events import Source
from postmand.biff.lines import Line, LineError, TooLongError


def test_whole() -> None:
    """Tags, prefix, command, parameters and text are told apart."""
    line = lines.parse(
        b"@account=alice;x :alice!u@h PRIVMSG  #mail.i2p :you :have mail \r"
    )
    assert line == Line(
        b"PRIVMSG",
        (b"#mail.i2p", b"you :have mail "),
        Source(b"alice", b"u", b"h"),
        {b"account": b"alice", b"x": b""},
    )


def test_bare() -> None:
    """A command may stand alone, in any case."""
    assert lines.parse(b"ping") == Line(b"PING")


def test_reply() -> None:
    """A numeric has a code, a word has none."""
    assert lines.parse(b":irc.test 001 biff :Hi").code == 1
    assert lines.parse(b":irc.test NOTICE biff :001").code == 0


def test_empty_text() -> None:
    """An empty text is a parameter all the same."""
    assert lines.parse(b":a!b@c NOTICE biff :").params == (b"biff", b"")


def test_missing_parameter() -> None:
    """A parameter that is not there reads as empty."""
    assert lines.parse(b"NICK").param(0) == b""


@pytest.mark.parametrize(
    ("prefix", "source"),
    [
        (b"irc.test", Source(b"irc.test")),
        (b"a@h", Source(b"a", b"", b"h")),
        (b"a!u@h@x", Source(b"a", b"u", b"h@x")),
        (b"", Source(b"")),
    ],
)
def test_prefixes(prefix: bytes, source: Source) -> None:
    """Servers leave parts of a prefix out."""
    assert lines.parse(b":%s QUIT" % prefix).source == source


def test_escapes_in_tags() -> None:
    """Tags have escapes of their own (IRCv3 message tags)."""
    line = lines.parse(rb"@a=x\s\:\\\r\n\q\ :s QUIT")
    assert line.tags == {b"a": b"x ;\\\r\nq"}


def test_no_dequoting() -> None:
    r"""A \x10n is two octets and no line feed: Twisted makes one of it."""
    line = lines.parse(b":a!u@h PRIVMSG biff :.register a pw\x10nDELE 1\x10r")
    assert line.params[1] == b".register a pw\x10nDELE 1\x10r"


def test_not_utf_8() -> None:
    """Octets are octets."""
    assert lines.parse(b":a\xff!u@h PRIVMSG b :\xe4\xff").params[1] == b"\xe4\xff"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r",
        b":irc.test",
        b":irc.test ",
        b"@a=b",
        b" ",
        b"12 x",
        b"1234 x",
        b"PRIV-MSG x",
        b"\xc3\xa9 x",
        b"PRIVMSG a :x\0y",
        b"PRIVMSG a :x\ry",
        b"PRIVMSG a :x\r\r",
        b"PRIVMSG a :x\ny",
    ],
)
def test_no_lines(octets: bytes) -> None:
    """What is none is refused with a word that quotes nothing."""
    with pytest.raises(LineError) as caught:
        lines.parse(octets)
    assert str(caught.value) in ("control character", "no command")


@given(st.binary(max_size=600))
def test_any_octets(octets: bytes) -> None:
    """Whatever comes is a line or a LineError, and no line holds what ends one."""
    try:
        line = lines.parse(octets)
    except LineError:
        return
    for word in line.params:
        assert not {0, 10, 13} & set(word)


def test_written() -> None:
    """Only a text has a colon where it could do without."""
    assert lines.write(b"JOIN", b"#mail.i2p") == b"JOIN #mail.i2p\r\n"
    assert lines.write(b"NOTICE", b"bob", b"hi") == b"NOTICE bob :hi\r\n"
    assert lines.write(b"USER", b"b", b"0", b"*", b"a b") == b"USER b 0 * :a b\r\n"
    assert lines.write(b"AWAY", b"") == b"AWAY :\r\n"
    assert lines.write(b"X", b":)") == b"X ::)\r\n"
    assert lines.write(b"LIST") == b"LIST\r\n"


@pytest.mark.parametrize(
    "words",
    [
        (b"NOTICE", b"bob", b"x\r\nQUIT"),
        (b"NOTICE", b"bob", b"x\nQUIT"),
        (b"NOTICE", b"bob", b"x\0"),
        (b"NOTICE", b"bob\rQUIT", b"x"),
        (b"NOTICE", b"bob alice", b"x"),
        (b"NOTICE", b":bob", b"x"),
        (b"NOTICE", b"", b"x"),
        (b"NOTICE bob", b"x"),
        (b"", b"x"),
    ],
)
def test_unwritable(words: tuple[bytes, ...]) -> None:
    """Nothing can be put in beside the line that was meant."""
    with pytest.raises(LineError):
        lines.write(*words)


def test_length() -> None:
    """512 octets with CR LF can be written, 513 can not (RFC 1459 2.3)."""
    fits = b"x" * (512 - len(b"NOTICE bob :\r\n"))
    assert len(lines.write(b"NOTICE", b"bob", fits)) == 512
    with pytest.raises(TooLongError):
        lines.write(b"NOTICE", b"bob", fits + b"x")


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=4),
    st.binary(max_size=60),
)
def test_read_as_written(middle: list[bytes], text: bytes) -> None:
    """What can be written reads as the same parameters."""
    try:
        octets = lines.write(b"NOTICE", *middle, text)
    except LineError:
        return
    assert octets.count(b"\n") == 1
    assert lines.parse(octets[:-1]).params == (*middle, text)


def test_room() -> None:
    """A text that fills the room is within 512 when the server names the sender."""
    room = lines.room(b"biff", b"NOTICE", b"alice")
    sent = b":biff!" + b"u" * 12 + b"@" + b"h" * 64 + b" NOTICE alice :" + b"x" * room
    assert len(sent + b"\r\n") == 512


def test_cut_between_characters() -> None:
    """A character that does not fit is left out whole."""
    assert lines.cut("aé€😀".encode(), 100) == "aé€😀".encode()
    for octets, text in ((9, "aé€"), (6, "aé€"), (5, "aé"), (2, "a"), (1, "a")):
        assert lines.cut("aé€😀".encode(), octets) == text.encode()
    assert lines.cut(b"abc", 0) == b""
    assert lines.cut(b"abc", -5) == b""


def test_cut_what_is_no_utf_8() -> None:
    """Octets that belong to no character are cut where the room ends."""
    assert lines.cut(b"\x80" * 10, 6) == b"\x80" * 6


@given(st.text(max_size=60), st.integers(min_value=0, max_value=80))
def test_cut_text(text: str, octets: int) -> None:
    """What is left fits, is the beginning, and is UTF-8 by itself."""
    left = lines.cut(text.encode(), octets)
    assert len(left) <= octets
    assert text.startswith(left.decode())
