"""Smuggled mail: what looks like a message's end to somebody, in and out, at both hops.

A gateway and a mail host run as they are started, behind them POP3, before them bare
clients, a real Postfix, and servers as lenient as those of 2023 were.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from postmand.config import load
from postmand.inbound import Crate
from postmand.pairing import key_octets
from postmand.store.crates import seal
from tests.flow.house import Wire, password
from tests.flow.program import PATIENCE
from tests.link_office import bdat
from tests.test_exchange import SMUGGLING
from tests.test_outgoing import HEADER
from tests.world.lenient import NAMES, PEER, Lenient, need_all
from tests.world.stolen import as_gateway, as_host

_BEGIN = (
    ("EHLO mx.good.example", "250"),
    ("MAIL FROM:<a@good.example>", "250"),
    ("RCPT TO:<alice@i2pmail.org>", "250"),
    ("DATA", "354"),
)
# What no member's message may hold, and what no mail on the Internet's side may.
_NEVER = re.compile(rb"\r(?!\n)|\0")
_STRANGE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lenient]:
    """Run all of it for the module."""
    need_all()
    with Lenient(tmp_path_factory.mktemp("lenient")) as made:
        yield made


def within(between: bytes, recipient: bytes) -> bytes:
    """Return what is smuggled: a transaction, with the same end behind it."""
    return (
        b"MAIL FROM:<eve@good.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"
        b"From: eve@good.example\r\nSubject: smuggled\r\n\r\nsmuggled%s"
        b"QUIT\r\n" % (recipient, between)
    )


def whole_piece(before: bytes, between: bytes, behind: bytes) -> list[bytes]:
    """One write."""
    return [before + between + behind]


def cut_within(before: bytes, between: bytes, behind: bytes) -> list[bytes]:
    """Cut behind the first octet that matters, and before the last."""
    return [before + between[:1], between[1:-1], between[-1:] + behind]


def octet_by_octet(before: bytes, between: bytes, behind: bytes) -> list[bytes]:
    """Each octet that matters by itself, those around it too."""
    middle = before[-3:] + between + behind[:3]
    pieces = [bytes([octet]) for octet in middle]
    return [before[:-3], *pieces, behind[3:]]


CUTS = [whole_piece, cut_within, octet_by_octet]


def send(link: socket.socket, pieces: list[bytes]) -> None:
    """Send pieces so that they arrive as pieces."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError):
        for piece in filter(None, pieces):
            link.sendall(piece)
            time.sleep(0.001)


def rest(wire: Wire) -> list[str]:
    """Return all that is still said, up to the end of the connection."""
    found: list[str] = []
    with suppress(OSError):
        while line := wire.line():
            found.append(line)
    return found


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("between", SMUGGLING)
def test_in(
    lenient: Lenient,
    between: bytes,
    cut: Callable[[bytes, bytes, bytes], list[bytes]],
) -> None:
    """From the Internet: one message in POP3, or a refusal; nothing of it is run."""
    before = b"From: a@good.example\r\nSubject: one\r\n\r\ntext"
    behind = within(between, b"bob@i2pmail.org") + b"\r\n.\r\n"
    with lenient.gateway.wire(PEER) as wire:
        assert wire.reply().startswith("220 ")
        for line, code in _BEGIN:
            wire.say(line)
            assert wire.reply()[:3] == code
        send(wire.socket, cut(before, between, behind))
        told = wire.line()
        # Who was refused for it is not listened to any more.
        with suppress(OSError):
            wire.say("QUIT")
        left = rest(wire)
    taken = lenient.house.collect("alice")
    assert (told[:3], left[:1]) in (("250", ["221 2.0.0 Bye"]), ("554", []))
    assert left[1:] == []
    assert len(taken) == (told[:3] == "250")
    assert all(b"smuggled" in one for one in taken)
    assert lenient.house.collect("bob") == []


# Out. What a member hands in is mended, or refused, at submission.


def hand_in(lenient: Lenient, to: list[str], pieces: list[bytes]) -> int:
    """Hand in octets as they are, as alice; return the last reply's code."""
    with lenient.house.smtp("alice") as session:
        session.mail("alice@mail.i2p")
        for one in to:
            assert session.rcpt(one)[0] == 250
        assert session.docmd("DATA")[0] == 354
        assert session.sock is not None
        send(session.sock, pieces)
        code = session.getreply()[0]
        # What is said behind a true end, CR CR LF . CR LF, is the member's own.
        session.close()
    return code


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def assert_once(lenient: Lenient, subjects: set[bytes]) -> None:
    """See that each server took each of the messages once, and nothing else.

    What one takes for a message of its own stands before the answer to the first.
    """
    for name, server in lenient.lax.items():
        wait_until(lambda server=server: len(server.taken) >= len(subjects))
        found = [subject_of(taken.data) for taken in server.taken]
        assert sorted(found) == sorted(subjects), name
        for taken in server.taken:
            assert taken.recipients == (f"b@{name}.lax".encode(),)
            assert taken.sender in (b"alice@i2pmail.org", b"jondoe@i2pmail.org")
        server.taken.clear()
    assert lenient.whole.postfix
    stored = lenient.whole.postfix.collect(len(subjects))
    assert sorted(map(subject_of, stored)) == sorted(subjects)
    assert all(b"\nDelivered-To: b@example.org\n" in one for one in stored)


def subject_of(message: bytes) -> bytes:
    """Return what the field Subject says."""
    found = re.search(rb"^Subject: ([^\r\n]*)", message, re.MULTILINE)
    return found[1] if found else b""


def everybody() -> list[str]:
    """Return a recipient at each of the servers."""
    return [f"b@{name}.lax" for name in NAMES] + ["b@example.org"]


def test_out(lenient: Lenient) -> None:
    """From a member: one message with a real Postfix and with each lenient server."""
    subjects = set()
    for number, between in enumerate(SMUGGLING):
        for cut in CUTS[::2]:
            subject = b"out %d %s" % (number, cut.__name__.encode())
            before = b"From: alice@mail.i2p\r\nSubject: %s\r\n\r\ntext" % subject
            behind = within(between, b"victim@example.org") + b"\r\n.\r\n"
            code = hand_in(lenient, everybody(), cut(before, between, behind))
            assert code in (250, 554), between
            # CR and NUL have no place in a message; a bare LF is mended.
            assert (code == 554) == bool(_NEVER.search(b"t" + between + b"M"))
            if code == 250:
                subjects.add(subject)
    assert len(subjects) > 20
    assert_once(lenient, subjects)


def test_dots(lenient: Lenient) -> None:
    """Lines of one dot, so many that one lies across the end of each buffer."""
    for number in range(3):
        text = b"x" * number + b"\r\n" + b"..\r\n" * 100_000
        before = b"From: alice@mail.i2p\r\nSubject: dots %d\r\n\r\n" % number
        assert hand_in(lenient, everybody(), [before + text + b".\r\n"]) == 250
    assert lenient.whole.postfix
    for name, server in lenient.lax.items():
        wait_until(lambda server=server: len(server.taken) >= 3)
        for taken in server.taken:
            body = taken.data.partition(b"\r\n\r\n")[2]
            assert body.lstrip(b"x") == b"\r\n" + b".\r\n" * 100_000, name
    assert_once(lenient, {b"dots %d" % number for number in range(3)})


# A host that means ill, or who has stolen its key.


def test_out_of_a_stolen_host(lenient: Lenient) -> None:
    """At the gateway's own door: one message or a refusal, however it is cut."""
    subjects: set[bytes] = set()
    for number, between in enumerate(SMUGGLING):
        refused = bool(_STRANGE.search(b"t" + between + b"M"))
        for cut in CUTS[::2]:
            subject = b"stolen %d %s" % (number, cut.__name__.encode())
            header = HEADER.replace(b"Subject: hello", b"Subject: " + subject)
            behind = within(between, b"victim@example.org") + b"\r\n.\r\n"
            pieces = cut(header + b"text", between, behind)
            # What is refused has been refused before it is known where it was to go.
            for to in everybody()[-1:] if refused else everybody():
                assert sent(lenient, to, pieces) == ("554" if refused else "250")
            if not refused:
                subjects.add(subject)
    assert len(subjects) >= 8
    assert_once(lenient, subjects)


def sent(lenient: Lenient, to: str, pieces: list[bytes]) -> str:
    """Send octets as they are with the host's own key; return the code for them."""
    with as_host(lenient.house, lenient.gateway) as line:
        rcpt = b"RCPT TO:<%s>" % to.encode()
        told = line.told(b"MAIL FROM:<jondoe@i2pmail.org>", rcpt, b"DATA")
        assert told.startswith("354 ")
        send(line.link, pieces)
        return line.reply()[:3]


# A gateway that means ill, or who has stolen its key.


_PLAIN = b"From: a@good.example\r\nSubject: crate\r\n"
_SIGNED = (
    _PLAIN + b"MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b;"
    b' protocol="application/pgp-signature"; micalg=pgp-sha256\r\n'
)
_PARTS = b"--b\r\n\r\n%s\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n"


def crates_with(between: bytes) -> Iterator[Crate]:
    """Yield crates that no honest gateway makes: bare CR, LF and NUL within."""
    text = b"text" + between + within(between, b"bob@mail.i2p")
    for header, body in (
        (_PLAIN, text),
        (_SIGNED, _PARTS % text + b"x\r\n--b--\r\n"),
    ):
        to = (b"alice@mail.i2p",)
        yield Crate(b"a@good.example", to, b"mx", True, header + b"\r\n", (body,))


def test_in_of_a_stolen_gateway(lenient: Lenient) -> None:
    """At the host: one message for each crate, and on POP3's wire no bare newline."""
    config = load(str(lenient.gateway.config))
    assert config.link
    public_key = key_octets(config.link.host_key)
    made = [one for between in SMUGGLING for one in crates_with(between)]
    with as_gateway(lenient.gateway) as line:
        for crate in made:
            line.link.sendall(bdat(b"".join(seal(crate, public_key))))
            assert line.reply()[:3] == "250"
    with lenient.house.greet(lenient.house.pop_port) as wire:
        wire.say("USER alice", f"PASS {password('alice')}", "STAT")
        assert [wire.line()[:4] for _ in range(3)] == ["+OK "] * 3
        for number in range(1, len(made) + 1):
            wire.say(f"RETR {number}")
            assert wire.line().startswith("+OK ")
            message = b""
            while (read := wire.file.readline()) != b".\r\n":
                message += read
            assert b"\r\nSubject: crate\r\n" in message
            assert not _STRANGE.search(message)
    assert len(lenient.house.collect("alice")) == len(made)
    assert lenient.house.collect("bob") == []


# Whether all this could fail.

_FOOLED = {
    "lf-dot-lf": b"\n.\n",
    "lf-dot-crlf": b"\n.\r\n",
    "crlf-dot-lf": b"\r\n.\n",
    "cr-dot-cr": b"\r.\r",
    "cr-dot-crlf": b"\r.\r\n",
    "crlf-dot-cr": b"\r\n.\r",
    "cr-crlf": b"\r\r\n.\r\r\n",
    "nul": b"\r\n\0.\r\n",
    "blanks": b"\r\n. \r\n",
    "anything": b"\r.\n",
}


@pytest.mark.parametrize(("name", "between"), _FOOLED.items())
def test_lenient_servers_are(lenient: Lenient, name: str, between: bytes) -> None:
    """Each lenient server takes two messages from who does not mend the first."""
    server = lenient.lax[name]
    envelope = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    text = b"text" + between + within(between, b"victim@d") + b"\r\n.\r\n"
    with Wire(lenient.whole.port, server.address) as wire:
        wire.socket.sendall(envelope + text)
        wait_until(lambda: len(server.taken) == 2)
    assert [one.recipients for one in server.taken] == [(b"c@d",), (b"victim@d",)]
    server.taken.clear()
