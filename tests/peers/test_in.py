"""Real clients hand in mail; their recipient learns nothing about them."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.peers.clients import BODY, HOST, REAL_NAME, SUBJECT, USER, Home, assert_clean

Peer = Callable[..., str]
WIRE_BODY = BODY.replace("\n", "\r\n").encode()
PAYLOAD = bytes(range(256)) * 20


def parsed(message: bytes) -> EmailMessage:
    return email.message_from_bytes(message, policy=email.policy.SMTP)  # type: ignore[return-value]


def the_one(home: Home, name: str = "alice") -> bytes:
    """Return the one message that arrived."""
    (message,) = home.house.collect(name)
    return message


def assert_plain(message: bytes, *own: bytes) -> None:
    """See that text and subject arrived, and nothing of the machine."""
    assert_clean(message, *own)
    assert parsed(message)["Subject"] == SUBJECT
    assert message.partition(b"\r\n\r\n")[2].rstrip() == WIRE_BODY.rstrip()


def assert_attachment(message: bytes, *own: bytes) -> None:
    """See that the attachment's octets and name arrived."""
    assert_clean(message, *own)
    (part,) = parsed(message).iter_attachments()
    assert part.get_filename() == "holiday.bin"
    assert part.get_payload(decode=True) == PAYLOAD


def swaks(home: Home, program: str, *more: str) -> None:
    home.run(
        program,
        *("--server", home.smtp, "--helo", HOST),
        *("--from", "jondoe@mail.i2p", "--to", "alice@mail.i2p"),
        *("--auth-user", "jondoe", "--auth-password", home.password),
        *("--h-Subject", SUBJECT, "--body", BODY, "--hide-all"),
        *more,
    )


@pytest.mark.parametrize(
    "more",
    [("--auth", "PLAIN"), ("--auth", "LOGIN"), ("--auth", "PLAIN", "--pipeline")],
    ids=["plain", "login", "pipelined"],
)
def test_swaks(home: Home, peer: Peer, more: tuple[str, ...]) -> None:
    """Swaks, by each mechanism and in one burst."""
    swaks(home, peer("swaks"), *more)
    assert_plain(the_one(home), b"swaks", b"X-Mailer")


def test_swaks_attachment(home: Home, peer: Peer) -> None:
    """Swaks with an attachment."""
    file = home.path / "holiday.bin"
    file.write_bytes(PAYLOAD)
    swaks(home, peer("swaks"), "--auth", "PLAIN", "--attach", f"@{file}")
    assert_attachment(the_one(home), b"swaks", b"MIME_BOUNDARY")


@pytest.mark.parametrize("end", ["\r\n", "\n"], ids=["crlf", "bare-lf"])
def test_curl(home: Home, peer: Peer, end: str) -> None:
    """Curl, which sends a file as it is: its bare LF are taken for line ends."""
    text = f"From: {REAL_NAME} <jondoe@mail.i2p>\nTo: alice@mail.i2p\nSubject: "
    text += f"{SUBJECT}\nX-Originating-IP: 10.77.66.55\n\n{BODY}"
    file = home.write("letter.eml", text.replace("\n", end))
    home.run(
        *(peer("curl"), "--silent", "--show-error"),
        *("--url", f"smtp://{home.smtp}/{HOST}"),
        *("--user", f"jondoe:{home.password}"),
        *("--mail-from", "jondoe@mail.i2p", "--mail-rcpt", "alice@mail.i2p"),
        *("--upload-file", str(file)),
    )
    assert_plain(the_one(home), b"curl", b"Originating")


MUTTRC = """
set smtp_url="smtp://jondoe@{smtp}/"
set smtp_pass="{password}"
set ssl_starttls=no
set ssl_force_tls=no
set smtp_authenticators="plain:login"
set from="jondoe@mail.i2p"
set use_from=yes
set use_envelope_from=yes
set realname="Mary Realname"
set hostname="marys-laptop.home.example.org"
set user_agent=yes
set copy=no
set record=""
set folder="{home}"
set spoolfile="{home}/inbox"
set tmpdir="{home}"
"""


def mutt(home: Home, program: str, *more: str) -> None:
    settings = MUTTRC.format(smtp=home.smtp, password=home.password, home=home.path)
    file = home.write("muttrc", settings)
    home.run(
        *(program, "-n", "-F", str(file), "-s", SUBJECT),
        *(*more, "--", "alice@mail.i2p"),
        told=BODY.encode(),
    )


def test_mutt(home: Home, peer: Peer) -> None:
    """Mutt, with the real name it puts into From unasked."""
    mutt(home, peer("mutt"))
    assert_plain(the_one(home), b"mutt", b"User-Agent")


def test_mutt_attachment(home: Home, peer: Peer) -> None:
    """Mutt with an attachment, to a Cc and a hidden Bcc."""
    file = home.path / "holiday.bin"
    file.write_bytes(PAYLOAD)
    mutt(home, peer("mutt"), "-b", "bob@mail.i2p", "-a", str(file))
    message = the_one(home)
    assert_attachment(message, b"mutt", b"bob@")
    assert_attachment(the_one(home, "bob"), b"mutt", b"bob@")


def test_msmtp(home: Home, peer: Peer) -> None:
    """Msmtp, which passes on every header it is given."""
    config = home.write(
        "msmtprc",
        f"""defaults
tls off
auth plain
domain {HOST}
account node
host 127.0.0.1
port {home.house.smtp_port}
from jondoe@mail.i2p
user jondoe
password {home.password}
account default : node
""",
    )
    letter = (
        f"From: {REAL_NAME} <jondoe@mail.i2p>\nTo: alice@mail.i2p\n"
        f"Bcc: bob@mail.i2p\nSubject: {SUBJECT}\nOrganization: {HOST}\n"
        f"Sender: {USER}@{HOST}\nX-Originating-IP: 10.77.66.55\n\n{BODY}"
    )
    home.run(peer("msmtp"), "-C", str(config), "-t", told=letter.encode())
    assert_plain(the_one(home), b"msmtp", b"bob@", b"Organization", b"Sender:")
    assert_plain(the_one(home, "bob"), b"bob@")


def test_s_nail(home: Home, peer: Peer) -> None:
    """S-nail, by AUTH LOGIN, with an attachment whose Content-ID tells the clock."""
    url = f"smtp://jondoe:{home.password}@{home.smtp}"
    file = home.path / "holiday.bin"
    file.write_bytes(PAYLOAD)
    home.run(
        *(peer("s-nail"), "-:/", "-Sv15-compat", f"-Smta={url}"),
        *("-Ssmtp-config=login,-ehlo,ehlo", f"-Shostname={HOST}"),
        *("-Sfrom=jondoe@mail.i2p", "-Ssendwait", "-Sttycharset=utf-8"),
        *("-s", SUBJECT, "-a", str(file), "alice@mail.i2p"),
        told=BODY.encode(),
    )
    assert_attachment(the_one(home), b"s-nail", b"User-Agent", b"Content-ID")


def test_git_send_email(home: Home, peer: Peer) -> None:
    """Git send-email: two patches in one session, a real name in From and Cc."""
    git = peer("git")
    place = home.run(git, "--exec-path").decode().strip()
    peer(f"{place}/git-send-email", "git-email")
    who = {
        "GIT_AUTHOR_NAME": REAL_NAME,
        "GIT_AUTHOR_EMAIL": "jondoe@mail.i2p",
        "GIT_COMMITTER_NAME": REAL_NAME,
        "GIT_COMMITTER_EMAIL": "jondoe@mail.i2p",
    }
    home.run(git, "init", "--quiet", "work", more=who)
    for number in (1, 2):
        home.write("work/file", f"line {number}\n", 0o644)
        home.run(git, "-C", "work", "add", "file")
        subject = f"{SUBJECT} {number}"
        home.run(git, "-C", "work", "commit", "--quiet", "-m", subject, more=who)
    home.run(
        *(git, "-C", "work", "send-email", "--quiet", "--confirm=never"),
        *("--from", f"{REAL_NAME} <jondoe@mail.i2p>", "--to", "alice@mail.i2p"),
        *("--smtp-server", "127.0.0.1", f"--smtp-server-port={home.house.smtp_port}"),
        *("--smtp-user", "jondoe", "--smtp-pass", home.password),
        *("--smtp-domain", HOST, "--smtp-auth", "PLAIN", "--root"),
        "HEAD",
        more=who,
    )
    messages = home.house.collect("alice")
    assert len(messages) == 2
    for number, message in enumerate(messages, 1):
        assert_clean(message, b"git-send-email", b"X-Mailer", b"git")
        assert f"{SUBJECT} {number}" in parsed(message)["Subject"]
        assert f"+line {number}".encode() in message
    # The second is a reply to the first: its thread came through.
    first, second = (parsed(message) for message in messages)
    assert second["In-Reply-To"] == first["Message-ID"]


def test_smtplib(home: Home, tmp_path: Path) -> None:
    """Python's own: lower-case verbs, a Message-ID of clock, pid and host."""
    letter = EmailMessage()
    letter["From"] = f"{REAL_NAME} <jondoe@mail.i2p>"
    letter["To"] = "alice@mail.i2p"
    letter["Subject"] = SUBJECT
    letter["Message-ID"] = f"<179534.4242.5150@{HOST}>"
    letter["Date"] = "Sun, 22 Nov 2026 06:30:11 -0400"
    letter.set_content(BODY)
    letter.add_attachment(
        PAYLOAD, maintype="application", subtype="octet-stream", filename="holiday.bin"
    )
    port = home.house.smtp_port
    with smtplib.SMTP("127.0.0.1", port, HOST, 60) as session:
        session.login("jondoe", home.password)
        session.send_message(letter)
    assert_attachment(the_one(home), b"4242.5150", b"===============")
