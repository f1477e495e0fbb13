"""What makes the sessions of a server, and counts them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.protocol import Factory

from postmand.rules.peers import Seats, peer_key
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
        self._seats = Seats(limits.connections, limits.connections_per_peer)

    def session(self, peer: str) -> Dialogue:
        """Make a session. `peer` tells one peer from another and is never written."""
        raise NotImplementedError

    def key(self, address: IAddress | None) -> str:
        """Return what the connections of one peer are counted by."""
        return peer_key(address)

    def buildProtocol(self, addr: IAddress | None) -> Dialogue | None:
        """Make a session, or none: then the connection is closed at once."""
        peer = self.key(addr)
        if not self._seats.take(peer):
            return None
        session = self.session(peer)
        session.factory = self
        session.on_end = partial(self._seats.leave, peer)
        return session
