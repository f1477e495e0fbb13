"""A server within TLS, around a factory that may decline a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from postmand.servers.dialogue import Dialogue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IReactorTime

    from postmand.link import Admitting
    from postmand.servers.factory import DialogueFactory


class Within(TLSMemoryBIOFactory):
    """TLS from the first octet; who may come in, `admitting` says."""

    def __init__(
        self, admitting: Admitting, factory: DialogueFactory, reactor: IReactorTime
    ) -> None:
        super().__init__(admitting, False, factory, reactor)

    # Twisted's type forgets what its own Factory may answer.
    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> TLSMemoryBIOProtocol | None:
        """Make a session within TLS, or none."""
        session = self.wrappedFactory.buildProtocol(addr)
        return None if session is None else self.protocol(self, session)


@implementer(IHandshakeListener)
class GreetsWithin(Dialogue):
    """A dialogue that greets when TLS stands; without TLS at once.

    What is written before the handshake's end has TLS tell its writer to pause, who
    would read no more then: the handshake would never end.
    """

    _begun = False

    def connectionMade(self) -> None:
        """Greet, or wait for the handshake."""
        if ISSLTransport.providedBy(self.transport):
            self.patience(self.limits.login_seconds)
        else:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        """Begin (Twisted's hook)."""
        self._begun = True
        super().connectionMade()

    def timeoutConnection(self) -> None:
        """Close: before the handshake's end there is nobody to tell."""
        if self._begun:
            super().timeoutConnection()
        else:
            self.transport.abortConnection()
