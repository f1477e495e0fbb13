# ruff: noqa: D102 - what a socket does, Twisted's interfaces say
"""A network without sockets: a test plays the servers that are asked over it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from attrs import define, field
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure


@define
class Packet:
    """A UDP socket: what was asked through it, and of whom."""

    net: Net
    protocol: Any
    interface: str
    peer: tuple[str, int] = ("", 0)
    open: bool = True

    def connect(self, host: str, port: int) -> None:
        if host in self.net.unreachable:
            raise OSError("no way")
        self.peer = (host, port)

    def write(self, wire: bytes) -> None:
        self.net.asked.append((self, dns.message.from_wire(wire)))

    def stopListening(self) -> None:
        assert self.open
        self.open = False


@define
class Stream:
    """A TCP connection on its way, or there."""

    net: Net
    peer: tuple[str, int]
    factory: Any
    protocol: Any = None
    open: bool = True
    written: bytes = b""

    def connected(self) -> dns.message.Message:
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self)
        length = struct.unpack("!H", self.written[:2])[0]
        assert len(self.written) == 2 + length
        return dns.message.from_wire(self.written[2:])

    def write(self, data: bytes) -> None:
        self.written += data

    def loseConnection(self) -> None:
        if self.open and self.protocol is not None:
            self.open = False
            self.protocol.connectionLost(Failure(ConnectionDone()))
        self.open = False

    disconnect = loseConnection


@define
class Net(Clock):
    """A reactor whose sockets a test plays the far end of."""

    asked: list[tuple[Packet, dns.message.Message]] = field(factory=list)
    packets: list[Packet] = field(factory=list)
    streams: list[Stream] = field(factory=list)
    unreachable: set[str] = field(factory=set)
    sockets: int = 100

    def __attrs_post_init__(self) -> None:
        Clock.__init__(self)

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Packet:
        assert port == 0
        if sum(packet.open for packet in self.packets) >= self.sockets:
            raise CannotListenError(interface, port, OSError("too many open files"))
        packet = Packet(self, protocol, interface)
        protocol.transport = packet
        self.packets.append(packet)
        return packet

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float) -> Stream:
        stream = Stream(self, (host, port), factory)
        self.streams.append(stream)
        return stream

    def answer(self, change: Callable[[Any], Any] = lambda reply: None) -> None:
        """Answer the last question with one address, changed as a test wants."""
        packet, query = self.asked[-1]
        packet.protocol.datagramReceived(wire(query, change), packet.peer)


def wire(query: dns.message.Message, change: Callable[[Any], Any]) -> bytes:
    reply = dns.message.make_response(query, recursion_available=True)
    name = query.question[0].name
    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "11.0.0.1"))
    instead = change(reply)
    return instead if isinstance(instead, bytes) else reply.to_wire()


def rcode(code: dns.rcode.Rcode) -> Callable[[Any], None]:
    def change(reply: Any) -> None:
        reply.set_rcode(code)
        reply.answer.clear()

    return change


def flags(bits: int) -> Callable[[Any], None]:
    def change(reply: Any) -> None:
        reply.flags |= bits

    return change
