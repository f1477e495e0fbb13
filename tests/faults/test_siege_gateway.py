"""A thousand slow callers at once do not keep a gateway from serving others.

The gateway starts with a shell's usual limit of open files, and has the limits of time
that every gateway has: its timers are moved ahead to where they end a session.
"""

from __future__ import annotations

import resource
import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from postmand.config import Link, load
from tests.conftest import need
from tests.faults.test_siege import many_files, resident  # noqa: F401
from tests.figures import Tell
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL, PATIENCE, Program
from tests.flow.sink import Sink
from tests.world.slow import SORTS, Siege
from tests.world.whole import Whole

THOUSAND = 1_000
ROOM = 40
SERVED = 10
PER_PEER = 20
STRANGERS = 60
GOOD, OTHER = "127.0.1.1", "127.0.1.2"
_SHELL = ["prlimit", "--nofile=1024:"]
_ZONES = {
    "good.example": f'@ TXT "v=spf1 ip4:127.0.0.0/8 -all"\n@ MX 10 mx\nmx A {LOCAL}',
    "slow.example": '@ TXT "v=spf1 ip4:127.9.0.0/16 -all"\n@ MX 10 mx\nmx A 127.9.0.1',
}
_SETTINGS: dict[str, dict[str, object]] = {
    "exchange": {
        "connections": THOUSAND + ROOM,
        "connections_per_peer": PER_PEER,
        "known_good": ["example"],
        # Who serves others comes from one network, again and again.
        "questions_per_network_minute": 5 * STRANGERS,
        "questions_per_network_hour": 10 * THOUSAND,
    },
    # All of them name a recipient within the minute.
    "link": {"questions_per_minute": 10 * THOUSAND},
}
_OUT = b"From: alice@mail.i2p\r\nSubject: out\r\n\r\nout it goes\r\n"


def brought(gateway: Gateway, peer: str) -> int:
    """Bring a mail as a mail server does; return the last reply's code."""
    text = b"From: a@good.example\r\nSubject: in\r\n\r\nin it comes\r\n"
    with smtplib.SMTP(timeout=PATIENCE, source_address=(peer, 0)) as one:
        code = one.connect(gateway.address, gateway.port)[0]
        if code != 220:
            return code
        one.ehlo("mx.good.example")
        assert not one.sendmail("a@good.example", ["alice@i2pmail.org"], text)
        return 250


def files(program: Program) -> set[str]:
    """Return what is open in a process, sockets by their inode."""
    assert program.process
    found = set()
    for one in Path(f"/proc/{program.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(one.readlink()))
    return found


def sessions(program: Program, port: int) -> set[str]:
    """Return the program's own ends of connections to and from a port."""
    own = files(program)
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, *rest = line.split()
        ports = {int(one.partition(":")[2], 16) for one in (here, there)}
        if state == "01" and port in ports and f"socket:[{rest[5]}]" in own:
            found.add(f"{here} {there}")
    return found


def links(gateway: Gateway) -> set[str]:
    """Return the sessions of a gateway with its mail host, both ways."""
    there = sessions(gateway, gateway.host_port)
    back = sessions(gateway, gateway.link_port)
    assert there
    assert back
    return there | back


class Besieged:
    """A mail host with a gateway, and a mail server out there."""

    def __init__(self, whole: Whole, sink: Sink) -> None:
        self.gateway, self.house = whole.gateways[0], whole.house
        self.sink = sink
        self.limits = load(str(self.gateway.config)).limits
        self.serve()
        self._before = self._resident()
        self._links = links(self.gateway)

    def serve(self) -> None:
        """See that mail goes out and comes in, and that the link is as it was."""
        seen = len(self.sink.taken)
        self.house.submit("alice", ["b@good.example"], _OUT)
        for number in range(SERVED):
            assert brought(self.gateway, f"127.0.1.{number + 1}") == 250
        self.sink.wait_for(seen + 1)
        assert len(self.house.collect("alice")) == SERVED

    def grown(self) -> tuple[int, int]:
        """Return by how many octets gateway and host have grown."""
        now = self._resident()
        return now[0] - self._before[0], now[1] - self._before[1]

    def _resident(self) -> tuple[int, int]:
        return resident(self.gateway), resident(self.house)

    def assert_bounded(self) -> None:
        """See that nobody has more than the limits give to each.

        At the gateway that is a line and a pipeline, whatever else a session is made
        of. At the host nobody has anything: what may grow are the sessions that the
        gateway has with it, each with a message in memory.
        """
        gateway, host = self.grown()
        session = self.limits.line_bytes + self.limits.pipeline_bytes
        assert gateway < THOUSAND * session
        assert host < Link().connections * self.limits.spool_bytes

    def assert_links(self) -> None:
        """See that not one session with the host was lost."""
        assert links(self.gateway) == self._links


@pytest.fixture
def besieged(tmp_path: Path) -> Iterator[Besieged]:
    """Run all of it, the gateway with a shell's limit of open files."""
    need("nsd")
    need("unbound")
    whole = Whole(tmp_path, zones=_ZONES, gateways=1, postfix=False, gateway=_SETTINGS)
    whole.gateways[0].on_a_clock(timers=True).before = _SHELL
    sink = Sink(whole.port).start()
    try:
        with whole:
            yield Besieged(whole, sink)
    finally:
        sink.stop()


def test_a_thousand(besieged: Besieged, tell: Tell) -> None:
    """Memory is bounded, others are served; then each ends at its limit."""
    gateway = besieged.gateway
    siege = Siege(gateway.address, gateway.port, THOUSAND, PER_PEER)
    each = THOUSAND // SORTS
    before = 0
    told = []
    try:
        for sort in siege.begin():
            now = besieged.grown()[0]
            told.append(f"{sort} {(now - before) / each / 1024:.1f}")
            before = now
        for _ in range(3):
            siege.drip()
            besieged.serve()
        assert set(siege.left().values()) == {each}
        besieged.assert_bounded()
        besieged.assert_links()
        grown = [octets / THOUSAND / 1024 for octets in besieged.grown()]
        tell(
            f"{THOUSAND} slow callers, KiB each: gateway {grown[0]:.1f} "
            f"({', '.join(told)}), host {grown[1]:.2f}; "
            f"{len(files(gateway))} files open"
        )
        assert_shared(gateway)
        besieged.serve()
        assert_full(gateway)
        assert len(besieged.house.collect("alice")) == 1
        assert_ended(besieged, siege)
        assert_silent(besieged)
    finally:
        siege.end()


def assert_shared(gateway: Gateway) -> None:
    """See that who guesses names has its network's share of questions, and no more."""
    codes = []
    for number in range(2):
        with smtplib.SMTP(
            timeout=PATIENCE, source_address=(f"127.8.0.{number + 1}", 0)
        ) as one:
            one.connect(gateway.address, gateway.port)
            one.ehlo("mx.good.example")
            one.mail("a@good.example")
            codes += [one.rcpt(f"guess{n}@i2pmail.org")[0] for n in range(STRANGERS)]
    assert set(codes) == {550, 451}
    # A few come back while the others are asked.
    assert STRANGERS <= codes.count(550) < 1.2 * STRANGERS


def assert_full(gateway: Gateway) -> None:
    """See that newcomers are told to come again, each peer's and then everybody's."""
    with ExitStack() as held:
        for number in range(ROOM):
            wire = held.enter_context(gateway.wire(f"127.0.2.{number // PER_PEER}"))
            assert wire.reply().startswith("220 ")
        assert len(files(gateway)) > 1_024
        assert brought(gateway, GOOD) == 421
        with gateway.wire(GOOD) as wire:
            assert wire.reply().startswith("421 4.3.2 ")
            assert wire.line() == ""
    with ExitStack() as held:
        for _ in range(PER_PEER):
            wire = held.enter_context(gateway.wire(GOOD))
            assert wire.reply().startswith("220 ")
        assert brought(gateway, GOOD) == 421
        assert brought(gateway, OTHER) == 250


def assert_ended(besieged: Besieged, siege: Siege) -> None:
    """See that each ends at its limit: not before, and however it drips."""
    limits, each = besieged.limits, THOUSAND // SORTS
    held = {"recipients held": each}
    for seconds, left in (
        (limits.login_seconds + 1, {"stalled TLS": each, **held}),
        # TLS has its while to say goodbye.
        (31.0, held),
        (limits.command_seconds - limits.login_seconds - 31, {}),
    ):
        besieged.gateway.later(seconds)
        until = time.monotonic() + PATIENCE
        while siege.left() != left:
            assert time.monotonic() < until, siege.left()
            siege.drip()
            time.sleep(0.2)
    for one in siege.callers:
        last = one.heard.splitlines()[-1]
        # What is said to who does not end the handshake nobody can read.
        assert last.startswith(b"220 " if one.sort == "stalled TLS" else b"421 "), last
    besieged.serve()


def assert_silent(besieged: Besieged) -> None:
    """See that, out of files, the log has one line, and nobody's address."""
    gateway = besieged.gateway
    assert gateway.process
    few = len(files(gateway)) + 10
    most = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (few, most[1]))
    with ExitStack() as held:
        for number in range(100):
            held.enter_context(gateway.wire(f"127.66.0.{number + 1}"))
        until = time.monotonic() + PATIENCE
        while "connections can not be taken" not in gateway.told():
            assert time.monotonic() < until
            time.sleep(0.1)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, most)
    besieged.serve()
    told = gateway.log.read_text()
    assert "127.66." not in told
    assert "127.9." not in told
    assert told.count("connections can not be taken") == 1
