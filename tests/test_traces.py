"""What relays wrote is taken out of a header block; the rest stays to the octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.servers.traces import letter

KEPT = b"DKIM-Signature: v=1;\r\n\tb=abc\r\nFrom: a@b.example\r\nSubject: x\r\n"


@pytest.mark.parametrize(
    "trace",
    [
        b"Received: from a by b\r\n",
        b"RECEIVED: from a\r\n\tby b\r\n  ; now\r\n",
        b"Received : from a\r\n",
        b"Received\t : from a\r\n",
        b"Received:\r\n",
        b"Received:\r\n from a\r\n",
        b"Return-Path: <a@b.example>\r\n",
        b"Delivered-To: a@i2pmail.org\r\n",
        b"X-Original-To: a@i2pmail.org\r\n",
        b"X-Received: by 10.0.0.1\r\n",
        b"Authentication-Results: mx.i2pmail.org; spf=pass\r\n",
        b"authentication-results:\r\n mx.i2pmail.org;\r\n dkim=pass\r\n",
        b"ARC-Seal: i=1\r\n",
        b"ARC-Message-Signature: i=1\r\n",
        b"ARC-Authentication-Results: i=1; mx.i2pmail.org\r\n",
        b"Received-SPF: pass\r\n",
    ],
)
def test_traces_fall(trace: bytes) -> None:
    """Each trace falls with its folded lines, wherever it stands; nothing else does."""
    fields = KEPT.split(b"\r\nFrom")
    first, rest = fields[0] + b"\r\n", b"From" + fields[1]
    for block in (trace + KEPT, KEPT + trace, first + trace + rest, trace * 3 + KEPT):
        found = letter(block + b"\r\nbody\r\n")
        assert found.clean_header == KEPT + b"\r\n"
        assert found.header == block + b"\r\n"
        assert found.body == b"body\r\n"


@pytest.mark.parametrize(
    "field",
    [
        b"X-Received-By: a\r\n",
        b"Receive: a\r\n",
        b"Subject: a\r\n Received: b\r\n",
        b"DKIM-Signature: h=received:from\r\n",
        b"Receiv\xe9d: a\r\n",
        b"no field at all\r\n",
        b"Subject: \r\n \r\n Received: x\r\n",
    ],
)
def test_neighbours_stay(field: bytes) -> None:
    """What only looks like a trace, or is the text of another field, stays."""
    found = letter(field + KEPT + b"\r\nbody")
    assert found.clean_header == field + KEPT + b"\r\n"
    assert found.hops == 0


def test_traces_in_the_body_stay() -> None:
    """The body is its author's."""
    found = letter(b"Subject: x\r\n\r\nReceived: from a\r\n")
    assert found.body == b"Received: from a\r\n"
    assert found.hops == 0


@pytest.mark.parametrize(
    ("message", "header", "body"),
    [
        (b"", b"", b""),
        (b"\r\n", b"\r\n", b""),
        (b"\r\nReceived: x\r\n\r\n", b"\r\n", b"Received: x\r\n\r\n"),
        (b"Received: x\r\n", b"Received: x\r\n", b""),
        (b"text\r\n\r\nmore\r\n", b"text\r\n\r\n", b"more\r\n"),
        (b"A: b\r\n\r\n", b"A: b\r\n\r\n", b""),
        (b"A: b\r\n\r\n\r\n\r\n", b"A: b\r\n\r\n", b"\r\n\r\n"),
        (b"A: b\r\n \r\n\r\nx\r\n", b"A: b\r\n \r\n\r\n", b"x\r\n"),
    ],
)
def test_where_the_body_begins(message: bytes, header: bytes, body: bytes) -> None:
    """The first empty line parts header and body, and nothing is lost between."""
    found = letter(message)
    assert (found.header, found.body) == (header, body)


def test_hops() -> None:
    """Received lines are counted, folded ones once."""
    assert letter(b"Received: x\r\n Received: y\r\n" * 7 + b"\r\n").hops == 7


_LINES = st.lists(
    st.sampled_from(
        [b"Received: a", b" folded", b"\tReceived: b", b"From: c", b"x", b"", b"a:",
         b"received :d", b":", b"ARC-Seal: e"]
    )
)  # fmt: skip


@pytest.mark.long
@given(_LINES)
def test_no_trace_survives(lines: list[bytes]) -> None:
    """However lines stand: nothing is left to take out, the message is whole."""
    message = b"".join(line + b"\r\n" for line in lines)
    found = letter(message)
    assert found.header + found.body == message
    again = letter(found.clean_header + found.body)
    assert again.clean_header == found.clean_header
    assert again.body == found.body
    assert again.hops == 0
