"""check@, which tells a member what their mail client told."""

from __future__ import annotations

import smtplib
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.captured import Capture, captures
from tests.flow.corpus import parsed
from tests.flow.house import House, password

CHECK = "check@mail.i2p"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a node without any gateway."""
    house = House(tmp_path_factory.mktemp("check"))
    house.add("jondoe", "alice")
    house.start()
    yield house
    house.stop()


def answer(house: House, name: str = "jondoe") -> str:
    """Return the text of the one letter that lies in a mailbox."""
    (letter,) = house.collect(name)
    message = parsed(letter)
    assert message["From"] == CHECK
    assert message["To"] == f"{name}@mail.i2p"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message.get_content_type() == "text/plain"
    assert len(letter) <= 16_384
    text: str = message.get_content()
    return " ".join(text.split())


def hand_in(house: House, capture: Capture) -> None:
    """Say a capture's session again; its sender is the login, as it has to be."""
    spoken = capture.spoken
    with house.greet(house.smtp_port) as wire:
        assert wire.reply().startswith("220")
        wire.say(spoken.hello)
        assert wire.reply().startswith("250")
        login = spoken.authzid, b"jondoe", password("jondoe").encode()
        wire.say(b"AUTH PLAIN " + b64encode(b"\0".join(login)))
        assert wire.reply().startswith("235")
        mail = spoken.mail
        if b"realmary@" in mail:
            wire.say(mail)
            assert wire.reply().startswith("553")
            mail = b"MAIL FROM:<jondoe@mail.i2p>"
        rcpt = b"rcpt" if mail.startswith(b"mail") else b"RCPT"
        for line in (mail, rcpt + b" TO:<check@mail.i2p>"):
            wire.say(line)
            assert wire.reply().startswith("250")
        wire.say(b"DATA")
        assert wire.reply().startswith("354")
        wire.say(capture.raw.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n"), b".")
        assert wire.reply().startswith("250")
        wire.say(b"QUIT")


@pytest.mark.parametrize("capture", captures(), ids=lambda one: one.name)
def test_capture(house: House, capture: Capture) -> None:
    """A mail from each client of the corpus: its leaks are listed in the answer.

    Not listed is what no session here can hold: a foreign MAIL FROM is refused.
    """
    hand_in(house, capture)
    text = answer(house)
    assert "of 100." in text
    missing = []
    for leak in capture.leaks:
        octets = "jondoe" if leak.where == "AUTH PLAIN" else leak.octets
        shown = " ".join(octets.split()) in text
        if not shown and leak.where != "MAIL FROM":
            missing.append(leak)
    assert missing == []
    assert password("jondoe") not in text


def test_among_others(house: House) -> None:
    """One recipient among others, in capitals and in the other domain."""
    everybody = ["CHECK@mail.i2p", "alice@mail.i2p"]
    house.submit("jondoe", everybody, b"Subject: hello\r\n\r\nhello\r\n")
    assert "Score:" in answer(house)
    (letter,) = house.collect("alice")
    assert parsed(letter)["Subject"] == "hello"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"Subject: no body\r\n",
        b"no header\r\n",
        b"X-Junk: " + b"x" * 100_000 + b"\r\n\r\n\r\n",
        b"".join(b"X-%d: y\r\n" % one for one in range(900)),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--b\r\n" * 900,
        b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" * 2_000_000,
    ],
    ids=["empty", "no body", "no header", "long", "fields", "parts", "large"],
)
def test_odd_mail(house: House, message: bytes) -> None:
    """Whatever is sent, the answer comes and is short."""
    house.submit("jondoe", [CHECK], message)
    assert "Score:" in answer(house)


def test_thread_and_twice(house: House) -> None:
    """It answers in the thread, each message of a session by itself."""
    with house.smtp("jondoe") as session:
        for number in (1, 2):
            head = f"Message-ID: <q{number}@marys-laptop>\r\nX-Mailer: x/{number}.0\r\n"
            session.sendmail("jondoe@mail.i2p", [CHECK], head + "\r\nx\r\n")
    letters = [parsed(one) for one in house.collect("jondoe")]
    threads = [one["In-Reply-To"] for one in letters]
    assert threads == ["<q1@marys-laptop>", "<q2@marys-laptop>"]
    assert "x/1.0" not in letters[1].get_content()


def test_stranger(house: House) -> None:
    """Who is not logged in is not answered; who writes for another answers oneself."""
    with house.smtp() as session:
        session.ehlo()
        assert session.docmd("MAIL", "FROM:<alice@mail.i2p>")[0] == 530
    with house.smtp("jondoe") as session, pytest.raises(smtplib.SMTPSenderRefused):
        session.sendmail("alice@mail.i2p", [CHECK], b"\r\nx\r\n")
    assert house.collect("alice") == house.collect("jondoe") == []


def test_nothing_is_written(house: House) -> None:
    """What the session showed is in no log and no file of the state, but sealed."""
    name = b"EHLO zq7-marys-own-laptop.zq7.example"
    (capture,) = (one for one in captures() if one.name == "python-plain")
    with house.greet(house.smtp_port) as wire:
        wire.reply()
        wire.say(name)
        wire.reply()
    hand_in(house, capture)
    traces = [b"zq7-marys-own", b"marys-laptop", b"28539"]
    files = [one for one in house.state.rglob("*") if one.is_file()]
    for file in [*files, house.log]:
        octets = file.read_bytes()
        assert not [one for one in traces if one in octets], file
    assert "marys-laptop" in answer(house)
