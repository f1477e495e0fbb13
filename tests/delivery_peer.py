"""A network in memory for mail on its way out: gateways that say what a test wants.

Time stands still but for the test's Clock. `Net.run()` lets every peer read all that
was written to it and answer in one go; one such round is one turn over the tunnel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.config import Gateway, Relay
from postmand.delivery.gateway import Courier
from postmand.interfaces import IChunks
from postmand.internet import Leg, Parcel

HEADER = b"From: jondoe@i2pmail.org\r\nSubject: hello\r\n\r\n"
SENDER = b"jondoe@i2pmail.org"
OFFERS = (b"PIPELINING", b"SIZE 40000000", b"8BITMIME", b"ENHANCEDSTATUSCODES")
SILENCE = b""
HANG_UP = b"hang up"


@implementer(IChunks)
class Pieces:
    """A body in pieces. With `waiting` a piece comes when a test fires it."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)
        self.closed = False
        self.given = 0

    def next(self) -> Deferred[bytes]:
        """Give the next piece."""
        assert not self.closed
        if not self.pieces:
            return succeed(b"")
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            return fail(piece)
        self.given += len(piece)
        return succeed(piece)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def parcel(
    *recipients: bytes,
    body: Sequence[bytes] = (b"Hello.\r\n",),
    header: bytes = HEADER,
) -> Parcel:
    """Make a parcel; without recipients it is for alice@example.org."""
    to = recipients or (b"alice@example.org",)
    leg = Leg(7, "jondoe", SENDER, b"example.org", to, header, 10**9)
    return Parcel(1, leg, sum(map(len, body)), Pieces(*body))


class Wire(StringTransport):
    """The client's transport: what it wrote is read by a peer, turn by turn."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.client: Any = None
        self.closed = False
        self.orderly = False
        # Full with every write, until the producer is told to go on.
        self.narrow = False

    def write(self, data: bytes) -> None:
        """Take it, and be full of it if narrow."""
        super().write(data)
        if self.narrow:
            self.client.pauseProducing()

    def loseConnection(self) -> None:
        """Close in order."""
        self.orderly = True
        self._close()

    def abortConnection(self) -> None:
        """Cut."""
        self._close()

    def unregisterProducer(self) -> None:
        """Forget the producer; a transport that is closed has none any more."""
        self.producer = None

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self.clock.callLater(0, self._lost)

    def _lost(self) -> None:
        self.client.connectionLost(Failure(ConnectionLost()))

    def hang_up(self) -> None:
        """The other end closes."""
        self._close()


@define
class Taken:
    """What a peer was given in one transaction, as it came."""

    mail: bytes = b""
    recipients: list[bytes] = field(factory=list)
    data: bytes = b""


class Peer:
    """A mail server: polite, unless `says` has other words for a command.

    `says` maps the beginning of a line ("" is the greeting, "." the dot, ". address"
    the dot for one recipient of LMTP) to a reply, to SILENCE or HANG_UP.
    """

    def __init__(
        self,
        wire: Wire,
        says: Mapping[bytes, bytes],
        offers: Sequence[bytes],
        *,
        lmtp: bool = False,
        reads: bool = True,
    ) -> None:
        self.wire = wire
        self.says = dict(says)
        self.offers = offers
        self.lmtp = lmtp
        self.reads = reads
        self.commands: list[bytes] = []
        self.messages: list[Taken] = []
        self.turns = 0
        self.now = Taken()
        self._accepted: list[bytes] = []
        self._buffer = b""
        self._in_data = False
        self._silent = False
        self._greeted = False

    def turn(self) -> bool:
        """Read what there is and answer; False when there was nothing to do."""
        written = self.wire.value() if self.reads else b""
        if (self._greeted and not written) or self.wire.closed:
            return False
        self.wire.clear()
        self._buffer += written
        told = [] if self._greeted else [self._word(b"", b"220 mx ESMTP")]
        self._greeted = True
        told += self._replies()
        self.turns += 1
        said = b""
        for reply in told:
            if reply == HANG_UP or self._silent:
                break
            said += reply + b"\r\n" if reply else b""
            self._silent = not reply
        if said:
            self.wire.client.dataReceived(said)
        if HANG_UP in told or b"221 bye" in told:
            self.wire.hang_up()
        return True

    def _word(self, line: bytes, otherwise: bytes) -> bytes:
        exact = self.says.get(line)
        if exact is not None or not line:
            return otherwise if exact is None else exact
        for begin, reply in self.says.items():
            if begin and line.startswith(begin):
                return reply
        return otherwise

    def _replies(self) -> list[bytes]:
        replies: list[bytes] = []
        while True:
            if self._in_data:
                end = (b"\r\n" + self._buffer).find(b"\r\n.\r\n")
                if end < 0:
                    return replies
                self.now.data = self._buffer[:end]
                self._buffer = self._buffer[end + 3 :]
                replies += self._end()
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return replies
            self._buffer = rest
            self.commands.append(line)
            replies.append(self._command(line))

    def _end(self) -> list[bytes]:
        self._in_data = False
        to = self._accepted
        if self.lmtp:
            replies = [self._word(b". " + one, b"250 2.0.0 taken") for one in to]
        else:
            nobody = b"250 2.0.0 taken" if to else b"554 5.5.1 no valid recipients"
            replies = [self._word(b".", nobody)]
        if any(reply.startswith(b"2") for reply in replies):
            self.messages.append(self.now)
        self.now, self._accepted = Taken(), []
        return replies

    def _command(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb in (b"EHLO", b"LHLO"):
            said = [b"mx", *self.offers]
            good = b"".join(b"250-%s\r\n" % one for one in said[:-1])
            return self._word(line, good + b"250 " + said[-1])
        if verb == b"QUIT":
            return self._word(line, b"221 bye")
        if verb == b"MAIL":
            reply = self._word(line, b"250 2.1.0 ok")
            self.now, self._accepted = Taken(line), []
            return reply
        if verb == b"RCPT":
            reply = self._word(line, b"250 2.1.5 ok")
            if reply.startswith(b"2"):
                address = line[9:-1]
                self._accepted.append(address)
                self.now.recipients.append(address)
            return reply
        if verb == b"DATA":
            default = b"354 go on" if self._accepted else b"554 5.5.1 nobody"
            reply = self._word(line, default)
            self._in_data = reply.startswith(b"354")
            return reply
        return self._word(line, b"250 2.0.0 ok")


@implementer(IStreamClientEndpoint)
class Door:
    """Where a gateway is reached: "open", "shut" (refused) or "dark" (no answer)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.state = "open"
        self.says: dict[bytes, bytes] = {}
        self.offers: tuple[bytes, ...] = OFFERS
        self.lmtp = False
        self.reads = True
        self.peers: list[Peer] = []
        self.calls = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        """Let a client in, or not."""
        self.calls += 1
        if self.state == "shut":
            return fail(ConnectError())
        if self.state == "dark":
            return Deferred()
        wire = Wire(self.clock)
        wire.client = factory.buildProtocol(None)
        peer = Peer(wire, self.says, self.offers, lmtp=self.lmtp, reads=self.reads)
        self.peers.append(peer)
        wire.client.makeConnection(wire)
        return succeed(wire.client)

    @property
    def messages(self) -> list[Taken]:
        """All that was taken here."""
        return [message for peer in self.peers for message in peer.messages]

    @property
    def peer(self) -> Peer:
        """The one connection there was."""
        (peer,) = self.peers
        return peer


class Net:
    """Some gateways, and a courier that knows them in the order of their names."""

    def __init__(
        self,
        names: str = "a",
        *,
        lmtp: bool = False,
        rng: Random | None = None,
        relay: Callable[..., Relay] = Relay,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        self.doors = {name: Door(self.clock) for name in names}
        for door in self.doors.values():
            door.lmtp = lmtp
        self.counts: list[str] = []
        self.courier = Courier(
            [Gateway(f"unix:{name}", lmtp=lmtp) for name in names],
            relay(**settings),
            name=b"localhost",
            identity=b"",
            dial=lambda string: self.doors[string.removeprefix("unix:")],
            reactor=self.clock,
            rng=rng or InOrder(),
            count=self.counts.append,
        )

    def run(self) -> int:
        """Let everybody speak until nobody has anything to say; return the turns."""
        turns = 0
        while True:
            self.clock.advance(0)
            peers = [peer for door in self.doors.values() for peer in door.peers]
            if not sum(peer.turn() for peer in peers):
                return turns
            turns += 1

    def wait(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        self.run()
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.run()


class InOrder(Random):
    """No chance: what is shuffled stays as it is, what is drawn is the middle."""

    def shuffle(self, x: Any) -> None:
        """Leave it."""

    def uniform(self, a: float, b: float) -> float:
        """Return the middle."""
        return (a + b) / 2
