"""One question to one server, over UDP or TCP (RFC 1035 4.2, RFC 7766)."""

from __future__ import annotations

import re
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.message
from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as SilenceError
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol

if TYPE_CHECKING:
    from dns.message import Message, QueryMessage
    from twisted.python.failure import Failure

# What passes every network unfragmented (DNS flag day 2020).
PAYLOAD = 1_232

# So many wrong replies to one question are a guesser at work.
_MOST_WRONG = 16
_LENGTH = struct.Struct("!H")
# With a port, an IPv6 address stands in brackets.
_NAMED = re.compile(
    r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


def _address(text: str) -> str:
    return str(ip_address(text))


@frozen
class Server:
    """A resolver's address, and whether its word on DNSSEC is taken (`vouches`).

    Left out, it is taken from loopback only: elsewhere on the way anybody could set
    the bit (RFC 4035 4.9.3). ValueError for what is no address.
    """

    host: str = field(converter=_address)
    port: int = 53
    vouches: bool = field()

    @vouches.default
    def _on_loopback(self) -> bool:
        return ip_address(self.host).is_loopback

    @classmethod
    def read(cls, text: str) -> Server:
        """Read "127.0.0.1:53", "[::1]:53", or an address alone.

        ValueError for anything else.
        """
        named = _NAMED.fullmatch(text)
        port = int(named["port"] or 53) if named else 53
        if not 0 < port < 65_536:
            raise ValueError("a port is a number from 1 to 65535")
        return cls((named["v6"] or named["v4"]) if named else text, port)

    @property
    def interface(self) -> str:
        """Where to ask it from."""
        address = ip_address(self.host)
        if address.is_loopback:
            return "127.0.0.1" if address.version == 4 else "::1"
        return "" if address.version == 4 else "::"


async def by_udp(
    reactor: Any, server: Server, query: QueryMessage, seconds: float
) -> Message | None:
    """Return the reply, None when none came in time.

    Each question leaves from a port of its own, which the system picks at random (RFC
    5452 9.2), and hears that server alone.
    """
    question = _Datagram(query)
    try:
        port = reactor.listenUDP(0, question, interface=server.interface)
    except CannotListenError:
        return None
    try:
        question.send(server)
        return await _in_time(question.reply, reactor, seconds)
    except (OSError, SilenceError):
        return None
    finally:
        port.stopListening()


async def by_tcp(
    reactor: Any, server: Server, query: QueryMessage, seconds: float
) -> Message | None:
    """Return the reply, None when none came in time."""
    factory = _StreamFactory(query)
    connector = reactor.connectTCP(server.host, server.port, factory, timeout=seconds)
    try:
        return await _in_time(factory.reply, reactor, seconds)
    except SilenceError:
        return None
    finally:
        connector.disconnect()


def _in_time(
    reply: Deferred[Message | None], reactor: Any, seconds: float
) -> Deferred[Message | None]:
    return reply.addTimeout(seconds, reactor)


def _fitting(query: QueryMessage, wire: bytes) -> Message | None:
    """Return the reply to a question, None for anything else (RFC 5452 9.1)."""
    if len(wire) < 12 or wire[:2] != _LENGTH.pack(query.id):
        return None
    try:
        reply = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return reply if query.is_response(reply) else None


class _Datagram(DatagramProtocol):
    noisy = False  # Twisted would log each question's moment
    transport: Any

    def __init__(self, query: QueryMessage) -> None:
        self.reply: Deferred[Message | None] = Deferred()
        self._query = query
        self._wrong = 0

    def send(self, server: Server) -> None:
        """Send the question; OSError where no way leads there."""
        self.transport.connect(server.host, server.port)
        self.transport.write(self._query.to_wire())

    def datagramReceived(self, datagram: bytes, addr: object) -> None:  # noqa: ARG002
        """Take the reply; what is not one is passed over, but not for ever."""
        reply = _fitting(self._query, datagram)
        if reply is None:
            self._wrong += 1
        if reply is not None or self._wrong > _MOST_WRONG:
            self._done(reply)

    def connectionRefused(self) -> None:
        """Nobody is there (ICMP)."""
        self._done(None)

    def _done(self, reply: Message | None) -> None:
        if not self.reply.called:
            self.reply.callback(reply)


class _Stream(Protocol):
    """One question, one reply, each with its length in front (RFC 1035 4.2.2)."""

    transport: Any

    def __init__(self, question: _StreamFactory) -> None:
        self._question = question
        self._received = bytearray()

    def connectionMade(self) -> None:
        """Ask."""
        wire = self._question.query.to_wire()
        self.transport.write(_LENGTH.pack(len(wire)) + wire)

    def dataReceived(self, data: bytes) -> None:
        """Gather the reply; one is at most 64 KiB, and there is no second."""
        self._received += data
        if len(self._received) < _LENGTH.size:
            return
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) >= end:
            wire = bytes(self._received[_LENGTH.size : end])
            self._question.done(_fitting(self._question.query, wire))
            self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:  # noqa: ARG002
        """No more will come."""
        self._question.done(None)


class _StreamFactory(ClientFactory):
    noisy = False

    def __init__(self, query: QueryMessage) -> None:
        self.query = query
        self.reply: Deferred[Message | None] = Deferred()

    def buildProtocol(self, addr: object) -> Protocol:  # noqa: ARG002
        """Make the one protocol of this question."""
        return _Stream(self)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:  # noqa: ARG002
        """Nobody is there."""
        self.done(None)

    def done(self, reply: Message | None) -> None:
        """Fire once, with what came."""
        if not self.reply.called:
            self.reply.callback(reply)
