"""quota@, the address at which the node itself answers."""

from __future__ import annotations

import random
import smtplib
import time
from pathlib import Path

from postmand.rules.hashcash import mint, resource
from tests.flow.abroad import abroad, accepted, letter
from tests.flow.corpus import parsed


def test_answer_in_the_thread(tmp_path: Path) -> None:
    """It answers in both domains, in words, in the thread of the question."""
    with abroad(tmp_path) as (house, _):
        house.add("bob")
        house.start()
        question = "<question@laptop.example.net>"
        head = f"From: bob@mail.i2p\r\nMessage-ID: {question}\r\n\r\n"
        house.submit("bob", ["QUOTA@i2pmail.org"], head.encode())
        (answer,) = house.collect("bob")
        message = parsed(answer)
        assert message["In-Reply-To"] == question
        assert message["Auto-Submitted"] == "auto-replied"
        assert "20 Internet recipients" in message.get_content()
        assert "hashcash -m -b 16 quota/bob@mail.i2p" in message.get_content()


def test_stranger_is_not_answered(tmp_path: Path) -> None:
    """Only who is logged in is answered, and into the own mailbox alone."""
    with abroad(tmp_path) as (house, _):
        house.add("alice", "bob")
        house.start()
        head = b"From: alice@mail.i2p\r\nReply-To: alice@mail.i2p\r\n\r\n"
        house.submit("bob", ["quota@mail.i2p"], head)
        assert house.collect("alice") == []
        assert len(house.collect("bob")) == 1


def test_programs_are_not_answered(tmp_path: Path) -> None:
    """A program's reply to an answer would be answered without end; it is taken."""
    with abroad(tmp_path) as (house, _):
        house.add("bob")
        house.start()
        for desk in ("quota@mail.i2p", "check@mail.i2p"):
            for said in (
                "auto-replied",
                "auto-generated; a=b",
                "no\r\nX: y",
                "No (me)",
            ):
                head = f"From: bob@mail.i2p\r\nAuto-Submitted: {said}\r\n\r\n"
                house.submit("bob", [desk], head.encode())
        assert [parsed(one)["From"] for one in house.collect("bob")] == [
            *("quota@mail.i2p",) * 2,
            *("check@mail.i2p",) * 2,
        ]


def test_desk_and_internet_in_one(tmp_path: Path) -> None:
    """One message to the desk and to the Internet: all of it is done, or nothing is.

    The member's mailbox is full, so that the desk's answer does not fit.
    """
    with abroad(tmp_path, mailboxes={"max_bytes": 65_536}) as (house, sink):
        house.add("bob")
        house.start()
        made_out = resource("bob", "mail.i2p")
        made = mint(made_out, 16, time.time(), random.Random()).decode()
        with house.smtp("bob") as session:
            fill(session, "bob", b"x" * 50_000)
            fill(session, "bob", b"")
            both = ["quota@mail.i2p", "x@example.org"]
            assert accepted(session, "bob", *both) == [250, 250]
            code, _ = session.data(f"Subject: {made}\r\n\r\n")
            if code != 250:
                # Whoever is refused sends again.
                assert accepted(session, "bob", "x@example.org") == [250]
                assert session.data(letter("again", sender="bob"))[0] == 250
        shown = house.quota("bob")
        assert (shown["spent"], len(sink.wait_for(1))) == (1, 1)
        assert (shown["bought_today"] == 20) is (code == 250)


def fill(session: smtplib.SMTP, name: str, text: bytes) -> None:
    """Send a member mail of their own until no more of it fits."""
    code = 250
    while code == 250:
        (code,) = accepted(session, name, f"{name}@mail.i2p")
        if code == 250:
            code, _ = session.data(b"Subject: filling\r\n\r\n" + text)
    session.rset()
