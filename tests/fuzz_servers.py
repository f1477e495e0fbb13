"""Random and mutated command streams against both servers, and what must hold then.

`fuzz` is for a nightly target; the unit tests run some thousands of it. The house is
real but for its store, so what is tried here reaches the washing, too.
"""

from __future__ import annotations

import gc
import random
import re
from collections.abc import Callable

from attrs import evolve
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from postmand.config import Limits
from tests.long_run import run
from tests.sessions import PASSWORD, House, Session, plain

_REPLY = re.compile(rb"[2-5][0-9][0-9][ -][ -~]*")
_POP3 = re.compile(rb"(?:\+OK|-ERR)(?: [ -~]*)?|\+ ")
_SMTP_LINES = (
    b"EHLO x", b"HELO x", b"EHLO", b"QUIT", b"RSET", b"NOOP", b"HELP", b"VRFY a",
    b"EXPN a", b"AUTH", b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH LOGIN am9uZG9l",
    b"am9uZG9l", b"Y29ycmVjdCBob3JzZQ==", b"*", b"AUTH PLAIN " + plain(b"jondoe"),
    b"AUTH PLAIN " + plain(b"nobody", b"x"), b"MAIL FROM:<jondoe@mail.i2p>",
    b"MAIL FROM:<jondoe@mail.i2p> SIZE=100 BODY=8BITMIME", b"MAIL FROM:<>",
    b"MAIL FROM: jondoe@i2pmail.org", b"MAIL FROM:<alice@mail.i2p>",
    b"RCPT TO:<alice@mail.i2p>", b"RCPT TO: bob@mail.i2p", b"RCPT TO:<no@mail.i2p>",
    b"RCPT TO:<a@example.org>", b'RCPT TO:<"a\\"b"@mail.i2p>', b"DATA", b".", b"..",
    b"Subject: x", b"", b"Content-Type: multipart/mixed; boundary=b", b"--b", b"--b--",
    b"x" * 600, b"X", b"\0", b"\xff\xfe", b"GET / HTTP/1.1", b"\x16\x03\x01",
)  # fmt: skip
_POP3_LINES = (
    b"USER jondoe", b"USER nobody", b"USER", b"PASS " + PASSWORD, b"PASS x", b"PASS",
    b"AUTH PLAIN " + plain(b"jondoe"), b"AUTH PLAIN", plain(b"jondoe"), b"AUTH", b"*",
    b"CAPA", b"STAT", b"LIST", b"LIST 1", b"LIST 9", b"UIDL", b"UIDL 2", b"RETR 1",
    b"RETR 2", b"RETR 3", b"RETR 0", b"TOP 1 0", b"TOP 2 5", b"TOP 3 9999", b"TOP 1",
    b"DELE 1", b"DELE 2", b"RSET", b"NOOP", b"QUIT", b"APOP a b", b"STLS", b"", b"\0",
    b"\xff\xfe", b"x" * 600, b"POST / HTTP/1.1", b"\x16\x03\x01",
)  # fmt: skip
_ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\r\n", b"\n\r", b"")
_LOGIN = b"EHLO x\r\nAUTH PLAIN " + plain(b"jondoe") + b"\r\n"
_ENVELOPE = b"MAIL FROM:<jondoe@mail.i2p>\r\nRCPT TO:<alice@mail.i2p>\r\nDATA\r\n"
_MESSAGES = (
    b"Subject: one\r\n\r\n.\r\n..x\r\nlast\r\n",
    b"Subject: two\r\nIn-Reply-To: <a@b>\r\n\r\n",
    b"Subject: three\r\n\r\n" + b".0123456789\r\n" * 9_000,
)
_LIMITS = evolve(
    Limits(),
    line_bytes=512,
    spool_bytes=4_096,
    body_line_bytes=2_000,
    protocol_errors=40,
    protocol_errors_in_row=12,
)


def stream(lines: tuple[bytes, ...], rng: random.Random) -> bytes:
    """Return some of the lines, mostly with their ends, some octets changed."""
    found = b"".join(
        rng.choice(lines) + rng.choice(_ENDS) for _ in range(rng.randrange(1, 40))
    )
    for _ in range(rng.choice((0, 0, 0, 1, 5))):
        place = rng.randrange(len(found) + 1)
        noise = bytes((rng.choice((0, 10, 13, 46, rng.randrange(256))),))
        found = found[:place] + noise + found[place + rng.randrange(2) :]
    return found


def play(house: House, session: Session, octets: bytes, rng: random.Random) -> None:
    """Send in random chunks to slow threads, read at will, and hang up at any time."""
    house.argon2.held = house.washing.held = rng.random() < 0.3
    if rng.random() < 0.2:
        session.wire.window = rng.randrange(5_000)
    while octets and session.open:
        length = rng.choice((1, 2, 3, 7, 50, 1_000, 70_000))
        session.send(octets[:length])
        octets = octets[length:]
        if rng.random() < 0.02:
            session.advance(rng.choice((1, 70, 400)), 10)
        if rng.random() < 0.4:
            house.argon2.step()
            house.washing.step()
            session.pump()
        if rng.random() < 0.005:
            session.drop()
        if session.wire.window is not None and rng.random() < 0.3:
            session.wire.read(rng.randrange(20_000))
            session.pump()
    if rng.random() < 0.2:
        session.drop()
    house.argon2.release()
    house.washing.release()
    session.wire.read()
    session.pump()
    if rng.random() < 0.5:
        session.drop()
    else:
        session.advance(2_000, 50)


def smtp(house: House, rng: random.Random) -> None:
    """Try the submission server once."""
    octets = stream(_SMTP_LINES, rng)
    if rng.random() < 0.7:
        octets = _LOGIN + (_ENVELOPE if rng.random() < 0.6 else b"") + octets
    octets += rng.choice((b"", b"\r\n.\r\n", b"\r\n.\r\nQUIT\r\n"))
    session = house.submit()
    play(house, session, octets, rng)
    for line in session.said.split(b"\r\n")[:-1]:
        assert _REPLY.fullmatch(line), line
    for name in ("alice", "bob", "jondoe"):
        for message in house.mailbox(name):
            assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", message), message
            assert message.startswith(b"Return-Path: <jondoe@mail.i2p>\r\n"), message
    check_end(house, session)


def pop3(house: House, rng: random.Random) -> None:
    """Try the POP3 server once."""
    house.put("jondoe", *_MESSAGES)
    octets = stream(_POP3_LINES, rng)
    if rng.random() < 0.7:
        octets = b"USER jondoe\r\nPASS " + PASSWORD + b"\r\n" + octets
    session = house.collect()
    play(house, session, octets, rng)
    complete, _, broken = session.said.rpartition(b"\r\n")
    assert not broken or was_cut(session), broken
    lines = iter(complete.split(b"\r\n") if complete else ())
    for line in lines:
        assert _POP3.fullmatch(line), line
        if re.search(rb"follows?\Z|octets\Z", line):
            check_block(line, lines, session)
    kept = [one for one in house.mailbox("jondoe") if one in _MESSAGES]
    unheard = was_cut(session) and b"QUIT" in octets.upper()
    if b"OK - Bye" not in session.said and not unheard:
        assert len(kept) == len(_MESSAGES), "deleted without a QUIT"
    check_end(house, session)


def was_cut(session: Session) -> bool:
    """Whether the last answer may be there in part."""
    return session.wire.aborted or session.cut


def check_block(first: bytes, lines: object, session: Session) -> None:
    """Check one multi-line answer to its end: dots, and octets where they were told."""
    octets = 0
    for line in lines:  # type: ignore[attr-defined]
        if line == b".":
            break
        assert not line.startswith(b".") or line.startswith(b".."), line
        octets += len(line.removeprefix(b".")) + 2
    else:
        assert was_cut(session), "an answer without an end"
        return
    told = re.fullmatch(rb"\+OK (\d+) octets", first)
    assert told is None or int(told[1]) == octets, (first, octets)


def check_end(house: House, session: Session) -> None:
    """Check that a session that is over holds nothing."""
    assert not session.wire.connected
    assert house.memory._free == house.limits.body_memory, "memory is not given back"
    assert not any(spool.on_disk for spool in house.spools), "a file is left open"
    assert not house.pop3._holders._holders, "a mailbox is still held"
    house.clock.advance(10)  # an answer to a wrong password may still be held back
    assert not house.clock.getDelayedCalls(), house.clock.getDelayedCalls()


def fuzz(iterations: int, seed: int) -> None:
    """Try `iterations` streams on each server; the same seed tries the same ones."""
    servers: tuple[Callable[[House, random.Random], None], ...] = (smtp, pop3)
    faults: list[str] = []

    def note(event: LogEvent) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.warn:
            faults.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    try:
        for number in range(iterations):
            for server in servers:
                house = House(limits=_LIMITS)
                for name in ("jondoe", "alice", "bob"):
                    house.store.add(name, PASSWORD)
                try:
                    server(house, random.Random(f"{seed} {number} {server.__name__}"))
                    assert not faults, faults
                except BaseException as error:
                    error.add_note(f"seed {seed}, {server.__name__} {number}")
                    raise
        gc.collect()
        assert not faults, faults
    finally:
        globalLogPublisher.removeObserver(note)


if __name__ == "__main__":
    run(fuzz, 500_000, "streams on each server")
