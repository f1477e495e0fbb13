"""A server within TLS, around a factory that may decline a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

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
