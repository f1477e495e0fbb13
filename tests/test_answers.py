"""Letters of the node: plain, 7-bit, and for no program to answer."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message.address import Address, Mailbox
from postmand.message.answers import letter, text_part
from postmand.message.encoded import clean

pytestmark = pytest.mark.long

JONDOE = Mailbox("", Address(b"jondoe", b"mail.i2p"))
QUOTA = Mailbox("Quota", Address(b"quota", b"mail.i2p"))
DATE = b"Sun, 22 Nov 2026 15:21:00 +0000"


def written(text: str, subject: str = "Your quota", **more: bytes) -> bytes:
    """Return a whole letter."""
    head, body = letter(
        JONDOE,
        subject,
        text,
        sender=QUOTA,
        date=DATE,
        message_id=b"<1@mail.i2p>",
        **more,
    )
    return head + body


def read(message: bytes) -> EmailMessage:
    """Return the message as Python's email package reads it, without a defect."""
    parsed = message_from_bytes(message, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert all(not part.defects for part in parsed.walk())
    return parsed


def test_octets() -> None:
    """The whole letter, as it lies in the mailbox."""
    assert written("Hello.\n\n  20 more\n", in_reply_to=b"<2@mail.i2p>") == (
        b"Return-Path: <>\r\n"
        b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
        b"From: Quota <quota@mail.i2p>\r\n"
        b"To: jondoe@mail.i2p\r\n"
        b"Subject: Your quota\r\n"
        b"Message-ID: <1@mail.i2p>\r\n"
        b"In-Reply-To: <2@mail.i2p>\r\n"
        b"References: <2@mail.i2p>\r\n"
        b"Auto-Submitted: auto-replied\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hello.\r\n\r\n  20 more\r\n"
    )


def test_no_thread() -> None:
    """A letter that answers none has no thread fields."""
    parsed = read(written("Hello.\n"))
    assert parsed["In-Reply-To"] is None
    assert parsed["References"] is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("a few ümläuts\n", "quoted-printable"),
        ("по-русски, всё\n", "base64"),
        ("x" * 2_000 + "\n", "quoted-printable"),
    ],
)
def test_encodings(text: str, encoding: str) -> None:
    """Any text leaves in 7 bits and short lines, and reads as it was."""
    message = written(text)
    assert message.isascii()
    assert max(map(len, message.split(b"\r\n"))) <= 998
    assert message.endswith(b"\r\n")
    parsed = read(message)
    assert parsed["Content-Transfer-Encoding"] == encoding
    assert parsed.get_content().replace("\r\n", "\n") == text


def test_one_line_end() -> None:
    """With or without its last newline a text is the same."""
    assert text_part("a\nb\n") == text_part("a\nb")
    assert text_part("")[1] == b"\r\n"


def test_no_hidden_line() -> None:
    """A line end in a subject or a bare one in a text becomes a blank."""
    subject = "Your quota\r\nBcc: eve@x"
    message = written("one\rtwo\x85three\n\x1b[2J\0four\n", subject)
    parsed = read(message)
    assert parsed["Subject"] == "Your quota Bcc: eve@x"
    assert parsed.get_payload(decode=True) == b"one two three\r\n[2J four\r\n"
    hidden = read(written("x\n", "ö\r\nBcc: eve@x"))
    assert hidden["Subject"] == "ö Bcc: eve@x"


@given(st.text(), st.text(), st.text())
def test_hostile(name: str, subject: str, text: str) -> None:
    """Whatever is put in, no field and no line is made by it."""
    head, body = letter(
        Mailbox(clean(name), JONDOE.address),
        subject,
        text,
        sender=QUOTA,
        date=DATE,
        message_id=b"<1@mail.i2p>",
    )
    assert (head + body).isascii()
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert b"\r" not in (head + body).replace(b"\r\n", b"")
    assert b"\n" not in (head + body).replace(b"\r\n", b"")
    parsed = read(head + body)
    assert parsed.keys() == [
        "Return-Path",
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ]
    assert [one.addr_spec for one in parsed["To"].addresses] == ["jondoe@mail.i2p"]
    lines = parsed.get_content().split("\n")
    assert len(lines) == len(text.removesuffix("\n").split("\n")) + 1
