"""What real clients sent goes in as they sent it; what comes out tells nothing.

Each message of the corpus names the strings in it that disclose something. They are
looked for in all of the collected message that is not text or attachment.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.flow.corpus import (
    PUBLIC_KEY,
    Captured,
    Part,
    decoded,
    field_names,
    fields,
    load,
    parsed,
    skeleton,
    tree,
)
from tests.flow.house import House

MESSAGES = load()
SIGNED = [one for one in MESSAGES if b"multipart/signed" in one.message]
PLAIN = [one for one in MESSAGES if one.name.endswith("-plain")]
MEMBERS = ("jondoe", "alice", "bob", "eve")
TRACE = re.compile(
    rb"Return-Path: <jondoe@mail\.i2p>\r\n"
    rb"Received: from localhost \(localhost \[127\.0\.0\.1\]\)\s+"
    rb"by smtp\.postman\.i2p \(I2pMailer\) with ESMTP id \w+;\s+"
    rb"\w{3}, \d{1,2} \w{3} \d{4} [\d:]{8} \+0000( \(UTC\))?\r\n"
)
ALLOWED = {
    *("Return-Path", "Received", "Date", "From", "To", "Cc", "Subject", "Message-ID"),
    *("In-Reply-To", "References", "MIME-Version"),
    *("Content-Type", "Content-Transfer-Encoding"),
}

each = pytest.mark.parametrize("sent", MESSAGES, ids=lambda sent: sent.name)


@pytest.fixture(scope="module")
def collected(house: House) -> dict[str, dict[str, bytes]]:
    """Submit the whole corpus and collect it: {message: {recipient: what came out}}."""
    house.add("eve")
    found: dict[str, dict[str, bytes]] = {}
    for sent in MESSAGES:
        house.submit("jondoe", list(sent.recipients), sent.message)
        found[sent.name] = {}
        for name in MEMBERS:
            if f"{name}@mail.i2p" in sent.recipients:
                (found[sent.name][name],) = house.collect(name)
    for name in MEMBERS:
        assert house.collect(name) == []
    return found


@pytest.fixture
def got(sent: Captured, collected: dict[str, dict[str, bytes]]) -> bytes:
    """Return the message as its first recipient got it."""
    return next(iter(collected[sent.name].values()))


def test_corpus_is_whole() -> None:
    """There is a corpus, and it has what the tests below are about."""
    assert len(MESSAGES) >= 50
    assert len(SIGNED) >= 2
    assert len(PLAIN) >= 6
    assert all(sent.leaks for sent in MESSAGES)


def test_the_search_can_find() -> None:
    """The same search finds the strings in what was sent: the next test can fail."""
    seen = [
        leak.text.encode() in skeleton(tree(sent.message))
        for sent in MESSAGES
        for leak in sent.leaks
        if leak.where.startswith(("header", "boundary", "top-level", "MIME preamble"))
        and leak.where != "header Subject"
    ]
    assert len(seen) > 200
    assert sum(seen) / len(seen) > 0.9


@each
def test_nothing_leaks(sent: Captured, got: bytes) -> None:
    """No disclosing string is left outside text and attachments."""
    assert TRACE.match(got), got[:400]
    message = tree(TRACE.sub(b"", got, count=1))
    bones = skeleton(message)
    legible = decoded(bones)
    for leak in sent.leaks:
        place = message.header if leak.where == "top-level header" else bones
        assert leak.text.encode() not in place, leak
        if leak.where != "top-level header":
            assert leak.text not in legible, leak
    subject = message.field(b"subject").lower()
    assert set(re.findall(rb"=\?([^?]+)\?", subject)) <= {b"utf-8"}


@each
def test_headers_are_ours(sent: Captured, got: bytes) -> None:
    """Date in UTC, a Message-ID of ours, From the account's own: once each."""
    header = got.partition(b"\r\n\r\n")[0]
    names = field_names(header)
    assert len({name.lower() for name in names}) == len(names)
    assert {name.decode() for name in names} <= ALLOWED
    lines = fields(header)
    assert b"From: jondoe@mail.i2p" in lines
    assert b"MIME-Version: 1.0" in lines
    assert any(re.fullmatch(rb"Date: .* \+0000", line) for line in lines)
    assert any(re.fullmatch(rb"Message-ID: <[\w.-]+@mail\.i2p>", x) for x in lines)
    original = parsed(sent.message)["Subject"]
    assert " ".join(str(parsed(got)["Subject"] or "").split()) == " ".join(
        str(original or "").split()
    )


@each
def test_hidden_recipients_stay_hidden(
    sent: Captured, collected: dict[str, dict[str, bytes]]
) -> None:
    """Who stands in no To and no Cc is named in no copy, his own included."""
    original = parsed(sent.message)
    shown = f"{original['To']} {original['Cc']}"
    hidden = [one for one in sent.recipients if one not in shown]
    copies = collected[sent.name]
    assert len(copies) == len(set(sent.recipients))
    for copy in copies.values():
        assert b"bcc" not in {name.lower() for name in field_names(tree(copy).header)}
        for address in hidden:
            assert address.encode() not in copy


def outline(message: EmailMessage) -> list[tuple[str, str | None]]:
    """Return the media type and file name of every part."""
    return [
        (part.get_content_type(), part.get_filename() or None)
        for part in message.walk()
    ]


def content(part: EmailMessage) -> str | bytes:
    """Return a leaf's content: text where it is inline text that decodes."""
    octets: bytes = part.get_payload(decode=True)
    if part.get_content_maintype() != "text" or part.get_filename():
        return octets
    charset = part.get_content_charset() or "us-ascii"
    if charset == "us-ascii":
        charset = "utf-8"  # what a client that names nothing means
    try:
        text = octets.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return octets
    lines = "\n".join(text.splitlines()).rstrip("\n")
    # A part named by cid: gets another name, and so does its use.
    return re.sub(r"""cid:[^"'>\s]+""", "cid:", lines)


@each
def test_content_is_whole(sent: Captured, got: bytes) -> None:
    """Structure, file names, text and attachments' octets are as they were sent."""
    before, after = parsed(sent.message), parsed(got)
    assert outline(after) == outline(before)
    for old, new in zip(before.walk(), after.walk(), strict=True):
        if not old.is_multipart():
            assert content(new) == content(old)  # type: ignore[arg-type]


@each
def test_every_line_is_sendable(sent: Captured, got: bytes) -> None:
    """7-bit safe, no line over 998, no bare CR or LF: no later hop re-encodes it."""
    assert b"\r" not in got.replace(b"\r\n", b"")
    assert b"\n" not in got.replace(b"\r\n", b"")
    if b"multipart/signed" not in got:
        assert got.isascii()
        assert max(map(len, got.split(b"\r\n"))) <= 998


WITH_PICTURE = b"""From: jondoe@mail.i2p
To: alice@mail.i2p
Subject: picture
MIME-Version: 1.0
Content-Type: multipart/related; boundary="=_told_1795343411"

--=_told_1795343411
Content-Type: text/html; charset=utf-8

<img src="cid:part1.5150@marys-laptop.home.example.org">
--=_told_1795343411
Content-Type: image/png
Content-ID: <part1.5150@marys-laptop.home.example.org>
Content-Disposition: inline; filename="a.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--=_told_1795343411--
"""


def test_cid_still_leads_to_its_part(house: House) -> None:
    """A picture named in HTML by its Content-ID is found under its new one."""
    house.submit("jondoe", ["alice@mail.i2p"], WITH_PICTURE)
    (got,) = house.collect("alice")
    assert b"marys-laptop" not in got
    assert b"1795343411" not in got
    page, picture = parsed(got).get_payload()  # type: ignore[misc]
    (cid,) = re.findall(rb'cid:([^"]+)', page.get_payload(decode=True))
    assert picture["Content-ID"] == f"<{cid.decode()}>"
    assert picture.get_payload(decode=True) == b"\x89PNG\r\n\x1a\n"


def signed_parts(part: Part) -> tuple[bytes, bytes]:
    """Return the raw signed part and the raw signature of a multipart/signed."""
    (one,) = [x for x in part.walk() if x.type == b"multipart/signed"]
    content_part, signature = one.parts
    raw = content_part.header + b"\r\n\r\n" + content_part.body
    assert raw in one.body
    return raw, signature.body


@pytest.mark.parametrize("sent", SIGNED, ids=lambda sent: sent.name)
def test_signatures_verify(
    sent: Captured, got: bytes, peer: Callable[..., str], tmp_path: Path
) -> None:
    """A PGP signature is as good behind the node as it was before it."""
    # A public key needs no daemon of gpg's, and none is left running.
    gpg = [peer("gpg", "gnupg"), "--homedir", str(tmp_path), "--batch", "--quiet"]
    gpg.append("--no-autostart")
    subprocess.run([*gpg, "--import", str(PUBLIC_KEY)], check=True, capture_output=True)
    signed, signature = signed_parts(tree(got))
    assert signed == signed_parts(tree(sent.message))[0]
    data, seal = tmp_path / "data", tmp_path / "data.asc"
    data.write_bytes(signed)
    seal.write_bytes(signature)
    verdict = [*gpg, "--status-fd", "1", "--verify", str(seal), str(data)]
    done = subprocess.run(verdict, capture_output=True, check=False)
    assert b"GOODSIG" in done.stdout, done.stderr.decode()
    assert done.returncode == 0


def test_plain_messages_look_the_same(collected: dict[str, dict[str, bytes]]) -> None:
    """All clients' plain messages have the same header names in the same order."""
    shapes = {
        sent.name: tuple(field_names(tree(collected[sent.name]["alice"]).header))
        for sent in PLAIN
    }
    assert len(set(shapes.values())) == 1, shapes


def test_plain_messages_have_one_form(collected: dict[str, dict[str, bytes]]) -> None:
    """Nor do their values tell clients apart, but for format=flowed."""
    forms = set()
    for sent in PLAIN:
        part = tree(collected[sent.name]["alice"])
        kind = re.sub(
            rb";\s*(format=flowed|delsp=\w+)", b"", part.field(b"content-type")
        )
        forms.add((kind, part.field(b"content-transfer-encoding")))
    assert len(forms) == 1, forms
