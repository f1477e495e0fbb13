"""`make demo-internet`: a mail to the Internet and its answer, each step proven.

A mail host, two gateways, a name system and a Postfix run on this machine. The guide's
ten steps out and eight steps in are printed, each with the line that proves it: of a
dialogue, a message as it arrived, or Postfix's own log. The exit status is 1 when one
of them is not proven.
"""

from __future__ import annotations

import os
import re
import smtplib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.flow.house import House, password
from tests.world.link import WatchedLink
from tests.world.verifier import PASSED, judged
from tests.world.whole import Whole

BOB = "bob@example.org"
_PATIENCE = 60.0


@frozen
class Step:
    """A step of the guide, with what proves it: "" where nothing does."""

    said: str
    proof: str


class Demo:
    """One mail each way between alice and bob, and what was seen on the way."""

    def __init__(self, whole: Whole, link: WatchedLink) -> None:
        assert whole.postfix
        self._whole, self._postfix = whole, whole.postfix
        self._house: House = whole.house
        self._link = link

    # Out.

    def out(self) -> tuple[list[Step], Message]:
        """Send a mail to the Internet; return the ten steps, and what arrived."""
        house = self._house
        before = house.quota("alice")
        self._link.mark()
        with smtplib.SMTP("127.0.0.1", house.smtp_port, "client", _PATIENCE) as session:
            banner = session.ehlo("client")[0]
            stranger = _said(session.docmd("MAIL", "FROM:<alice@mail.i2p>"))
            login = _said(session.login("alice", password("alice")))
            forged = _said(session.mail("jondoe@mail.i2p"))
            session.rset()
            session.mail("alice@mail.i2p")
            left = _said(session.rcpt(BOB))
            taken = _said(session.data(_LETTER))
        (stored,) = self._postfix.collect(1) or (b"",)
        text = stored.decode()
        arrived = message_from_bytes(stored)
        verdict = judged(stored, self._whole.world)
        counted = _counted(before, house.quota("alice"))
        hop = _line(text, r"Received: from mx\d\.i2pmail\.org .*(?:\n\s.*)*?")
        carrier = _number(text, r"by mx(\d)\.i2pmail\.org")
        steps = [
            Step("the user connects to the mail host", f"EHLO: {banner}"),
            Step(
                "and logs in; without that nothing is relayed",
                _both(_only(stranger, "5"), _only(login, "235")),
            ),
            Step("the sender must be the account's own", _only(forged, "5")),
            Step(
                "the recipient counts against the quota",
                _both(_only(left, "250", "left"), counted),
            ),
            Step("headers are sanitised", _absent(stored, _TRACES)),
            Step("the mail is queued", _only(taken, "250")),
            Step(
                "Return-Path and From are rewritten",
                _both(
                    _line(text, r"Return-Path: <alice@i2pmail\.org>"),
                    _line(text, r"From: .*alice@i2pmail\.org.*"),
                ),
            ),
            Step(
                "the mail host connects to the gateway, and relays it there",
                _both(
                    *self._link.out(carrier, len(_LETTER), _WORDS),
                    _line(text, r" by mx\d\.i2pmail\.org \(I2pMailer\).*"),
                ),
            ),
            Step(
                "the gateway adds one neutral line, and nothing else",
                _both(
                    _line(
                        text, r"Received: from localhost \(localhost \[127\.0\.0\.1\]\)"
                    ),
                    f"DKIM, checked behind it: {verdict.dkim}"
                    if verdict.dkim == "pass"
                    else "",
                ),
            ),
            Step(
                "and relays it to where DNS says",
                _both(hop, f"{verdict}" if verdict == PASSED else ""),
            ),
        ]
        return steps, arrived

    # In.

    def back(self, first: Message) -> list[Step]:
        """Answer what arrived; return the eight steps."""
        seen = len(self._postfix.told())
        self._link.mark()
        known = first["Message-ID"]
        self._postfix.send(BOB, ["alice@i2pmail.org"], _ANSWER % (known, known))
        refusal = self._refused()
        message = self._collected()
        text = message.decode().replace("\r\n", "\n")
        told = self._postfix.told()[seen:]
        own = re.escape(known.replace("@i2pmail.org", "@mail.i2p"))
        gateway = _line(text, r"Authentication-Results: mx\d\.i2pmail\.org; spf=pass.*")
        forwarder = _number(text, r"Results: mx(\d)\.")
        return [
            Step(
                "the sender's relay takes the mail", _line(told, r".*smtpd.*client=.*")
            ),
            Step(
                "and brings it to a gateway of the domain's MX",
                _line(told, r".*relay=127\.0\.0\.2[12]\[.*status=sent.*"),
            ),
            Step(
                "the gateway checks, and then takes it",
                _both(
                    _line(told, r".*451 4\.7\.1 Not seen before.*"), refusal, gateway
                ),
            ),
            Step(
                "sanitises its headers and keeps it sealed, if at all",
                _both(
                    _absent(message, (b"Received: from mail.example.org", b"X-Trace")),
                    self._sealed(),
                ),
            ),
            Step(
                "the recipient becomes @mail.i2p",
                _line(text, r"To: .*alice@mail\.i2p.*"),
            ),
            Step(
                "the gateway connects to the mail host, and forwards it",
                _both(
                    *self._link.back(forwarder, len(_ANSWER % ("", "")), _WORDS),
                    _line(told, r".*status=sent \(250 2\.0\.0.*"),
                ),
            ),
            Step(
                "the mail host sanitises it once more",
                _both(
                    _line(text, r"Received: from localhost .*(?:\n\s.*)*"),
                    _absent(message, (b"X-Mailer", b"User-Agent", b"marys-laptop")),
                ),
            ),
            Step(
                "and delivers it: by POP3, threaded under the first",
                _line(text, rf"In-Reply-To: {own}"),
            ),
        ]

    def _refused(self) -> str:
        """Return what the gateway tells somebody who wants it to relay."""
        gateway = self._whole.gateways[0]
        with gateway.wire() as wire:
            wire.reply()
            for command in ("EHLO mail.example.org", f"MAIL FROM:<{BOB}>"):
                wire.say(command)
                wire.reply()
            wire.say(f"RCPT TO:<{BOB}>")
            return _only(wire.reply(), "550")

    def _collected(self) -> bytes:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if found := self._house.collect("alice"):
                return found[0]
            time.sleep(1)
            self._postfix.flush()
        return b""

    def _sealed(self) -> str:
        files = [
            path.read_bytes()
            for one in self._whole.gateways
            for path in one.state.rglob("*")
            if path.is_file()
        ]
        found = any(word in data for data in files for word in _WORDS)
        return "" if found else f"in {len(files)} files of the gateways: no trace of it"


_LETTER = (
    b"From: Alice <alice@mail.i2p>\r\nTo: bob@example.org\r\nSubject: A letter\r\n"
    b"X-Mailer: Swiftmail 1.2 (marys-laptop)\r\nX-Originating-IP: 10.77.66.55\r\n"
    b"Date: Mon, 05 Oct 2026 06:07:08 -0430\r\n\r\nNobody knows where I am.\r\n"
)
_WORDS = (b"alice", b"bob@", b"A letter", b"Nobody knows")
_TRACES = (b"marys-laptop", b"10.77.66.55", b"-0430", b"X-Mailer", b"mail.i2p")


class _Template:
    def __mod__(self, ids: tuple[str, str]) -> bytes:
        lines = [
            f"From: Bob <{BOB}>",
            "To: alice@i2pmail.org",
            "Subject: Re: A letter",
            f"In-Reply-To: {ids[0]}",
            f"References: {ids[1]}",
            "X-Mailer: Outfox 3 (marys-laptop)",
            "X-Trace: 10.77.66.55",
        ]
        return "\r\n".join([*lines, "", "Nor do I.", ""]).encode()


_ANSWER = _Template()


def _said(reply: tuple[int, bytes]) -> str:
    return f"{reply[0]} {reply[1].decode()}"


def _only(line: str, begins: str, holds: str = "") -> str:
    return line if line.startswith(begins) and holds in line else ""


def _counted(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return what proves that one recipient was counted, and nothing else was."""
    spent = before["spent"] + 1
    if after != {**before, "spent": spent, "left": before["left"] - 1}:
        return ""
    return f"alice's quota: {before['spent']} -> {spent} spent, {after['left']} left"


def _both(*proofs: str) -> str:
    return "\n".join(proofs) if all(proofs) else ""


def _number(text: str, pattern: str) -> int:
    """Return the number in the first place that fits, 1 where none does."""
    found = re.search(pattern, text)
    return int(found[1]) if found else 1


def _line(text: str, pattern: str) -> str:
    found = re.search(f"^{pattern}$", text, re.MULTILINE)
    return found[0] if found else ""


def _absent(message: bytes, traces: tuple[bytes, ...]) -> str:
    header = message.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if not header or any(trace in header for trace in traces):
        return ""
    return "not in it: " + ", ".join(trace.decode() for trace in traces)


def shown(title: str, steps: list[Step]) -> Iterator[str]:
    """Yield the lines to print."""
    yield f"\n{title}\n"
    for number, step in enumerate(steps, 1):
        yield f"{number:>3}. {step.said}"
        for line in (step.proof or "NOT PROVEN").splitlines():
            yield f"       {line.strip()}"


def main(say: Callable[[str], object] = print) -> int:
    """Run it all; return the exit status."""
    if os.geteuid() != 0:
        say("Postfix runs as root only: run this as root.")
        return 1
    with tempfile.TemporaryDirectory(prefix="demo-") as base:
        say("Starting a mail host, two gateways, nsd, unbound and Postfix ...")
        whole = Whole(Path(base))
        with WatchedLink(whole) as link, whole:
            demo = Demo(whole, link)
            out, arrived = demo.out()
            back = demo.back(arrived)
    for line in (*shown("To the Internet", out), *shown("And back", back)):
        say(line)
    proven = sum(bool(step.proof) for step in (*out, *back))
    say(f"\n{proven} of {len(out) + len(back)} steps are proven.")
    return 0 if proven == len(out) + len(back) else 1


if __name__ == "__main__":
    sys.exit(main())
