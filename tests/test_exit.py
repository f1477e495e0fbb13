"""The way out of a gateway: whose servers are called, in what order, and how safely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint, ITLSTransport
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from postmand.config import Exit as Settings
from postmand.delivery.exit import Exit
from postmand.delivery.policies import PolicyFetchError
from postmand.dns.addresses import Networks
from postmand.inbound import IExit, Outward
from postmand.internet import Reply
from tests.authority import self_signed
from tests.delivery_peer import HANG_UP, OFFERS, SILENCE, InOrder, Peer, Wire
from tests.names import FAILED, NO_NAME, Names

HEADER = b"From: jondoe@i2pmail.org\r\nSubject: hello\r\n\r\n"
ALICE, BOB = b"alice@example.org", b"bob@example.org"
ONE, TWO, THREE = "9.9.9.1", "9.9.9.2", "9.9.9.3"
STARTTLS = (*OFFERS, b"STARTTLS")
POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: a.example.org\r\nmax_age: 9999\r\n"


@implementer(ITLSTransport)
class TLSWire(Wire):
    """A wire on which TLS begins at a word, and comes about or not."""

    handshake = "good"
    server: Any = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is nothing to delay."""

    def startTLS(self, creator: Any, normal: bool = True) -> None:
        """Shake hands: "good", "failed", "untrusted", or never."""
        peer = self.server
        peer.secured = True
        if self.handshake == "good":
            self.clock.callLater(0, self.client.handshakeCompleted)
        elif self.handshake != "never":
            creator.refused = self.handshake == "untrusted"
            self.hang_up()


class Server(Peer):
    """A mail server that can do STARTTLS; what it says after it may be different."""

    secured = False


@implementer(IStreamClientEndpoint)
class Address:
    """What is at an address: "open", "shut", or "dark"."""

    def __init__(self, net: Net, name: str) -> None:
        self.net = net
        self.name = name
        self.state = "open"
        self.says: dict[bytes, bytes] = {}
        self.offers: tuple[bytes, ...] = OFFERS
        self.handshake = "good"
        self.peers: list[Server] = []
        self.calls = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        """Let a client in, or not."""
        self.calls += 1
        self.net.called.append(self.name)
        if self.state == "shut":
            return fail(ConnectError())
        if self.state == "dark":
            return Deferred()
        wire = TLSWire(self.net.clock)
        wire.handshake = self.handshake
        wire.client = factory.buildProtocol(None)
        says = {b"STARTTLS": b"220 go on", **self.says}
        wire.server = Server(wire, says, self.offers)
        self.peers.append(wire.server)
        wire.client.makeConnection(wire)
        return succeed(wire.client)

    @property
    def commands(self) -> list[bytes]:
        """All that was said here, in order."""
        return [line for peer in self.peers for line in peer.commands]

    @property
    def taken(self) -> list[tuple[bytes, bool]]:
        """What was taken, and whether under TLS."""
        return [
            (message.data, peer.secured)
            for peer in self.peers
            for message in peer.messages
        ]


class Net:
    """An Internet of three addresses, and an exit to it."""

    def __init__(self, names: Names | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.names = names or Names()
        self.called: list[str] = []
        self.at = {name: Address(self, name) for name in (ONE, TWO, THREE)}
        self.counts: list[str] = []
        self.files: dict[str, bytes] = {}
        self.exit = Exit(
            Settings(**settings),
            "mx.gateway.org",
            self.names,
            public=Networks().public,
            dial=self.dial,
            fetch=self.fetch,
            reactor=self.clock,
            rng=InOrder(),
            count=self.counts.append,
        )

    def dial(self, address: str, port: int) -> Any:
        """Return what is at an address."""
        assert port == 25
        return self.at[address]

    async def fetch(self, domain: str) -> bytes:
        """Return the domain's policy."""
        if domain not in self.files:
            raise PolicyFetchError
        return self.files[domain]

    def run(self) -> None:
        """Let everybody speak until nobody has anything to say."""
        while True:
            self.clock.advance(0)
            peers = [peer for one in self.at.values() for peer in one.peers]
            if not sum(peer.turn() for peer in peers):
                self.clock.advance(0)
                if not sum(peer.turn() for peer in peers):
                    return

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.run()
            self.clock.advance(1)
        self.run()


def outward(*to: bytes, body: Sequence[bytes] = (b"Hello.\r\n",)) -> Outward:
    """Make a message for alice, or for others."""
    sender = b"jondoe@i2pmail.org"
    return Outward(b"t1", sender, to or (ALICE,), b"example.org", HEADER, body)


def plain(**settings: Any) -> Net:
    """Make a net in which example.org has two servers of different preference."""
    net = Net(**settings)
    net.names.server("example.org", "a.example.org", ONE, 10)
    net.names.server("example.org", "b.example.org", TWO, 20)
    return net


def signed(**settings: Any) -> Net:
    """Make a net in which all is signed."""
    net = Net(Names(signed=True), **settings)
    net.names.server("example.org", "a.example.org", ONE)
    return net


class ExitCase(SynchronousTestCase):
    """What the tests below share."""

    def sent(self, net: Net, *to: bytes, **more: Any) -> Mapping[bytes, Reply]:
        """Send and return the replies."""
        sending = net.exit.send(outward(*to, **more))
        net.run()
        return self.successResultOf(sending)

    def code(self, net: Net, seconds: int = 0) -> str:
        """Send to alice; return code and enhanced code."""
        sending = net.exit.send(outward())
        net.wait(seconds)
        reply = self.successResultOf(sending)[ALICE]
        return f"{reply.code} {reply.enhanced}"


class RouteTests(ExitCase):
    """Which servers are called."""

    def test_the_seam(self) -> None:
        """It is what the link's server asks for."""
        self.assertTrue(IExit.providedBy(Net().exit))

    def test_the_first(self) -> None:
        """The preferred server gets it whole, by our name; the other is left alone."""
        net = plain()
        replies = self.sent(net, ALICE, BOB, body=(b".dot\r\n", b"end\r\n"))
        self.assertEqual({one.code for one in replies.values()}, {250})
        self.assertEqual(net.called, [ONE])
        self.assertEqual(net.at[ONE].commands[0], b"EHLO mx.gateway.org")
        data = HEADER + b"..dot\r\nend\r\n"
        self.assertEqual(net.at[ONE].taken, [(data, False)])
        self.assertEqual(net.counts, ["delivered"])

    def test_the_next(self) -> None:
        """A server that is away, will not talk or goes in the midst has a successor."""
        for state, says in (
            ("shut", {}),
            ("open", {b"": b"554 go away"}),
            ("open", {b"": b"421 later"}),
            ("open", {b"EHLO": b"421 busy"}),
            ("open", {b"EHLO": HANG_UP}),
            ("open", {b"MAIL": b"451 4.3.0 busy"}),
            ("open", {b"RCPT": b"450 4.2.0 greylisted"}),
            ("open", {b"DATA": b"451 4.3.0 busy"}),
            ("open", {b"DATA": HANG_UP}),
            ("open", {b"MAIL": b"what?"}),
        ):
            net = plain()
            net.at[ONE].state, net.at[ONE].says = state, says
            self.assertEqual(self.code(net), "250 2.0.0", says)
            self.assertEqual(net.called, [ONE, TWO])

    def test_silence(self) -> None:
        """One that accepts and then says nothing is left after its time."""
        for says in ({b"": SILENCE}, {b"RCPT": SILENCE}):
            net = plain(reply_seconds=20.0)
            net.at[ONE].says = says
            self.assertEqual(self.code(net, 25), "250 2.0.0")
        net = plain(connect_seconds=20.0)
        net.at[ONE].state = "dark"
        self.assertEqual(self.code(net, 25), "250 2.0.0")

    def test_enough(self) -> None:
        """After minutes of trying no other server is called."""
        net = plain(connect_seconds=250.0)
        net.at[ONE].state = "dark"
        self.assertEqual(self.code(net, 260), "451 4.4.1")
        self.assertEqual(net.called, [ONE])

    def test_final_words(self) -> None:
        """What is said for good, or of the message, no other server is asked about."""
        for says, code in (
            ({b"MAIL": b"550 5.7.1 no"}, "550 5.7.1"),
            ({b"RCPT": b"550 5.1.1 who?"}, "550 5.1.1"),
            ({b"RCPT": b"554 5.7.1 spam"}, "554 5.7.1"),
            ({b"DATA": b"554 5.7.1 no"}, "554 5.7.1"),
            ({b".": b"554 5.7.1 spam"}, "554 5.7.1"),
            ({b".": b"451 4.7.1 scanning"}, "451 4.7.1"),
        ):
            net = plain()
            net.at[ONE].says = says
            self.assertEqual(self.code(net), code)
            self.assertEqual(net.called, [ONE])

    def test_each_recipient(self) -> None:
        """One refused, one put off: both are told, and the next server is for one."""
        net = plain()
        net.at[ONE].says = {b"RCPT TO:<alice": b"550 5.1.1 who?"}
        net.at[ONE].says[b"RCPT TO:<bob"] = b"450 4.2.0 later"
        net.at[TWO].says = {b"RCPT TO:<bob": b"452 4.2.2 full"}
        replies = self.sent(net, ALICE, BOB, b"carol@example.org")
        codes = [reply.code for reply in replies.values()]
        self.assertEqual(codes, [550, 452, 250])
        self.assertNotIn(b"RCPT TO:<alice@example.org>", net.at[TWO].commands)
        self.assertEqual(net.counts, ["deferred"])

    def test_nobody_there(self) -> None:
        """All away is for now, and says what the last one said."""
        net = plain()
        net.at[ONE].state = net.at[TWO].state = "shut"
        self.assertEqual(self.code(net), "451 4.4.1")
        net.at[TWO].state, net.at[TWO].says = "open", {b"": b"554 5.7.1 blocked"}
        reply = self.sent(net)[ALICE]
        self.assertEqual(reply, Reply(451, "4.7.1", "blocked"))

    def test_doubtful(self) -> None:
        """Lost between dot and answer: nobody else gets it, and we say so."""
        net = plain()
        net.at[ONE].says = {b".": HANG_UP}
        self.assertEqual(self.code(net), "451 4.4.2")
        self.assertEqual((net.called, net.counts), ([ONE], ["doubtful"]))

    def test_no_route(self) -> None:
        """What the DNS says is said to everybody, and nobody is called."""
        for records, code in ((NO_NAME, "550 5.1.2"), (FAILED, "451 4.4.3")):
            net = Net()
            net.names.set("example.org", "MX", records)
            self.assertEqual(self.code(net), code)
        net = Net()
        net.names.put("example.org", "MX", "0 .")
        self.assertEqual(self.code(net), "556 5.1.10")
        net = Net()
        self.assertEqual(self.code(net), "550 5.4.4")
        net.names.set("example.org", "A", FAILED)
        self.assertEqual(self.code(net), "451 4.4.3")
        self.assertEqual(net.called, [])

    def test_address_of_the_domain(self) -> None:
        """Without MX the domain's own address is called."""
        net = Net()
        net.names.put("example.org", "A", ONE)
        self.assertEqual(self.code(net), "250 2.0.0")

    def test_our_own_address(self) -> None:
        """Nor by another name do we call ourselves."""
        net = Net()
        net.names.server("example.org", "a.example.org", ONE)
        net.names.put("mx.gateway.org", "A", ONE)
        self.assertEqual((self.code(net), net.called), ("550 5.4.4", []))

    def test_private(self) -> None:
        """An MX inside our own networks is never called."""
        for address in ("127.0.0.1", "10.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"):
            net = Net()
            net.names.server("example.org", "a.example.org", address)
            self.assertEqual((self.code(net), net.called), ("550 5.4.4", []))

    def test_out_of_reach(self) -> None:
        """A domain of the other family alone is another gateway's to try, and no more.

        What nobody may call stays so; what the DNS did not tell may be within reach.
        """
        for address, source, code in (
            ("2600::1", "192.0.2.1", "458 4.4.4"),
            (ONE, "2001:db8::1", "458 4.4.4"),
            ("fe80::1", "192.0.2.1", "550 5.4.4"),
            ("10.0.0.1", "2001:db8::1", "550 5.4.4"),
        ):
            net = Net(source=(source,))
            net.names.server("example.org", "a.example.org", address)
            self.assertEqual((self.code(net), net.called), (code, []))
            self.assertEqual(net.counts, ["deferred" if code[0] == "4" else "failed"])
            net.names.set("a.example.org", "A", FAILED)
            net.names.set("a.example.org", "AAAA", FAILED)
            self.assertEqual(self.code(net), "451 4.4.3")
        net = plain(source=("192.0.2.1",))
        net.names.server("example.org", "c.example.org", "2600::1", 5)
        self.assertEqual((self.code(net), net.called), ("250 2.0.0", [ONE]))

    def test_places_are_not_told(self) -> None:
        """What a server says of addresses, ours for one, is not passed on."""
        net = plain()
        net.at[ONE].says = {b"RCPT": b"550 5.7.1 203.0.113.9 is listed"}
        self.assertEqual(self.sent(net)[ALICE].text, "[...] is listed")

    def test_the_code_of_our_own(self) -> None:
        """The code between gateway and host can not be said by a stranger."""
        for code in (b"458", b"459"):
            net = plain()
            net.at[ONE].says = {b".": code + b" 4.4.0 under way"}
            self.assertEqual(self.sent(net)[ALICE].code, 451)

    def test_an_old_server(self) -> None:
        """One without EHLO is greeted with HELO, step by step."""
        net = plain()
        net.at[ONE].says = {b"EHLO": b"502 what?"}
        self.assertEqual(self.code(net), "250 2.0.0")
        self.assertEqual(net.at[ONE].commands[1], b"HELO mx.gateway.org")

    def test_nothing_is_logged(self) -> None:
        """Whom we write to is in no line of the log."""
        lines: list[str] = []
        observer = lambda event: lines.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        net = plain()
        net.at[ONE].says = {b"RCPT": b"450 4.2.0 greylisted"}
        self.sent(net)
        self.assertEqual(
            [line for line in lines if "xample" in line or ONE in line], []
        )

    def test_a_fault_of_ours(self) -> None:
        """It is logged without values, and everybody is put off."""
        net = plain()
        net.names.put("example.org", "MX", "x")
        net.names._records["example.org", "MX"] = None  # type: ignore[assignment]
        self.assertEqual(self.code(net), "451 4.3.0")
        (fault,) = self.flushLoggedErrors() or [None]
        self.assertIsNone(fault)


class ConnectionTests(ExitCase):
    """Connections: used again, and not too many."""

    def test_used_again(self) -> None:
        """A second message goes over the same connection, while that is warm."""
        net = plain(idle_seconds=30.0)
        self.code(net)
        net.wait(29)
        self.code(net)
        self.assertEqual(net.at[ONE].calls, 1)
        net.wait(31)
        self.assertIn(b"QUIT", net.at[ONE].commands)
        self.assertEqual(self.code(net), "250 2.0.0")
        self.assertEqual(net.at[ONE].calls, 2)

    def test_gone_cold(self) -> None:
        """A connection that ended meanwhile costs nothing but another one."""
        net = plain()
        self.code(net)
        net.at[ONE].peers[0].says = {b"MAIL": HANG_UP}
        self.assertEqual(self.code(net), "250 2.0.0")
        self.assertEqual((net.called, net.at[ONE].calls), ([ONE, ONE], 2))

    def test_one_domain(self) -> None:
        """No more than some at once for a domain; others wait for their turn."""
        net = plain(connections_per_domain=2)
        net.at[ONE].says = {b".": SILENCE}
        sendings = [net.exit.send(outward()) for _ in range(5)]
        net.run()
        self.assertEqual(net.at[ONE].calls, 2)
        net.at[ONE].says = {}
        net.wait(400)
        codes = [self.successResultOf(one)[ALICE].code for one in sendings]
        self.assertEqual(codes, [451, 451, 250, 250, 250])

    def test_all_domains(self) -> None:
        """Idle connections give way when there are too many."""
        net = Net(connections=2)
        for domain, address in (("a.org", ONE), ("b.org", TWO), ("c.org", THREE)):
            net.names.server(domain, f"mx.{domain}", address)
            sending = net.exit.send(evolve(outward(), domain=domain.encode()))
            net.run()
            self.successResultOf(sending)
        self.assertIn(b"QUIT", net.at[ONE].commands)
        self.assertNotIn(b"QUIT", net.at[THREE].commands)

    def test_rate(self) -> None:
        """So many a minute; the next minute more."""
        net = plain(messages_per_domain_minute=2)
        self.assertEqual([self.code(net)[:3] for _ in range(3)], ["250", "250", "451"])
        net.wait(61)
        self.assertEqual(self.code(net), "250 2.0.0")

    def test_stop(self) -> None:
        """What is begun is finished, what hangs is cut, and nothing more begins."""
        net = plain()
        self.code(net)
        stopping = Deferred.fromCoroutine(net.exit.stop())
        net.run()
        self.successResultOf(stopping)
        self.assertEqual(self.code(net), "451 4.3.2")
        net = plain()
        net.at[ONE].says = {b".": SILENCE}
        sending = net.exit.send(outward())
        net.run()
        stopping = Deferred.fromCoroutine(net.exit.stop())
        net.wait(12)
        self.successResultOf(stopping)
        self.assertEqual(self.successResultOf(sending)[ALICE].code, 451)


class SecrecyTests(ExitCase):
    """TLS: taken where offered, and demanded where a policy says so."""

    def test_offered(self) -> None:
        """It is used; EHLO is said again, and what was offered before is forgotten."""
        net = plain()
        net.at[ONE].offers = STARTTLS
        self.assertEqual(self.code(net), "250 2.0.0")
        self.assertEqual(net.at[ONE].taken, [(HEADER + b"Hello.\r\n", True)])
        hello = b"EHLO mx.gateway.org"
        self.assertEqual(net.at[ONE].commands[:3], [hello, b"STARTTLS", hello])

    def test_without_a_policy_rather_in_the_clear(self) -> None:
        """A handshake that fails, or is refused, is followed by none (RFC 7435)."""
        for handshake, says in (("failed", {}), ("good", {b"STARTTLS": b"454 no"})):
            net = plain()
            net.at[ONE].offers, net.at[ONE].handshake = STARTTLS, handshake
            net.at[ONE].says = says
            self.assertEqual(self.code(net), "250 2.0.0")
            self.assertEqual(net.at[ONE].taken, [(HEADER + b"Hello.\r\n", False)])

    def test_words_before_the_handshake(self) -> None:
        """What is slipped in behind the 220 is never taken for a protected reply."""
        slipped = b"220 go on\r\n250 mx"
        for says in (slipped, slipped + b"\r\n250 2.1.0 ok\r\n250", slipped + b"-"):
            net = signed()
            net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(3))
            net.at[ONE].offers, net.at[ONE].says = STARTTLS, {b"STARTTLS": says}
            self.assertEqual(self.code(net)[:3], "451", says)
            self.assertEqual(net.at[ONE].taken, [])

    def test_dane(self) -> None:
        """With a signed TLSA record: TLS that meets it, or nothing."""
        for offers, handshake, code in (
            (STARTTLS, "good", "250 2.0.0"),
            (OFFERS, "good", "451 4.7.4"),
            (STARTTLS, "failed", "451 4.7.4"),
            (STARTTLS, "never", "451 4.7.4"),
            (STARTTLS, "untrusted", "451 4.7.5"),
        ):
            net = signed(reply_seconds=10.0)
            net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(3))
            net.at[ONE].offers, net.at[ONE].handshake = offers, handshake
            self.assertEqual(self.code(net, 15), code)
            self.assertEqual(len(net.at[ONE].taken), code.startswith("2"))
            self.assertTrue(all(under_tls for _, under_tls in net.at[ONE].taken))

    def test_dane_that_can_not_be_used(self) -> None:
        """Records of which none is usable still ask for TLS (RFC 7672 2.2)."""
        net = signed()
        net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(1))
        self.assertEqual(self.code(net), "451 4.7.4")
        net.at[ONE].offers = STARTTLS
        self.assertEqual(self.code(net), "250 2.0.0")

    def test_dane_that_is_not_told(self) -> None:
        """Keys that can not be looked up put mail off (RFC 7672 2.1.2)."""
        net = signed()
        net.names.set("_25._tcp.a.example.org", "TLSA", FAILED)
        self.assertEqual((self.code(net), net.called), ("451 4.7.5", []))

    def test_dane_unsigned(self) -> None:
        """Records that nobody vouches for say nothing; nor are they asked for."""
        net = plain()
        net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(3))
        self.assertEqual(self.code(net), "250 2.0.0")
        self.assertNotIn("TLSA", {kind for _, kind in net.names.asked})

    def test_dane_switched_off(self) -> None:
        """By the configuration."""
        net = signed(dane=False)
        net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(3))
        self.assertEqual(self.code(net), "250 2.0.0")

    def test_dane_behind_an_alias(self) -> None:
        """The alias's end is asked first (RFC 7672 2.2.2)."""
        net = signed()
        net.names.put("a.example.org", "CNAME", "real.example.net.")
        record = self_signed("x").tlsa(3)
        net.names.put("_25._tcp.real.example.net", "TLSA", record)
        self.assertEqual(self.code(net), "451 4.7.4")

    def sts(self, policy: bytes = POLICY, **settings: Any) -> Net:
        """Make a net with an MTA-STS policy, which the second server is not in."""
        net = plain(**settings)
        net.names.put("_mta-sts.example.org", "TXT", '"v=STSv1; id=1;"')
        net.files["example.org"] = policy
        net.at[TWO].offers = STARTTLS
        return net

    def test_mta_sts(self) -> None:
        """An enforced policy: TLS that an authority vouches for, or nothing."""
        for offers, handshake, code in (
            (STARTTLS, "good", "250 2.0.0"),
            (OFFERS, "good", "451 4.7.4"),
            (STARTTLS, "failed", "451 4.7.4"),
            (STARTTLS, "untrusted", "451 4.7.5"),
        ):
            net = self.sts()
            net.at[ONE].offers, net.at[ONE].handshake = offers, handshake
            self.assertEqual(self.code(net), code)
            self.assertEqual(net.called, [ONE], "the other is not in the policy")
            self.assertEqual(len(net.at[ONE].taken), code.startswith("2"))

    def test_mta_sts_and_dane_that_can_not_be_used(self) -> None:
        """Keys that decide nothing take nothing from an enforced policy."""
        for handshake, named, code in (
            ("good", b"a.example.org", "250 2.0.0"),
            ("untrusted", b"a.example.org", "451 4.7.5"),
            ("good", b"c.example.org", "451 4.7.5"),
        ):
            net = signed()
            net.names.put("_mta-sts.example.org", "TXT", '"v=STSv1; id=1;"')
            net.files["example.org"] = POLICY.replace(b"a.example.org", named)
            net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(1))
            net.at[ONE].offers, net.at[ONE].handshake = STARTTLS, handshake
            self.assertEqual(self.code(net), code)
            self.assertEqual(len(net.at[ONE].taken), code.startswith("2"))

    def test_mta_sts_names_nobody(self) -> None:
        """Servers that are not in the policy are not even called."""
        net = self.sts(POLICY.replace(b"a.example.org", b"c.example.org"))
        self.assertEqual((self.code(net), net.called), ("451 4.7.5", []))

    def test_mta_sts_not_enforced(self) -> None:
        """Testing, switched off, or a policy that can not be had: as without."""
        for net in (
            self.sts(POLICY.replace(b"enforce", b"testing")),
            self.sts(mta_sts=False),
            self.sts(b""),
        ):
            self.assertEqual(self.code(net), "250 2.0.0")

    def test_mta_sts_does_not_excuse_from_dane(self) -> None:
        """Where both are, DANE is to be met (RFC 8461 2)."""
        net = signed()
        net.names.put("_mta-sts.example.org", "TXT", '"v=STSv1; id=1;"')
        net.files["example.org"] = POLICY
        net.names.put("_25._tcp.a.example.org", "TLSA", self_signed("x").tlsa(3))
        guards: list[Any] = []
        net.at[ONE].offers = STARTTLS
        net.exit._new = (  # type: ignore[method-assign]
            lambda goal, new=net.exit._new: guards.append(goal.guard) or new(goal)  # type: ignore[misc,func-returns-value]
        )
        self.code(net)
        self.assertEqual([len(one.associations) for one in guards], [1])
        self.assertFalse(guards[0].authority)


@pytest.mark.parametrize("said", [b"a\rb", b"a\nb", b"a\0b"])
def test_no_smuggling_address(said: bytes) -> None:
    """An address with a line's end in it goes nowhere."""
    net = plain()
    told: list[Any] = []
    net.exit.send(outward(said + b"@example.org")).addCallback(told.append)
    net.run()
    assert [reply.code for reply in told[0].values()] == [553]
    assert Failure(ConnectionLost()).check(ConnectionLost)
