"""The seven steps on facts from real name servers: each refusal and its neighbour."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import selectreactor
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.threads import blockingCallFromThread

from postmand.config import Exchange
from postmand.dns.addresses import Networks
from postmand.dns.resolver import Resolver
from postmand.dns.wire import Server
from postmand.rules.facts import Facts, Session
from postmand.rules.greylist import Greylist, GreylistSettings
from postmand.rules.inbound import judge
from postmand.servers.blacklists import Blacklists
from postmand.servers.callout import Callouts, CalloutSettings
from postmand.servers.domains import Domains
from postmand.servers.evidence import Evidence, Sources
from tests.world.dns import World

_POINTS = "2.0.0.127 A 127.0.0.2\n"
_SIX = "{}.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
_PEER6 = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.2"
_ZONES = {
    "good.example": "@ MX 10 mx\nmx A 11.0.0.25\nmx AAAA 2a00::25",
    "plain.example": "@ A 11.0.0.26",
    "text.example": '@ TXT "no mail here"',
    "null.example": "@ MX 0 .",
    "bogus.example": "@ MX 10 mx.good.example.\nbad A 11.0.0.66",
    "inside.example": "@ MX 10 mx\n@ MX 20 mx2\nmx A 11.0.0.1\nmx2 A 192.168.0.1",
    "inside6.example": "@ MX 10 mx\nmx AAAA fd00::1",
    "mapped.example": "@ MX 10 mx\nmx AAAA ::ffff:10.0.0.1",
    "nat64.example": "@ MX 10 mx\nmx AAAA 64:ff9b::127.0.0.1",
    "ns.example": "@ NS ns\nns A 127.0.0.1\n@ MX 10 mx.good.example.",
    "alias.example": "@ MX 10 mx\nmx CNAME loop.elsewhere.example.",
    "elsewhere.example": "loop A 127.0.0.53",
    "number.example": "@ MX 10 10.0.0.1.",
    "zen.example": _POINTS
    + "66.0.0.11 A 127.0.0.4\n67.0.0.11 A 127.255.255.254\n"
    + f"{_SIX.format(2)} A 127.0.0.2\n{_PEER6} A 127.0.0.3",
    "world.example": "* A 127.0.0.2",
    "light.example": _POINTS + "66.0.0.11 A 127.0.0.2\n68.0.0.11 A 127.0.0.2",
    "11.in-addr.arpa": "25.0.0 PTR mx.good.example.\n26.0.0 PTR mx.good.example.",
}
_SETTINGS = Exchange(
    blacklists={"zen.example": 2, "world.example": 5, "light.example": 1}
)
_GOOD = "11.0.0.25"

CASES = [
    (_GOOD, b"a@good.example", ""),
    (_GOOD, b"", ""),
    (_GOOD, b"a@sub.good.example", "no-sender-domain"),
    (_GOOD, b"a@plain.example", ""),
    (_GOOD, b"a@text.example", "no-sender-domain"),
    (_GOOD, b"a@nowhere", "no-sender-domain"),
    (_GOOD, b"a@null.example", "sender-null-mx"),
    (_GOOD, b"a@bad.bogus.example", "sender-domain-unknown"),
    (_GOOD, b"a@bogus.example", ""),
    (_GOOD, b"a@inside.example", "private-network"),
    (_GOOD, b"a@inside6.example", "private-network"),
    (_GOOD, b"a@mapped.example", "private-network"),
    (_GOOD, b"a@nat64.example", "private-network"),
    (_GOOD, b"a@ns.example", "private-network"),
    (_GOOD, b"a@alias.example", "private-network"),
    (_GOOD, b"a@number.example", "private-network"),
    ("11.0.0.66", b"a@good.example", "blacklisted"),
    ("11.0.0.67", b"a@good.example", ""),
    ("11.0.0.68", b"a@good.example", ""),
    ("2a00::25", b"a@good.example", "blacklisted"),
    ("2a00::26", b"a@good.example", ""),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a world for the module's tests."""
    home = tmp_path_factory.mktemp("world")
    with World(home, _ZONES, bogus=["bogus.example"]) as world:
        yield world


@pytest.fixture(scope="module")
def reactor() -> Iterator[Any]:
    """Run a reactor in a thread: not the process's own, which other tests share."""
    reactor = selectreactor.SelectReactor()
    thread = threading.Thread(target=reactor.run, args=(False,))
    thread.start()
    yield reactor
    reactor.callFromThread(reactor.stop)
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def evidence(world: World, reactor: Any) -> Evidence:
    """Gather facts through unbound."""
    servers = [Server.read(world.resolver)]
    resolver = Resolver(reactor, servers, random.SystemRandom())
    key = random.randbytes(32)
    return Evidence(
        Sources(
            resolver,
            Domains(resolver, Networks().place, reactor),
            Blacklists(resolver, _SETTINGS.blacklists, reactor),
            Callouts(lambda *_: succeed("accepted"), CalloutSettings(), reactor, key),
            Greylist(GreylistSettings(), key),
            lambda *_: succeed("none"),
        ),
        reactor,
    )


def _facts(evidence: Evidence, reactor: Any, peer: str, sender: bytes) -> Facts:
    def begin() -> Deferred[Facts]:
        session = Session("mx.good.example", ("mx.i2pmail.org",))
        return ensureDeferred(evidence.begin(peer, session, sender).facts())

    found: Facts = blockingCallFromThread(reactor, begin)
    return found


@pytest.mark.parametrize(("peer", "sender", "reason"), CASES)
def test_case(
    evidence: Evidence, reactor: Any, peer: str, sender: bytes, reason: str
) -> None:
    """Each case is refused for its reason, or taken."""
    verdict = judge(_facts(evidence, reactor, peer, sender), _SETTINGS)
    assert (verdict.reason if verdict else "") == reason


def test_names(evidence: Evidence, reactor: Any) -> None:
    """A peer's name counts where it leads back to it, and HELO's is looked up."""
    good = _facts(evidence, reactor, _GOOD, b"a@good.example")
    assert good.reverse.confirmed
    assert good.reverse.name == "mx.good.example"
    assert good.session.helo_address == "found"
    other = _facts(evidence, reactor, "11.0.0.26", b"a@good.example")
    assert other.reverse.status == "found"
    assert not other.reverse.confirmed


def test_world_listed(evidence: Evidence, reactor: Any) -> None:
    """A zone that lists everybody is found out by its test points."""
    facts = _facts(evidence, reactor, _GOOD, b"a@good.example")
    points = {listing.zone: listing.points for listing in facts.blacklists}
    assert points["world.example"] == "lists-all"
