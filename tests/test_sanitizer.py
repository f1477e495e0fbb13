"""Washing a whole message: what remains, what falls, and what gets past: nothing."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmand.message.address import Address
from postmand.message.restamp import compose
from postmand.message.sanitizer import (
    Identity,
    Limits,
    MessageError,
    Washed,
    parse,
    wash,
)
from tests.fuzz_sanitizer import (
    ALWAYS,
    JONDOE,
    ME,
    check,
    fuzz,
    names,
    washed,
)


def _field(message: bytes, name: str) -> str | None:
    """Return a top field's unfolded body."""
    value = message_from_bytes(message)[name]
    return None if value is None else str(value).replace("\r\n", "")


def _lines(*lines: str) -> bytes:
    return "\r\n".join((*lines, "")).encode()


def _body(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[2]


_UNLISTED = [
    "Bcc",
    "Resent-Bcc",
    "Sender",
    "Resent-From",
    "Resent-To",
    "Resent-Sender",
    "Resent-Date",
    "Resent-Message-ID",
    "Return-Path",
    "Received",
    "X-Received",
    "Delivered-To",
    "X-Mailer",
    "X-Originating-IP",
    "X-Priority",
    "User-Agent",
    "Organization",
    "Autocrypt",
    "Thread-Topic",
    "Thread-Index",
    "List-Id",
    "List-Unsubscribe",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Content-Language",
    "Importance",
    "Priority",
    "Reply-To",
    "Comments",
    "Keywords",
    "Status",
    "X-Status",
    "X-UID",
    "Content-ID",
    "Content-Description",
    "Face",
    "OpenPGP",
    "DKIM-Signature",
    "ARC-Seal",
    "Authentication-Results",
    "Mail-Followup-To",
    "In-Reply-To-X",
]


@pytest.mark.parametrize("name", _UNLISTED)
def test_unlisted_fields_fall(name: str) -> None:
    """No field but the listed ones is left, however its name is spelt."""
    for spelt in (name, name.lower(), name.upper(), f"{name} ", f"{name}\t"):
        message = washed(_lines(f"{spelt}: secret-trace", "To: a@b", "", "hi"))
        assert b"secret-trace" not in message
        assert names(message) == ALWAYS


def test_canonical_order() -> None:
    """All fields come in one order and case, whatever the client's were."""
    raw = _lines(
        "references: <r@x>",
        "CC: c@x",
        "content-type: text/plain",
        "MIME-version: 1.0 (odd)",
        "message-id: <m@x>",
        "SUBJECT: s",
        "in-reply-to: <i@x>",
        "date: Sun, 22 Nov 2026 06:30:11 -0400",
        "to: t@x",
        "from: f@x",
        "",
        "hi",
    )
    assert washed(raw) == _lines(
        "Date: Sun, 22 Nov 2026 15:21:00 +0000",
        "From: jondoe@mail.i2p",
        "To: t@x",
        "Cc: c@x",
        "Subject: s",
        "Message-ID: <given-out@mail.i2p>",
        "In-Reply-To: <i@x>",
        "References: <r@x>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "hi",
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"hi\r\n",
        b"hi",
        b"\r\nhi\r\n",
        b"From: a@b",
        b"Subject: x\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--",
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nhi\r\n",
    ],
)
def test_always_the_same_fields(raw: bytes) -> None:
    """Whatever is missing, the same fields in the same order are there."""
    assert names(washed(raw)) == ALWAYS


def test_washed_value() -> None:
    """Nothing of time is in what is queued; compose puts it in and changes no more."""
    draft = parse(b"Date: x\r\nMessage-ID: <m@x>\r\nSubject: s\r\n\r\nhi\r\n", Limits())
    message = wash(draft, ME, {}, random.Random(1))
    assert isinstance(message, Washed)
    assert [name for name, _ in message.fields] == [
        name for name in ALWAYS if name not in (b"Date", b"Message-ID")
    ]
    assert b"".join(message.body) == b"hi\r\n"
    first = compose(message, date=b"D", message_id=b"<1@x>")
    second = compose(message, date=b"E", message_id=b"<2@x>")
    assert first.replace(b": D\r\n", b": E\r\n").replace(b"<1@x>", b"<2@x>") == second


# Who sends


@pytest.mark.parametrize(
    "sender",
    [
        "From: Mary Realname <jondoe@mail.i2p>",
        "From: mallory@mail.i2p",
        "From: a@b\r\nFrom: c@d",
        "From : a@b\r\nfrom: c@d",
        "From: =?utf-8?q?a=0D=0AFrom=3A_?= <a@b>",
        "From: jondoe@mail.i2p (Mary), a@b",
        "From:\r\n a@b",
        "Fr\xf6m: a@b",
        "X: y",
        "Sender: a@b\r\nReply-To: a@b",
    ],
)
def test_sender(sender: str) -> None:
    """From is the account's own, in its own words, once: nobody sends as another."""
    raw = sender.encode() + b"\r\nTo: t@x\r\n\r\nhi\r\n"
    message = washed(raw)
    assert names(message) == ALWAYS
    assert _field(message, "From") == "jondoe@mail.i2p"
    assert b"Mary" not in message
    assert b"a@b" not in message
    named = washed(raw, identity=Identity(JONDOE, "Jön, D", ME.own))
    assert named.count(b"From: =?utf-8?b?SsO2biwgRA==?= <jondoe@mail.i2p>\r\n") == 1


def test_display_name_is_clean() -> None:
    """Not even a setting can put a line break into a header."""
    identity = Identity(JONDOE, "Jon\r\nBcc: x@y", ME.own)
    message = washed(b"To: t@x\r\n\r\n", identity=identity)
    assert _field(message, "From") == '"Jon Bcc: x@y" <jondoe@mail.i2p>'


@pytest.mark.parametrize(
    "own",
    [
        "Mary Realname <jondoe@mail.i2p>",
        '"JonDoe"@MAIL.I2P.',
        "jondoe@i2pmail.org",
        "Me <JONDOE@I2PMAIL.org.>",
        "jondoe @ mail . i2p",
        "<@relay:jondoe@mail.i2p>",
        "jondoe(c)@(c)mail.i2p",
        "=?utf-8?q?Mary?= <jondoe@mail.i2p>",
    ],
)
def test_own_address_elsewhere(own: str) -> None:
    """The member's own address looks the same everywhere, in both domains."""
    identity = Identity(JONDOE, "JD", ME.own)
    message = washed(_lines(f"To: {own}", f"Cc: x: {own}, b@c;", ""), identity=identity)
    assert _field(message, "To") == "JD <jondoe@mail.i2p>"
    assert _field(message, "Cc") == "x: JD <jondoe@mail.i2p>, b@c;"


@pytest.mark.parametrize(
    "other",
    [
        "jondoe%x@mail.i2p",
        "x!jondoe@mail.i2p",
        "jondoe@mail.i2p.org",
        "jondoe2@mail.i2p",
    ],
)
def test_not_own(other: str) -> None:
    """What only looks like the own address is somebody else's."""
    identity = Identity(JONDOE, "JD", ME.own)
    assert _field(washed(_lines(f"To: {other}", ""), identity=identity), "To") == other


# Recipients and Subject


@pytest.mark.parametrize(
    ("to", "written"),
    [
        ("To: Alice <a@b>, c@d", "Alice <a@b>, c@d"),
        ('To: "Alice" <A@B>', "Alice <A@b>"),
        ('To: "a@b" <a@b>', "a@b"),
        ("To: \"'Bob@Mail.i2p'\" <bob@mail.i2p>", "bob@mail.i2p"),
        ('To: "a@b" <c@d>', '"a@b" <c@d>'),
        ("To: a@b\r\nTo: c@d\r\nTO : e@f", "a@b, c@d, e@f"),
        ("To: =?iso-8859-1?q?J=F6rg_M?= <a@b>", "=?utf-8?q?J=C3=B6rg_M?= <a@b>"),
        ("To: Jörg M <a@b>", "=?utf-8?q?J=C3=B6rg_M?= <a@b>"),
        ('To: "D., J." <a@b>', '"D., J." <a@b>'),
        ("To: undisclosed-recipients:;", "undisclosed-recipients:;"),
        ("To: Verborgene_Empfaenger: ;", "undisclosed-recipients:;"),
        ("To: Undisclosed recipients:;, a@b", "a@b"),
        ("To: Team: jörg@b;", "=?utf-8?q?Internationalized_Address_j=C3=B6rg=40b?= :;"),
        ("To: Team: A <a@b>, c@d;", "Team: A <a@b>, c@d;"),
        ("To: Grüße: a@b;", "=?utf-8?b?R3LDvMOfZQ==?= : a@b;"),
        ("To: : a@b;", "a@b"),
        ("To: junk, , <>", "undisclosed-recipients:;"),
        ("Cc: a@b", "undisclosed-recipients:;"),
        ("Bcc: a@b", "undisclosed-recipients:;"),
        (
            "To: J <jörg@b>",
            "=?utf-8?q?J_Internationalized_Address_j=C3=B6rg=40b?= :;",
        ),
        (
            "To: x: jörg@b, c@d;",
            "x: c@d;, =?utf-8?q?Internationalized_Address_j=C3=B6rg=40b?= :;",
        ),
    ],
)
def test_recipients(to: str, written: str) -> None:
    """Others' addresses stay, their names written one way; To is always there."""
    message = washed(_lines(to, "", "hi"))
    assert _field(message, "To") == written
    assert check(_lines(to, "", "hi"))


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ("Subject: hi  there", "hi  there"),
        ("Subject:\r\n hi\r\n\tthere", "hi there"),
        ("Subject: a\r\nsubject: b", "a"),
        ("Subject: Grüße", "=?utf-8?b?R3LDvMOfZQ==?="),
        (
            "Subject: =?iso-8859-1?B?U2No9m5lIEdy/N9l?=",
            "=?utf-8?b?U2Now7ZuZSBHcsO8w59l?=",
        ),
        ("Subject: =?us-ascii?q?plain?=", "plain"),
        ("Subject: =?utf-8?q?a=0D=0ABcc:_x=40y?=", "a Bcc: x@y"),
        ("Subject: a\rBcc: x@y", "a Bcc: x@y"),
        ("Subject:", ""),
        ("X: y", ""),
    ],
)
def test_subject(subject: str, written: str) -> None:
    """The Subject stays, on one line, encoded one way."""
    message = washed(_lines(subject, "To: a@b", "", ""))
    assert _field(message, "Subject") == written
    assert names(message) == ALWAYS


def test_long_fields() -> None:
    """Long lists and subjects are folded at 78 columns, long words encoded."""
    to = ", ".join(
        f"Person Number {number} <p{number}@example.org>" for number in range(50)
    )
    raw = _lines(f"To: {to}", "Subject: " + "word " * 100, "Cc: a@b", "")
    header = washed(raw).partition(b"\r\n\r\n")[0]
    assert max(map(len, header.split(b"\r\n"))) <= 78
    assert _field(washed(raw), "To") == to
    endless = washed(_lines("Subject: " + "x" * 5_000, ""))
    assert max(map(len, endless.split(b"\r\n"))) <= 78


# Threads


def test_thread_ids_are_replaced() -> None:
    """Own ids become those given out, others' stay; what is no id falls."""
    raw = _lines(
        "Message-ID: <mine@laptop>",
        "In-Reply-To: Your message of Tue <own@laptop>",
        "References: <other@x> junk <own@laptop> <other@x>",
        "\t<a b@c> <own2@laptop>",
        "",
    )
    draft = parse(raw, Limits())
    assert draft.client_id == b"<mine@laptop>"
    assert draft.thread_ids == (
        b"<mine@laptop>",
        b"<own@laptop>",
        b"<other@x>",
        b"<own2@laptop>",
    )
    threads = {b"<own@laptop>": b"<1@mail.i2p>", b"<own2@laptop>": b"<2@mail.i2p>"}
    message = washed(raw, threads=threads)
    assert _field(message, "In-Reply-To") == "<1@mail.i2p>"
    assert _field(message, "References") == "<other@x> <1@mail.i2p> <2@mail.i2p>"
    assert b"laptop" not in message


@pytest.mark.parametrize(
    "message_id",
    ["", "junk", "<a>", "<a@b> <c@d>", "<a@b>x", "<%s@b>" % ("a" * 248), "<a b@c>"],
)
def test_malformed_client_id(message_id: str) -> None:
    """A Message-ID that is none counts as missing."""
    assert (
        parse(_lines(f"Message-ID: {message_id}", "", ""), Limits()).client_id is None
    )


def test_client_id() -> None:
    """The longest id taken has 250 octets; a folded one is one."""
    longest = "<%s@b>" % ("a" * 246)
    draft = parse(_lines("Message-ID:", f" {longest}", "", ""), Limits())
    assert draft.client_id == longest.encode()
    assert parse(b"\r\nhi", Limits()).client_id is None


def test_ids_beyond_the_bound_fall() -> None:
    """An id that was never looked up could be own: it does not leave."""
    forwards = [
        line
        for number in range(40)
        for line in (
            "--b",
            "Content-Type: message/rfc822",
            "",
            "References: " + " ".join(f"<{number}.{one}@x>" for one in range(30)),
            "",
            "",
        )
    ]
    raw = _lines("Content-Type: multipart/mixed; boundary=b", "", *forwards, "--b--")
    draft = parse(raw, Limits())
    assert len(draft.thread_ids) == 1_000
    message = washed(raw)
    assert b"<33.9@x>" in message
    assert b"<33.10@x>" not in message


# Forwarded messages


_FORWARD = (
    "Content-Type: multipart/mixed; boundary=b",
    "",
    "--b",
    "Content-Type: message/rfc822",
    "",
    "From MAILER Sun Nov 22 06:20:49 2026",
    "Received: from marys-laptop.home.example.org",
    "Return-Path: <x@y>",
    "X-Mailer: secret",
    "Bcc: hidden@x",
    "Status: RO",
    "Date: Sun, 22 Nov 2026 06:30:11 -0400 (-04)",
    "Subject: =?iso-8859-1?q?Gr=FC=DFe?=",
    "cc: b@x",
    "To: Mary Realname <jondoe@i2pmail.org>",
    "From: Alice <alice@mail.i2p>",
    "Message-ID: <own@laptop>",
    "In-Reply-To: <root@x>",
    "References: <root@x> <own@laptop>",
    "Content-Type: text/plain; charset=iso-8859-1; x=y",
    "Content-Language: de",
    "",
    "hi",
    "--b--",
)


def test_forwarded_profile() -> None:
    """A forwarded message keeps its author, people, date in UTC and thread, no more."""
    threads = {b"<own@laptop>": b"<1@mail.i2p>"}
    message = washed(_lines(*_FORWARD), threads=threads)
    assert (
        b"\r\n\r\n"
        + _lines(
            "Date: Sun, 22 Nov 2026 10:30:11 +0000",
            "From: Alice <alice@mail.i2p>",
            "To: jondoe@mail.i2p",
            "Cc: b@x",
            "Subject: =?utf-8?b?R3LDvMOfZQ==?=",
            "Message-ID: <1@mail.i2p>",
            "In-Reply-To: <root@x>",
            "References: <root@x> <1@mail.i2p>",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 7bit",
            "",
            "hi",
        )
        in message
    )
    assert _field(message, "From") == "jondoe@mail.i2p"


def test_forward_of_a_forward() -> None:
    """The profile holds at every depth, and says nothing that was not there."""
    raw = _lines(
        "Content-Type: message/rfc822",
        "Content-Disposition: attachment",
        "",
        "Content-Type: message/rfc822; x=secret",
        "",
        "Received: secret",
        "",
        "hi",
    )
    message = washed(raw)
    assert b"secret" not in message
    assert _body(message) == _lines(
        "MIME-Version: 1.0",
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: 7bit",
        "",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "hi",
    )
    assert b"Content-Disposition" not in message


# Getting past it


def test_no_header_is_all_body() -> None:
    """A message without headers is text, and nothing of it becomes a header."""
    message = washed(b"Hello,\r\nX-Thing: yes\r\n\r\nbye\r\n")
    assert _body(message) == b"Hello,\r\nX-Thing: yes\r\n\r\nbye\r\n"


@pytest.mark.parametrize(
    "head",
    [
        "garbage first line\r\nX-Leak: secret\r\nTo: a@b",
        "X-Leak : secret\r\nTo: a@b",
        "To: a@b\r\nX-L\xe9ak: secret",
        "To: a@b\r\nX-Leak:\r\n secret\r\n\tsecret",
        "To: a@b\r\nno field at all, secret\r\n secret",
        "To: a@b\r\n \r\nX-Leak: secret",
        "From secret Sun Nov 22 06:20:49 2026\r\nTo: a@b",
        "From secret Sun Nov 22 06:20:49 2026\r\nX-Leak: secret",
        "To: a@b\r\nSubject: x\0\r\nX-Leak\0: secret",
        "To: a@b (secret)",
        "To: secret, a@b",
        "To: <@secret:a@b>",
        "To: a@b\r\nReferences: secret",
        "To: a@b\r\nContent-Type: text/plain; charset=utf-8; x=secret",
        "To: a@b\r\nContent-Type: text/plain\r\nContent-Type: text/secret",
        "To: a@b\r\nContent-Type: text/plain (secret)",
        "To: a@b\r\nContent-Transfer-Encoding: secret",
        "To: a@b\r\nContent-Disposition: inline; x=secret",
        "To: a@b\r\nContent-ID: <secret@x>",
        "To: a@b\r\nMIME-Version: 1.0 (secret)",
        "To: a@b\r\nDate: Sun, 22 Nov 2026 06:30:11 -0400 (secret)",
    ],
)
def test_bypass(head: str) -> None:
    """No breakage of a header carries anything past the list."""
    message = washed(head.encode() + b"\r\n\r\nhi\r\n")
    assert b"secret" not in message.lower()
    assert _body(message) == b"hi\r\n"


def test_no_blank_line() -> None:
    """All header and no body: the fields are washed like any other."""
    message = washed(b"To: a@b\r\nX-Leak: secret\r\nSubject: hi")
    assert b"secret" not in message
    assert _field(message, "Subject") == "hi"
    assert _body(message) == b""


def test_bare_line_ends() -> None:
    """LF alone ends a line; CR alone never does, nor does it leave."""
    message = washed(b"Subject: a\nTo: b@c\n\none\ntwo\r\n")
    assert _field(message, "To") == "b@c"
    assert _body(message) == b"one\r\ntwo\r\n"
    assert check(b"To: a@b\r\n\r\none\rBcc: x\r\r\n\0\r\n")


# What must not break


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hi\r\n",
        b"trailing blanks  \t\r\n\r\n\r\n",
        b".\r\n..\r\n.x\r\n",
        b"From me\r\n>From you\r\n",
        b"-- \r\nsignature\r\n",
        b"x" * 998 + b"\r\n",
        b"form feed \x0c, escape \x1b[1m\r\n",
    ],
)
def test_text_is_untouched(text: bytes) -> None:
    """ASCII text that fits passes octet for octet."""
    raw = b"To: a@b\r\nContent-Type: text/plain; format=flowed\r\n\r\n" + text
    message = washed(raw)
    assert _body(message) == text
    flowed = "text/plain; charset=utf-8; format=flowed"
    assert _field(message, "Content-Type") == flowed


@pytest.mark.parametrize(
    "text", ["Grüße \r\n.\r\n", "日本語\r\n", "x" * 5_000 + "\r\n", "From ü\r\n" * 99]
)
def test_other_text_decodes_to_itself(text: str) -> None:
    """8-bit and over-long text comes out the same behind its encoding."""
    message = message_from_bytes(washed(b"To: a@b\r\n\r\n" + text.encode()))
    assert message.get_payload(decode=True) == text.encode()
    assert message.get_content_charset() == "utf-8"


def test_single_file() -> None:
    """A message that is one file keeps its name at the top; without a name, nothing."""
    head = "Content-Type: application/pdf", "Content-Transfer-Encoding: base64"
    named = washed(
        _lines(*head, "Content-Disposition: inline; filename=/a/b.pdf", "", "QQ==")
    )
    assert _field(named, "Content-Disposition") == 'inline; filename="b.pdf"'
    assert names(named) == [*ALWAYS, b"Content-Disposition"]
    unnamed = washed(_lines(*head, "Content-Disposition: attachment", "", "QQ=="))
    assert names(unnamed) == ALWAYS
    assert _body(unnamed) == b"QQ==\r\n"


def test_smime() -> None:
    """S/MIME's one part decodes to the same octets and keeps its type and name."""
    octets = random.Random(1).randbytes(500)
    raw = _lines(
        "Content-Type: application/pkcs7-mime; name=smime.p7m; smime-type=signed-data",
        "Content-Transfer-Encoding: binary",
        "",
    )
    octets = octets.replace(b"\r", b"").replace(b"\n", b"\r\n")
    message = message_from_bytes(washed(raw + octets))
    assert message.get_payload(decode=True) == octets
    assert message.get_param("smime-type") == "signed-data"
    assert message.get_filename() == "smime.p7m"


@pytest.mark.long
def test_large_file() -> None:
    """A file of megabytes passes, in chunks of about one."""
    octets = random.Random(1).randbytes(3_000_000)
    raw = b"Content-Type: application/x-thing\r\n\r\n" + octets.replace(b"\n", b"")
    draft = parse(raw, Limits())
    message = wash(draft, ME, {}, random.Random(1))
    assert max(map(len, message.body)) < 1_400_000
    parsed = message_from_bytes(
        compose(message, date=b"", message_id=b"") + b"".join(message.body)
    )
    assert parsed.get_payload(decode=True) == octets.replace(b"\n", b"")


def test_randomness_is_the_argument() -> None:
    """Boundaries come from the given source alone: two washings differ only there."""
    raw = _lines(
        "Content-Type: multipart/mixed; boundary=b", "", "--b", "", "x", "--b--"
    )
    first, second = washed(raw, seed=1), washed(raw, seed=2)
    assert first != second
    assert first == washed(raw, seed=1)
    boundary, other = (
        message_from_bytes(message).get_boundary() or "" for message in (first, second)
    )
    assert first.replace(boundary.encode(), other.encode()) == second


def test_other_member() -> None:
    """The same message washed for two members differs in nothing but them."""
    other = Address(b"alice", b"mail.i2p")
    raw = _lines("From: x@y", "To: z@y", "Subject: s", "", "hi")
    message = washed(raw, identity=Identity(other, "", frozenset((other,))))
    assert message.replace(b"alice@", b"jondoe@") == washed(raw)


# Limits


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"To: a@b\r\n" + b"X: y\r\n" * 1_000 + b"\r\n", "too-many-fields"),
        (b"To: " + b"a" * 262_145 + b"\r\n\r\n", "header-too-long"),
        (b"Content-Type: a/b" + b"; x=y" * 101 + b"\r\n\r\n", "too-many-parameters"),
        (b"Content-Type: message/rfc822\r\n\r\n" * 22, "nested-too-deep"),
    ],
)
def test_limits(raw: bytes, reason: str) -> None:
    """Each limit has a named refusal that says what to do."""
    with pytest.raises(MessageError) as caught:
        parse(raw, Limits())
    assert caught.value.reason == reason
    assert (caught.value.code, caught.value.enhanced) == (554, "5.6.0")
    assert caught.value.text.isascii()


# Hostile input


_JUNK = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"\r\n",
            b"\r\n\r\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"--bb\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: multipart/related; boundary=bb; start=<i@x>\r\n",
            b"Content-Type: multipart/signed; boundary=b\r\n",
            b"Content-Type: message/rfc822\r\n",
            b"Content-Type: text/html; charset=iso-8859-1\r\n",
            b"Content-Type: text/plain; charset*=utf-16''%FF; name*1*=%0D%0A\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            b"Content-ID: <i@x>\r\n",
            b'Content-Disposition: attachment; filename="\xff\r\n \0"\r\n',
            b"Subject: =?utf-8?b?/w==?= =?utf-8?q?=0D=0A?=\r\n",
            b"From: \r\n",
            b"To: x: <@a:b@c>, (\\\r\n",
            b"References: <a@b> <\r\n",
            b"<img src=cid:i@x>\r\n",
            b"=0D=0ABcc: x",
            b"QUJD=",
        ]
    ),
)


@pytest.mark.long
@settings(max_examples=300)
@given(st.lists(_JUNK, max_size=25))
def test_structured_garbage(pieces: list[bytes]) -> None:
    """Nothing but a MessageError comes out, and what leaves is canonical and clean."""
    check(b"".join(pieces))


@pytest.mark.long
def test_fuzzed_corpus() -> None:
    """Mutated messages of real clients, some hundreds of them."""
    fuzz(400, seed=2)


_HOSTILE: dict[str, Callable[[int], bytes]] = {
    "comments": lambda n: b"To: " + b"(" * n + b"\r\n\r\n",
    "closed comments": lambda n: b"To: " + b"(a)" * n + b"\r\n\r\n",
    "quotes": lambda n: b"To: " + b'"' * n + b"\r\n\r\n",
    "backslashes": lambda n: b"To: " + b'"' + b"\\" * n + b"\r\n\r\n",
    "brackets": lambda n: b"To: " + b"<" * n + b"\r\n\r\n",
    "routes": lambda n: b"To: " + b"<@a," * n + b"\r\n\r\n",
    "commas": lambda n: b"To: " + b"," * n + b"\r\n\r\n",
    "groups": lambda n: b"To: " + b"a:" * n + b"\r\n\r\n",
    "addresses": lambda n: b"To: " + b"a@b," * n + b"\r\n\r\n",
    "dots": lambda n: b"To: " + b"a." * n + b"@b\r\n\r\n",
    "words": lambda n: b"Subject: " + b"=?utf-8?q?x?= " * n + b"\r\n\r\n",
    "half words": lambda n: b"Subject: " + b"=?utf-8?q?" * n + b"\r\n\r\n",
    "folding": lambda n: b"Subject: " + b"\r\n x" * n + b"\r\n\r\n",
    "8-bit subject": lambda n: b"Subject: " + "ü".encode() * n + b"\r\n\r\n",
    "references": lambda n: b"References: " + b"<a@b>" * n + b"\r\n\r\n",
    "half references": lambda n: b"References: " + b"<a@" * n + b"\r\n\r\n",
    "parameters": lambda n: b"Content-Type: a/b" + b"; x" * n + b"\r\n\r\n",
    "blanks": lambda n: b"Content-Type: a/b;" + b" " * n + b"x\r\n\r\n",
    "no field": lambda n: b"x\r\n" * n,
    "one line": lambda n: b"x" * n,
    "near boundaries": lambda n: _mixed(b"--bb\r\n" * n),
    "boundaries": lambda n: _mixed(b"--b\r\n" * min(n, 900) + b"--b x\r\n" * n),
    "line ends": lambda n: _mixed(b"--b\r\n\r\n" + b"\r\n" * n),
    "bare ends": lambda n: _mixed(b"--b\r\n\r\n" + b"\r\n\n\r" * n),
    "base64": lambda n: _encoded(b"base64", b"QQ==" * n),
    "no base64": lambda n: _encoded(b"base64", b"*=" * n),
    "quoted": lambda n: _encoded(b"quoted-printable", b"=\r" * n),
    "soft ends": lambda n: _encoded(b"quoted-printable", b"=\r\n" * n),
    "cids": lambda n: _related(b"cid:i@x " * n),
    "no cids": lambda n: _related(b"cid:" * n),
    "html words": lambda n: _related(b"cid:" + b"%" * n),
    "words of a name": lambda n: (
        b"Content-Type: a/b" + b"; name=a" + b" b" * n + b"=\r\n\r\n"
    ),
    "cids in parentheses": lambda n: _related(b"cid:(" * n + b"cid:i(" + b"x" * n),
    "cids in plain text": lambda n: _mixed(
        b"--b\r\n\r\n" + b"[cid:i" * n + b"\r\n--b\r\nContent-Type: text/html\r\n"
        b"Content-ID: <i@x>\r\n\r\n"
    ),
    "forwards": lambda n: (b"Content-Type: message/rfc822\r\n\r\n" * 20) + b"x: y" * n,
    "report": lambda n: _mixed(
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        + b"Action: x\r\n\r\n" * n
    ),
}


def _mixed(body: bytes) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body


def _encoded(encoding: bytes, body: bytes) -> bytes:
    return b"Content-Transfer-Encoding: %s\r\n\r\n%s" % (encoding, body)


def _related(html: bytes) -> bytes:
    return _mixed(
        b"--b\r\nContent-Type: text/html\r\n\r\n%s\r\n--b\r\nContent-ID: <i@x>\r\n\r\n"
        % html
    )


_ROOMY = Limits(header_bytes=10**7, fields=10**6, parts=10**6, parameters=10**6)


def _work(raw: bytes) -> int:
    """Return how many lines of Python a washing runs."""
    steps = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        washed(raw, limits=_ROOMY)
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.long
@pytest.mark.parametrize("name", _HOSTILE)
def test_linear_work(name: str) -> None:
    """Twice the input is at most twice the work, in steps and not by a clock."""
    make = _HOSTILE[name]
    assert _work(make(1_000)) <= 2.2 * _work(make(500)) + 100


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Break off what does not come to an end; linear work needs a tenth of it."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it does not end")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.long
@pytest.mark.parametrize("name", _HOSTILE)
def test_no_pattern_backtracks(name: str) -> None:
    """Steps do not count what a pattern does: on 100,000 repeats it still ends."""
    with _alarm(10):
        try:
            washed(_HOSTILE[name](100_000))
        except MessageError:
            return


def test_an_id_used_very_often() -> None:
    """A short cid repeated must not make a message many times its size."""
    picture = b"Content-Type: image/png\r\nContent-ID: <a>\r\n\r\nx"
    html = b"Content-Type: text/html\r\n\r\n" + b"cid:a " * 20_000
    raw = (
        b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
        + html
        + b"\r\n--b\r\n"
        + picture
        + b"\r\n--b--\r\n"
    )
    with pytest.raises(MessageError) as caught:
        washed(raw)
    assert caught.value.reason == "too-many-pictures"


def test_text_that_begins_like_a_field() -> None:
    """Words with a colon make no header: the text is all there."""
    for text in (b"Hello:\r\nhow are you\r\n", b"TODO: buy milk\r\n"):
        assert text in washed(text)


@pytest.mark.parametrize("protocol", [b"x/invented", b"application/pgp-signature"])
def test_a_signature_that_is_none(protocol: bytes) -> None:
    """Only what is signed or encrypted for real stays octet for octet."""
    raw = (
        b'Content-Type: multipart/signed; boundary=b; protocol="%s"\r\n\r\n'
        b"--b\r\nX-Mailer: LEAK\r\n\r\ntext\r\n"
        b"--b\r\nX-Foo: LEAK\r\n\r\nno signature\r\n--b--\r\n" % protocol
    )
    out = washed(raw)
    assert b"LEAK" not in out
    assert b"text" in out


def test_a_message_in_pieces() -> None:
    """A piece has the whole's header inside: it is refused, not hidden in base64."""
    raw = b"Content-Type: message/partial; number=1\r\n\r\nX-Mailer: LEAK\r\n\r\nx"
    with pytest.raises(MessageError) as caught:
        washed(raw)
    assert caught.value.reason == "message-in-pieces"
    news = washed(raw.replace(b"partial; number=1", b"news"))
    assert b"LEAK" not in news
