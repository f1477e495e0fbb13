"""A gateway's door without sockets, DNS or mail host: for the tests of the exchange."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from OpenSSL import SSL
from twisted.internet import _newtls
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from postmand.config import Exchange, Limits, Node
from postmand.counts import Counts
from postmand.inbound import Crate
from postmand.interfaces import StoreBusyError
from postmand.internet import Reply
from postmand.message.authentication import Authenticated
from postmand.message.signatures import Bodies
from postmand.queue.spool import Memory, Spool
from postmand.rules import facts
from postmand.servers.exchange import Entrance, ExchangeFactory
from postmand.servers.factory import TurnedAway
from postmand.servers.reception import Reception, ReceptionSettings
from postmand.servers.starttls import ServerTls
from tests.sessions import Session, Wire, Work

PEER = IPv4Address("TCP", "198.51.100.7", 31_025)
DOMAIN = facts.Domain("example.org", mx="found")
KEPT = Reply(250, "2.0.0", "Ok")
AWAY = Reply(451, "4.4.1", "The mail host is away; try again later")
TAKEN = Reply(250, "2.1.5", "Ok")
UNKNOWN = Reply(550, "5.1.1", "No such user")
GOOD = Authenticated(
    results=b"mx.i2pmail.org; spf=pass smtp.mailfrom=example.org; dkim=none",
    vouched=True,
    reject=False,
    spf="pass",
    dmarc="none",
    dkim_domains=(),
    from_domain="example.org",
)


class _Below(Wire):
    """As Twisted's TCP: what is closed below TLS does not wait for its producer."""

    def loseConnection(self) -> None:
        """As its interface says."""
        self._producer = None
        super().loseConnection()


class TlsWire(_Below):
    """A wire on which TLS can begin, as on Twisted's TCP."""

    _tlsClientDefault = False
    TLS = False
    streamingProducer = True

    @property
    def producer(self) -> Any:
        """What Twisted's startTLS moves over."""
        return self._producer

    def _on(self, name: str, *arguments: Any) -> None:
        """Do it over TLS, once that was begun."""
        over = self.protocol if self.TLS else super()
        getattr(over, name)(*arguments)

    def write(self, data: bytes) -> None:
        """As its interface says."""
        self._on("write", data)

    def loseConnection(self) -> None:
        """As its interface says."""
        self._on("loseConnection")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As its interface says."""
        self._on("registerProducer", producer, streaming)

    def unregisterProducer(self) -> None:
        """As its interface says."""
        self._on("unregisterProducer")

    def startTLS(self, tls: Any, normal: bool = True) -> None:
        """Begin TLS on the server's side."""
        _newtls.startTLS(self, tls, normal, _Below)
        # It gathers small writes for a turn of the reactor; here that is the clock's.
        self.protocol._aggregator._clock = self.clock

    def getHost(self) -> Any:
        """The gateway's own address."""
        return IPv4Address("TCP", "203.0.113.25", 25)


class Call(Session):
    """A peer's end of a connection to the exchange; may go over to TLS."""

    def __init__(self, factory: Any, clock: Clock, address: Any) -> None:
        self.clock = clock
        self.wire = TlsWire(clock, address)
        self.arriving = b""
        self.cut = False
        self.server = factory.buildProtocol(address)
        self.refused = isinstance(self.server, TurnedAway)
        self._tls: SSL.Connection | None = None
        self._read = 0
        self.wire.protocol = self.server
        self.server.makeConnection(self.wire)

    def pump(self, chunk: int = 65_536) -> None:
        """As a session's, through whatever the wire's protocol is by now."""
        while True:
            self._run_due()
            if not (self.arriving and self.open and self.wire.reading):
                return
            piece, self.arriving = self.arriving[:chunk], self.arriving[chunk:]
            self.wire.protocol.dataReceived(piece)

    # The client's side of TLS.

    def handshake(self, context: SSL.Context | None = None) -> SSL.Connection:
        """Shake hands; return the client's end."""
        self._read = self.wire.heard
        context = context or SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        for _ in range(10):
            try:
                self._tls.do_handshake()
                self._exchange()
                return self._tls
            except SSL.WantReadError:
                self._exchange()
        raise AssertionError("no handshake")

    def _exchange(self) -> None:
        assert self._tls is not None
        try:
            while True:
                self.wire.protocol.dataReceived(self._tls.bio_read(65_536))
        except SSL.WantReadError:
            pass
        self._run_due()
        came, self._read = self.wire.said[self._read :], self.wire.heard
        if came:
            self._tls.bio_write(came)

    def secretly(self, data: bytes) -> bytes:
        """Send under TLS; return what is answered at once."""
        assert self._tls is not None
        self._tls.sendall(data)
        self._exchange()
        self._exchange()
        answer = b""
        try:
            while True:
                answer += self._tls.recv(65_536)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            return answer


@define
class FakeInquiry:
    """Answers with what the test has put there."""

    world: World
    facts_: facts.Facts
    ended: bool = False
    asked: int = 0

    async def facts(self) -> facts.Facts:
        """Return the facts, when the test lets them go."""
        self.asked += 1
        if self.world.slow is not None:
            await self.world.slow
        return self.facts_

    async def greylist(self, recipient: bytes) -> str:
        """Return the word the test has chosen."""
        self.world.greylisted.append(recipient)
        return self.world.grey

    def end(self) -> None:
        """Note it."""
        self.ended = True


@define(eq=False)
class World:
    """All around the exchange: facts, the mail host, the judge of signatures."""

    domain: facts.Domain = DOMAIN
    grey: str = "known"
    spf: str = "pass"
    slow: Deferred[None] | None = None
    begun: list[tuple[str, facts.Session, bytes]] = field(factory=list)
    inquiries: list[FakeInquiry] = field(factory=list)
    greylisted: list[bytes] = field(factory=list)
    questions: list[tuple[bytes, bytes, int]] = field(factory=list)
    replies: dict[bytes, Reply] = field(factory=dict)
    answer: Reply = TAKEN
    taken: list[bytes] = field(factory=list)
    handing: list[Deferred[Reply]] | None = None
    verdict: Reply = KEPT
    judged: list[tuple[Any, ...]] = field(factory=list)
    judging: list[Deferred[Authenticated]] | None = None
    found: Authenticated = GOOD
    kept: list[bytes] = field(factory=list)
    full: bool = False
    most: int = 0
    crates: list[Crate] = field(factory=list)

    def begin(self, peer: str, session: facts.Session, sender: bytes) -> FakeInquiry:
        """Evidence."""
        self.begun.append((peer, session, sender))
        name = sender.rpartition(b"@")[2].decode()
        domain = evolve(self.domain, name=name)
        inquiry = FakeInquiry(
            self,
            facts.Facts(peer, sender.decode(), session, domain=domain, spf=self.spf),
        )
        self.inquiries.append(inquiry)
        return inquiry

    def recipient(self, sender: bytes, recipient: bytes, size: int) -> Deferred[Reply]:
        """IHost."""
        self.questions.append((sender, recipient, size))
        return succeed(self.replies.get(recipient, self.answer))

    def takes(self, octets: int) -> bool:
        """IHost."""
        return not 0 < self.most < octets

    def hand_over(self, sealed: bytes) -> Deferred[Reply]:
        """IHost."""
        self.taken.append(sealed)
        if self.handing is None:
            return succeed(self.verdict)
        giving: Deferred[Reply] = Deferred()
        self.handing.append(giving)
        return giving

    async def authenticate(
        self,
        peer: str,
        helo: bytes,
        sender: bytes,
        header: bytes,
        body: Bodies,
    ) -> Authenticated:
        """The judge of signatures, who answers when the test lets him."""
        self.judged.append((peer, helo, sender, header, body.digest(b"simple")))
        if self.judging is not None:
            answer: Deferred[Authenticated] = Deferred()
            self.judging.append(answer)
            return await answer
        return self.found

    def seal(self, crate: Crate) -> bytes:
        """Seal, so to say."""
        self.crates.append(crate)
        return b"sealed:" + b"".join(crate.body)

    async def keep(self, sealed: bytes) -> None:
        """Keep on the disk, so to say."""
        if self.full:
            raise StoreBusyError("the sealed spool is full")
        self.kept.append(sealed)


class Door:
    """A gateway's exchange in its world."""

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        tls: ServerTls | None = None,
        keeps: bool = True,
        **factory: Any,
    ) -> None:
        self.clock = Clock()
        self.world = World()
        self.work = Work()
        self.counts = Counts()
        self.limits = evolve(Limits(), **(limits or {}))
        self.settings = evolve(Exchange(banner_seconds=0.0), **(settings or {}))
        self.memory = Memory(self.limits.body_memory)
        self.spools: list[Spool] = []
        reception = Reception(
            ReceptionSettings(
                header_bytes=self.limits.header_bytes,
                memory=self.limits.wash_memory,
                obey_dmarc=self.settings.obey_dmarc,
            ),
            self.world,
            self.world.authenticate,
            self.world.seal,
            self.world.keep if keeps else None,
            in_thread=self.work,
            reactor=self.clock,
        )
        entrance = Entrance.of(
            self.settings,
            Node(),
            evidence=self.world,
            host=self.world,
            reception=reception,
            tls=tls,
        )
        self.factory = ExchangeFactory(
            entrance, self.limits, self.clock, self.new_spool, self.counts, **factory
        )

    def new_spool(self) -> Spool:
        """Make a spool, and keep it for the test to look at."""
        directory = Path(tempfile.gettempdir())
        spool = Spool(self.memory, self.limits.spool_bytes, directory, self.work)
        self.spools.append(spool)
        return spool

    def call(self, address: Any = PEER) -> Call:
        """Connect."""
        return Call(self.factory, self.clock, address)

    def greeted(self, name: bytes = b"mail.example.org") -> Call:
        """Connect and say EHLO."""
        call = self.call()
        assert call.codes(b"EHLO %s\r\n" % name) == [250]
        return call

    def named(self, *recipients: bytes, sender: bytes = b"bob@example.org") -> Call:
        """Go as far as RCPT."""
        call = self.greeted()
        assert call.codes(b"MAIL FROM:<%s>\r\n" % sender) == [250]
        for recipient in recipients or (b"alice@i2pmail.org",):
            assert call.codes(b"RCPT TO:<%s>\r\n" % recipient) == [250]
        return call

    def data(self, *recipients: bytes) -> Call:
        """Go as far as the 354."""
        call = self.named(*recipients)
        assert call.codes(b"DATA\r\n") == [354]
        return call

    def count(self, reason: str) -> int:
        """Return how often a refusal was counted."""
        return self.counts.snapshot().get(("refused", reason), 0)
