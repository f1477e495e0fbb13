"""The node's DKIM signature: what it covers, what it tells, and that it verifies."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import time

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from postmand.message.dkim import (
    SIGNED,
    BadSelectorError,
    BodyHash,
    Signer,
    SigningKey,
    check_selector,
    dns_record,
    new_key,
    public_key,
)

pytestmark = pytest.mark.long

HEADER = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"From: Jon Doe <jondoe@i2pmail.org>\r\n"
    b"To: somebody@example.org,\r\n another@example.com\r\n"
    b"Subject: Greetings\r\n"
    b"Message-ID: <0123456789abcdef@i2pmail.org>\r\n"
    b"References: <one@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 7bit\r\n"
    b"\r\n"
)
BODY = b"Hello,\r\n\r\n.one dot\r\ntrailing blanks  \r\n\r\n\r\n"
DOMAIN = "i2pmail.org"


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """Make one key for all tests: it takes a moment."""
    return SigningKey("s2026", new_key())


def record_text(key: SigningKey) -> bytes:
    """Return the record as a receiver joins it from its strings."""
    _name, value = key.record(DOMAIN)
    return b"".join(string.encode() for string in re.findall(r'"([^"]*)"', value))


def verifies(key: SigningKey, message: bytes) -> bool:
    """Ask dkimpy whether the topmost signature is good."""

    def txt(name: bytes, timeout: int = 5) -> bytes:
        assert name == key.record(DOMAIN)[0].encode()
        return record_text(key)

    good: bool = dkimpy.verify(message, dnsfunc=txt, minkey=2048)
    return good


def tags(field: bytes) -> dict[bytes, bytes]:
    """Return the signature's tags, without any blanks."""
    bare = re.sub(rb"\s", b"", field.partition(b":")[2])
    return dict(tag.split(b"=", 1) for tag in bare.split(b";"))


def test_one_field_in_front(key: SigningKey) -> None:
    """It is one whole field with CRLF ends and short lines, and it verifies."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    assert field.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple;")
    assert field.endswith(b"\r\n")
    lines = field[:-2].split(b"\r\n")
    assert all(line.startswith(b" ") for line in lines[1:])
    assert max(map(len, lines)) <= 78
    assert b"\n" not in field.replace(b"\r\n", b"")
    assert verifies(key, field + HEADER + BODY)


@pytest.mark.parametrize(
    "body",
    [b"", b"\r\n", b"\r\n\r\n", b"no end", b"one\r\n", BODY, b"x" * 300_000],
    ids=["empty", "line", "lines", "no-end", "one", "usual", "long"],
)
def test_bodies(key: SigningKey, body: bytes) -> None:
    """Whatever the body ends with; one octet more in it is noticed."""
    field = key.signer(DOMAIN).sign(HEADER, body)
    assert verifies(key, field + HEADER + body)
    assert not verifies(key, field + HEADER + b"x" + body)
    assert not verifies(key, field + HEADER + body + b"x\r\n")


def test_tells_no_more_than_it_must(key: SigningKey) -> None:
    """No time, no user, no length: the tags that there are, and no other."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    told = tags(field)
    assert sorted(told) == [b"a", b"b", b"bh", b"c", b"d", b"h", b"s", b"v"]
    assert told[b"d"] == DOMAIN.encode()
    assert b"jondoe" not in field


def test_the_same_octets_at_any_time(
    key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed hours apart the field is the same: nothing in it depends on the clock."""
    signer = key.signer(DOMAIN)
    first = signer.sign(HEADER, BODY)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert signer.sign(HEADER, BODY) == first
    assert Signer(DOMAIN.encode(), b"s2026", key.pem).sign(HEADER, BODY) == first


def test_each_field_is_signed_once_more_than_it_is_there(key: SigningKey) -> None:
    """The list in h=: fields that are there twice, those that are not once."""
    told = tags(key.signer(DOMAIN).sign(HEADER, BODY))[b"h"].split(b":")
    absent = {b"cc", b"in-reply-to", b"reply-to"}
    assert sorted(set(told)) == sorted(SIGNED)
    for name in SIGNED:
        assert told.count(name) == (1 if name in absent else 2), name


@pytest.mark.parametrize("name", SIGNED)
def test_none_can_be_added(key: SigningKey, name: bytes) -> None:
    """A field of a signed name, put before or after the others, breaks it."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    added = name + b": <other@example.org>\r\n"
    assert not verifies(key, field + added + HEADER + BODY)
    assert not verifies(key, field + HEADER[:-2] + added + b"\r\n" + BODY)


@pytest.mark.parametrize("line", [*range(3), *range(4, 9)])
def test_none_can_be_taken_away(key: SigningKey, line: int) -> None:
    """Without any one of its fields the message no longer verifies."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    fields = re.findall(rb"[^\r]+(?:\r\n[ \t][^\r]+)*\r\n", HEADER)
    assert len(fields) == 9
    left = b"".join(fields[:line] + fields[line + 1 :]) + b"\r\n"
    assert not verifies(key, field + left + BODY)


def test_what_hops_do(key: SigningKey) -> None:
    """Received lines before it, folding and case of names may change on the way."""
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    received = b"Received: from gateway by mx.example.org; now\r\n"
    refolded = HEADER.replace(b",\r\n another", b",   another").replace(
        b"Subject: G", b"SUBJECT:\r\n\tG"
    )
    assert refolded != HEADER
    assert verifies(key, received + field + refolded + BODY)
    assert not verifies(key, received + field + refolded.replace(b"Gr", b"gr") + BODY)


def test_a_field_inside_a_value_is_none(key: SigningKey) -> None:
    """A folded line that looks like a field does not count as one."""
    header = HEADER.replace(b"Greetings", b"Greetings\r\n cc: nobody\r\n Reply-To: x")
    field = key.signer(DOMAIN).sign(header, BODY)
    told = tags(field)[b"h"].split(b":")
    assert (told.count(b"cc"), told.count(b"reply-to")) == (1, 1)
    assert verifies(key, field + header + BODY)


def test_nothing_is_logged(key: SigningKey, caplog: pytest.LogCaptureFixture) -> None:
    """Not even at the loudest level is there a line about a message."""
    caplog.set_level(0)
    key.signer(DOMAIN).sign(HEADER, BODY)
    assert caplog.records == []


def simple(body: bytes) -> bytes:
    """Hash as RFC 6376 3.4.3 words it, on the whole body."""
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return hashlib.sha256(body + b"\r\n").digest()


LINES = st.lists(
    st.sampled_from([b"", b"", b"", b"text", b" ", b"." * 70]), max_size=12
).map(b"\r\n".join)


@given(body=LINES, seed=st.integers())
def test_hash_of_pieces(body: bytes, seed: int) -> None:
    """Cut anywhere, between CR and LF too, pieces give the hash of the whole."""
    cuts = random.Random(seed)
    places = sorted(cuts.randint(0, len(body)) for _ in range(cuts.randint(0, 8)))
    ends = [*places, len(body)]
    pieces = [body[a:b] for a, b in zip([0, *places], ends, strict=True)]
    assert BodyHash(pieces).digest() == simple(body)


def test_hash_of_many_empty_lines() -> None:
    """Empty lines in their thousands are counted; digest() does not end the hash."""
    lines = b"\r\n" * 50_000
    body = BodyHash([lines, lines])
    assert body.digest() == simple(b"")
    body.update(b"end")
    assert body.digest() == simple(lines * 2 + b"end")


def test_no_computing_in_python(
    key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL signs: Python's integers would stop all threads for milliseconds."""

    def computed(*_: object) -> None:
        raise AssertionError("RSA in Python")

    monkeypatch.setattr(dkimpy, "RSASSA_PKCS1_v1_5_sign", computed)
    field = key.signer(DOMAIN).sign(HEADER, BODY)
    monkeypatch.undo()
    assert tags(field)[b"a"] == b"rsa-sha256"
    assert verifies(key, field + HEADER + BODY)


def test_signed_by_pieces(key: SigningKey) -> None:
    """A body that was never whole gets the same signature."""
    signer = key.signer(DOMAIN)
    pieces = BodyHash(BODY[at : at + 3] for at in range(0, len(BODY), 3))
    assert signer.sign_hashed(HEADER, pieces) == signer.sign(HEADER, BODY)


def test_record() -> None:
    """The zone's record: absolute name, strings of at most 255 octets, nothing lost."""
    octets = bytes(range(256)) * 2
    name, value = dns_record("s2026", DOMAIN, octets)
    assert name == "s2026._domainkey.i2pmail.org."
    strings = re.findall(r'"([^"]*)"', value)
    assert " ".join(f'"{string}"' for string in strings) == value
    assert max(map(len, strings)) <= 255
    assert "".join(strings) == (
        "v=DKIM1; k=rsa; p=" + base64.b64encode(octets).decode()
    )


def test_key(key: SigningKey) -> None:
    """RSA of 2048 bits, new each time, kept and read back with its selector."""
    private = load_pem_private_key(key.pem, password=None)
    assert private.key_size == 2048  # type: ignore[union-attr]
    assert SigningKey.from_octets(key.to_octets()) == key
    assert base64.b64encode(public_key(key.pem)) in record_text(key)
    assert key.pem.decode() not in repr(key) + repr(key.signer(DOMAIN))
    assert new_key() != key.pem


@pytest.mark.parametrize("selector", ["s2026", "a", "mail-1", "x" * 63])
def test_selectors(selector: str) -> None:
    """One label of the DNS, in lower case."""
    assert check_selector(selector) == selector


@pytest.mark.parametrize(
    "selector", ["", "S2026", "-a", "a-", "a.b", "a b", "a\n", "é", "x" * 64, "a;b"]
)
def test_bad_selectors(selector: str) -> None:
    """Anything else is refused in words."""
    with pytest.raises(BadSelectorError, match="63 letters"):
        check_selector(selector)
