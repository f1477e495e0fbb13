"""What makes the sessions of a server, and counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import Factory

from postmand.servers.dialogue import Dialogue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from postmand.config import Limits


class DialogueFactory(Factory):
    """Makes a session for each connection, up to `limits.connections` at a time."""

    noisy = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open = 0

    def session(self, peer: str) -> Dialogue:
        """Make a session. `peer` tells one peer from another and is never written."""
        raise NotImplementedError

    def buildProtocol(self, addr: IAddress | None) -> Dialogue | None:
        """Make a session, or none: then the connection is closed at once."""
        if self._open >= self.limits.connections:
            return None
        self._open += 1
        session = self.session(peer_key(addr))
        session.factory = self
        session.on_end = self._ended
        return session

    def _ended(self) -> None:
        self._open -= 1


def peer_key(address: IAddress | None) -> str:
    """Return what tells one peer from another: kept in memory, never written.

    Through I2P it is a unique-local 127.x address or the destination; behind one shared
    tunnel all peers have the same.
    """
    return str(getattr(address, "destination", None) or getattr(address, "host", ""))
