"""Who presses the pages does not keep the node from serving mail, or other visitors.

Visitors come from addresses of loopback of their own, as those of an I2P tunnel do.
What the pages may take is what the configuration says: connections, octets, seconds.
"""

from __future__ import annotations

import itertools
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest

from tests.faults.probe import Probe
from tests.faults.test_siege import assert_served, dribble, resident
from tests.figures import Tell
from tests.flow.house import PATIENCE, House, free_port, password

CONNECTIONS, PER_PEER = 500, 100
FORM = 65_536
# What HTTP keeps besides the form: a header of 16 KiB, and as much read ahead.
AROUND = 2 * 16_384
REQUEST_SECONDS = 10.0
_HEAD = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
_FORM = _HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"
_LENGTH = b"Content-Length: %d\r\n\r\n" % FORM
_GET = b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Ways to be slow: what is sent at once; then an octet goes now and then.
WAYS = {
    "silent": b"",
    "header dripped": _HEAD + b"Cookie: ",
    "header all but full": _HEAD + b"Cookie: " + b"x" * 16_000,
    "body dripped": _FORM + _LENGTH,
    "body all but full": _FORM + _LENGTH + b"x" * (FORM - 1_000),
    "chunked body": _FORM + b"Transfer-Encoding: chunked\r\n\r\nffff\r\nx",
    "many chunks": _FORM
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 9_000,
    "never reads": _GET * 50,
}
# So much at once, by a few, is what one read takes in.
_BURST = _GET * (60_000 // len(_GET))
BURSTS = 8
# Expensive enough that a flood is not over before others come.
ARGON2 = {"argon2_passes": 2, "argon2_memory_kib": 19_456}
FLOOD = 100
WAITING = 40
TOKEN = re.compile(rb'name="token" value="([^"]+)"')


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a node with pages and narrow bounds; its members are jondoe, alice, bob."""
    web: dict[str, object] = {
        "listen": [f"tcp:{free_port()}:interface=127.0.0.1"],
        "request_seconds": REQUEST_SECONDS,
        "connections": CONNECTIONS,
        "connections_per_peer": PER_PEER,
        "max_form_bytes": FORM,
        "signup_bits": 0,
    }
    limits = {"logins_waiting": WAITING}
    base = tmp_path_factory.mktemp("house")
    house = House(base, web=web, accounts=ARGON2, limits=limits)
    house.add("jondoe", "alice", "bob")
    house.start()
    try:
        yield house
        assert "Traceback" not in house.log.read_text()
    finally:
        house.stop()


def web_port(house: House) -> int:
    """Return the port that the pages are at."""
    section = house.config.read_text().partition("[web]")[2]
    return int(section.partition("tcp:")[2].partition(":")[0])


def peer(number: int) -> str:
    """Return the address of a visitor."""
    return f"127.1.0.{number + 1}"


def visit(house: House, number: int, first: bytes = b"") -> socket.socket:
    """Connect to the pages from an address, and say a first word."""
    link = socket.socket()
    # A visitor who never reads has no room for what he does not read.
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.bind((peer(number), 0))
    link.settimeout(PATIENCE)
    link.connect(("127.0.0.1", web_port(house)))
    with suppress(OSError):
        link.sendall(first)
    return link


def is_let_in(house: House, number: int) -> bool:
    """Tell whether a visitor from that address sees a page, or is hung up on."""
    with visit(house, number, _GET) as link:
        try:
            return link.recv(12) == b"HTTP/1.1 200"
        except ConnectionError:
            return False


def test_slow_visitors(house: House, tell: Tell) -> None:
    """As many as there may be, slow in all ways: bounded, ended, others let in."""
    links: dict[socket.socket, bool] = {}
    newcomer = CONNECTIONS // PER_PEER
    assert is_let_in(house, 0)
    assert_served(house)
    before = resident(house)
    try:
        with Probe(house, "alice") as probe:
            for number in range(newcomer):
                if number:
                    # The peers before have all their places, and give up one.
                    assert is_let_in(house, number - 1)
                    assert is_let_in(house, number)
                ways = itertools.islice(itertools.cycle(WAYS.items()), PER_PEER)
                for way, first in ways:
                    links[visit(house, number, first)] = way != "never reads"
            assert is_let_in(house, newcomer)
            assert_served(house)
            grown = resident(house) - before
            assert grown < CONNECTIONS * (FORM + AROUND)
            assert is_let_in(house, newcomer)
            rounds = drip_until_ended(links)
            assert is_let_in(house, newcomer)
    finally:
        for link in links:
            link.close()
    assert_served(house)
    tell(
        f"{CONNECTIONS} slow visitors: {grown / 2**20:.0f} MiB, of "
        f"{CONNECTIONS * (FORM + AROUND) / 2**20:.0f} by the configuration; all "
        f"ended after {rounds} rounds; {probe.told()}"
    )


def drip_until_ended(links: Mapping[socket.socket, bool]) -> int:
    """Send octets on connections until each is ended; return how often.

    Nothing is sent or read where the value is False.
    """
    left = dict(links)
    rounds = 0
    until = time.monotonic() + PATIENCE
    while left:
        rounds += 1
        assert time.monotonic() < until, f"{len(left)} are still there"
        for link, drips in list(left.items()):
            link.setblocking(False)
            if dribble(link) if drips else is_reset(link):
                del left[link]
        time.sleep(0.2)
    return rounds


def is_reset(link: socket.socket) -> bool:
    """Tell whether the node ended a connection, without reading from it."""
    poll = select.poll()
    poll.register(link, select.POLLRDHUP)
    return bool(poll.poll(0))


def test_many_requests_at_once(house: House, tell: Tell) -> None:
    """Who asks for a thousand pages at once, and takes none, gets few."""
    assert_served(house)
    before = resident(house)
    links: list[socket.socket] = []
    try:
        with Probe(house, "alice") as probe:
            links += [visit(house, 1, _BURST) for _ in range(BURSTS)]
            assert is_let_in(house, 2)
            assert_served(house)
            grown = resident(house) - before
    finally:
        for link in links:
            link.close()
    tell(
        f"{BURSTS} x {len(_BURST) // len(_GET)} requests at once: "
        f"{grown / 2**20:.1f} MiB; {probe.told()}"
    )
    assert grown < BURSTS * 4 * FORM


def test_logins_and_sign_ups(house: House, tell: Tell) -> None:
    """Pages that ask for Argon2 without end starve no login of SMTP and POP3."""
    assert_served(house)
    flood: dict[str, list[Form]] = {"sign-ups": [], "logins": []}
    try:
        for number in range(FLOOD):
            flood["sign-ups"].append(sign_up(house, number))
            flood["logins"].append(log_in(house, number))
        every = flood["sign-ups"] + flood["logins"]
        for form in every:
            form.send()
        # Remembered are jondoe and alice; bob has never logged in.
        assert_served(house)
        assert house.collect("bob") == []
        unanswered = sum(not form.is_answered() for form in every)
        assert unanswered, "the flood was over before the logins"
        told = {what: statuses(forms) for what, forms in flood.items()}
        tell(f"{unanswered} of {len(every)} forms waited still; {told}")
        assert set(told["sign-ups"]) == {200, 503}
        assert set(told["logins"]) == {403, 503}
    finally:
        for form in (one for forms in flood.values() for one in forms):
            form.close()
    form = sign_up(house, FLOOD)
    form.send()
    assert form.status() == 200
    form.close()


class Form:
    """A form of a page, loaded and filled in by a stranger; not sent yet."""

    def __init__(
        self, house: House, number: int, path: str, fields: Mapping[str, str]
    ) -> None:
        self._link = HTTPConnection(
            "127.0.0.1", web_port(house), PATIENCE, (peer(number), 0)
        )
        self._link.request("GET", path)
        with self._link.getresponse() as page:
            token = TOKEN.search(page.read())
            cookie = page.headers["Set-Cookie"].partition(";")[0]
        assert token
        self._path = path
        self._body = urlencode({"token": token[1].decode(), **fields})
        self._fields = {
            "Cookie": cookie,
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def send(self) -> None:
        """Send it; the answer is not waited for."""
        self._link.request("POST", self._path, self._body, self._fields)

    def is_answered(self) -> bool:
        """Tell whether the answer is there."""
        return bool(select.select([self._link.sock], [], [], 0)[0])

    def status(self) -> int:
        """Wait for the answer; return its status."""
        with self._link.getresponse() as page:
            page.read()
            return page.status

    def close(self) -> None:
        """Hang up."""
        self._link.close()


def sign_up(house: House, number: int) -> Form:
    """Return a form that makes an account."""
    name = f"newcomer{number}"
    secret = password(name)
    fields = {"name": name, "password": secret, "again": secret}
    return Form(house, number % 20, "/create", fields)


def log_in(house: House, number: int) -> Form:
    """Return a form that guesses at an account and its password."""
    fields = {"name": f"nobody{number}", "password": f"guess-number-{number}"}
    return Form(house, number % 20, "/login", fields)


def statuses(forms: list[Form]) -> dict[int, int]:
    """Return how often which status was answered."""
    return dict(Counter(form.status() for form in forms))
