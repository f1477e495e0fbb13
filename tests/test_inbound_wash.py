"""Washing what comes from the Internet: what stays, what falls, what comes home."""

from __future__ import annotations

import random
import re
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message import headers
from postmand.message.border import Border
from postmand.message.inbound import wash
from postmand.message.limits import Limits, MessageError
from postmand.message.sanitizer import Washed, parse
from tests.fuzz_sanitizer import CORPUS, has_sealed, names

BORDER = Border(b"mail.i2p", b"i2pmail.org")
DATE = b"Sun, 22 Nov 2026 15:21:00 +0000"
FRESH = b"<fresh@mail.i2p>"
RESULTS = b"mx.i2pmail.org; spf=pass smtp.mailfrom=example.org; dkim=none; dmarc=none"
ORDER = (
    b"Authentication-Results Date From Reply-To To Cc Subject Message-ID In-Reply-To"
    b" References Auto-Submitted Precedence List-Id List-Post List-Subscribe"
    b" List-Unsubscribe List-Unsubscribe-Post List-Archive List-Owner List-Help"
    b" MIME-Version Content-Type Content-Transfer-Encoding Content-Disposition"
).split()
ALWAYS = (
    b"Date From To Subject Message-ID MIME-Version Content-Type"
    b" Content-Transfer-Encoding"
).split()
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def washed(raw: bytes, results: bytes = RESULTS, seed: int = 1) -> bytes:
    """Return the whole message as a member gets it, but for the trace."""
    message: Washed = wash(
        parse(raw, Limits()),
        BORDER,
        random.Random(seed),
        results=results,
        date=DATE,
        message_id=FRESH,
    )
    return headers.write(message.fields) + b"".join(message.body)


def lines(*lines: str) -> bytes:
    """Return lines as they come over the wire."""
    return "\r\n".join((*lines, "")).encode()


def value(line: str, name: str | None = None) -> str | None:
    """Return what becomes of one field; of another where `name` says so."""
    raw = lines("From: a@example.org", line, "", "text")
    found = message_from_bytes(washed(raw))[name or line.partition(":")[0]]
    return None if found is None else str(found).replace("\r\n", "")


@pytest.mark.parametrize(
    "line",
    [
        'List-Id: "Friends of mail" <friends.example.org>',
        "List-Unsubscribe: <mailto:leave@example.org>, <https://example.org/u?t=1>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "List-Post: <mailto:friends@example.org>",
        "List-Post: NO",
        "List-Help: <https://example.org/help>",
        "List-Subscribe: <mailto:join@example.org>",
        "List-Owner: <mailto:owner@example.org> (the owner)",
        "List-Archive: <https://example.org/archive>",
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: no",
        "Precedence: list",
        "Reply-To: Friends <friends@example.org>",
        "Cc: b@example.org, C <c@example.org>",
        "Message-ID: <1@example.org>",
        "In-Reply-To: <2@example.org>",
        "References: <1@example.org> <2@example.org>",
        "Subject: Greetings",
    ],
)
def test_stays(line: str) -> None:
    """What is the sender's business stays as it is."""
    assert value(line) == line.partition(": ")[2]


@pytest.mark.parametrize(
    "name",
    [
        *("Received", "Return-Path", "Delivered-To", "X-Original-To", "Envelope-To"),
        *("Received-SPF", "DKIM-Signature", "ARC-Seal", "ARC-Authentication-Results"),
        *("X-Mailer", "User-Agent", "X-Originating-IP", "X-Spam-Status", "Feedback-ID"),
        *("Sender", "Bcc", "Resent-From", "Resent-To", "Resent-Message-ID"),
        *("Disposition-Notification-To", "Return-Receipt-To", "X-Confirm-Reading-To"),
        *("Organization", "Comments", "Keywords", "Thread-Index", "Importance"),
        *("Errors-To", "X-Mailgun-Variables", "X-SG-EID", "CFBL-Address"),
        *("Postman-Delay", "Content-Location", "Content-Language", "Autocrypt"),
        *("List-Unsubscribe-Tracking", "List", "Face"),
    ],
)
def test_falls(name: str) -> None:
    """What traces it, tracks its reader, or was said of it by others falls."""
    assert value(f"{name}: 127.0.0.1 kept-word") is None


def test_results_are_ours() -> None:
    """Others' Authentication-Results fall, ours stands first, once, folded."""
    raw = lines(
        "Authentication-Results: mx.i2pmail.org; dmarc=pass header.from=bank.example",
        "authentication-results : other.example; spf=pass",
        "From: a@example.org",
        "",
    )
    message = message_from_bytes(washed(raw))
    (found,) = message.get_all("Authentication-Results", [])
    assert found.replace("\r\n", "").encode() == RESULTS
    assert washed(raw).startswith(b"Authentication-Results: mx.i2pmail.org;")
    assert max(map(len, washed(raw).split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "results",
    [b"", b"x; spf=\xff", b"x; \0", b"x\r\nBcc: y", b"x" * 901, b"x " * 3_000],
)
def test_results_of_nobody(results: bytes) -> None:
    """What a gateway in other hands could say is one harmless line, or none."""
    message = washed(lines("From: a@example.org", ""), results)
    assert b"Bcc" not in message.replace(b"Bcc: y", b"") or results == b""
    assert names(message)[0] in (b"Date", b"Authentication-Results")
    assert b"Bcc" not in names(message)


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("To: alice@i2pmail.org", "alice@mail.i2p"),
        ("To: Alice <ALICE@I2PMAIL.ORG.>, b@example.org", None),
        ("Cc: g: alice@i2pmail.org, b@example.org;", None),
        ("Reply-To: alice@i2pmail.org", "alice@mail.i2p"),
        ("To: ALICE@mail.I2P", "alice@mail.i2p"),
        ("Cc: Bob@example.org", "Bob@example.org"),
        ("From: alice@i2pmail.org", "alice@mail.i2p"),
        ("To: alice@sub.i2pmail.org", "alice@sub.i2pmail.org"),
        ("To: alice@i2pmail.org.example", "alice@i2pmail.org.example"),
        ("Message-ID: <token@i2pmail.org>", "<token@mail.i2p>"),
        ("In-Reply-To: <token@i2pmail.org>", "<token@mail.i2p>"),
        ("References: <1@example.org> <token@I2PMAIL.org>", None),
        ("Subject: ask alice@i2pmail.org", "ask alice@i2pmail.org"),
    ],
)
def test_comes_home(line: str, there: str | None) -> None:
    """Addresses and ids of ours are the members' again, and nothing else is."""
    expected = {
        "To": "Alice <alice@mail.i2p>, b@example.org",
        "Cc": "g: alice@mail.i2p, b@example.org;",
        "References": "<1@example.org> <token@mail.i2p>",
    }
    name = line.partition(":")[0]
    message = washed(line.encode() + b"\r\n\r\n")
    found = message_from_bytes(message)[name].replace("\r\n", "")
    assert found == (there or expected[name])


def test_there_and_back() -> None:
    """What left over the border is, answered, what the member's mailbox knows."""
    for name, body in (
        (b"To", b"Alice <alice@mail.i2p>"),
        (b"References", b"<t@mail.i2p>"),
    ):
        left = BORDER.field_body(name, body)
        assert b"mail.i2p" not in left
        assert name + b": " + body in washed(name + b": " + left + b"\r\n\r\n")


@pytest.mark.parametrize(
    "name",
    [
        '"alice@mail.i2p"',
        '"alice@i2pmail.org via friends"',
        '"Alice (alice@Mail.I2P.)"',
        "=?utf-8?q?alice=40mail.i2p?=",
        "=?utf-8?b?YWxpY2XvvKBtYWlsLmkycA==?=",  # a full-width @
        "=?utf-8?q?alice=40ma=E2=80=8Bil.i2p?=",  # a space of no width
        "=?utf-8?q?alice=40mail=EF=B8=8F.i2p?=",  # a variation selector
        "=?utf-8?q?alice=40ma=CD=8Fil.i2p?=",  # a joiner of graphemes
        "=?utf-8?q?alice=40mail.i2p=E3=85=A4?=",  # a Hangul filler
        "=?utf-8?q?alice=40mail=E3=80=82i2p?=",  # an ideographic dot
        "=?utf-8?q?alice=40=EF=BD=8Dail.i2p?=",  # a full-width m
    ],
)
def test_names_that_lie(name: str) -> None:
    """A display name that shows an address of ours beside another one falls."""
    assert value(f"Reply-To: {name} <eve@example.org>") == "eve@example.org"


def test_addresses_that_lie() -> None:
    """No address is made a name that shows one of ours, in a group neither."""
    for local in ("b\u00f6b", '"alice@mail.i2p\u00ad"'):
        domain = "mail.i2p" if local.isalpha() else "\u00fcber.example"
        for line in (f"{local}@{domain}", f"x: {local}@{domain};"):
            told = value(f"Reply-To: {line}, eve@example.org")
            assert "Internationalized" not in told
            assert told.endswith("eve@example.org")
    assert "Internationalized" in value("Reply-To: <b\u00f6b@example.org>")


def test_domain_in_other_letters() -> None:
    """An address of ours comes home, however its domain is written."""
    for domain in (
        "mail\u00ad.i2p",
        "\uff4dail.i2p",
        "i2pmail\u3002org",
        "MAIL.i2p\u200b",
    ):
        assert value(f"Cc: Alice@{domain}") == "alice@mail.i2p"


def test_names_that_do_not() -> None:
    """Other addresses, and names like ours, stay."""
    for name in ('"bob@example.net"', '"x@notmail.i2p"', '"mail.i2p"'):
        line = f"Cc: {name} <b@example.org>"
        assert value(line) == line.partition(": ")[2]


def test_date() -> None:
    """The sender's moment, in UTC; ours where there is none."""
    assert value("Date: Sun, 22 Nov 2026 17:30:05 +0200 (CEST)") == (
        "Sun, 22 Nov 2026 15:30:05 +0000"
    )
    assert value("Date: soon") == DATE.decode()
    assert value("Subject: x", "Date") == DATE.decode()


@pytest.mark.parametrize("line", ["Subject: x", "Message-ID: x", "Message-ID: <a b@c>"])
def test_message_id(line: str) -> None:
    """A message without an id that can be answered gets one."""
    assert value(line, "Message-ID") == FRESH.decode()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Auto-Submitted: AUTO-REPLIED; owner-email=x@y.example", "auto-replied"),
        ("Auto-Submitted: maybe", None),
        ("Precedence: first-class", None),
        ("Precedence: BULK", "bulk"),
        ("List-Id: käse", None),
        ("List-Id: " + "x" * 901, None),
        ("List-Id: " + "x " * 2_001, None),
        ("List-Id:", None),
    ],
)
def test_words_of_ours(line: str, found: str | None) -> None:
    """Where a keyword is all that matters, it is all that stays."""
    assert value(line) == found


def test_one_of_each() -> None:
    """Of a field that stands twice, and is no list of addresses, the first counts."""
    raw = lines(
        "List-Id: <a.example>", "List-Id: <b.example>", "Date: x", "Date: y", ""
    )
    assert names(washed(raw)).count(b"List-Id") == 1
    assert names(washed(raw)).count(b"Date") == 1


def test_other_mails_ids() -> None:
    """Unlike a member's, all ids of a thread stay: none can be their client's."""
    many = " ".join(f"<{number}@example.org>" for number in range(80))
    found = value(f"References: {many}")
    assert found is not None
    ids = found.split()
    assert len(ids) == 50
    assert ids[0] == "<0@example.org>"
    assert ids[-1] == "<79@example.org>"


def test_sealed_stays() -> None:
    """A signed part is byte for byte what was signed, addresses of ours within too."""
    inner = (
        b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n"
        b"To alice@i2pmail.org,  trailing \r\nna\xefve\r\n"
    )
    raw = (
        b"From: a@example.org\r\nContent-Type: multipart/signed; boundary=old;\r\n"
        b' micalg=pgp-sha256; protocol="application/pgp-signature"\r\n\r\n'
        b"--old\r\n" + inner + b"\r\n--old\r\n"
        b"Content-Type: application/pgp-signature\r\n\r\nSIG\r\n--old--\r\n"
    )
    message = washed(raw)
    assert b"\r\n" + inner + b"\r\n--" in message
    assert b"boundary=old" not in message


def test_within() -> None:
    """A report, and a message within, are washed; what they say stays as it is."""
    raw = lines(
        "From: mailer-daemon@example.org",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
        "",
        "--b",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; inside.example.org",
        "",
        "Final-Recipient: rfc822; x@example.org",
        "Action: failed",
        "Status: 5.1.1",
        "",
        "--b",
        "Content-Type: message/rfc822",
        "",
        "Received: from somewhere",
        "Message-ID: <token@i2pmail.org>",
        "From: alice@i2pmail.org",
        "Subject: first",
        "",
        "text",
        "--b--",
    )
    message = washed(raw)
    assert b"inside.example.org" not in message
    assert b"Final-Recipient: rfc822; x@example.org\r\nAction: failed" in message
    assert b"\r\nReceived" not in message
    assert b"Message-ID: <token@i2pmail.org>" in message
    assert b"From: alice@i2pmail.org" in message


def test_html() -> None:
    """References to remote content are the reader's business: nothing is changed."""
    text = '<img src="https://example.org/pixel?reader=1"><a href="x">y</a>'
    raw = lines(
        "From: a@example.org", "Content-Type: text/html; charset=utf-8", "", text
    )
    assert text.encode() in washed(raw)


def check(raw: bytes) -> None:
    """Wash, and check all that is promised of whatever came."""
    try:
        message = washed(raw)
        draft = parse(raw, Limits())
    except MessageError:
        return
    found = names(message)
    assert found == [name for name in ORDER if name in found], found
    assert set(ALWAYS) <= set(found), found
    assert not _BARE.search(message), "bare CR, bare LF or NUL"
    header = message.partition(b"\r\n\r\n")[0]
    checked = header if has_sealed(draft.root) else message
    assert checked.isascii()
    assert max(map(len, checked.split(b"\r\n"))) <= 998
    assert washed(message) == message, "not idempotent"


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(file.name for file in CORPUS.glob("*-*/")))
def test_corpus(name: str) -> None:
    """Mail of real clients, as if it came from the Internet."""
    raw = (CORPUS / name / "message.eml").read_bytes()
    check(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


_LINES = st.sampled_from(
    [
        b"From: A <a@example.org>",
        b"From : b",
        b"Date: Mon, 1 Jan 2024 00:00:00 -0500",
        b"Message-ID: <x@i2pmail.org>",
        b"References: <a@b> <c@i2pmail.org> garbage",
        b"List-Id: <x>",
        b"List-Unsubscribe: <https://x/?\xff>",
        b"Authentication-Results: x",
        b"Subject: =?utf-8?q?=0D=0ABcc:_x?=",
        b"Auto-Submitted: auto-generated (x)",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: text/html; charset=x",
        b"Content-Transfer-Encoding: base64",
        b"To: g: alice@i2pmail.org, ;",
        b" folded",
        b"",
        b"--b",
        b"--b--",
        b"text\xc3\xbc",
    ]
)


@pytest.mark.long
@given(st.lists(st.one_of(_LINES, st.binary(max_size=40)), max_size=20))
def test_hostile(parts: list[bytes]) -> None:
    """Whatever comes, what a member gets is in the one shape."""
    check(b"\r\n".join(parts))
