"""A gateway is retired and let in again while both programs run: no restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import define

from tests.flow.abroad import QUICK, letter
from tests.flow.house import House
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL, free_port

OWN = "127.0.0.25"
# Below the minute after which a connection that has nothing to do ends by itself.
_PATIENCE = 30.0
_ESTABLISHED = "01"


@define
class Pair:
    """A mail host and its gateway, both running."""

    house: House
    gateway: Gateway

    def inward(self) -> int:
        """Count the gateway's connections to the host."""
        return connections(self.gateway.host_port)

    def outward(self) -> int:
        """Count the host's connections to the gateway."""
        return connections(self.gateway.link_port)

    def send(self) -> None:
        """Have a member mail somebody of the Internet."""
        to = "bob@example.org"
        self.house.submit("alice", [to], letter(1, sender="alice", to=to))

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait for something to be so."""
        until = time.monotonic() + _PATIENCE
        while not true():
            logs = self.house.told(), self.gateway.told()
            assert time.monotonic() < until, "\n".join(logs)
            time.sleep(0.05)


def connections(port: int) -> int:
    """Count the connections to a port of this machine, as the kernel has them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    end = f":{port:04X}"
    return sum(one[2].endswith(end) and one[3] == _ESTABLISHED for one in fields)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Start both, paired; the gateway has no name servers."""
    inbound = free_port()
    (tmp_path / "host").mkdir()
    listen = {"listen": [f"tcp:{inbound}:interface={LOCAL}"]}
    house = House(tmp_path / "host", **QUICK, inbound=listen).on_a_clock()
    house.add("alice")
    nowhere = {"resolver": f"127.0.0.1:{free_port()}"}
    gateway = Gateway(tmp_path / "gateway", OWN, free_port(), inbound, exit=nowhere)
    gateway.pair(house)
    try:
        house.start()
        gateway.start()
        yield Pair(house, gateway)
    finally:
        gateway.stop()
        house.stop()


def test_both_ways(pair: Pair) -> None:
    """What stands is cut, nothing comes about; then it is as if nothing had been."""
    pair.send()
    pair.wait_until(lambda: pair.inward() > 0 and pair.outward() > 0)
    said = pair.house.ctl("gateway", "retire", "1")
    assert "cuts its connections within two seconds" in said
    pair.wait_until(lambda: pair.inward() == pair.outward() == 0)
    pair.wait_until(lambda: "the mail host is away" in pair.gateway.told())
    pair.send()
    pair.wait_until(lambda: "gateway 1 is away" in pair.house.told())
    assert pair.outward() == 0
    pair.house.ctl("gateway", "pair", pair.gateway.ctl("gateway", "pair").strip())
    pair.wait_until(lambda: pair.inward() > 0)
    # What found no gateway waits for its turn.
    pair.house.later(3_600)
    pair.wait_until(lambda: pair.outward() > 0)
