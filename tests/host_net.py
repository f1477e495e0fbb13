"""A gateway's Host and a real HostLink joined in memory, on one clock."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.config import Link
from postmand.delivery.host import Host
from tests.link_office import HostHouse


class End:
    """One end's transport. What is written lies here until the net carries it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.octets = b""
        self.disconnecting = False
        self.producer: Any = None
        self.choked = False

    def write(self, data: bytes) -> None:
        """Take it; over 64 KiB the producer is paused."""
        self.octets += data
        if len(self.octets) > 65_536 and self.producer and not self.choked:
            self.choked = True
            self.producer.pauseProducing()

    def taken(self, most: int) -> bytes:
        """Give what was written to the other end."""
        octets, self.octets = self.octets[:most], self.octets[most:]
        if self.choked and not self.octets:
            self.choked = False
            self.producer.resumeProducing()
        return octets

    def registerProducer(self, producer: Any, _: bool) -> None:
        """Note who writes."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Forget who writes."""
        self.producer = None
        self.choked = False

    def pauseProducing(self) -> None:
        """Read no more."""
        self.wire.reads = False

    def resumeProducing(self) -> None:
        """Read on."""
        self.wire.reads = True

    def loseConnection(self) -> None:
        """Close when all is written."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Cut."""
        self.octets = b""
        self.disconnecting = True

    def getPeer(self) -> None:
        """There is none."""


class Wire:
    """A connection: gateway's end and host's end."""

    def __init__(self, gateway: Any, host: Any) -> None:
        self.protocols = gateway, host
        self.ends = End(self), End(self)
        self.reads = True
        self.open = True
        for protocol, end in zip(self.protocols, self.ends, strict=True):
            protocol.makeConnection(end)

    def carry(self, most: int, *, replies: bool) -> bool:
        """Carry octets both ways once; tell whether there were any."""
        octets = self.ends[0].taken(most) if self.reads else b""
        if octets:
            self.protocols[1].dataReceived(octets)
        answers = self.ends[1].taken(most) if replies else b""
        if answers and self.open:
            self.protocols[0].dataReceived(answers)
        for end in self.ends:
            if end.disconnecting and not (end.octets and replies):
                self.cut()
        return bool(octets or answers)

    def cut(self) -> None:
        """Lose the connection."""
        if self.open:
            self.open = False
            for protocol in self.protocols:
                protocol.connectionLost(Failure(ConnectionLost()))


@implementer(IStreamClientEndpoint)
class Net:
    """A way to the host: `down` nobody gets through, `mute` no answer comes back."""

    def __init__(
        self, connections: int = 2, questions: int = 300, **house: Any
    ) -> None:
        self.clock = Clock()
        self.house = HostHouse(self.clock, **house)
        self.wires: list[Wire] = []
        self.dials: list[float] = []
        self.down = False
        self.hangs = False
        self.mute = False
        self.most = 10**9
        self.counted: list[str] = []
        self.host = Host(
            Link(connections=connections, questions_per_minute=questions),
            name=b"gateway",
            identity=b"",
            endpoint=self,
            reactor=self.clock,
            rng=Random(4),
            count=self.counted.append,
        )

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect (IStreamClientEndpoint)."""
        self.dials.append(self.clock.seconds())
        if self.hangs:
            return Deferred()
        if self.down:
            return fail(ConnectError())
        ours, theirs = factory.buildProtocol(None), self.house.link.buildProtocol(None)
        assert theirs is not None
        self.wires.append(Wire(ours, theirs))
        return succeed(ours)

    @property
    def open(self) -> list[Wire]:
        """The connections there are."""
        return [wire for wire in self.wires if wire.open]

    def run(self, turns: int = 1_000) -> None:
        """Carry octets until there are none."""
        for _ in range(turns):
            self.clock.advance(0)
            if not sum([w.carry(self.most, replies=not self.mute) for w in self.open]):
                return

    def advance(self, seconds: float) -> None:
        """Let time pass, and octets with it."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.run()

    def cut(self) -> None:
        """Lose every connection."""
        for wire in self.open:
            wire.cut()

    def started(self) -> Net:
        """Start, and let the lines come up."""
        self.host.start()
        self.run()
        return self
