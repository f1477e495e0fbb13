"""A UDP port that opens and closes without a line in the log.

Twisted's tells both, and whose connection it was working for: at a gateway that is the
moment of each question, and the address of who caused it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import base, error, udp


class SilentPort(udp.Port):
    """As Twisted's, but for its words. Bound to any free port of `interface`."""

    def _bindSocket(self) -> None:
        try:
            socket = self.createInternetSocket()
            socket.bind((self.interface, self.port))
        except OSError as fault:
            raise error.CannotListenError(self.interface, self.port, fault) from fault
        self._realPortNumber = socket.getsockname()[1]
        self.connected = True
        self.socket = socket
        self.fileno = socket.fileno  # type: ignore[method-assign]

    def connectionLost(self, reason: Any = None) -> None:
        """Clean up."""
        self._realPortNumber = None
        self.maxThroughput = -1
        base.BasePort.connectionLost(self, reason)
        self.protocol.doStop()
        self.socket.close()
        del self.socket
        del self.fileno
        stopped = self.__dict__.pop("d", None)
        if stopped is not None:
            stopped.callback(None)


class SilentReactor:
    """A reactor whose UDP ports are silent; all else is the reactor's own."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> SilentPort:
        """Return a port for a protocol, which listens; raises CannotListenError."""
        silent = SilentPort(  # type: ignore[no-untyped-call]
            port, protocol, interface, reactor=self._reactor
        )
        silent.startListening()  # type: ignore[no-untyped-call]
        return silent
