"""postmanctl doctor on a gateway: its ports and its link, with real programs there."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from postmand.link import new_identity, pin_of
from tests.flow.house import House
from tests.flow.outpost import Gateway
from tests.flow.program import BIN, LOCAL, PATIENCE, SURROUNDINGS, free_port
from tests.world.listening import Listening

OWN = "127.0.0.24"


class Mute(Listening):
    """Another program, which hangs up at once."""

    def serve(self, link: socket.socket) -> None:
        """Say nothing."""


@define
class Pair:
    """A mail host and its gateway."""

    house: House
    gateway: Gateway

    def doctor(self, *starts: str) -> list[str]:
        """Run the gateway's doctor; return the lines on these things."""
        done = subprocess.run(
            [str(BIN / "postmanctl"), "--config", str(self.gateway.config), "doctor"],
            capture_output=True,
            text=True,
            cwd=self.gateway.base,
            env=SURROUNDINGS,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert "Traceback" not in done.stderr
        lines = done.stdout.splitlines()
        return [line for line in lines if line[6:].startswith(starts)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Start a mail host; its gateway is paired, and not started."""
    inbound = free_port()
    (tmp_path / "host").mkdir()
    listen = {"listen": [f"tcp:{inbound}:interface={LOCAL}"]}
    house = House(tmp_path / "host", inbound=listen)
    gateway = Gateway(tmp_path / "gateway", OWN, free_port(), inbound).pair(house)
    house.start()
    try:
        yield Pair(house, gateway)
    finally:
        gateway.stop()
        house.stop()


def test_link(pair: Pair) -> None:
    """It answers; it shuts us out; it is away; it is somebody else."""
    # The DNS is not this test's; without an address nobody waits for it.
    pair.gateway.configure(exit={"resolver": "nowhere"})
    (line,) = pair.doctor("link: ")
    assert line.startswith("ok ")
    assert line.endswith("answers with the key it was paired with")
    pair.gateway.configure(
        exit={"resolver": "nowhere"}, exchange={"max_message_bytes": 60_000_000}
    )
    same, larger = pair.doctor("link: ")
    assert same == line
    assert larger.startswith("warn ")
    assert " octets a message, we take 60000000  - set " in larger
    pair.gateway.configure(
        exit={"resolver": "nowhere"}, exchange={"max_message_bytes": 1_000_000}
    )
    assert pair.doctor("link: ") == [line]
    pair.house.ctl("gateway", "retire", "1")
    (line,) = pair.doctor("link: ")
    assert "FAIL" in line
    assert "does not take this gateway: not paired, or retired" in line
    pair.gateway.configure(link={"host_pin": pin_of(new_identity())})
    (line,) = pair.doctor("link: ")
    assert "FAIL" in line
    assert "is another than the one it was paired with" in line
    pair.house.stop()
    (line,) = pair.doctor("link: ")
    assert "FAIL" in line
    assert "is away (" in line


def test_ports(pair: Pair) -> None:
    """Free, then ours; and another's, where another program is there."""
    gateway = pair.gateway
    free = pair.doctor("port: ")
    assert [line.rpartition(" ")[0][-2:] for line in free] == ["is", "is"]
    assert all(line.startswith("ok ") and line.endswith(" free") for line in free)
    gateway.start()
    ours = pair.doctor("port: ", "sealed mail: ", "certificate: ")
    assert [line[:2] for line in ours] == ["ok"] * 4
    assert ours[0].startswith("ok    sealed mail: 0 of 10000 messages, 0 of 2048 MiB")
    assert ours[1] == "ok    certificate: mx1.i2pmail.org has our own, without an end"
    assert all(line.endswith("is answered by a postmand") for line in ours[2:])
    gateway.stop()
    gateway.configure(exit={"resolver": "nowhere"})
    with Mute(OWN, gateway.port), Mute(LOCAL, gateway.link_port):
        theirs = pair.doctor("port: ")
    assert all("is another program's" in line for line in theirs)
    assert len(theirs) == 2
