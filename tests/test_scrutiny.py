"""How a gateway's questions are wired: whose they are, how many, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from postmand import scrutiny
from postmand.config import Exchange, Exit
from postmand.dns.addresses import PUBLIC, Networks
from postmand.message import authentication
from postmand.message.authentication import hashed
from tests.world.answers import Answers


class _Held:
    """Threads that begin their work when the test says."""

    def __init__(self, size: int, reactor: Any, name: str) -> None:
        self.work: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.work.append((work, done))
        return done

    def run(self) -> None:
        """Do the oldest."""
        work, done = self.work.pop(0)
        done.callback(work())


class _Reactor(Clock):
    """A clock that is its own thread."""

    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call at once."""
        call(*arguments)


class ScrutinyTests(SynchronousTestCase):
    """Threads that wait for what strangers' servers say."""

    def setUp(self) -> None:
        """Wire it with a resolver that never answers."""
        self.patch(scrutiny, "Threads", _Held)
        self.reactor = _Reactor()
        self.resolver = Answers({})
        self.resolver.silent = True
        site: Any = SimpleNamespace(
            reactor=self.reactor, clocks=SimpleNamespace(wall=self.reactor.seconds)
        )
        resolver: Any = self.resolver
        self.scrutiny = scrutiny.Scrutiny(
            site, Exchange(), Exit(), resolver, Networks()
        )
        threads: list[Any] = list(self.scrutiny.threads)
        self.asking, self.judging = threads

    def test_judged_in_time(self) -> None:
        """When a message's time is over it is judged by what was heard until then."""
        header = b"From: a@slow.example\r\n\r\n"
        facts = ("11.0.0.1", b"slow.example", b"a@slow.example", header)
        judged = Deferred.fromCoroutine(
            self.scrutiny.authenticated(*facts, hashed(header, [b"text"]))
        )
        self.assertNoResult(judged)
        self.reactor.advance(authentication.SECONDS)
        self.judging.run()
        self.assertEqual(self.successResultOf(judged).dmarc, "temperror")
        self.assertTrue(self.resolver.asked)
        self.assertTrue(all(answer.called for _, answer in self.resolver.waiting))

    def test_share_of_a_network(self) -> None:
        """So many of a network's senders are checked at once, though none waits."""
        spf = self.scrutiny.evidence()._sources.spf
        for _ in range(9):
            checked = spf("11.0.0.1", b"mx.a.example", b"a@a.example")
            checked.cancel()
            self.failureResultOf(checked, CancelledError)
        self.assertEqual(len(self.asking.work), 4)
        spf("12.0.0.1", b"mx.a.example", b"a@a.example")
        self.assertEqual(len(self.asking.work), 5)


@pytest.mark.parametrize("port", ["tcp:25", "tcp6:25", "tcp6:25:interface=\\:\\:"])
def test_own_addresses(port: str) -> None:
    """What the gateway is itself is not out there, however it came to be named."""
    listen = ("tcp:25:interface=11.0.0.25", "tcp6:25:interface=2a00\\:\\:25", port)
    exit_ = Exit(source=("12.0.0.25", "2a01::25"))
    networks = scrutiny.networks(Exchange(listen=listen), exit_)
    for address in ("11.0.0.25", "2a00::25", "12.0.0.25", "2a01::25", "::11.0.0.25"):
        assert networks.place(address) == "own", address
    for address in ("11.0.0.26", "2a00::26"):
        assert networks.place(address) == PUBLIC


def test_loopback_of_tests() -> None:
    """A test's or a demo's Internet is on loopback, where the gateway is as well."""
    exchange = Exchange(listen=("tcp:25:interface=127.0.0.1", "unix:in"))
    exit_ = Exit(source=("127.0.0.5",), allowed_networks=("127.0.0.0/8",))
    networks = scrutiny.networks(exchange, exit_)
    assert networks.public("127.0.0.1")
    assert networks.public("127.0.0.5")
    assert not scrutiny.networks(exchange, Exit()).public("127.0.0.1")
