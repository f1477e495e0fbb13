"""Mail host, two gateways, real DNS and a real Postfix: mail both ways."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes

import pytest

from tests.conftest import need
from tests.flow.abroad import is_signed
from tests.flow.house import Wire
from tests.world.verifier import PASSED, Judgement, judged
from tests.world.whole import EXAMPLE, Whole

BOB, ALICE = "bob@example.org", "alice@i2pmail.org"
_PATIENCE = 120.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Run all of it for the module."""
    need("nsd")
    need("unbound")
    need("postconf", "postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix runs as root only")
    with Whole(tmp_path_factory.mktemp("whole"), members=("alice", "carol")) as whole:
        yield whole


def letter(sender: str, to: str, subject: str, *more: str) -> bytes:
    """Return a message."""
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", *more]
    return "\r\n".join([*lines, "", f"text of {subject}", "..dots", ""]).encode()


def out(whole: Whole, subject: str, to: str = BOB) -> None:
    """Have alice mail somebody of the Internet."""
    whole.house.submit("alice", [to], letter("alice@mail.i2p", to, subject))


def collected(whole: Whole, name: str = "alice") -> bytes:
    """Wait until a member has mail, and return the only message.

    Meanwhile Postfix is asked to try again: how long it waits is no matter of ours.
    """
    assert whole.postfix
    until = time.monotonic() + _PATIENCE
    while not (found := whole.house.collect(name)):
        assert time.monotonic() < until, whole.postfix.told()[-2000:]
        time.sleep(1)
        whole.postfix.flush()
    (message,) = found
    return message


def refused_now(wire: Wire) -> str:
    """Return what alice's address is told in a transaction that was begun."""
    wire.say(f"RCPT TO:<{ALICE}>")
    return wire.reply()


def logged(told: Callable[[], str], pattern: str) -> re.Match[str]:
    """Wait until something is in a log."""
    until = time.monotonic() + _PATIENCE
    while not (found := re.search(pattern, told())):
        assert time.monotonic() < until, f"not told: {pattern}\n{told()}"
        time.sleep(0.1)
    return found


def test_there_and_back(whole: Whole) -> None:
    """A member's mail passes all three checks; its answer comes back, threaded."""
    assert whole.postfix
    out(whole, "there")
    (arrived,) = whole.postfix.collect(1)
    assert judged(arrived, whole.world) == PASSED
    # The same way a report goes: HELO alone vouches for it, and DKIM for its From.
    report = arrived.replace(b"Return-Path: <alice@i2pmail.org>", b"Return-Path: <>", 1)
    assert judged(report, whole.world) == Judgement(*["pass"] * 5, "fail")
    assert is_signed(arrived.replace(b"\n", b"\r\n"), whole.dkim)
    assert b"mail.i2p" not in arrived
    first = message_from_bytes(arrived)
    assert first["From"] == ALICE
    assert re.search(rb"using TLSv1\.[23]", arrived)
    told_id = first["Message-ID"]
    answer = letter(
        BOB, ALICE, "back", f"In-Reply-To: {told_id}", f"References: {told_id}"
    )
    whole.postfix.send(BOB, [ALICE], answer)
    got = message_from_bytes(collected(whole))
    own = told_id.replace("@i2pmail.org", "@mail.i2p")
    assert (got["In-Reply-To"], got["References"]) == (own, own)
    assert got["To"] == "alice@mail.i2p"
    assert "spf=pass" in got["Authentication-Results"]
    assert got.get_payload() == "text of back\r\n..dots\r\n"
    assert got.get_all("Received") is not None
    assert not any("example.org" in line for line in got.get_all("Received", []))


def test_doctor(whole: Whole) -> None:
    """It finds in the DNS what vouches for the gateway, as the verifiers here do."""
    selector = whole.dkim[0].decode().removesuffix(".")
    for number, gateway in enumerate(whole.gateways, 1):
        lines = gateway.ctl("doctor").splitlines()
        good = [line.removeprefix("ok").strip() for line in lines if line[:2] == "ok"]
        assert good, lines
        name, own = f"mx{number}.i2pmail.org", gateway.address
        assert {
            f"SPF: i2pmail.org from {own}: pass",
            f"SPF: HELO {name} from {own}: pass",
            f"exit: mail leaves from {own}, as {name} says",
            f"DKIM: {selector}, with which the mail host signs, is there",
        } <= set(good), lines
        assert not any("FAIL" in line for line in lines), lines


def test_greylist_lets_postfix_through(whole: Whole) -> None:
    """Postfix is put off at its first try, tries again, and is taken."""
    assert whole.postfix
    sender = "retrying@example.org"
    # SPF vouches for a domain that came back once: another client's mail has no pass.
    whole.world.serve({"example.org": "@ MX 10 mail\nmail A 127.0.0.30\n"})
    before = len(whole.postfix.told())

    def told() -> str:
        assert whole.postfix
        return whole.postfix.told()[before:]

    try:
        again = letter(sender, "carol", "again")
        whole.postfix.send(sender, ["carol@i2pmail.org"], again)
        assert b"text of again" in collected(whole, "carol")
    finally:
        whole.world.serve({"example.org": EXAMPLE})
    put_off = logged(told, r"451 4\.7\.1 Not seen before")
    taken = logged(told, r"status=sent \(250 2\.0\.0 Ok")
    assert put_off.start() < taken.start()


def test_unknown_recipient(whole: Whole) -> None:
    """Nobody's address is refused at RCPT; what Postfix then tells is its sender's."""
    assert whole.postfix
    whole.postfix.send(BOB, ["nobody-here@i2pmail.org"], letter(BOB, "x", "lost"))
    told = logged(whole.postfix.told, r"said: 550 5\.1\.1 [^)]*\(in reply to RCPT TO")
    assert told
    (bounce,) = whole.postfix.collect(1)
    assert "MAILER-DAEMON@mail.example.org" in message_from_bytes(bounce)["From"]
    assert b"550 5.1.1" in bounce


def test_permanent_refusal(whole: Whole) -> None:
    """Postfix's refusal of a recipient comes back to the member, in its own words."""
    out(whole, "to nobody", "nobody@example.org")
    report = collected(whole)
    assert message_from_bytes(report).get_content_type() == "multipart/report"
    assert b"Action: failed" in report
    assert b"Status: 5.1.1" in report
    assert b"no such user" in report


def test_first_is_down(whole: Whole) -> None:
    """With one gateway away the other takes mail, out and in."""
    assert whole.postfix
    first, second = whole.gateways
    first.kill()
    try:
        for number in range(4):
            out(whole, f"by the second {number}")
        for arrived in (found := whole.postfix.collect(4)):
            assert b"from mx2.i2pmail.org" in arrived
        assert len(found) == 4
        whole.postfix.send(BOB, [ALICE], letter(BOB, ALICE, "in by the second"))
        got = collected(whole)
        assert b"Authentication-Results: mx2.i2pmail.org" in got
    finally:
        first.start()
    assert second.process


def test_retired(whole: Whole) -> None:
    """Who is shut out can neither bring mail nor ask; the other goes on."""
    assert whole.postfix
    first = whole.gateways[0]
    assert "1  in use" in whole.house.ctl("gateway", "list")
    whole.house.ctl("gateway", "retire", "1")
    assert "1  retired" in whole.house.ctl("gateway", "list")
    before = len(first.log.read_text())
    first.stop()
    first.start()
    with first.wire("127.0.0.77") as wire:
        assert wire.reply().startswith("220 ")
        wire.say("EHLO mail.example.org")
        wire.reply()
        wire.say("MAIL FROM:<stranger@example.org>")
        assert wire.reply().startswith("250")
        wire.say(f"RCPT TO:<{ALICE}>")
        assert wire.reply().startswith("451 4.7.1")
        # Once the gateway has noticed that nobody answers it is told another word.
        until = time.monotonic() + _PATIENCE
        while not (reply := refused_now(wire)).startswith("451 4.4."):
            assert time.monotonic() < until, reply
            time.sleep(0.3)
    assert "the mail host is away" in first.log.read_text()[before:]
    whole.postfix.send(BOB, [ALICE], letter(BOB, ALICE, "by the other"))
    assert b"Authentication-Results: mx2.i2pmail.org" in collected(whole)
