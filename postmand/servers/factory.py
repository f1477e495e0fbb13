"""What makes the sessions of a server, and counts them."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory, Protocol

from postmand.rules.peers import Seats, peer_key
from postmand.rules.verdict import Verdict
from postmand.servers.dialogue import Dialogue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from postmand.config import Limits
    from postmand.counts import Counts

NO_PLACE = Verdict(
    "no-place", 421, "4.3.2", "Too many connections; come again in a while"
)


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

    def full(self) -> Protocol | None:
        """Return what is made where there is no place; None closes without a word."""
        return None

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Make a session, or what says that there is no place for one."""
        peer = self.key(addr)
        if not self._seats.take(peer):
            return self.full()
        session = self.session(peer)
        session.factory = self
        session.on_end = partial(self._seats.leave, peer)
        return session


class PublicFactory(DialogueFactory):
    """Makes sessions for everybody on the Internet, and tells who finds no place."""

    def __init__(self, limits: Limits, counts: Counts) -> None:
        super().__init__(limits)
        self._counts = counts

    def key(self, address: IAddress | None) -> str:
        """Return the network that one peer can choose its addresses from."""
        return peer_network(address)

    def full(self) -> TurnedAway:
        """Have a mail server come again later, and not give its mail up."""
        self._counts.count("refused", NO_PLACE.reason)
        return TurnedAway(NO_PLACE)


def peer_network(address: IAddress | None) -> str:
    """Return the network that a peer of the Internet can choose its addresses from.

    That is an IPv4 address by itself, and the /64 around an IPv6 one.
    """
    host = peer_key(address).partition("%")[0]
    try:
        one = ip_address(host)
    except ValueError:
        return host
    if isinstance(one, IPv6Address):
        if one.ipv4_mapped is not None:
            return str(one.ipv4_mapped)
        return str(ip_network((one, 64), strict=False))
    return host


class TurnedAway(Protocol):
    """Says a refusal, and closes: it holds neither a place nor what it is told."""

    transport: Any

    def __init__(self, verdict: Verdict) -> None:
        self._line = f"{verdict.code} {verdict.enhanced} {verdict.text}\r\n".encode()

    def connectionMade(self) -> None:
        """Say it. So short a line leaves at once, whether the peer reads or not."""
        self.transport.write(self._line)
        self.transport.loseConnection()
