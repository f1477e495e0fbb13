"""What attached messages and attached files of text tell, and what stays of it."""

from __future__ import annotations

from base64 import b64encode

import pytest

from postmand.message.disclosure import Spoken, disclose
from postmand.message.disclosure.report import report
from tests.fuzz_sanitizer import ME, washed

pytestmark = pytest.mark.long

_HEAD = b"Date: Sun, 22 Nov 2026 06:20:51 -0000\r\nFrom: jondoe@mail.i2p\r\n"
_ID = b"<20261121160000.GA4711@marys-laptop>"
_INNER = (
    b"Received: from marys-laptop (192.168.1.5) by x\r\n"
    b"Date: Sat, 21 Nov 2026 12:00:00 -0400\r\n"
    b"From: Mary Realname <mary@box.lan>\r\nTo: jondoe@mail.i2p\r\nSubject: x\r\n"
    b"Message-ID: " + _ID + b"\r\n"
    b"User-Agent: Mutt/1.5.23 (2014-03-12)\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=nextPart12.abc\r\n\r\n"
    b"--nextPart12.abc\r\n\r\nsee /home/mary/x.txt\r\n--nextPart12.abc--\r\n"
)
_WHERE = "attached message, header "


def fates(raw: bytes) -> dict[tuple[str, str], str]:
    """Return what becomes of each thing told, by place and what is shown."""
    told = disclose(raw, Spoken(), ME, washed(raw)).findings
    return {(one.where, one.shown): one.fate for one in told}


def forwarded(inner: bytes, encoding: bytes = b"8bit") -> bytes:
    return (
        _HEAD
        + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nhello\r\n--b\r\nContent-Type: message/rfc822\r\n"
        b"Content-Transfer-Encoding: "
        + encoding
        + b"\r\n\r\n"
        + inner
        + b"\r\n--b--\r\n"
    )


@pytest.mark.parametrize("encoding", [b"8bit", b"base64"])
def test_attached_message(encoding: bytes) -> None:
    """Its people and time stay; its program, machines, ids and zone do not."""
    inner = b64encode(_INNER) if encoding == b"base64" else _INNER
    raw = forwarded(inner, encoding)
    told = fates(raw)
    stays = {one for one, fate in told.items() if fate == "stays"}
    assert (f"{_WHERE}From", "Mary Realname <mary@box.lan>") in stays
    assert (f"{_WHERE}Date", "2026-11-21 16:00:00Z") in stays
    assert ("part 4 (text/plain)", "/home/mary/x.txt") in stays
    for name, shown in (
        ("User-Agent", "Mutt/1.5.23 (2014-03-12)"),
        ("User-Agent", "1.5.23"),
        ("Received", "192.168.1.5"),
    ):
        assert told[_WHERE + name, shown] == "removed"
    assert told[f"{_WHERE}Date", "-0400"] == "replaced"
    # An id that is not the member's own is what others know the message by.
    for shown in (_ID.decode(), "marys-laptop", "4711"):
        assert told[f"{_WHERE}Message-ID", shown] == "stays"
    own = washed(raw, threads={_ID: b"<zq7@mail.i2p>"})
    for one in disclose(raw, Spoken(), ME, own).findings:
        if one.where == f"{_WHERE}Message-ID":
            assert one.fate == "replaced"
    text = report(disclose(raw, Spoken(), ME, washed(raw)))
    assert "Mary Realname <mary@box.lan>" in text


def test_program_is_the_senders() -> None:
    """Traces of an attached message's program are not those of the sender's."""
    assert disclose(forwarded(_INNER), Spoken(), ME, b"").client == ""
    own = _INNER + b"\r\n"
    assert disclose(own, Spoken(), ME, washed(own)).client == "mutt"


def test_digest_and_headers_alone() -> None:
    """Messages in a digest need no label, and a header alone tells as much."""
    inner = b"From: Mary <mary@box.lan>\r\nX-Mailer: zq7/1.0\r\n\r\nx\r\n"
    digest = (
        _HEAD
        + b"MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n"
        b"--b\r\n\r\n" + inner + b"--b--\r\n"
    )
    header = forwarded(inner).replace(b"message/rfc822", b"text/rfc822-headers")
    for raw in (digest, header):
        told = fates(raw)
        assert told[f"{_WHERE}From", "Mary <mary@box.lan>"] == "stays"
        assert told[f"{_WHERE}X-Mailer", "zq7/1.0"] == "removed"


def test_nested_and_many() -> None:
    """However deep and however many: it ends, within the budget."""
    inner = b"From: a@box.lan\r\n\r\nx\r\n"
    for _ in range(40):
        inner = b"Content-Type: message/rfc822\r\n\r\n" + inner
    disclose(inner, Spoken(), ME, inner)
    field = b"X-Y: " + b"z" * 4_000 + b"\r\n"
    part = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + field * 20 + b"\r\nx\r\n"
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 60 + b"--b--"
    disclosed = disclose(raw, Spoken(), ME, raw)
    assert disclosed.unread > 40


def file(kind: bytes, name: bytes, text: bytes) -> bytes:
    return (
        _HEAD + b"MIME-Version: 1.0\r\nContent-Type: " + kind + b"; charset=utf-8\r\n"
        b'Content-Disposition: attachment; filename="' + name + b'"\r\n\r\n' + text
    )


@pytest.mark.parametrize(
    ("kind", "name", "text", "expected"),
    [
        (
            b"text/vcard",
            b"x.vcf",
            b"BEGIN:VCARD\r\nFN:Mary Realname\r\nitem1.EMAIL;TYPE=HOME:mary@box.lan\r\n"
            b"TEL:+491234\r\nPRODID:-//Apple Inc.//iOS 17//EN\r\nEND:VCARD\r\n",
            {
                ("realname", "Mary Realname"),
                ("realname", "mary@box.lan"),
                ("realname", "+491234"),
                ("software", "-//Apple Inc.//iOS 17//EN"),
            },
        ),
        (
            b"text/calendar",
            b"x.ics",
            b"BEGIN:VCALENDAR\r\nTZID:America/Caracas\r\n"
            b"ORGANIZER;CN=Mary Realname:mailto:mary@box.lan\r\nEND:VCALENDAR\r\n",
            {
                ("timezone", "America/Caracas"),
                ("realname", "Mary Realname mailto:mary@box.lan"),
            },
        ),
        (
            b"text/x-patch",
            b"0001-x.patch",
            b"From 1234 Mon Sep 17 00:00:00 2001\r\nFrom: Mary <mary@marys-laptop>\r\n"
            b"Date: Sat, 21 Nov 2026 12:00:00 -0400\r\nSubject: [PATCH] x\r\n\r\n"
            b"--- /home/mary/src/x.c\t2026-11-21 12:00:00.1 -0400\r\n"
            b"+++ /dev/null\r\n-- \r\n2.39.2\r\n",
            {
                ("realname", "Mary <mary@marys-laptop>"),
                ("hostname", "marys-laptop"),
                ("timezone", "-0400"),
                ("path", "/home/mary/src/x.c"),
                ("version", "2.39.2"),
            },
        ),
    ],
)
def test_text_files(
    kind: bytes, name: bytes, text: bytes, expected: set[tuple[str, str]]
) -> None:
    """Names, addresses, zones, hosts and paths in files of text; all of it stays."""
    raw = file(kind, name, text)
    told = disclose(raw, Spoken(), ME, washed(raw)).findings
    assert expected <= {
        (one.category, one.shown) for one in told if one.fate == "stays"
    }


def test_plain_files_tell_nothing() -> None:
    """A list of words, or a program, is nobody's card."""
    raw = file(
        b"text/plain", b"x.txt", b"Note: fine\r\nTO: all\r\n--- a/x\r\n+++ b/x\r\n"
    )
    assert fates(raw) == {}
