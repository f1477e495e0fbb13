"""Header blocks, encoded words, parameters, dates and the lines we put in front."""

from __future__ import annotations

import re
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message import charsets, dates, encoded, headers, parameters
from postmand.message.address import Address
from postmand.message.headers import Header, fold, replace_thread_ids, thread_ids
from postmand.message.limits import Limits, MessageError
from postmand.message.restamp import utc_date
from postmand.message.trace import received, return_path


def _read(block: bytes, limits: Limits | None = None) -> tuple[Header, bytes]:
    header, body = headers.read(block, 0, len(block), limits or Limits())
    return header, block[body:]


# Reading


def test_fields_are_unfolded() -> None:
    """A value is one line without outer blanks, its name in lower case."""
    header, body = _read(b"Subject:  a\r\n\tb\r\n  c \r\nTO:x\r\n\r\nhi\r\n")
    assert header.fields == ((b"subject", b"a\tb  c"), (b"to", b"x"))
    assert header.first(b"to") == b"x"
    assert header.first(b"cc") is None
    assert body == b"hi\r\n"


def test_every_field_of_a_name() -> None:
    """Fields given twice are both there, in order; the first is the first."""
    header, _ = _read(b"To: a\r\nCC: x\r\ntO: b\r\n\r\n")
    assert header.every(b"to") == [b"a", b"b"]
    assert header.first(b"to") == b"a"


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        # A blank before the colon; a header-like line after a malformed one.
        (b"Bcc : x\r\nTo:y\r\n\r\n", [(b"bcc", b"x"), (b"to", b"y")]),
        (b"garbage\r\nTo: y\r\nX-A: z\r\n\r\n", [(b"to", b"y"), (b"x-a", b"z")]),
        # A malformed line takes its continuation with it.
        (
            b"To: y\r\nno field\r\n Bcc: x\r\nCc: z\r\n\r\n",
            [(b"to", b"y"), (b"cc", b"z")],
        ),
        (b" Bcc: x\r\nTo: y\r\n\r\n", [(b"to", b"y")]),
        # Names that are none.
        (b"T\xf6: x\r\nTo: y\r\n\r\n", [(b"to", b"y")]),
        (b"X A: x\r\nTo: y\r\n\r\n", [(b"to", b"y")]),
        (b": x\r\nTo: y\r\n\r\n", [(b"to", b"y")]),
        # A line of blanks continues the field (RFC 5322 4.2), it ends no header.
        (b"To: y\r\n \r\nCc: z\r\n\r\n", [(b"to", b"y"), (b"cc", b"z")]),
        # A CR that ends no line is a blank: no field begins behind it.
        (b"To: y\rBcc: x\r\n\r\n", [(b"to", b"y Bcc: x")]),
        (b"To: y\r\r\nCc: z\r\n\r\n", [(b"to", b"y"), (b"cc", b"z")]),
        (b"\r\nTo: y\r\n\r\n", []),
        # The node's own fields are eaten, also where they are all there is.
        (b"Postman-Delay: pool\r\n\r\n", [(b"postman-delay", b"pool")]),
    ],
)
def test_broken_blocks(block: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """A line that is no field is skipped, and hides nothing behind it."""
    assert list(_read(block)[0].fields) == fields


def test_no_blank_line() -> None:
    """Without an empty line all is header and the body is empty."""
    header, body = _read(b"From: a@b\r\nX-Secret: y")
    assert header.fields == ((b"from", b"a@b"), (b"x-secret", b"y"))
    assert body == b""


@pytest.mark.parametrize(
    "text",
    [
        b"Hello alice,\r\nhow: are you\r\n\r\nbye\r\n",
        b"just a line",
        b"http is a name\r\nhttp://x/\r\n",
        b"x" * 300_000,
    ],
)
def test_no_header(text: bytes) -> None:
    """Text without any known field is body from its first octet."""
    assert _read(text) == (Header(), text)


def test_mbox_line() -> None:
    """A leading mbox line is known by its clock; text that begins alike is not it."""
    line = b"From jondoe Sun Nov 22 06:20:49 2026\r\n"
    assert headers.mbox_line_end(b"..%s" % line, 2, 50) == 2 + len(line)
    assert headers.mbox_line_end(b"From here on all is text\r\n", 0, 26) == 0
    assert headers.mbox_line_end(b"From: a@b 10:20:30\r\n", 0, 20) == 0


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(header_bytes=99), "header-too-long"),
        (Limits(fields=9), "too-many-fields"),
    ],
)
def test_limits(limits: Limits, reason: str) -> None:
    """A block over a limit is refused by name, one at the limit is not."""
    block = b"".join(b"To: %d@abc\r\n" % number for number in range(10))
    block = block.removesuffix(b"\r\n")
    assert len(block) == 108
    _read(block[:99], Limits(header_bytes=99))
    _read(block, Limits(fields=10))
    with pytest.raises(MessageError) as caught:
        _read(block, limits)
    assert caught.value.reason == reason
    assert (caught.value.code, caught.value.enhanced) == (554, "5.6.0")
    assert caught.value.text


# Writing


def test_fold() -> None:
    """Lines are filled up to 78 columns and broken between words only."""
    words = [b"%02d-456789" % number for number in range(30)]
    value = fold(b"Subject", words)
    lines = (b"Subject: " + value).split(b"\r\n")
    assert value.replace(b"\r\n ", b" ") == b" ".join(words)
    assert max(map(len, lines)) <= 78
    assert min(map(len, lines[:-1])) > 66
    assert fold(b"To", [b"x" * 100]) == b"x" * 100
    assert fold(b"To", []) == b""
    assert fold(b"Subject", [b"a", b"x" * 68]) == b"a\r\n " + b"x" * 68
    assert fold(b"Subject", [b"a", b"x" * 67]) == b"a " + b"x" * 67


def test_write() -> None:
    """A block ends with its empty line; an empty body leaves no blank behind."""
    assert (
        headers.write([(b"A", b"b"), (b"Subject", b"")]) == b"A: b\r\nSubject:\r\n\r\n"
    )


# Encoded words (RFC 2047)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Sch=C3=B6ne_Gr=C3=BC=C3=9Fe?=", "Schöne Grüße"),
        (b"=?ISO-8859-15?Q?Sch=F6ne_Gr=FC=DFe?=", "Schöne Grüße"),
        (b"=?UTF-8?B?U2Now7ZuZSBHcsO8w59l?=", "Schöne Grüße"),
        (b"=?UTF-8?B?U2Now7ZuZSBHcsO8w59l", "=?UTF-8?B?U2Now7ZuZSBHcsO8w59l"),
        (b"=?UTF-8*de?B?U2No?=", "Sch"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        (b"=?utf-8?q?a?= \t =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= =?iso-8859-1?q?=F6?=", "aö"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=B6?=", "ö"),
        (b"=?utf-8?b?w?= x", "=?utf-8?b?w?= x"),
        (b"=?utf-8?b?w7Y?=", "ö"),
        (b"=?utf-8?q?=FF?=", "\ufffd"),
        (b"=?x-unknown?q?a?=", "=?x-unknown?q?a?="),
        (b"=?rot13?q?a?= =?zlib?b?eJw=?=", "=?rot13?q?a?= =?zlib?b?eJw=?="),
        ("Grüße".encode(), "Grüße"),
        (b"Gr\xfc\xdfe", "Grüße"),
        # A line end hidden in a word is none any more (CVE-2024-6923).
        (b"=?utf-8?q?a=0D=0ABcc:_b?=", "a Bcc: b"),
        (b"=?utf-8?q?a=0ABcc:_b?=", "a Bcc: b"),
        (b"=?utf-8?q?a=00=7F=C2=85=E2=80=A8b?=", "a b"),
    ],
)
def test_decode_words(value: bytes, text: str) -> None:
    """Words are decoded as their writers meant, and end up on one clean line."""
    assert encoded.decode_words(value) == text


def test_one_way_of_encoding() -> None:
    """Printable ASCII stays; the rest is UTF-8, Q or B, whichever is shorter."""
    assert encoded.words("a  b c") == [b"a", b" b", b"c"]
    assert encoded.words("Der Zug fährt ab") == [b"=?utf-8?q?Der_Zug_f=C3=A4hrt_ab?="]
    assert encoded.words("Schöne Grüße") == [b"=?utf-8?b?U2Now7ZuZSBHcsO8w59l?="]
    assert encoded.words("日本語") == [b"=?utf-8?b?5pel5pys6Kqe?="]
    assert encoded.words("=?utf-8?q?x?=") == [b"=?utf-8?b?PT91dGYtOD9xP3g/PQ==?="]
    assert len(encoded.words("x" * 200)) == 1
    assert len(encoded.words("x" * 201)) == 4
    assert encoded.words("") == []


@given(st.text())
def test_words_come_back(text: str) -> None:
    """What is written can be read again, by us and by the standard library."""
    text = encoded.clean(text.encode("utf-8", "replace").decode())
    words = encoded.words(text)
    value = fold(b"Subject", words)
    assert value.isascii()
    unfolded = value.replace(b"\r\n", b"")
    assert encoded.decode_words(unfolded) == text
    if words and words[0].startswith(b"=?"):
        assert all(len(word) <= 64 for word in words)
        assert str(make_header(decode_header(unfolded.decode()))) == text


@pytest.mark.parametrize(
    ("octets", "label", "text"),
    [
        (b"a", b"", "a"),
        (b"\xc3\xb6", b"us-ascii", "ö"),
        (b"\xf6", b"us-ascii", None),
        (b"\xf6", b"utf-8", None),
        (b"\xf6", b"ISO_8859-1", "ö"),
        (b"\x93a\x94", b"iso-8859-1", "“a”"),
        (b"\x81", b"latin1", "\x81"),
        (b"\xa4", b" iso-8859-15 ", "€"),
        (b"\x1b$B\x46\x7c\x1b(B", b"iso-2022-jp", "日"),
        (b"\x1b$B\x46\x7c\x1b(B", b"csISO2022JP", "日"),
        (b"\xc8\xd5", b"gb2312", "日"),
        (b"\x93\xfa", b"x-sjis", "日"),
        (b"\xe0", b"ISO-8859-8-I", "א"),
        (b"\x8e", b"x-mac-roman", "é"),
        (b"a", b"utf-7", None),
        (b"a", b"rot13", None),
        (b"a", b"unicode_escape", None),
        (b"\xff\xfea\0", b"utf-16", None),
    ],
)
def test_charsets(octets: bytes, label: bytes, text: str | None) -> None:
    """Only listed character sets are decoded, and only where their rules hold."""
    assert charsets.decode(octets, label) == text
    assert charsets.to_utf8(octets, label) == (None if text is None else text.encode())


def test_every_charset_is_there() -> None:
    """Python knows each codec we name."""
    for label in charsets._CODECS:
        assert charsets.decode(b"a", label) == "a"


# Parameters (RFC 2045, RFC 2231)


@pytest.mark.parametrize(
    ("value", "kind", "named"),
    [
        (b"Text/Plain", b"text/plain", {}),
        (b"text / plain;charset=A", b"text/plain", {b"charset": b"A"}),
        (b"a/b; x=1; X=2", b"a/b", {b"x": b"1"}),
        (b'a/b; x="a;\\"b\\\\"; y = 1 (c)', b"a/b", {b"x": b'a;"b\\', b"y": b"1"}),
        (b'a/b; x="never closed', b"a/b", {b"x": b"never closed"}),
        (b'a/b; x="C:\\Users\\m.pdf"', b"a/b", {b"x": b"C:\\Users\\m.pdf"}),
        (b"a/b; x*=utf-8'de'%C3%B6", b"a/b", {b"x": "ö".encode()}),
        (b"a/b; x=plain; x*=iso-8859-1''%F6", b"a/b", {b"x": "ö".encode()}),
        (b"a/b; x*1=b; x*0*=utf-8''%C3; x*2*=%B6", b"a/b", {b"x": b"\xc3b\xb6"}),
        (b"a/b; x*0=a; x*2=c", b"a/b", {b"x": b"a"}),
        (b"a/b; x*=nosuch''%F6", b"a/b", {b"x": b"\xf6"}),
        (b"a/b; x*=%F6", b"a/b", {b"x": b"\xf6"}),
        (b"a/b; x*1234=a; =b; *=c; ; x", b"a/b", {}),
        (
            b"a/b; name=a  b (1).txt ; x=y z",
            b"a/b",
            {b"name": b"a  b (1).txt", b"x": b"y"},
        ),
        (b"a/b; name=a b=c; x=y", b"a/b", {b"name": b"a", b"x": b"y"}),
        (b"; x=1", b"", {}),
        (b"", b"", {}),
    ],
)
def test_parameters(value: bytes, kind: bytes, named: dict[bytes, bytes]) -> None:
    """The first of a name counts, extended forms win; what is odd stays octets."""
    assert parameters.parse(value, Limits()) == (kind, named)


def test_too_many_parameters() -> None:
    """A field of endless parameters is refused by name."""
    value = b"a/b" + b"; x=1" * 5
    assert parameters.parse(value, Limits(parameters=5))[1] == {b"x": b"1"}
    with pytest.raises(MessageError, match="too-many-parameters"):
        parameters.parse(value, Limits(parameters=4))


@given(st.text(min_size=1))
def test_file_names_come_back(text: str) -> None:
    """A parameter is written in the one shape that gives the same octets again."""
    octets = text.encode("utf-8", "replace")
    words = parameters.write(b"attachment", [(b"filename", octets)])
    value = b" ".join(words)
    assert value.isascii()
    assert parameters.parse(value, Limits()) == (b"attachment", {b"filename": octets})


# Threads


def _block(*lines: bytes) -> bytes:
    return b"\r\n".join((*lines, b"", b""))


def test_thread_ids() -> None:
    """Both fields' ids come in the block's order, each time; other fields have none."""
    block = _block(
        b"References: <a@x>",
        b"\t<b@x> junk <c@x>",
        b"Subject: <no@x>",
        b"X-References: <no@y>",
        b"In-reply-to : <b@x> <d@x>",
        b"references:",
        b" <e@x>",
        b"In-Reply-To-You: <no@z>",
    )
    ids = b"<a@x> <b@x> <c@x> <b@x> <d@x> <e@x>"
    assert thread_ids(block) == tuple(ids.split())
    assert thread_ids(b"") == ()
    assert thread_ids(b"\r\n") == ()
    assert thread_ids(b"In-Reply-To: <a@x>") == (b"<a@x>",)


@pytest.mark.parametrize(
    "junk",
    [
        b"<>",
        b"<a>",
        b"<a@>",
        b"<@a>",
        b"<a b@c>",
        b"<a@b@c>",
        b"a@b",
        b"<a@b",
        b"<\xff@b>",
        b"<%s@b>" % (b"x" * 247),
    ],
)
def test_malformed_ids(junk: bytes) -> None:
    """What is no msg-id, or is over 250 octets, is not taken for one."""
    assert thread_ids(_block(b"References: " + junk + b" <a@b>")) == (b"<a@b>",)
    assert headers.message_id(junk) is None


def test_bounded_ids() -> None:
    """No mail carries more than 50 ids."""
    ids = [b"<%d@x>" % number for number in range(300)]
    assert headers.bounded_references(ids + ids) == [ids[0], *ids[-49:]]
    assert headers.bounded_references(ids[:50]) == ids[:50]


def test_replace_thread_ids() -> None:
    """In the two fields an id takes the other's place; all around it stays."""
    block = _block(
        b"Received: x;  odd   folding",
        b"  <a@x>",
        b"in-reply-to:<a@x>",
        b"Subject: <a@x>",
        b"REFERENCES : <b@x>",
        b"\t<a@x> (a comment)",
        b"  <c@x>",
        b"X: y",
    )
    replaced = replace_thread_ids(block, {b"<a@x>": b"<%s@long>" % (b"n" * 60)})
    assert replaced == _block(
        b"Received: x;  odd   folding",
        b"  <a@x>",
        b"in-reply-to:<%s@long>" % (b"n" * 60),
        b"Subject: <a@x>",
        b"REFERENCES : <b@x>",
        b"\t<%s@long> (a comment)" % (b"n" * 60),
        b"  <c@x>",
        b"X: y",
    )


def test_replace_nothing() -> None:
    """A block that holds none of the ids stays byte for byte, odd folding too."""
    block = _block(b"References:\t<b@x>", b"  <c@x>   ", b"In-Reply-To: junk")
    assert replace_thread_ids(block, {b"<a@x>": b"<n@x>"}) == block
    assert replace_thread_ids(block, {}) == block
    assert replace_thread_ids(b"", {b"<a@x>": b"<n@x>"}) == b""


def test_replace_at_the_end() -> None:
    """The last field may lack its line end."""
    assert replace_thread_ids(b"References: <a@x>", {b"<a@x>": b"<b@x>"}) == (
        b"References: <b@x>"
    )


@pytest.mark.parametrize("line", [b"references\r\n", b"References: <\r\n", b"x\r\n"])
def test_long_blocks(line: bytes) -> None:
    """A block of nothing but the two names is no work."""
    assert thread_ids(line * 30_000 + b"x: y\r\n\r\n") == ()


# Dates and trace


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"Sun, 22 Nov 2026 06:30:11 -0400 (-04)", b"Sun, 22 Nov 2026 10:30:11 +0000"),
        (b"Sun, 22 Nov 2026 23:30 +0530", b"Sun, 22 Nov 2026 18:00:00 +0000"),
        (b"22 Nov 2026 06:30:11 -04:00", b"Sun, 22 Nov 2026 10:30:11 +0000"),
        (b"22 Nov 2026 12:30:11 GMT+02:00", b"Sun, 22 Nov 2026 10:30:11 +0000"),
        (b"1 Jan 26 00:00:00 +0100", b"Wed, 31 Dec 2025 23:00:00 +0000"),
        (b"1 Jan 99 00:00:00 EST", b"Fri, 01 Jan 1999 05:00:00 +0000"),
        (b"Sat,  1 Jan 2000 00:00:60 GMT", b"Sat, 01 Jan 2000 00:00:59 +0000"),
        (b"1 Jan 2000 00:00:00", b"Sat, 01 Jan 2000 00:00:00 +0000"),
        (b"1 January 2000 00 : 00 Z", b"Sat, 01 Jan 2000 00:00:00 +0000"),
        (b"31 Feb 2026 00:00:00 +0000", None),
        (b"1 Foo 2026 00:00:00 +0000", None),
        (b"1 Jan 2026 24:00:00 +0000", None),
        (b"1 Jan 0001 00:00:00 +2359", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_dates(value: bytes, written: bytes | None) -> None:
    """A date is read with all its obsolete forms and written in UTC, or not at all."""
    assert dates.in_utc(value) == written
    if written:
        assert dates.in_utc(written) == written


def test_utc_date() -> None:
    """Our own date is cut to the minute."""
    assert utc_date(1795360919.999) == b"Sun, 22 Nov 2026 15:21:00 +0000"
    assert utc_date(1795360860) == b"Sun, 22 Nov 2026 15:21:00 +0000"
    assert utc_date(0) == b"Thu, 01 Jan 1970 00:00:00 +0000"


def test_return_path() -> None:
    """The line holds the address or the null path."""
    assert return_path(None) == b"Return-Path: <>\r\n"
    address = Address(b"jondoe", b"mail.i2p")
    assert return_path(address) == b"Return-Path: <jondoe@mail.i2p>\r\n"


def test_received() -> None:
    """The line has the original service's form, folded, and names no client."""
    line = received(b"smtp.postman.i2p", b"Sun, 22 Nov 2026 15:21:00 +0000", b"ab12")
    assert re.sub(rb"\r\n ", b" ", line) == (
        b"Received: from localhost (localhost [127.0.0.1]) by smtp.postman.i2p"
        b" (I2pMailer) with ESMTP id ab12; Sun, 22 Nov 2026 15:21:00 +0000 (UTC)\r\n"
    )
    assert max(map(len, line.split(b"\r\n"))) <= 78
