"""Who presses the node does not keep it from serving others.

The delays of a live session are printed, not judged: they are the machine's as well.
"""

from __future__ import annotations

import resource
import select
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.probe import Probe
from tests.figures import Tell
from tests.flow.house import PATIENCE, House

IDLE = 5_000
SPARE = 200
LORISES = 100
SMALL = b"From: jondoe@mail.i2p\r\nSubject: small\r\n\r\nstill served\r\n"


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    """Allow this process and the node as many open files as there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, IDLE + SPARE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except ValueError:
        # Only root may raise the hard limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def assert_served(house: House) -> None:
    """See that a member hands in a message and another collects it."""
    house.submit("jondoe", ["alice@mail.i2p"], SMALL)
    (message,) = house.collect("alice")
    assert message.endswith(b"\r\n\r\nstill served\r\n")


def resident(house: House) -> int:
    """Return the node's resident memory in octets."""
    assert house.process
    status = Path(f"/proc/{house.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def connect(port: int) -> socket.socket:
    """Connect and read the banner."""
    link = socket.create_connection(("127.0.0.1", port), PATIENCE)
    assert link.recv(512)
    return link


def test_idle_sessions(house: House, tell: Tell) -> None:
    """Five thousand idle sessions, and others are served."""
    count = min(IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)
    assert_served(house)
    before = resident(house)
    links = []
    try:
        with Probe(house) as probe:
            for number in range(count):
                ports = house.smtp_port, house.pop_port
                links.append(connect(ports[number % 2]))
            assert_served(house)
        each = (resident(house) - before) / count / 1024
        tell(f"{count} idle sessions: {each:.1f} KiB each; {probe.told()}")
        # They are alive, not only connected.
        links[-2].sendall(b"QUIT\r\n")
        assert links[-2].recv(512) == b"221 Bye\r\n"
        links[1].sendall(b"QUIT\r\n")
        assert links[1].recv(512) == b"+OK OK - Bye\r\n"
    finally:
        for link in links:
            link.close()
    assert_served(house)


def test_more_clients_than_files(tmp_path: Path) -> None:
    """Out of file descriptors: who has a session keeps it, and it passes."""
    house = House(tmp_path)
    house.add("jondoe", "alice", "bob")
    process = house.start().process
    assert process
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (150, hard))
    links = []
    try:
        with Probe(house):
            for _ in range(300):
                links.append(socket.socket())
                links[-1].connect(("127.0.0.1", house.smtp_port))
            with suppress(OSError, smtplib.SMTPException):
                assert_served(house)
        for link in links:
            link.close()
        assert_served(house)
    finally:
        house.stop()


def test_largest_message(house: House, tell: Tell) -> None:
    """A message of the largest size there is, while others are served."""
    header = b"From: jondoe@mail.i2p\r\nSubject: large\r\n\r\n"
    line = b"x" * 76 + b"\r\n"
    room = 33_388_608 - len(header)
    body = line * (room // len(line))
    body += b"y" * (room - len(body) - 2) + b"\r\n"
    handed_in = threading.Thread(
        target=house.submit, args=("jondoe", ["bob@mail.i2p"], header + body)
    )
    with Probe(house, "alice") as probe:
        handed_in.start()
        times = 0
        while handed_in.is_alive() or not times:
            assert_served(house)
            times += 1
        handed_in.join()
        (message,) = house.collect("bob")
    tell(f"33 MB in and out, {times} others served meanwhile; {probe.told()}")
    assert message.partition(b"\r\n\r\n")[2] == body


def test_too_large_message(house: House) -> None:
    """One octet more is refused, after its end, and nothing is kept."""
    with house.smtp("jondoe") as session:
        session.ehlo()
        session.mail("jondoe@mail.i2p")
        session.rcpt("bob@mail.i2p")
        line = b"x" * 76 + b"\r\n"
        code, text = session.data(line * (33_388_608 // len(line) + 1))
        assert (code, text[:5]) == (552, b"5.3.4")
        assert session.noop()[0] == 250
    assert house.collect("bob") == []


@pytest.fixture
def short_patience(tmp_path: Path) -> Iterator[House]:
    """Run a node that waits a few seconds only."""
    house = House(
        tmp_path,
        limits={"login_seconds": 4, "command_seconds": 4, "body_seconds": 4},
    )
    house.add("jondoe", "alice", "bob")
    house.start()
    try:
        yield house
    finally:
        house.stop()


def in_data(house: House) -> socket.socket:
    """Return a logged-in session that is inside DATA."""
    session = house.smtp("jondoe")
    smtp = session.__enter__()
    smtp.mail("jondoe@mail.i2p")
    smtp.rcpt("alice@mail.i2p")
    assert smtp.docmd("DATA")[0] == 354
    assert smtp.sock is not None
    link, smtp.sock = smtp.sock, None
    return link


def test_slow_loris(short_patience: House, tell: Tell) -> None:
    """Clients that dribble into commands and bodies are let go; others are served."""
    house = short_patience
    links = [connect(house.smtp_port) for _ in range(LORISES)]
    links += [connect(house.pop_port) for _ in range(LORISES)]
    links += [in_data(house) for _ in range(LORISES)]
    left = set(links)
    with Probe(house) as probe:
        rounds = 0
        while left:
            rounds += 1
            assert rounds < 400, f"{len(left)} are still there"
            for link in list(left):
                if dribble(link):
                    left.discard(link)
            if rounds % 10 == 1:
                assert_served(house)
            threading.Event().wait(0.2)
    tell(f"{3 * LORISES} dribbling clients: all let go; {probe.told()}")
    for link in links:
        link.close()
    assert house.collect("alice") == []


def dribble(link: socket.socket) -> bool:
    """Send one octet; whether the server hung up."""
    try:
        link.sendall(b"x")
        while select.select([link], [], [], 0)[0]:
            if not link.recv(4096):
                return True
    except OSError:
        return True
    return False


def test_client_that_never_reads(house: House, tell: Tell) -> None:
    """Who asks and asks and never reads is not read from; memory does not grow."""
    before = resident(house)
    links = []
    with Probe(house) as probe:
        for _ in range(8):
            links.append(socket.socket())
            links[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            links[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            links[-1].connect(("127.0.0.1", house.smtp_port))
            links[-1].setblocking(False)
        # Until nobody can send any more: the node has stopped reading from them.
        while ready := select.select([], links, [], 0.5)[1]:
            for link in ready:
                with suppress(BlockingIOError):
                    link.send(b"NOOP\r\n" * 10_000)
        assert_served(house)
    grown = (resident(house) - before) / 1024 / 1024
    tell(f"8 clients that never read: {grown:.1f} MiB; {probe.told()}")
    for link in links:
        link.close()
    assert_served(house)
