"""What is found out about a caller, in how much time, and what is asked for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import asdict, evolve
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.config import Exchange
from postmand.dns.addresses import Networks
from postmand.rules.facts import (
    Domain,
    Facts,
    Host,
    Listing,
    Reverse,
    Session,
    facts_from_table,
)
from postmand.rules.greylist import Greylist, GreylistSettings
from postmand.rules.inbound import judge
from postmand.servers.blacklists import Blacklists, reversed_octets
from postmand.servers.callout import Callouts, CalloutSettings
from postmand.servers.domains import Domains, DomainSettings
from postmand.servers.evidence import Evidence, Inquiry, Sources
from tests.world.answers import FAILED, Answers

pytestmark = pytest.mark.long

PEER = "11.0.0.25"
PEER6 = "2a00::25"
SESSION = Session("mx.b.example", ("mx.i2pmail.org",))
ZONE: dict[str, Any] = {
    "25.0.0.11.in-addr.arpa PTR": "mx.b.example.",
    "mx.b.example A": PEER,
    "mx.b.example AAAA": PEER6,
    "b.example MX": ["20 mx2.b.example.", "10 MX.b.example."],
    "mx2.b.example A": "12.0.0.1",
    "b.example NS": ["ns.b.example.", "ns.c.example."],
    "ns.b.example A": "12.0.0.53",
    "ns.c.example AAAA": "2a00::53",
}
POINTS = {"2.0.0.127.zen.example A": "127.0.0.2"}
KEY = b"k" * 32


class EvidenceTests(SynchronousTestCase):
    """Facts from a resolver that a test speaks for."""

    def setUp(self) -> None:
        """Everything answers at once; nothing of a mail may be logged."""
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.clock = Clock()
        self.resolver = Answers(ZONE)
        self.settings = Exchange(blacklists={"zen.example": 2, "six.example": 1})
        self.called: list[tuple[bytes, tuple[str, ...]]] = []
        self.call: Callable[[], Deferred[str]] = lambda: succeed("accepted")
        self.spf: Callable[[], Deferred[str]] = lambda: succeed("pass")
        self.make()

    def make(self, **domains: Any) -> None:
        """Make the evidence anew: nothing is kept."""

        def call(sender: bytes, addresses: tuple[str, ...]) -> Deferred[str]:
            self.called.append((sender, addresses))
            return self.call()

        networks = Networks(own=["12.0.0.99"])
        self.domains = Domains(
            self.resolver, networks.place, self.clock, DomainSettings(**domains)
        )
        named = CalloutSettings(domains=frozenset({"b.example"}), per_minute=3)
        self.evidence = Evidence(
            Sources(
                self.resolver,
                self.domains,
                Blacklists(self.resolver, self.settings.blacklists, self.clock),
                Callouts(call, named, self.clock, KEY),
                Greylist(GreylistSettings(), KEY),
                lambda peer, helo, sender: self.spf(),
            ),
            self.clock,
        )

    def begin(
        self, peer: str = PEER, sender: bytes = b"alice@b.example"
    ) -> tuple[Inquiry, Deferred[Facts]]:
        """Begin to ask."""
        inquiry = self.evidence.begin(peer, SESSION, sender)
        return inquiry, ensureDeferred(inquiry.facts())

    def facts(self, peer: str = PEER, sender: bytes = b"alice@b.example") -> Facts:
        """Return what is found at once."""
        return self.successResultOf(self.begin(peer, sender)[1])

    def domain(self, sender: bytes = b"alice@b.example") -> Domain:
        """Return what is found of a sender's domain."""
        return self.facts(sender=sender).domain

    def tearDown(self) -> None:
        """No timer is left behind, and no trace in the log."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for trace in ("alice", "example", PEER):
            self.assertNotIn(trace, self.logged())

    def logged(self) -> str:
        """Return what the log says."""
        return "\n".join(eventAsText(event) for event in self.events)

    # The whole.

    def test_all_facts(self) -> None:
        """Every fact is found, reads back from a file, and the mail is taken."""
        facts = self.facts()
        self.assertEqual(
            facts,
            Facts(
                PEER,
                "alice@b.example",
                Session("mx.b.example", ("mx.i2pmail.org",), "found"),
                Domain(
                    "b.example",
                    mx="found",
                    hosts=(
                        Host("MX", "mx.b.example", PEER),
                        Host("MX", "mx.b.example", PEER6),
                        Host("MX", "mx2.b.example", "12.0.0.1"),
                        Host("NS", "ns.b.example", "12.0.0.53"),
                        Host("NS", "ns.c.example", "2a00::53"),
                    ),
                ),
                Reverse("found", "mx.b.example", confirmed=True),
                (Listing("zen.example"), Listing("six.example")),
                callout="accepted",
                spf="pass",
            ),
        )
        self.assertEqual(facts_from_table(json.loads(json.dumps(asdict(facts)))), facts)
        self.assertIsNone(judge(facts, self.settings))

    def test_at_once(self) -> None:
        """Nothing waits for anything it does not need."""
        self.resolver.silent = True
        _inquiry, facts = self.begin()
        self.assertEqual(
            sorted(self.resolver.asked),
            [
                "25.0.0.11.in-addr.arpa PTR",
                "25.0.0.11.six.example A",
                "25.0.0.11.zen.example A",
                "b.example MX",
                "mx.b.example A",
                "mx.b.example AAAA",
            ],
        )
        # MX, then whom it names; NS beside them.
        for _ in range(3):
            self.assertNoResult(facts)
            self.resolver.release()
        self.assertEqual(self.successResultOf(facts).domain.mx, "found")

    def test_silence_ends(self) -> None:
        """With a resolver that never answers there are facts in time: none failed open.

        Only the sender's domain asks to try again.
        """
        self.resolver.silent = True
        self.spf = Deferred
        _inquiry, facts = self.begin()
        for _ in range(20):
            self.assertNoResult(facts)
            self.clock.advance(1.0)
        found = self.successResultOf(facts)
        self.assertEqual(found.domain, Domain("b.example", mx="failed"))
        self.assertEqual(found.reverse, Reverse("failed"))
        self.assertEqual(found.session.helo_address, "failed")
        self.assertEqual({one.status for one in found.blacklists}, {"failed"})
        self.assertEqual(found.spf, "temperror")
        verdict = judge(found, self.settings)
        assert verdict is not None
        self.assertEqual(verdict.reason, "sender-domain-unknown")
        # What is kept of a domain goes on being asked for by itself.
        self.clock.advance(30.0)
        self.assertEqual(self.events, [])

    def test_asked_again(self) -> None:
        """Each recipient asks for the facts: they are gathered once."""
        inquiry, facts = self.begin()
        asked = len(self.resolver.asked)
        again = self.successResultOf(ensureDeferred(inquiry.facts()))
        self.assertIs(again, self.successResultOf(facts))
        self.assertEqual(len(self.resolver.asked), asked)

    def test_several_wait(self) -> None:
        """Who goes away while waiting takes nothing from the others."""
        self.resolver.held.add("25.0.0.11.in-addr.arpa PTR")
        inquiry, first = self.begin()
        second = ensureDeferred(inquiry.facts())
        first.addErrback(lambda _: None)
        first.cancel()
        self.resolver.release()
        self.assertEqual(self.successResultOf(second).reverse.confirmed, True)

    def test_ended(self) -> None:
        """A transaction that is over asks no longer, and leaves no timer."""
        self.resolver.silent = True
        self.spf = Deferred
        inquiry, facts = self.begin()
        inquiry.end()
        inquiry.end()
        self.assertEqual(self.successResultOf(facts).spf, "temperror")
        asked = len(self.resolver.asked)
        # The domain's facts are everybody's, and are gathered to their end.
        self.clock.advance(30.0)
        self.assertEqual(len(self.resolver.asked), asked)
        self.assertEqual(self.events, [])

    def test_fault_of_ours(self) -> None:
        """A source that breaks is logged without its values, and fails open."""
        self.spf = lambda: fail(LookupError("alice@b.example"))
        facts = self.facts()
        self.assertEqual(facts.spf, "temperror")
        self.assertEqual(facts.domain.mx, "found")
        self.assertIn("evidence: LookupError", self.logged())
        self.flushLoggedErrors()

    def test_fault_in_gathering(self) -> None:
        """Where all of it breaks the sender is asked to come again, and no worse."""

        def broken() -> Deferred[str]:
            raise LookupError("alice@b.example")

        self.spf = broken
        for recipient in ("bob@mail.i2p", ""):
            facts = evolve(self.facts(), recipient=recipient)
            verdict = judge(facts, self.settings)
            assert verdict is not None
            self.assertEqual((verdict.code, verdict.enhanced), (451, "4.1.8"))
        self.assertIsNone(judge(self.facts(sender=b""), self.settings))
        self.flushLoggedErrors()

    def test_a_word_that_is_none(self) -> None:
        """A result that SPF does not have is no good one."""
        self.spf = lambda: succeed("Pass!")
        self.assertEqual(self.facts().spf, "permerror")

    # The peer.

    def test_reverse(self) -> None:
        """A name counts only where it leads back to the address."""
        self.resolver.zone["25.0.0.11.in-addr.arpa PTR"] = ["x.example.", "y.example."]
        self.assertEqual(self.facts().reverse, Reverse("found", "x.example"))
        self.resolver.zone["y.example A"] = ["11.0.0.26", PEER]
        self.assertEqual(
            self.facts().reverse, Reverse("found", "y.example", confirmed=True)
        )
        del self.resolver.zone["25.0.0.11.in-addr.arpa PTR"]
        self.assertEqual(self.facts().reverse, Reverse("none"))
        self.resolver.zone["25.0.0.11.in-addr.arpa PTR"] = FAILED
        self.assertEqual(self.facts().reverse, Reverse("failed"))

    def test_ipv6_peer(self) -> None:
        """An IPv6 peer is looked up by its nibbles, and led back to by AAAA."""
        nibbles = "5.2." + "0." * 26 + "0.0.a.2"
        self.assertEqual(reversed_octets(PEER6), nibbles)
        self.resolver.zone[f"{nibbles}.ip6.arpa PTR"] = "mx.b.example."
        facts = self.facts(PEER6)
        self.assertTrue(facts.reverse.confirmed)
        self.assertIn(f"{nibbles}.zen.example A", self.resolver.asked)

    def test_mapped_peer(self) -> None:
        """An IPv4 peer on an IPv6 socket is the IPv4 peer."""
        facts = self.facts("::ffff:11.0.0.25")
        self.assertEqual(facts.peer, PEER)
        self.assertTrue(facts.reverse.confirmed)

    def test_helo(self) -> None:
        """A HELO name is looked up if it can be one."""
        for helo, word in (
            ("mx2.b.example", "found"),
            ("ns.c.example", "found"),
            ("nobody.example", "none"),
            ("friend", ""),
            ("[11.0.0.25]", ""),
            ("späm.example", "none"),
        ):
            inquiry = self.evidence.begin(PEER, Session(helo), b"")
            facts = self.successResultOf(ensureDeferred(inquiry.facts()))
            self.assertEqual(facts.session.helo_address, word, helo)

    # The sender's domain.

    def test_null_sender(self) -> None:
        """Nobody's domain is asked about."""
        facts = self.facts(sender=b"")
        self.assertEqual(facts.domain, Domain())
        self.assertFalse([one for one in self.resolver.asked if one.endswith("MX")])

    def test_null_mx(self) -> None:
        """A domain may say that it takes no mail; a dot beside others says nothing."""
        self.resolver.zone["n.example MX"] = "0 ."
        self.assertEqual(
            self.domain(b"a@n.example"), Domain("n.example", "found", null_mx=True)
        )
        self.resolver.zone["m.example MX"] = ["0 .", "5 mx2.b.example."]
        self.assertEqual(
            self.domain(b"a@m.example"),
            Domain(
                "m.example", "found", hosts=(Host("MX", "mx2.b.example", "12.0.0.1"),)
            ),
        )

    def test_without_mx(self) -> None:
        """Without MX a domain's own address is asked for, in both families."""
        self.resolver.zone["a.example AAAA"] = "2a00::1"
        self.assertEqual(
            self.domain(b"x@a.example"),
            Domain(
                "a.example", "none", "found", hosts=(Host("A", "a.example", "2a00::1"),)
            ),
        )
        self.resolver.zone["t.example TXT"] = '"a text"'
        self.assertEqual(
            self.domain(b"x@t.example"), Domain("t.example", "none", "none")
        )
        self.resolver.zone["f.example A"] = FAILED
        self.assertEqual(
            self.domain(b"x@f.example"), Domain("f.example", "none", "failed")
        )

    def test_no_such_domain(self) -> None:
        """A name that does not exist costs one question."""
        self.assertEqual(
            self.domain(b"x@nowhere.example"), Domain("nowhere.example", "none", "none")
        )
        asked = [one for one in self.resolver.asked if one.startswith("nowhere.")]
        self.assertEqual(asked, ["nowhere.example MX"])

    def test_failing(self) -> None:
        """A domain that can not be looked up now is failed, and not for long."""
        self.resolver.zone["f.example MX"] = FAILED
        self.assertEqual(self.domain(b"x@f.example"), Domain("f.example", "failed"))
        self.resolver.zone["f.example MX"] = "1 mx2.b.example."
        self.assertEqual(self.domain(b"x@f.example").mx, "failed")
        self.clock.advance(15.0)
        self.assertEqual(self.domain(b"x@f.example").mx, "found")

    def test_domains_that_are_none(self) -> None:
        """What is no name has no mail server, and DNS is not asked."""
        for sender in (
            b"x@[11.0.0.1]",
            b"x@a b.example",
            b"x@" + b"a." * 200,
            b"x@\xff",
        ):
            domain = self.domain(sender)
            self.assertEqual((domain.mx, domain.address), ("none", "none"), sender)
        self.assertFalse([one for one in self.resolver.asked if one.endswith("MX")])

    def test_international(self) -> None:
        """An international domain is asked for in A-labels, a capital one in small."""
        self.resolver.zone["xn--mller-kva.example MX"] = "1 mx2.b.example."
        self.assertEqual(self.domain("x@Müller.example".encode()).mx, "found")
        self.assertEqual(self.domain(b"x@B.EXAMPLE.").name, "b.example")

    def test_zone_above(self) -> None:
        """A name servers' record is looked for above, but not at the top."""
        self.resolver.zone["x.y.b.example MX"] = "1 mx2.b.example."
        self.resolver.zone["y.b.example A"] = "12.0.0.1"
        servers = [
            h.name for h in self.domain(b"a@x.y.b.example").hosts if h.kind == "NS"
        ]
        self.assertEqual(servers, ["ns.b.example", "ns.c.example"])
        self.resolver.zone["lone.example MX"] = "1 mx2.b.example."
        self.domain(b"a@lone.example")
        self.assertIn("lone.example NS", self.resolver.asked)
        self.assertNotIn("example NS", self.resolver.asked)

    def test_places(self) -> None:
        """Each server's place is told; an address in a name's place is one."""
        self.resolver.zone.update(
            {
                "p.example MX": ["1 own.example.", "2 ns6.example.", "3 10.0.0.1."],
                "own.example A": "12.0.0.99",
                "ns6.example AAAA": "::ffff:192.168.0.1",
                "l.example MX": "1 own.example.",
                "l.example NS": "local.example.",
                "local.example A": "127.0.0.1",
            }
        )
        facts = self.facts(sender=b"a@p.example")
        self.assertEqual(
            [(host.kind, host.place) for host in facts.domain.hosts],
            [("MX", "own"), ("MX", "private")],
        )
        hosts = self.domain(b"a@l.example").hosts
        self.assertEqual(
            [(host.kind, host.place) for host in hosts],
            [("MX", "own"), ("NS", "loopback")],
        )
        verdict = judge(facts, self.settings)
        assert verdict is not None
        self.assertEqual(verdict.reason, "private-network")

    def test_many_servers(self) -> None:
        """Of a domain with very many servers some are looked at, the best first."""
        names = [f"{n} m{n}.example." for n in range(100)]
        self.resolver.zone["many.example MX"] = names[::-1]
        self.resolver.zone["many.example NS"] = [f"n{n}.example." for n in range(100)]
        self.domain(b"a@many.example")
        self.assertIn("m0.example A", self.resolver.asked)
        self.assertIn("n3.example A", self.resolver.asked)
        self.assertNotIn("m4.example A", self.resolver.asked)
        self.assertNotIn("n4.example A", self.resolver.asked)

    def test_many_addresses(self) -> None:
        """Of each kind twelve are kept, and whichever is not on the Internet."""
        zone = self.resolver.zone
        zone["many.example MX"] = [f"{n} m{n}.example." for n in range(4)]
        zone["many.example NS"] = [f"n{n}.example." for n in range(4)]
        for n in range(4):
            for kind in "mn":
                zone[f"{kind}{n}.example A"] = [f"12.0.{n}.{i}" for i in range(1, 60)]
        hosts = self.domain(b"a@many.example").hosts
        self.assertEqual([host.kind for host in hosts], ["MX"] * 12 + ["NS"] * 12)
        zone["n3.example A"] = ["12.0.3.1", "10.0.0.1", "12.0.3.2"]
        self.clock.advance(600.0)
        hosts = self.domain(b"a@many.example").hosts
        self.assertEqual(len(hosts), 24)
        self.assertEqual((hosts[-1].address, hosts[-1].place), ("10.0.0.1", "private"))

    def test_no_more_is_asked(self) -> None:
        """Behind a mail server that is not on the Internet no other is asked about."""
        self.resolver.zone.update(
            {"p.example MX": "1 10.0.0.1.", "p.example NS": "ns.p.example."}
        )
        self.resolver.held.add("p.example NS")
        found = self.domain(b"a@p.example")
        self.assertEqual([host.place for host in found.hosts], ["private"])
        self.resolver.release()
        self.assertNotIn("ns.p.example A", self.resolver.asked)

    def test_share_of_a_network(self) -> None:
        """One network's slow domains keep no other's waiting, nor known ones."""
        self.domain()
        for number in range(9):
            self.resolver.held.add(f"n{number}.example MX")
            self.begin(sender=b"a@n%d.example" % number)[0].end()
        slow = [one for one in self.resolver.asked if one.endswith("example MX")]
        self.assertEqual(len(slow), 1 + 4)
        self.assertEqual(self.domain(b"x@b.example").mx, "found")
        _, late = self.begin(sender=b"a@c.example")
        self.assertEqual(self.facts("12.0.0.7", b"a@late.example").domain.mx, "none")
        self.clock.advance(20.0)
        self.assertEqual(self.successResultOf(late).domain.mx, "failed")
        self.resolver.release()
        self.clock.advance(30.0)

    def test_callers_of_a_network(self) -> None:
        """So many callers of one network are looked at at once; the others wait."""
        self.resolver.silent = True
        for _ in range(12):
            self.begin(sender=b"")
        asked = [one for one in self.resolver.asked if one.endswith("PTR")]
        self.assertEqual(len(asked), 8)
        self.begin("12.0.0.7", b"")
        self.assertIn("7.0.0.12.in-addr.arpa PTR", self.resolver.asked)
        self.clock.advance(40.0)

    def test_slow_name_server(self) -> None:
        """A name server's name that nobody can look up does not hold up the rest."""
        self.resolver.held.update({"ns.b.example A", "b.example NS"})
        _inquiry, facts = self.begin(sender=b"bob@b.example")
        self.assertNoResult(facts)
        self.clock.advance(10.0)
        hosts = self.successResultOf(facts).domain.hosts
        self.assertEqual({host.kind for host in hosts}, {"MX"})

    def test_kept(self) -> None:
        """A domain is asked about once for all that come within some minutes."""
        self.resolver.held.add("b.example MX")
        asked = [self.begin(sender=b"%d@b.example" % n)[1] for n in range(3)]
        self.resolver.release()
        for one in asked:
            self.assertEqual(self.successResultOf(one).domain.mx, "found")
        self.assertEqual(self.resolver.asked.count("b.example MX"), 1)
        self.resolver.held.clear()
        self.clock.advance(599.0)
        self.domain()
        self.assertEqual(self.resolver.asked.count("b.example MX"), 1)
        self.clock.advance(1.0)
        self.domain()
        self.assertEqual(self.resolver.asked.count("b.example MX"), 2)

    def test_kept_few(self) -> None:
        """Only so many domains are kept, the newest."""
        self.make(weight=10)
        for number in range(50):
            self.domain(b"a@n%d.example" % number)
        self.assertEqual(len(self.domains._cache._kept), 10)
        self.domain(b"a@n49.example")
        self.domain(b"a@n0.example")
        self.assertEqual(self.resolver.asked.count("n49.example MX"), 1)
        self.assertEqual(self.resolver.asked.count("n0.example MX"), 2)

    def test_kept_by_weight(self) -> None:
        """A domain with many servers stands for many without."""
        self.make(weight=11)
        self.domain(b"a@n0.example")
        self.assertEqual(len(self.domain().hosts), 5)
        self.domain(b"a@n1.example")
        self.assertEqual(self.domains._cache._weight, 8)
        self.resolver.zone["d.example MX"] = "1 mx.b.example."
        self.resolver.zone["d.example NS"] = ["ns.b.example.", "ns.c.example."]
        self.domain(b"a@d.example")
        self.assertEqual(list(self.domains._cache._kept), ["n1.example", "d.example"])
        self.assertEqual(self.domains._cache._weight, 6)

    def test_not_kept_too_long(self) -> None:
        """What is too old is let go of when the next is asked about."""
        self.domain()
        for number in range(5):
            self.domain(b"a@n%d.example" % number)
        self.clock.advance(600.0)
        self.domain(b"a@new.example")
        self.assertEqual(list(self.domains._cache._kept), ["new.example"])
        self.assertEqual(self.domains._cache._weight, 1)

    # Blacklists.

    def listing(self, peer: str = PEER) -> Listing:
        """Return what the first zone says."""
        return self.facts(peer).blacklists[0]

    def test_listed(self) -> None:
        """A hit comes with its codes, and with a look at the zone's test points."""
        self.resolver.zone.update(POINTS)
        self.resolver.zone["25.0.0.11.zen.example A"] = ["127.0.0.4", "127.0.0.11"]
        self.assertEqual(
            self.listing(),
            Listing("zen.example", "found", ("127.0.0.4", "127.0.0.11"), "good"),
        )
        verdict = judge(self.facts(), self.settings)
        assert verdict is not None
        self.assertEqual(verdict.reason, "blacklisted")
        self.assertEqual(self.resolver.asked.count("2.0.0.127.zen.example A"), 1)
        self.clock.advance(3_600.0)
        self.listing()
        self.assertEqual(self.resolver.asked.count("2.0.0.127.zen.example A"), 2)

    def test_points_unasked(self) -> None:
        """A zone that lists nobody who comes is not asked more than that."""
        self.facts()
        self.assertFalse([one for one in self.resolver.asked if "0.0.127." in one])

    def test_points_wrong(self) -> None:
        """A zone that lists the world, or has no entries, is found out."""
        self.resolver.zone["25.0.0.11.zen.example A"] = "127.0.0.2"
        self.assertEqual(self.listing().points, "lists-none")
        self.make()
        self.resolver.zone.update(POINTS)
        self.resolver.zone["1.0.0.127.zen.example A"] = "127.0.0.2"
        self.assertEqual(self.listing().points, "lists-all")
        self.assertIsNone(judge(self.facts(), self.settings))
        self.make()
        self.resolver.zone["1.0.0.127.zen.example A"] = FAILED
        self.assertEqual(self.listing().points, "failed")

    def test_points_of_ipv6(self) -> None:
        """An IPv6 list has test points of its own (RFC 5782 5)."""
        self.resolver.zone[f"{reversed_octets(PEER6)}.zen.example A"] = "127.0.0.2"
        self.resolver.zone.update(POINTS)
        self.assertEqual(self.listing(PEER6).points, "lists-none")
        self.make()
        point = reversed_octets("::ffff:7f00:2")
        self.assertTrue(point.startswith("2.0.0.0.0.0.f.7.f.f.f.f.0."))
        self.resolver.zone[f"{point}.zen.example A"] = "127.0.0.2"
        self.assertEqual(self.listing(PEER6).points, "good")

    def test_one_zone_hangs(self) -> None:
        """A zone that does not answer is failed, and the others count."""
        self.resolver.held.add("25.0.0.11.zen.example A")
        _inquiry, facts = self.begin()
        self.clock.advance(16.0)
        found = self.successResultOf(facts).blacklists
        self.assertEqual([one.status for one in found], ["failed", "none"])

    # The callout.

    def test_callout(self) -> None:
        """The sender is asked for at its own servers, once in a while."""
        self.assertEqual(self.facts().callout, "accepted")
        self.assertEqual(self.called, [(b"alice@b.example", (PEER, PEER6, "12.0.0.1"))])
        self.facts()
        self.assertEqual(len(self.called), 1)
        self.call = lambda: succeed("refused")
        for _ in range(2):
            self.assertEqual(self.facts(sender=b"eve@b.example").callout, "refused")
        self.assertEqual(len(self.called), 2)
        self.clock.advance(14_400.0)
        self.facts()
        self.assertEqual(len(self.called), 3)

    def test_callout_of_the_named_only(self) -> None:
        """Nobody calls other domains, those below the named ones, or for nobody."""
        self.resolver.zone["c.example MX"] = "1 mx2.b.example."
        self.resolver.zone["x.b.example MX"] = "1 mx2.b.example."
        for sender in (b"a@c.example", b"a@x.b.example", b""):
            self.assertEqual(self.facts(sender=sender).callout, "")
        self.assertEqual(self.called, [])

    def test_callout_to_the_internet_only(self) -> None:
        """No call goes to a private network, to ourselves, or to a name server."""
        self.resolver.zone["mx.b.example A"] = ["12.0.0.99", "12.0.0.2"]
        self.resolver.zone["mx.b.example AAAA"] = "::1"
        self.resolver.zone["mx2.b.example A"] = "10.0.0.1"
        self.facts()
        self.assertEqual(self.called, [(b"alice@b.example", ("12.0.0.2",))])
        self.make()
        self.resolver.zone["mx.b.example A"] = "12.0.0.99"
        self.assertEqual(self.facts().callout, "failed")
        self.assertEqual(len(self.called), 1)

    def test_callouts_capped(self) -> None:
        """A domain is called some times a minute, whoever invents senders."""
        words = [self.facts(sender=b"%d@b.example" % n).callout for n in range(10)]
        self.assertEqual(words, ["accepted"] * 3 + ["failed"] * 7)
        self.clock.advance(180.0)
        self.assertEqual(self.facts(sender=b"new@b.example").callout, "accepted")
        self.assertEqual(len(self.called), 4)

    def test_callout_fails_open(self) -> None:
        """A call that hangs, breaks or says something else is a failed one."""
        self.call = Deferred
        _inquiry, facts = self.begin()
        self.clock.advance(20.0)
        self.assertEqual(self.successResultOf(facts).callout, "failed")
        self.call = lambda: fail(LookupError("broken"))
        self.assertEqual(self.facts(sender=b"b@b.example").callout, "failed")
        self.call = lambda: succeed("250 ok")
        self.assertEqual(self.facts(sender=b"c@b.example").callout, "failed")

    def test_callouts_keep_no_sender(self) -> None:
        """What is kept of a callout tells nobody whom it was about."""
        self.facts()
        callouts = self.evidence._sources.callouts
        self.assertNotIn("alice", repr(list(callouts._cache._kept)))

    # The greylist.

    def word(self, inquiry: Inquiry, recipient: bytes = b"bob@mail.i2p") -> str:
        """Return the greylist's word on one recipient."""
        return self.successResultOf(ensureDeferred(inquiry.greylist(recipient)))

    def test_greylist(self) -> None:
        """Each recipient waits by itself; SPF vouches for a domain that came back."""
        self.assertEqual(self.word(self.begin()[0]), "wait")
        self.clock.advance(300.0)
        self.assertEqual(self.word(self.begin()[0]), "known")
        self.assertEqual(self.word(self.begin()[0], b"eve@mail.i2p"), "excused")
        self.spf = lambda: succeed("softfail")
        self.assertEqual(self.word(self.begin()[0]), "known")
        self.assertEqual(self.word(self.begin()[0], b"zoe@mail.i2p"), "wait")

    def test_greylist_by_name(self) -> None:
        """A known-good peer is excused by a name that leads back to it only."""
        table = Greylist(GreylistSettings(domains=frozenset({"b.example"})), KEY)
        sources = self.evidence._sources
        self.spf = lambda: succeed("none")
        self.evidence = Evidence(
            Sources(
                sources.resolver,
                sources.domains,
                sources.blacklists,
                sources.callouts,
                table,
                sources.spf,
            ),
            self.clock,
        )
        self.assertEqual(self.word(self.begin(sender=b"x@c.example")[0]), "excused")
        self.resolver.zone["mx.b.example A"] = "11.0.0.26"
        self.assertEqual(self.word(self.begin(sender=b"x@c.example")[0]), "wait")
