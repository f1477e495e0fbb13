"""The way out to a real Postfix: TLS as it is, real keys, a stripping attack."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from attrs import evolve
from OpenSSL import SSL, crypto
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, execute, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint, clientFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from postmand.config import Exit as Settings
from postmand.config import Gateway, Limits, Relay
from postmand.counts import Counts
from postmand.delivery import dialling
from postmand.delivery.exit import Exit
from postmand.delivery.gateway import Courier
from postmand.delivery.policies import PolicyFetchError
from postmand.delivery.wellknown import PolicyFile
from postmand.dns.addresses import Networks
from postmand.inbound import Outward
from postmand.internet import Reply
from postmand.link import new_identity, pin_of
from postmand.queue.spool import Memory, Spool
from postmand.servers.ledger import Ledger
from postmand.servers.outgoing import Desk, OutgoingFactory
from postmand.servers.outgoing import Settings as LinkSettings
from tests.authority import Authority, Issued, self_signed
from tests.conftest import need
from tests.delivery_peer import parcel
from tests.names import Names
from tests.peers import postfix
from tests.peers.postfix import Postfix, Sink

ALICE, NOBODY = b"alice@example.org", b"nobody@example.org"
HEADER = b"From: jondoe@i2pmail.org\r\nSubject: hello\r\n\r\n"
MX = "mx.example.org"
ROOT = Authority("root")
GOOD = ROOT.issue(MX)
STRANGE = Authority("stranger").issue(MX)
WASHED = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\nMessage-ID: <1@i2pmail.org>\r\n" + HEADER
)
POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: *.example.org\r\nmax_age: 9999\r\n"


def believe_root(context: SSL.Context) -> None:
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(ROOT.issued.certificate))


class ExitCase(TestCase):
    """Exits that end with their test."""

    timeout = 60
    names: Names

    def setUp(self) -> None:
        """Begin with an empty, signed DNS."""
        self.names = Names(signed=True)
        self.counts: list[str] = []
        self.files: dict[str, bytes] = {}

    def exit(self, port: int, **settings: Any) -> Exit:
        """Make a way out to a port of this machine."""
        made = Exit(
            Settings(port=port, **settings),
            "mx.gateway.org",
            self.names,
            public=Networks(allowed=("127.0.0.0/8",)).public,
            dial=dialling.tcp(reactor),
            fetch=self.fetch,
            reactor=reactor,  # type: ignore[arg-type]
            rng=Random(1),
            count=self.counts.append,
            trust=believe_root,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    async def fetch(self, domain: str) -> bytes:
        """Return a policy."""
        if domain not in self.files:
            raise PolicyFetchError
        return self.files[domain]

    def server(self, name: str = MX, address: str = "127.0.0.1", at: int = 10) -> None:
        """Name an MX of example.org."""
        self.names.server("example.org", name, address, at)

    def tlsa(self, port: int, record: str, name: str = MX) -> None:
        """Publish a key."""
        self.names.put(f"_{port}._tcp.{name}", "TLSA", record)

    def sts(self, policy: bytes = POLICY) -> None:
        """Publish a policy, in a DNS that nobody has signed."""
        self.names.signed = False
        self.names.put("_mta-sts.example.org", "TXT", '"v=STSv1; id=1;"')
        self.files["example.org"] = policy


def outward(*to: bytes, body: bytes = b"Hello.\r\n") -> Outward:
    """Make a message."""
    sender = b"jondoe@i2pmail.org"
    return Outward(b"t", sender, to or (ALICE,), b"example.org", HEADER, (body,))


class PostfixTests(ExitCase):
    """Postfix as the Internet."""

    postfix: Postfix
    shown: Issued = GOOD

    @classmethod
    def setUpClass(cls) -> None:
        """Start it."""
        need("postfix")
        if os.geteuid() != 0:
            pytest.skip("Postfix runs as root only")
        pem = cls.shown.key_pem + cls.shown.pem + ROOT.issued.pem
        offering = postfix._MAIN_CF + "smtpd_tls_security_level = may\n"
        with patch.object(postfix, "_MAIN_CF", offering):
            cls.postfix = Postfix(pem, pin_of(new_identity()))

    @classmethod
    def tearDownClass(cls) -> None:
        """End it."""
        cls.postfix.stop()

    async def sent(self, way: Exit, *to: bytes) -> Reply:
        """Send one; return the reply for the first recipient."""
        replies = await way.send(outward(*to))
        return replies[to[0] if to else ALICE]

    def arrived(self, count: int = 1) -> list[bytes]:
        """Return what has arrived."""
        return self.postfix.collect(count)

    async def test_opportunistic(self) -> None:
        """STARTTLS is taken where it is offered, whoever shows whatever."""
        self.names.signed = False
        self.server()
        reply = await self.sent(self.exit(self.postfix.plain))
        self.assertEqual((reply.code, reply.enhanced), (250, "2.0.0"))
        (message,) = self.arrived()
        self.assertIn(b"using TLSv1.3", message)
        self.assertIn(b"from mx.gateway.org (unknown [127.0.0.1])", message)

    async def test_many(self) -> None:
        """A hundred messages over a few connections, each whole, dots and all."""
        self.server()
        way = self.exit(self.postfix.plain, connections_per_domain=3)
        body = b".\r\n..\r\n.dot\r\n" + b"x" * 990 + b"\r\n"
        sendings = [
            way.send(outward(body=body * 100 + b"%d\r\n" % number))
            for number in range(100)
        ]
        replies = await gatherResults(sendings)
        self.assertEqual({one[ALICE].code for one in replies}, {250})
        ends = {one.partition(b"\n\n")[2] for one in self.arrived(100)}
        unix = (body * 100).replace(b"\r\n", b"\n")
        self.assertEqual(ends, {unix + b"%d\n" % number for number in range(100)})
        self.assertEqual(len(way._calls), 3)

    async def test_refused(self) -> None:
        """Postfix's own words for one, and the message for the other."""
        self.server()
        replies = await self.exit(self.postfix.plain).send(outward(NOBODY, ALICE))
        self.assertEqual(
            (replies[NOBODY].code, replies[NOBODY].enhanced), (550, "5.1.1")
        )
        self.assertEqual(replies[ALICE].code, 250)
        self.arrived()

    async def test_next_address(self) -> None:
        """An address where nobody listens is passed over."""
        self.server("away.example.org", "127.0.0.9", 5)
        self.server()
        self.assertEqual((await self.sent(self.exit(self.postfix.plain))).code, 250)
        self.arrived()

    async def test_dane(self) -> None:
        """Keys of the server or its authority let it pass, others do not."""
        self.server()
        port = self.postfix.plain
        for record, code in (
            (GOOD.tlsa(3), "250 2.0.0"),
            (GOOD.tlsa(3, 0, 2), "250 2.0.0"),
            (ROOT.issued.tlsa(2), "250 2.0.0"),
            (ROOT.issued.tlsa(2, 0, 0), "250 2.0.0"),
            (STRANGE.tlsa(3), "451 4.7.5"),
            (ROOT.issued.tlsa(3), "451 4.7.5"),
        ):
            self.tlsa(port, record)
            reply = await self.sent(self.exit(port))
            self.assertEqual(f"{reply.code} {reply.enhanced}", code, record)
        self.assertEqual(len(self.arrived(4)), 4)

    async def test_dane_wrong_name(self) -> None:
        """Below an authority the name counts."""
        self.server("other.example.org")
        port = self.postfix.plain
        self.tlsa(port, ROOT.issued.tlsa(2), "other.example.org")
        self.assertEqual((await self.sent(self.exit(port))).enhanced, "4.7.5")
        self.assertEqual(self.arrived(0), [])

    async def test_mta_sts(self) -> None:
        """The right name below an authority we believe."""
        self.server()
        self.sts()
        reply = await self.sent(self.exit(self.postfix.plain))
        self.assertEqual(reply.code, 250)
        self.assertIn(b"using TLSv1.3", self.arrived()[0])

    async def test_mta_sts_wrong_name(self) -> None:
        """A server with another name than its certificate's gets nothing."""
        self.sts()
        self.server("other.example.org")
        reply = await self.sent(self.exit(self.postfix.plain))
        self.assertEqual((reply.code, reply.enhanced), (451, "4.7.5"))

    async def test_mta_sts_not_named(self) -> None:
        """A server that the policy does not name gets nothing."""
        self.sts(POLICY.replace(b"*.example.org", b"real.example.org"))
        self.server()
        reply = await self.sent(self.exit(self.postfix.plain))
        self.assertEqual((reply.code, reply.enhanced), (451, "4.7.5"))
        self.assertEqual(self.arrived(0), [])


class StrangerTests(PostfixTests):
    """A Postfix whose certificate nobody we believe has signed."""

    shown = STRANGE

    async def test_dane(self) -> None:
        """Its key in the DNS is enough."""
        self.server()
        self.tlsa(self.postfix.plain, STRANGE.tlsa(3))
        self.assertEqual((await self.sent(self.exit(self.postfix.plain))).code, 250)
        self.arrived()

    async def test_mta_sts(self) -> None:
        """MTA-STS refuses it."""
        self.server()
        self.sts()
        reply = await self.sent(self.exit(self.postfix.plain))
        self.assertEqual((reply.code, reply.enhanced), (451, "4.7.5"))
        self.assertEqual(self.arrived(0), [])


class StrippingTests(ExitCase):
    """Somebody on the way took STARTTLS out: a server without TLS stands for it."""

    def setUp(self) -> None:
        """Start a sink, which offers none."""
        super().setUp()
        need("smtp-sink")
        self.sink = Sink("smtp-sink")
        self.addCleanup(self.sink.stop)
        self.server()

    async def code(self) -> str:
        """Send one; return what came of it."""
        reply = (await self.exit(self.sink.port).send(outward()))[ALICE]
        return f"{reply.code} {reply.enhanced}"

    async def test_without_a_policy(self) -> None:
        """There is nothing to be done against it."""
        self.assertEqual(await self.code(), "250 2.0.0")

    async def test_dane(self) -> None:
        """Not with a key in the DNS."""
        self.tlsa(self.sink.port, GOOD.tlsa(3))
        self.assertEqual(await self.code(), "451 4.7.4")

    async def test_mta_sts(self) -> None:
        """Not with a policy."""
        self.sts()
        self.assertEqual(await self.code(), "451 4.7.4")


class WholeWayTests(ExitCase):
    """From the host's courier through a gateway's link server to a mail server."""

    async def test_whole_way(self) -> None:
        """Ten messages over one connection; a lost answer is asked for, not resent."""
        need("smtp-sink")
        sink = Sink("smtp-sink")
        self.addCleanup(sink.stop)
        self.server()
        clock: Any = reactor
        way = self.exit(sink.port)
        sent: list[bytes] = []
        send = way.send
        way.send = (  # type: ignore[method-assign]
            lambda one: sent.append(one.transaction) or send(one)  # type: ignore[func-returns-value]
        )
        memory = Memory(10_000_000)
        factory = OutgoingFactory(
            LinkSettings("mx.gateway.org", "i2pmail.org", "mail.i2p", 1_000_000, 100),
            Limits(),
            clock,
            lambda: Spool(memory, 100_000, Path("/tmp"), execute),
            Desk(Ledger(way, 1_000_000, clock), time.time, Random(1), execute),
            Counts(),
        )
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        place = f"tcp:127.0.0.1:{port.getHost().port}"
        courier = Courier(
            [Gateway(place, lmtp=True)],
            Relay(connections_per_gateway=1),
            name=b"localhost",
            identity=b"",
            dial=lambda string: clientFromString(reactor, string),
            reactor=clock,
            rng=Random(1),
            count=self.counts.append,
            now=lambda: 10**10,  # all was released before the start
        )
        self.addCleanup(courier.stop)
        for expected in (10, 10):
            sendings = [
                courier.send(evolve(parcel(header=WASHED), item=number))
                for number in range(10)
            ]
            reports = await gatherResults(sendings)
            codes = [report.replies[ALICE].code for report in reports]
            self.assertEqual(codes, [250] * 10)
            self.assertEqual(len(sent), expected)
        self.assertEqual(sorted(sent), [b"%016x" % number for number in range(10)])


class _Web(Protocol):
    """A web server that says one thing."""

    def __init__(self, says: bytes) -> None:
        self._says = says

    def dataReceived(self, data: bytes) -> None:
        """Answer and close."""
        self.transport.write(self._says)  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]


def page(body: bytes, status: bytes = b"200 OK", kind: bytes = b"text/plain") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
    return head % (status, kind, len(body)) + b"Location: https://x/\r\n\r\n" + body


class PolicyFileTests(ExitCase):
    """Policy files over real HTTPS."""

    async def fetched(
        self,
        says: bytes,
        shown: Issued | None = None,
        public: Callable[[str], bool] = lambda _: True,
    ) -> bytes | None:
        """Fetch from a server that says this; None where nothing came of it."""
        issued = shown or ROOT.issue("mta-sts.example.org")
        context = ssl.CertificateOptions(
            crypto.PKey.from_cryptography_key(issued.key),
            crypto.X509.from_cryptography(issued.certificate),
        )
        plain = Factory.forProtocol(lambda: _Web(says))
        factory = TLSMemoryBIOFactory(context, False, plain)
        listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await listening.listen(factory)
        self.addCleanup(port.stopListening)
        self.names.put("mta-sts.example.org", "A", "127.0.0.1")
        root = ssl.Certificate(crypto.X509.from_cryptography(ROOT.issued.certificate))
        trust = ssl.trustRootFromCertificates([root])
        file = PolicyFile(
            self.names,
            public=public,
            dial=dialling.tcp(reactor),
            reactor=reactor,
            rng=Random(1),
            prove=lambda name: ssl.optionsForClientTLS(name, trustRoot=trust),
            port=port.getHost().port,
        )
        try:
            return await file.fetch("example.org")
        except PolicyFetchError:
            return None

    async def test_fetched(self) -> None:
        """A file is fetched from who proves the name."""
        self.assertEqual(await self.fetched(page(POLICY)), POLICY)

    async def test_not_fetched(self) -> None:
        """Not with another status, kind, length, or a redirection."""
        for says in (
            page(POLICY, b"404 no"),
            page(POLICY, b"302 there"),
            page(POLICY, kind=b"text/html"),
            page(b"x" * 70_000),
            page(POLICY)[:-5],
            b"what?\r\n",
            b"",
        ):
            self.assertIsNone(await self.fetched(says), says[:60])

    async def test_not_proven(self) -> None:
        """Not from a stranger, nor under another name, nor inside our network."""
        for shown in (
            self_signed("mta-sts.example.org"),
            ROOT.issue("example.org"),
            ROOT.issue("mta-sts.example.org", expired=True),
        ):
            self.assertIsNone(await self.fetched(page(POLICY), shown))
        self.assertIsNone(await self.fetched(page(POLICY), public=Networks().public))
