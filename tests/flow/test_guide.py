"""The guide's own session, word for word, and the path of one message."""

from __future__ import annotations

import re

from tests.flow.house import House, password

MESSAGE = (
    b"From: jondoe@mail.i2p\r\nTo: alice@mail.i2p\r\nSubject: hello\r\n"
    b"Received: from marys-laptop (10.1.2.3)\r\nX-Mailer: Told 1.0\r\n\r\n"
    b"Nobody knows where I am.\r\n.a line that starts with a dot\r\n"
)


def test_guide_smtp(house: House) -> None:
    """Guide 5: the banner, and the goodbye before and after EHLO."""
    with house.greet(house.smtp_port) as wire:
        assert wire.line() == "220 smtp.postman.i2p ESMTP I2PNet Mailservice"
        wire.say("quit")
        assert wire.line() == "221 Bye"
        assert wire.line() == ""
    with house.greet(house.smtp_port) as wire:
        wire.line()
        wire.say("EHLO localhost")
        offered = wire.reply().split("\n")
        assert offered[0] == "250-smtp.postman.i2p"
        assert {line[4:] for line in offered} >= {
            "PIPELINING",
            "SIZE 33388608",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "AUTH PLAIN LOGIN",
        }
        assert not any("STARTTLS" in line for line in offered)
        wire.say("QUIT")
        assert wire.line() == "221 2.0.0 Bye"
        assert wire.line() == ""


def test_guide_pop3(house: House) -> None:
    """Guide 6: the four answers of the telnet session, and no APOP stamp."""
    house.submit("jondoe", ["jondoe@mail.i2p"], MESSAGE)
    with house.greet(house.pop_port) as wire:
        assert wire.line() == "+OK ready"
        wire.say("user jondoe")
        assert wire.line() == "+OK Password required for jondoe"
        wire.say("pass " + password("jondoe"))
        told = wire.line()
        shape = r"\+OK jondoe has 1 visible message \(0 hidden\) in (\d+) octets\."
        match = re.fullmatch(shape, told)
        assert match, told
        wire.say("STAT")
        assert wire.line() == f"+OK 1 {match[1]}"
        wire.say("quit")
        assert wire.line() == "+OK OK - Bye"
        assert wire.line() == ""
    (message,) = house.collect("jondoe")
    assert len(message) == int(match[1])


def test_no_messages_is_plural(house: House) -> None:
    """An empty mailbox is told with the same sentence."""
    with house.greet(house.pop_port) as wire:
        wire.say("USER bob", "PASS " + password("bob"), "QUIT")
        told = [wire.line() for _ in range(4)]
    assert told[2] == "+OK bob has 0 visible messages (0 hidden) in 0 octets."


def test_from_hand_in_to_collection(house: House) -> None:
    """One message: submitted with a login, washed, sealed, opened by its recipient."""
    house.submit("jondoe", ["alice@mail.i2p", "bob@i2pmail.org"], MESSAGE)
    (alices,) = house.collect("alice")
    (bobs,) = house.collect("bob")
    header, _, body = alices.partition(b"\r\n\r\n")
    assert body == b"Nobody knows where I am.\r\n.a line that starts with a dot\r\n"
    lines = header.split(b"\r\n")
    assert lines[0] == b"Return-Path: <jondoe@mail.i2p>"
    received = b" ".join(line.strip() for line in lines[1:4])
    assert re.match(
        rb"Received: from localhost \(localhost \[127\.0\.0\.1\]\) "
        rb"by smtp\.postman\.i2p \(I2pMailer\) with ESMTP id \w+; .* \+0000",
        received,
    ), received
    assert header.count(b"Received:") == 1
    for word in (b"marys-laptop", b"10.1.2.3", b"Told", b"X-Mailer", b"Caracas"):
        assert word not in alices
    assert b"\r\nDate: " in header
    assert b"+0000" in header
    assert re.search(rb"\r\nMessage-ID: <[^@>]+@mail\.i2p>", header)
    assert bobs.partition(b"\r\n\r\n")[2] == body
    assert house.collect("alice") == []


def test_nothing_in_without_login(house: House) -> None:
    """Guide 7.1: every mail needs AUTH, also to a local recipient."""
    with house.smtp() as session:
        session.ehlo("client")
        code, text = session.mail("jondoe@mail.i2p")
        assert (code, text[:5]) == (530, b"5.7.0")


def test_restart_keeps_mail(house: House) -> None:
    """What was answered 250 is there after a restart, with the same unique-id."""
    house.submit("jondoe", ["alice@mail.i2p"], MESSAGE)
    with house.pop("alice") as session:
        before = session.uidl()[1]
        (message,) = [b"".join(x + b"\r\n" for x in session.retr(1)[1])]
    house.stop()
    house.start()
    with house.pop("alice") as session:
        assert session.uidl()[1] == before
    assert house.collect("alice") == [message]
