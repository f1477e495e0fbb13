"""Who presses the pages does not keep the node from serving mail, or other visitors.

Visitors come from addresses of loopback of their own, as those of an I2P tunnel do.
What the pages may take is what the configuration says: connections, octets, seconds.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.faults.probe import Probe
from tests.faults.test_siege import SMALL, Say, assert_served, dribble, resident, say
from tests.flow.house import PATIENCE, House, free_port, password

__all__ = ["say"]

CONNECTIONS, PER_PEER = 500, 100
FORM = 65_536
# What HTTP keeps besides the form: a header of 16 KiB, and as much read ahead.
AROUND = 2 * 16_384
REQUEST_SECONDS = 12.0
_HEAD = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
_FORM = _HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"
_LENGTH = b"Content-Length: %d\r\n\r\n" % FORM
_GET = b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Ways to be slow: what is sent at once; then an octet goes now and then. The last of
# them asks for much, and takes nothing of it.
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
    "never reads": _GET * 1_400,
}
TOKEN = re.compile(rb'name="token" value="([^"]+)"')


def web_house(
    base: Path, web: Mapping[str, object], **more: Mapping[str, int]
) -> House:
    """Return a node with pages, not started; its members are jondoe, alice and bob."""
    listen = [f"tcp:{free_port()}:interface=127.0.0.1"]
    house = House(base, web={"listen": listen, **web}, **more)
    house.add("jondoe", "alice", "bob")
    return house


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


def test_slow_visitors(tmp_path: Path, say: Say) -> None:
    """As many as there may be, slow in all ways: bounded, ended, others served."""
    house = web_house(
        tmp_path,
        {
            "request_seconds": REQUEST_SECONDS,
            "connections": CONNECTIONS,
            "connections_per_peer": PER_PEER,
            "max_form_bytes": FORM,
        },
    ).start()
    links: list[socket.socket] = []
    try:
        assert is_let_in(house, 0)
        assert_served(house)
        before = resident(house)
        with Probe(house) as probe:
            ways = list(WAYS.values())
            for number in range(CONNECTIONS):
                if number % PER_PEER == 0 and number:
                    # The peers before have all their places; others have theirs.
                    assert not is_let_in(house, number // PER_PEER - 1)
                    assert is_let_in(house, number // PER_PEER)
                first = ways[number % len(ways)]
                links.append(visit(house, number // PER_PEER, first))
            newcomer = CONNECTIONS // PER_PEER
            assert not is_let_in(house, newcomer)
            assert_served(house)
            grown = resident(house) - before
            assert grown < CONNECTIONS * (FORM + AROUND)
            assert not is_let_in(house, newcomer)
            rounds = drip_until_ended(links)
            assert is_let_in(house, newcomer)
        assert_served(house)
        say(
            f"{CONNECTIONS} slow visitors: {grown / 2**20:.0f} MiB, of "
            f"{CONNECTIONS * (FORM + AROUND) / 2**20:.0f} by the configuration; all "
            f"ended after {rounds} rounds; {probe.told()}"
        )
        assert "Traceback" not in house.log.read_text()
    finally:
        for link in links:
            link.close()
        house.stop()


def drip_until_ended(links: list[socket.socket]) -> int:
    """Send octets on all connections until each is ended; return how often."""
    left = set(range(len(links)))
    readers = [place for place in left if place % len(WAYS) != len(WAYS) - 1]
    rounds = 0
    until = time.monotonic() + PATIENCE
    while left:
        rounds += 1
        assert time.monotonic() < until, f"{len(left)} are still there"
        for place in list(left):
            link = links[place]
            link.setblocking(False)
            if dribble(link) if place in readers else is_reset(link):
                left.discard(place)
        time.sleep(0.2)
    return rounds


def is_reset(link: socket.socket) -> bool:
    """Tell whether the node ended a connection, without reading from it."""
    poll = select.poll()
    poll.register(link, select.POLLRDHUP)
    return bool(poll.poll(0))
