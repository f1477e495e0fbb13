"""Real clients collect mail from the running node."""

from __future__ import annotations

import mailbox
import os
import poplib
import pty
import select
import signal
import time
from collections.abc import Callable

import pytest

from tests.flow.house import password
from tests.peers.clients import Home

Peer = Callable[..., str]
COUNT = 3


def letter(number: int) -> bytes:
    """Return a message with lines that a careless client would spoil."""
    body = f"Letter {number}\r\n.dot\r\n..dots\r\nFrom the start\r\n\r\nlast line\r\n"
    header = f"From: jondoe@mail.i2p\r\nTo: alice@mail.i2p\r\nSubject: letter {number}"
    return f"{header}\r\n\r\n{body}".encode()


@pytest.fixture
def letters(home: Home) -> list[bytes]:
    """Submit some letters to alice; return them as they lie in the mailbox."""
    for number in range(1, COUNT + 1):
        home.house.submit("jondoe", ["alice@mail.i2p"], letter(number))
    return home.house.collect("alice", delete=False)


def left(home: Home) -> int:
    """Return how many letters are left in the mailbox."""
    return len(home.house.collect("alice", delete=False))


def unix(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n")


def test_curl(home: Home, peer: Peer, letters: list[bytes]) -> None:
    """Curl: LIST, RETR octet by octet, DELE."""
    program = peer("curl")
    common = ("--silent", "--show-error", "--user", f"alice:{password('alice')}")
    listing = home.run(program, *common, f"pop3://{home.pop}/")
    sizes = [f"{n} {len(one)}" for n, one in enumerate(letters, 1)]
    assert listing.decode().split("\r\n")[:COUNT] == sizes
    for number, expected in enumerate(letters, 1):
        assert home.run(program, *common, f"pop3://{home.pop}/{number}") == expected
    deletion = ("--list-only", "--request", "DELE")
    home.run(program, *common, *deletion, f"pop3://{home.pop}/1")
    assert home.house.collect("alice", delete=False) == letters[1:]


def test_fetchmail(home: Home, peer: Peer, letters: list[bytes]) -> None:
    """Fetchmail: everything fetched, and deleted behind it."""
    got = home.path / "got"
    config = home.write(
        "fetchmailrc",
        f"""poll 127.0.0.1 service {home.house.pop_port} protocol POP3 uidl
user alice password "{password("alice")}" sslproto "" fetchall no keep
mda "cat >>{got}"
""",
    )
    home.run(
        *(peer("fetchmail"), "-f", str(config), "--silent"),
        *("--pidfile", str(home.path / "pid"), "--idfile", str(home.path / "ids")),
    )
    fetched = got.read_bytes()
    for number, message in enumerate(letters, 1):
        body = unix(message).partition(b"\n\n")[2]
        assert body in fetched
        assert fetched.count(b"Subject: letter %d\n" % number) == 1
    assert left(home) == 0


def test_mpop(home: Home, peer: Peer, letters: list[bytes]) -> None:
    """Mpop, which pipelines, into a Maildir; then again, finding nothing new."""
    maildir = home.path / "maildir"
    mailbox.Maildir(maildir, create=True)
    config = home.write(
        "mpoprc",
        f"""defaults
tls off
auth user
account node
host 127.0.0.1
port {home.house.pop_port}
user alice
password {password("alice")}
pipelining auto
keep on
received_header off
uidls_file {home.path}/uidls
delivery maildir {maildir}
account default : node
""",
    )
    program = peer("mpop")
    for _ in range(2):
        home.run(program, "-C", str(config), "--quiet")
    files = sorted((maildir / "new").iterdir())
    assert sorted(file.read_bytes() for file in files) == sorted(map(unix, letters))
    home.run(program, "-C", str(config), "--quiet", "--keep=off")
    assert left(home) == 0


def test_getmail(home: Home, peer: Peer, letters: list[bytes]) -> None:
    """Getmail6, deleting behind it; its own Maildirs are not for root."""
    got = home.path / "got"
    got.mkdir()
    mda = home.write("mda", f"#!/bin/sh\nexec cat >{got}/$$\n", 0o700)
    home.write(
        "getmail/getmailrc",
        f"""[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = {home.house.pop_port}
username = alice
password = {password("alice")}
[destination]
type = MDA_external
path = {mda}
allow_root_commands = true
[options]
delete = true
delivered_to = false
received = false
verbose = 0
""",
    )
    place = str(home.path / "getmail")
    home.run(peer("getmail", "getmail6"), "--getmaildir", place, "--quiet")
    files = [file.read_bytes() for file in got.iterdir()]
    assert sorted(files) == sorted(map(unix, letters))
    assert left(home) == 0


MUTTRC = """
set pop_user="alice"
set pop_pass="{password}"
set pop_authenticators="user"
set pop_reconnect=no
set pop_delete=yes
set ssl_starttls=no
set ssl_force_tls=no
set folder="{home}"
set spoolfile="{home}/spool"
set mbox_type=Maildir
set tmpdir="{home}"
set header_cache=""
set message_cachedir=""
set quit=yes
set copy=no
set delete=yes
set confirmcreate=no
set confirmappend=no
set wait_key=no
set resolve=no
push "{keys}"
"""


def on_terminal(home: Home, *command: str) -> None:
    """Run a full-screen program on a terminal of its own until it ends by itself."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(home.path)
        os.execve(command[0], command, {**home.environment, "TERM": "vt100"})
    shown = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(terminal, 65_536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        else:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"{command[0]} does not end: {shown[-2000:]!r}")
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert status == 0, shown[-2000:]


def test_mutt(home: Home, peer: Peer, letters: list[bytes]) -> None:
    """Mutt on a terminal: opens the POP mailbox, saves all, deletes, leaves."""
    program = peer("mutt")
    keys = (
        "<tag-pattern>~A<enter><tag-prefix><save-message>"
        "<kill-line>=got<enter><sync-mailbox><quit>"
    )
    settings = MUTTRC.format(password=password("alice"), home=home.path, keys=keys)
    config = home.write("muttrc", settings)
    on_terminal(
        home, program, "-n", "-F", str(config), "-f", f"pop://alice@{home.pop}/"
    )
    files = [
        file.read_bytes()
        for room in ("cur", "new")
        for file in (home.path / "got" / room).iterdir()
    ]
    assert len(files) == COUNT
    for message in letters:
        body = unix(message).partition(b"\n\n")[2]
        assert sum(file.endswith(b"\n\n" + body) for file in files) == 1
    assert left(home) == 0


def test_poplib(home: Home, letters: list[bytes]) -> None:
    """Python's own: every command of a session, sizes exact."""
    session = poplib.POP3("127.0.0.1", home.house.pop_port, 60)
    offered = session.capa()
    assert {"USER", "UIDL", "TOP", "PIPELINING"} <= set(offered)
    session.user("alice")
    session.pass_(password("alice"))
    assert session.stat() == (COUNT, sum(map(len, letters)))
    assert session.list()[1] == [
        b"%d %d" % (n, len(x)) for n, x in enumerate(letters, 1)
    ]
    uids = [line.split()[1] for line in session.uidl()[1]]
    assert len(set(uids)) == COUNT
    header, _, body = letters[0].partition(b"\r\n\r\n")
    top = b"".join(line + b"\r\n" for line in session.top(1, 2)[1])
    assert top == header + b"\r\n\r\n" + b"".join(body.splitlines(True)[:2])
    session.dele(1)
    session.rset()
    session.dele(2)
    session.noop()
    session.quit()
    assert home.house.collect("alice", delete=False) == [letters[0], letters[2]]
