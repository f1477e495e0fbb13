"""What makes the sessions of a server, and counts them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.protocol import Factory

from postmand.servers.dialogue import Dialogue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from postmand.config import Limits


class DialogueFactory(Factory):
    """Makes a session for each connection, up to `limits.connections` at a time.

    No peer has all of them: `limits.connections_per_peer` leaves some to others.
    """

    noisy = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open = 0
        self._peers: Counter[str] = Counter()

    def session(self, peer: str) -> Dialogue:
        """Make a session. `peer` tells one peer from another and is never written."""
        raise NotImplementedError

    def key(self, address: IAddress | None) -> str:
        """Return what the connections of one peer are counted by."""
        return peer_key(address)

    def buildProtocol(self, addr: IAddress | None) -> Dialogue | None:
        """Make a session, or none: then the connection is closed at once."""
        peer = self.key(addr)
        if (
            self._open >= self.limits.connections
            or self._peers[peer] >= self.limits.connections_per_peer
        ):
            return None
        self._open += 1
        self._peers[peer] += 1
        session = self.session(peer)
        session.factory = self
        session.on_end = partial(self._ended, peer)
        return session

    def _ended(self, peer: str) -> None:
        self._open -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]


def peer_key(address: IAddress | None) -> str:
    """Return what tells one peer from another: kept in memory, never written.

    Through I2P it is a unique-local 127.x address or the destination; behind one shared
    tunnel all peers have the same.
    """
    return str(getattr(address, "destination", None) or getattr(address, "host", ""))
