"""Messages captured from real mail clients, washed: what each told about its sender."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest

from tests.fuzz_sanitizer import CORPUS, check, corpus, names, washed

_MESSAGES = corpus()
_SEALED = ("multipart/signed", "multipart/encrypted")
# What the sender wrote: a leak there is theirs to make.
# What nobody wrote, and so is nowhere in what leaves, be it in a body.
_IN_PASSING = ("EHLO", "header Message-ID", "header User-Agent", "header X-Mailer")
_OWN_WORDS = ("decoded", "header Subject", "attachment file name")


def _leaks(name: str) -> list[dict[str, str]]:
    meta = json.loads((CORPUS / name / "meta.json").read_text("utf-8"))
    leaks: list[dict[str, str]] = meta["leaks"]
    return [
        leak
        for leak in leaks
        if not any(words in leak["where"] for words in _OWN_WORDS)
        and leak["bytes"] != "format=flowed"
    ]


def _leaves(message: Message) -> list[Message]:
    """Return the parts with content of their own, forwarded messages opened."""
    if message.is_multipart():
        parts = message.get_payload()
        return [leaf for part in parts for leaf in _leaves(part)]  # type: ignore[arg-type]
    return [message]


def _outside(message: Message) -> str:
    """Return all of a message but its content, Subject and file names.

    Of a sealed part only what is around it: what is inside can not be changed.
    """
    pieces = [message.preamble or "", message.epilogue or ""]
    for name, value in message.items():
        if name.lower() not in ("subject", "content-disposition"):
            pieces.append(f"{name}: {value}")
    if message.is_multipart() and message.get_content_type() not in _SEALED:
        parts = message.get_payload()
        pieces += [_outside(part) for part in parts]  # type: ignore[arg-type]
    return "\n".join(pieces)


@pytest.mark.long
@pytest.mark.parametrize("name", _MESSAGES)
def test_promises_hold(name: str) -> None:
    """Canonical, clean, and the same when washed again."""
    assert check(_MESSAGES[name]) is not None


@pytest.mark.long
@pytest.mark.parametrize("name", _MESSAGES)
def test_no_leak_is_left(name: str) -> None:
    """No string the capture gave away is left outside what the sender wrote."""
    message = washed(_MESSAGES[name])
    outside = _outside(message_from_bytes(message))
    for leak in _leaks(name):
        assert leak["bytes"] not in outside, leak
        if leak["where"] in _IN_PASSING:
            assert leak["bytes"].encode() not in message, leak
    assert b"bcc:" not in message.lower()
    for trace in ("marys-laptop", "home.example.org", "-0400", "(-04)", "realmary"):
        assert trace not in outside


@pytest.mark.long
@pytest.mark.parametrize("name", _MESSAGES)
def test_structure_is_kept(name: str) -> None:
    """The parts are the same, of the same types, and the files' octets too."""
    before = _leaves(message_from_bytes(_MESSAGES[name]))
    after = _leaves(message_from_bytes(washed(_MESSAGES[name])))
    types = [part.get_content_type() for part in before]
    assert [part.get_content_type() for part in after] == types
    for old, new in zip(before, after, strict=True):
        assert old.get_filename() == new.get_filename()
        content, kept = old.get_payload(decode=True), new.get_payload(decode=True)
        assert isinstance(content, bytes)
        assert isinstance(kept, bytes)
        if old.get_content_maintype() == "text" and not old.get_filename():
            assert _text(old, content) == _text(new, kept)
        else:
            assert content == kept


def _text(part: Message, content: bytes) -> list[str]:
    """Return a text's lines; without a character set it is what it looks like."""
    charset = part.get_content_charset("utf-8").replace("us-ascii", "utf-8")
    return content.decode(charset).rstrip("\r\n").replace("\r\n", "\n").split("\n")


@pytest.mark.long
@pytest.mark.parametrize("name", _MESSAGES)
def test_people_are_kept(name: str) -> None:
    """Recipients and Subject read the same; the sender is the account."""
    before = message_from_bytes(_MESSAGES[name], policy=policy.default)
    after = message_from_bytes(washed(_MESSAGES[name]), policy=policy.default)
    assert isinstance(before, EmailMessage)
    assert isinstance(after, EmailMessage)
    assert str(after["From"]) == "jondoe@mail.i2p"
    subject = message_from_bytes(_MESSAGES[name])["Subject"]
    if subject is None or str(subject).isascii():
        assert after["Subject"] == (before["Subject"] or "")
    for field in ("To", "Cc"):
        if before[field] is not None:
            old = [one.addr_spec for one in before[field].addresses]
            assert [one.addr_spec for one in after[field].addresses] == old
        else:
            assert after[field] in (None, "undisclosed-recipients:;")


def test_all_plain_messages_look_alike() -> None:
    """Every client's plain message has the same header names in the same order."""
    plain = {name: washed(raw) for name, raw in _MESSAGES.items() if "-plain" in name}
    assert len(plain) >= 6
    assert len({tuple(names(message)) for message in plain.values()}) == 1


def test_eight_bit_subject() -> None:
    """What swaks sends raw is encoded like anybody else's."""
    subjects = {
        line
        for name in ("swaks-utf8", "python-utf8", "mutt-utf8", "alpine-utf8")
        for line in washed(_MESSAGES[name]).split(b"\r\n")
        if line.startswith(b"Subject:")
    }
    assert subjects == {b"Subject: =?utf-8?b?U2Now7ZuZSBHcsO8w59l?="}


@pytest.mark.parametrize("name", [name for name in _MESSAGES if "signed" in name])
def test_signed_parts_are_identical(name: str) -> None:
    """The octets under a signature, and the signature, do not change at all."""
    raw = _MESSAGES[name]
    boundary = (message_from_bytes(raw).get_boundary() or "").encode()
    delimiter = b"\r\n--" + boundary
    parts = raw.split(delimiter)[1:3]
    assert raw.count(delimiter) == 3
    message = washed(raw)
    fresh = (message_from_bytes(message).get_boundary() or "").encode()
    assert message.split(b"\r\n--" + fresh)[1:3] == parts
    assert boundary not in message
