"""The way to a gateway, closed once it was retired."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionAborted
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from postmand.delivery.door import Door


class End(Protocol):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        """Note it."""
        self.heard += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Note it."""
        self.ended = True


class Line(StringTransport):
    """A connection that tells its end when it is aborted."""

    protocol: Any

    def abortConnection(self) -> None:
        """As a transport's."""
        super().abortConnection()  # type: ignore[no-untyped-call]
        self.protocol.connectionLost(Failure(ConnectionAborted()))


class DoorTests(SynchronousTestCase):
    """Doors over a network in memory."""

    def setUp(self) -> None:
        """Make one that is open."""
        self.reactor = MemoryReactorClock()
        self.shut: list[Exception | bool] = [False]
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", 2526)
        self.door = Door(endpoint, self.asked, self.reactor)

    def asked(self) -> bool:
        """Answer as the test wants it."""
        (answer,) = self.shut
        if isinstance(answer, Exception):
            raise answer
        return answer

    def connected(self) -> tuple[End, Line]:
        """Connect; return both ends of it."""
        connecting = self.door.connect(Factory.forProtocol(End))
        factory = self.reactor.tcpClients[-1][2]
        line = Line()
        line.protocol = factory.buildProtocol(None)
        line.protocol.makeConnection(line)
        end = self.successResultOf(connecting)
        assert isinstance(end, End)
        return end, line

    def test_open(self) -> None:
        """What is said passes, both ways; nothing of the watch is left at the end."""
        end, line = self.connected()
        assert end.transport is not None
        end.transport.write(b"hello")
        line.protocol.dataReceived(b"back")
        self.reactor.pump([1.0] * 60)
        self.assertEqual((line.value(), end.heard, end.ended), (b"hello", b"back", 0))
        line.protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertTrue(end.ended)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_shut(self) -> None:
        """Nobody is called, also when it can not be told."""
        for answer in (True, OSError("the disk is away")):
            self.shut = [answer]
            self.failureResultOf(
                self.door.connect(Factory.forProtocol(End)), ConnectError
            )
        self.assertEqual(self.reactor.tcpClients, [])

    def test_shut_meanwhile(self) -> None:
        """Connections that stand are cut within a second, all of them."""
        first, second = self.connected(), self.connected()
        self.reactor.advance(30.5)
        self.shut = [True]
        self.assertFalse(first[0].ended)
        self.reactor.advance(1.0)
        self.assertTrue(first[0].ended and second[0].ended)
        self.assertTrue(first[1].disconnected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_quiet(self) -> None:
        """The log does not tell when mail leaves."""
        told: list[LogEvent] = []
        globalLogPublisher.addObserver(told.append)
        self.addCleanup(globalLogPublisher.removeObserver, told.append)
        factory = Factory.forProtocol(End)
        factory.noisy = False
        self.door.connect(factory)
        made = self.reactor.tcpClients[-1][2]
        made.doStart()
        made.doStop()
        self.assertEqual(told, [])
