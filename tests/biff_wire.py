"""An IRC connection in memory: the wire, and the endpoint that makes it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer


class Wire(StringTransport):
    """Tells the protocol when it is closed, unless it hangs."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.hangs = False

    def loseConnection(self) -> None:
        """Close, now or never."""
        super().loseConnection()
        if not self.hangs:
            self.end()

    def abortConnection(self) -> None:
        """Close at once."""
        self.end()

    def end(self) -> None:
        """Be gone."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Server:
    """An endpoint that takes every connection, or refuses, or never answers."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.wires: list[Wire] = []
        self.times: list[float] = []
        self.refuses = False
        self.is_silent = False

    def connect(self, factory: Any) -> Deferred[Any]:
        """See IStreamClientEndpoint."""
        self.times.append(self.clock.seconds())
        if self.refuses:
            return fail(ConnectError())
        if self.is_silent:
            return Deferred(lambda _self: None)
        protocol = factory.buildProtocol(None)
        wire = Wire(protocol)
        self.wires.append(wire)
        done: Deferred[Any] = Deferred()
        protocol.makeConnection(wire)
        done.callback(protocol)
        return done

    def say(self, *lines: bytes) -> None:
        """Say these lines over the last connection."""
        self.wires[-1].protocol.dataReceived(b"".join(one + b"\r\n" for one in lines))

    def let_in(self) -> None:
        """Welcome, and let into the channel."""
        self.say(
            b":irc.test CAP * LS :",
            b":irc.test 001 biff :Hi",
            b":irc.test 376 biff :End",
            b":biff!b@h JOIN #mail.i2p",
        )
