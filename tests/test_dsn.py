"""Bounces: what the member reads, what a program reads, what a stranger can not do."""

from __future__ import annotations

import random
import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.internet import Reply
from postmand.message.address import Address, Mailbox
from postmand.message.border import Border
from postmand.message.dsn import SUBJECT, Failure, bounce
from postmand.message.restamp import release_block
from postmand.message.sanitizer import Limits, parse
from postmand.rules.retry import EXPIRED

JONDOE = Mailbox("Jon Doe", Address(b"jondoe", b"mail.i2p"))
BORDER = Border(b"mail.i2p", b"i2pmail.org")
DATE = b"Sun, 22 Nov 2026 15:21:00 +0000"
LEFT = b"Fri, 20 Nov 2026 11:02:00 +0000"
BOB = b"bob@example.com"
UNKNOWN = Reply(550, "5.1.1", "<bob@example.com>: no such user")
FIELDS = (
    (b"From", b"Jon Doe <jondoe@mail.i2p>"),
    (b"To", b"bob@example.com, alice@mail.i2p"),
    (b"Subject", b"=?utf-8?q?Gr=C3=BC=C3=9Fe?="),
    (b"References", b"<0a@example.com>"),
    (b"MIME-Version", b"1.0"),
    (b"Content-Type", b"text/plain; charset=utf-8"),
    (b"Content-Transfer-Encoding", b"7bit"),
)
HEADER = release_block(FIELDS, date=LEFT, message_id=b"<d6b1@mail.i2p>", border=BORDER)
SIGNED = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; d=i2pmail.org; s=a;\r\n"
    b"\th=from:to:subject; b=c2lnbmF0dXJl\r\n" + HEADER
)


def bounced(*failures: Failure, header: bytes = SIGNED, seed: int = 1) -> bytes:
    """Return the whole letter."""
    head, body = bounce(
        JONDOE,
        failures or (Failure(BOB, UNKNOWN),),
        header=header,
        date=DATE,
        message_id=b"<b0@mail.i2p>",
        host_name=b"smtp.postman.i2p",
        border=BORDER,
        rng=random.Random(seed),
    )
    return head + body


def read(message: bytes) -> EmailMessage:
    """Return the letter as Python's email package reads it, without a defect."""
    parsed = message_from_bytes(message, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert all(not part.defects for part in parsed.walk())
    return parsed


def parts(message: bytes) -> list[EmailMessage]:
    """Return the three parts."""
    found = list(read(message).iter_parts())
    assert len(found) == 3
    return found  # type: ignore[return-value]


def words(*failures: Failure) -> str:
    """Return what the member reads, its lines joined."""
    return " ".join(parts(bounced(*failures))[0].get_content().split())


def groups(*failures: Failure) -> list[EmailMessage]:
    """Return the groups of fields for programs, the message's own first."""
    status = parts(bounced(*failures))[1]
    return list(status.iter_parts())  # type: ignore[arg-type]


def test_header() -> None:
    """A letter like others, from the mail system, in the original's thread."""
    head = bounced().partition(b"\r\n\r\n")[0]
    assert re.sub(rb"=_\w{32}", b"=_", head) == (
        b"Return-Path: <>\r\n"
        b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
        b"From: Mail system <mailer-daemon@mail.i2p>\r\n"
        b"To: Jon Doe <jondoe@mail.i2p>\r\n"
        b"Subject: Undelivered mail\r\n"
        b"Message-ID: <b0@mail.i2p>\r\n"
        b"In-Reply-To: <d6b1@mail.i2p>\r\n"
        b"References: <d6b1@mail.i2p>\r\n"
        b"Auto-Submitted: auto-replied\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status;\r\n"
        b' boundary="=_"\r\n'
        b"Content-Transfer-Encoding: 7bit"
    )


def test_structure() -> None:
    """Three parts in the order of RFC 6522 3, all in 7 bits."""
    message = bounced()
    assert message.isascii()
    assert message.endswith(b"--\r\n")
    parsed = read(message)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in parts(message)] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert parsed["Subject"] == SUBJECT


def test_status_fields() -> None:
    """A group for the message and one for each recipient (RFC 3464 2)."""
    about, *each = groups(
        Failure(BOB, UNKNOWN),
        Failure(b"eve@example.com", Reply(451, "4.7.1", "greylisted")),
        Failure(b"ann@example.com", EXPIRED),
    )
    assert about.items() == [("Reporting-MTA", "dns; smtp.postman.i2p")]
    assert [group.items() for group in each] == [
        [
            ("Final-Recipient", "rfc822; bob@example.com"),
            ("Action", "failed"),
            ("Status", "5.1.1"),
            ("Diagnostic-Code", "smtp; 550 5.1.1 (bob@example.com): no such user"),
        ],
        [
            ("Final-Recipient", "rfc822; eve@example.com"),
            ("Action", "failed"),
            ("Status", "4.7.1"),
            ("Diagnostic-Code", "smtp; 451 4.7.1 greylisted"),
        ],
        [
            ("Final-Recipient", "rfc822; ann@example.com"),
            ("Action", "failed"),
            ("Status", "4.4.7"),
        ],
    ]


def test_no_time_but_its_date() -> None:
    """Neither arrival nor last attempt is told, nor a zone or a second."""
    message = bounced(Failure(BOB, UNKNOWN), Failure(b"eve@example.com", EXPIRED))
    assert b"Arrival-Date" not in message
    assert b"Attempt" not in message
    assert set(re.findall(rb"\d\d:\d\d:\d\d [+-]\d{4}", message)) == {
        DATE[-14:],
        LEFT[-14:],
    }


def test_returned_header() -> None:
    """The header as it left comes back octet for octet, but for its signature."""
    part = parts(bounced())[2]
    assert part.get_payload(decode=True) == HEADER
    assert b"DKIM" not in bounced()
    assert b"c2lnb" not in bounced()


def test_returned_header_is_bounded() -> None:
    """A field there is no room for is left out; the others come back."""
    many = b",\r\n ".join(b"n%d@example.com" % number for number in range(2_000))
    header = HEADER.replace(b"To: bob@example.com, alice@i2pmail.org", b"To: " + many)
    message = bounced(header=header)
    assert b"n1999@" not in message
    assert b"\r\nMessage-ID: <d6b1@i2pmail.org>" in message
    assert len(message) < 5_000


def test_returned_fields_share_the_room() -> None:
    """Each field would fit alone: the bound is for all of them."""
    many = b",\r\n ".join(b"n%d@example.com" % number for number in range(500))
    header = b"To: %s\r\nCc: %s\r\n%s" % (many, many, HEADER)
    message = bounced(header=header)
    assert b"\r\nTo: n0@" in message
    assert b"\r\nCc: " not in message
    assert b"\r\nMessage-ID: <d6b1@i2pmail.org>" in message


def test_returned_header_is_ascii() -> None:
    """An 8-bit field, which no header of ours has, would belie the part's label."""
    message = bounced(header=HEADER.replace(b"Jon Doe", "Jörg".encode()))
    assert message.isascii()
    assert b"\r\nFrom: jon" not in message.partition(b"rfc822-headers")[2]


def test_nothing_foreign_comes_back() -> None:
    """Only fields that a message leaves with are shown, whatever was put before."""
    header = b"Received: from x\r\nReturn-Path: <y>\r\nX-Z: 1\r\n" + HEADER
    assert bounced(header=header) == bounced()


def test_without_id() -> None:
    """A block without Message-ID or Subject still makes a bounce."""
    message = bounced(header=b"From: jondoe@i2pmail.org\r\n\r\n")
    assert read(message)["In-Reply-To"] is None
    assert "subject" not in parts(message)[0].get_content()


def test_boundary() -> None:
    """A boundary that stands in a part is not taken."""
    unlucky = b"=_%032x" % random.Random(1).getrandbits(128)
    header = HEADER.replace(b"Jon Doe", unlucky)
    message = bounced(header=header)
    assert read(message).get_boundary() != unlucky.decode()
    assert len(parts(message)) == 3


def test_words() -> None:
    """The member reads the subject, who did not get it, what was said, what to do."""
    told = words(Failure(BOB, UNKNOWN))
    assert "Grüße" in told
    assert "bob@example.com" in told
    assert "550 5.1.1 (bob@example.com): no such user" in told
    assert "Look at the address" in told
    assert "may have arrived" not in told


def test_alike_together() -> None:
    """Recipients with the same answer share one paragraph."""
    told = words(
        Failure(b"a@x", UNKNOWN),
        Failure(b"b@x", Reply(451, "4.7.1", "later")),
        Failure(b"c@x", UNKNOWN),
    )
    assert "It was not delivered to: a@x c@x The other side refuses" in told
    assert told.count("no such user") == 1
    assert told.count("It was not delivered to:") == 2


def test_doubtful_apart() -> None:
    """Who may have the mail after all is told apart from who has not."""
    told = words(Failure(b"a@x", UNKNOWN, doubtful=True), Failure(b"b@x", UNKNOWN))
    first, second = told.split("It was not delivered to:")[1:]
    assert ("a@x" in first, "may have arrived" in first) == (True, True)
    assert ("b@x" in second, "may have arrived" in second) == (True, False)


def test_our_own_words() -> None:
    """What this program refuses itself is told as that, and no far end is quoted."""
    ours = Reply(553, "5.1.3", "this is not an address", ours=True)
    told = words(Failure(BOB, ours))
    assert "It was not sent there: this is not an address. Look at" in told
    assert "It said" not in told
    assert "refuses it" not in told
    (_, group) = groups(Failure(BOB, ours))
    assert group.items()[1:] == [("Action", "failed"), ("Status", "5.1.3")]


def test_our_own_words_apart() -> None:
    """The same words of the far end are its own; two reasons of ours are two."""
    replies = (
        Reply(553, "5.6.7", "one", ours=True),
        Reply(553, "5.6.7", "two", ours=True),
        Reply(553, "5.6.7", "one"),
    )
    told = words(*(Failure(b"a@x", reply) for reply in replies))
    assert told.count("It was not delivered to:") == 3
    assert told.count("It said what follows") == 1
    assert told.count("It was not sent there: one.") == 1


def test_long_words_are_cut() -> None:
    """A long subject, address or reply makes neither a long line nor a long letter."""
    header = HEADER.replace(b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", b"\r\n word" * 2_000)
    reply = Reply(550, "5.7.1", "several words of a reply " * 100)
    message = bounced(Failure(b"x" * 5_000 + b"@x", reply), header=header)
    text = parts(message)[0]
    assert text.get_content().count("word ") < 60
    assert "x" * 320 in text.get_content()
    assert "x" * 321 not in text.get_content()
    said = message.partition(b"Diagnostic-Code: ")[2].partition(b"\r\n\r\n")[0]
    assert max(map(len, said.split(b"\r\n"))) <= 78
    assert said.endswith(b" ...")


def test_words_stay_whole() -> None:
    """A folded subject is read as one line, and an address in a reply can be copied."""
    header = HEADER.replace(b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", b"one\r\n two\r\n three")
    link = "https://example.com/" + "y" * 100
    message = bounced(Failure(BOB, Reply(550, "5.7.1", f"see {link}")), header=header)
    text = parts(message)[0].get_content()
    assert "    one two three\n" in text.replace("\r\n", "\n")
    assert link in text


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (Failure(BOB, Reply(552, "5.2.2", "full")), "mailbox is full"),
        (Failure(BOB, Reply(552, "5.2.3", "large")), "too large for this mailbox"),
        (Failure(BOB, Reply(552, "5.3.4", "large")), "too large for the other side"),
        (Failure(BOB, Reply(550, "5.1.2", "what")), "Look at the address"),
        (Failure(BOB, Reply(554, "5.7.1", "spam")), "one against spam"),
        (Failure(BOB, Reply(554, "5.6.0", "no")), "refused again"),
        (Failure(BOB, Reply(554, "", "no")), "refused again"),
        (Failure(BOB, Reply(450, "4.3.0", "busy")), "put it off each time"),
        (Failure(BOB, Reply(450, "4.3.0", "busy")), "send it again later"),
        (Failure(BOB, EXPIRED), "No way to the other side was found"),
        (Failure(BOB, EXPIRED), "send it again later"),
        (Failure(BOB, EXPIRED, doubtful=True), "may have arrived all the same"),
    ],
)
def test_advice(failure: Failure, advice: str) -> None:
    """What went wrong is told in plain words, with what can be done."""
    assert advice in words(failure)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(550, "5.1.1", ""), "5.1.1"),
        (Reply(550, "", ""), "5.0.0"),
        (Reply(450, "", ""), "4.0.0"),
        (Reply(550, "4.1.1", ""), "5.0.0"),
        (Reply(450, "5.1.1", ""), "4.0.0"),
        (Reply(550, "5.1", ""), "5.0.0"),
        (Reply(550, "5.1.1\r\nAction: delivered", ""), "5.0.0"),
        (Reply(550, "5.1.1234", ""), "5.0.0"),
    ],
)
def test_status_code(reply: Reply, status: str) -> None:
    """A code that is none, or not the reply's, becomes x.0.0 of the reply's class."""
    (_, group) = groups(Failure(BOB, reply))
    assert group["Status"] == status


def test_impossible_code() -> None:
    """A number no SMTP server says is not quoted."""
    (_, group) = groups(Failure(BOB, Reply(999, "5.0.0", "x")))
    assert group.keys() == ["Final-Recipient", "Action", "Status"]


def test_delivered_is_no_failure() -> None:
    """To bounce what was taken, or nothing, is a fault of ours."""
    with pytest.raises(ValueError, match="has the message"):
        Failure(BOB, Reply(250, "2.0.0", "ok"))
    with pytest.raises(ValueError, match="without a failure"):
        bounce(
            JONDOE,
            (),
            header=HEADER,
            date=DATE,
            message_id=b"<b0@mail.i2p>",
            host_name=b"smtp.postman.i2p",
            border=BORDER,
            rng=random.Random(1),
        )


def test_hostile_reply() -> None:
    """No markup, no encoded word, no line, no end of the part comes of a reply."""
    boundary = re.findall(rb"=_\w{32}", bounced())[0].decode()
    text = (
        "<script>x</script> =?utf-8?q?=0D=0ABcc:_x?=\r\n\r\nFinal-Recipient: rfc822; "
        f"eve@x\r\n.\r\n--{boundary}--\r\nöä\0\x1b[31m" + "y" * 1_000_000
    )
    message = bounced(Failure(BOB, Reply(550, "5.1.1", text)))
    assert len(message) < 5_000
    assert b"<script" not in message
    assert b"=?utf-8?q?=0D" not in message
    assert b"\x1b" not in message
    status = parts(message)[1]
    groups = list(status.iter_parts())
    assert len(groups) == 2
    assert groups[1]["Final-Recipient"] == "rfc822; bob@example.com"


def test_international_recipient() -> None:
    """An address beyond ASCII is told in RFC 6533's form for ways of seven bits."""
    jorg = "jörg+x@bücher.example"
    message = bounced(Failure(BOB, UNKNOWN), Failure(jorg.encode(), UNKNOWN))
    assert message.isascii()
    parsed = read(message)
    assert parsed["Content-Transfer-Encoding"] == "7bit"
    text, status, _ = parts(message)
    assert jorg in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    written = rb"j\x{F6}rg\x{2B}x@b\x{FC}cher.example"
    assert b"\r\nFinal-Recipient: utf-8; " + written + b"\r\n" in message
    assert b"\r\nFinal-Recipient: rfc822; bob@example.com\r\n" in message


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("ö@x", rb"\x{F6}@x"),
        ("日本@x", rb"\x{65E5}\x{672C}@x"),
        ("\U0001f600@x", rb"\x{1F600}@x"),
        ('"a b=\\"ö@x', rb'"a\x{20}b\x{3D}\x{5C}"\x{F6}@x'),
        ("\u0131@x", rb"\x{131}@x"),
        ("ö" + "+" * 317, rb"\x{F6}" + rb"\x{2B}" * 149),
    ],
)
def test_written_out(address: str, written: bytes) -> None:
    """Each character by its number, in as many digits as it takes (RFC 6533 3)."""
    message = bounced(Failure(address.encode(), UNKNOWN))
    assert b"\r\nFinal-Recipient: utf-8; " + written + b"\r\n" in message


@pytest.mark.parametrize("recipient", [BOB, "jörg@example.com".encode()])
def test_read_by_ourselves(recipient: bytes) -> None:
    """A member may forward a bounce: our own reader takes it, and its ids."""
    draft = parse(bounced(Failure(recipient, UNKNOWN)), Limits())
    assert b"<d6b1@mail.i2p>" in draft.thread_ids


_REPLIES = st.builds(
    Reply,
    st.integers(-1, 1_000).filter(lambda code: not 200 <= code < 300),
    st.one_of(st.sampled_from(("5.1.1", "4.7.1", "")), st.text(max_size=20)),
    st.one_of(
        st.text(max_size=2_000),
        st.lists(
            st.sampled_from(
                ("\r\n", "--", "=_", ": ", "<", "=?utf-8?b?", "?=", ".", "ö", "From ")
            ),
            max_size=100,
        ).map("".join),
    ),
    st.booleans(),
)
_FAILURES = st.builds(
    Failure,
    st.one_of(
        st.binary(max_size=400),
        st.text(max_size=100).map(str.encode),
        st.sampled_from((BOB, b'"a b"@x', b'"\r\nBcc: y"@x', "ö@ü".encode())),
    ),
    _REPLIES,
    st.booleans(),
)
_FIELD_NAMES = {"Final-Recipient", "Action", "Status", "Diagnostic-Code"}


@pytest.mark.long
@given(st.lists(_FAILURES, min_size=1, max_size=5), st.integers(0, 2**32))
def test_hostile(failures: list[Failure], seed: int) -> None:
    """Whatever is said, the letter keeps its shape and its lines."""
    message = bounced(*failures, seed=seed)
    bare = message.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    assert b"\0" not in bare
    lines = message.split(b"\r\n")
    assert message.isascii()
    assert max(map(len, lines)) <= 998
    assert not any(line.startswith(b"From ") for line in lines)
    text, status, returned = parts(message)
    assert returned.get_payload(decode=True) == HEADER
    assert "It is not tried again" in text.get_content()
    raw = status.as_bytes().partition(b"\n\n")[2].replace(b"\r\n", b"\n")
    blocks = raw.strip(b"\n").split(b"\n\n")
    assert len(blocks) == 1 + len(failures)
    for block in blocks[1:]:
        names = [line.partition(b":")[0] for line in block.split(b"\n")]
        own = [name.decode() for name in names if not name.startswith(b" ")]
        assert own[:3] == ["Final-Recipient", "Action", "Status"]
        assert set(own) <= _FIELD_NAMES
        assert len(own) == len(set(own))
