"""A TLS client and a server's factory joined in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure


class Transport(StringTransport):
    """As TCP's, for who sets its options."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Take note of nothing."""


class TLSPair:
    """A client's end over TLS, and what a factory makes for it."""

    def __init__(
        self, pinned: Any, client: Any, factory: IProtocolFactory, clock: Clock
    ) -> None:
        self.client = client
        self.clock = clock
        ours = TLSMemoryBIOFactory(
            pinned, True, Factory.forProtocol(lambda: client), clock
        )
        self._ends = []
        for one in (ours, factory):
            tls: Any = one.buildProtocol(None)  # type: ignore[arg-type]
            transport = Transport()
            tls.makeConnection(transport)
            self._ends.append((tls, transport))

    def run(self) -> None:
        """Carry octets to and fro until there are none; time stands still."""
        busy = True
        while busy:
            self.clock.advance(0)
            busy = False
            for (_, source), (target, _) in (self._ends, self._ends[::-1]):
                octets = source.value()
                source.clear()
                if octets and target.connected:
                    busy = True
                    target.dataReceived(octets)
            self.clock.advance(0)
        closing = any(end.disconnecting or end.disconnected for _, end in self._ends)
        for tls, _ in self._ends if closing else ():
            if tls.connected:
                tls.connected = 0
                tls.connectionLost(Failure(ConnectionLost()))
