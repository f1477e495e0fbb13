"""The link over real TLS on loopback: a gateway's end and a host's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from postmand.config import Gateway, Link
from postmand.delivery.forwarding import Forwarding
from postmand.delivery.host import Host
from postmand.link import new_identity, pin_of
from postmand.store import crates
from postmand.store.sealed_spool import SealedSpool
from tests.link_office import PUBLIC, HostHouse, crate, sealed

HOST, GATEWAY, STRANGER = (new_identity() for _ in range(3))
PINNED = (Gateway("tcp:127.0.0.1:2526", pin_of(GATEWAY)),)
ALICE = b"carol@example.org", b"alice@mail.i2p", 500
LARGE = 25 * 1024 * 1024


class LinkTests(TestCase):
    """Both ends in one process, TCP and TLS between them."""

    timeout = 40

    def setUp(self) -> None:
        """Start a mail host."""
        self.reactor: Any = reactor
        self.retired: set[str] = set()
        self.house = HostHouse(
            reactor,
            PINNED,
            identity=HOST,
            retired=self.retired.__contains__,
            work=deferToThread,
            most=2 * LARGE,
        )
        self.addCleanup(self.house.close)
        self.counted: list[str] = []
        self.listen(0)

    def listen(self, port: int) -> None:
        """Listen, as one start of the host does."""
        listening = self.house.link.listening()
        self.port = self.reactor.listenTCP(port, listening, interface="127.0.0.1")
        self.number = self.port.getHost().port
        self.addCleanup(self.port.stopListening)

    def gateway(self, identity: bytes = GATEWAY, pin: bytes = HOST) -> Host:
        """Start a gateway's end."""
        host = Host(
            Link(host_pin=pin_of(pin)),
            name=b"gateway",
            identity=identity,
            endpoint=HostnameEndpoint(self.reactor, "127.0.0.1", self.number),
            reactor=self.reactor,
            rng=Random(4),
            count=self.counted.append,
        )
        host.start()
        self.addCleanup(host.stop)
        return host

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait for something to be so; the test's own time limit ends it."""
        while not so():
            await deferLater(self.reactor, 0.02, lambda: None)

    def test_there_and_back(self) -> Deferred[None]:
        """Questions are answered and a crate is taken."""

        async def test() -> None:
            host = self.gateway()
            await self.until(lambda: not host.away)
            self.assertEqual((await host.recipient(*ALICE)).code, 250)
            unknown = await host.recipient(b"", b"bob@mail.i2p", 1)
            self.assertEqual((unknown.code, unknown.enhanced), (550, "5.1.1"))
            self.assertEqual((await host.hand_over(sealed())).code, 250)
            self.assertEqual(self.house.office.taken, [(1, crate())])

        return Deferred.fromCoroutine(test())

    def test_large(self) -> Deferred[None]:
        """25 MB arrive once and unchanged, and questions are answered meanwhile."""

        async def test() -> None:
            host = self.gateway()
            await self.until(lambda: not host.away)
            body = os.urandom(LARGE)
            handing = host.hand_over(sealed(body))
            answers = [await host.recipient(*ALICE) for _ in range(20)]
            self.assertEqual({answer.code for answer in answers}, {250})
            self.assertFalse(handing.called)
            self.assertEqual((await handing).code, 250)
            self.assertTrue(self.house.office.bodies == [body])
            self.assertEqual(os.listdir(self.house.directory.name), [])

        return Deferred.fromCoroutine(test())

    def test_strangers(self) -> Deferred[None]:
        """A wrong key at either end, and nothing is said but that it is away."""

        async def test() -> None:
            hosts = [self.gateway(STRANGER), self.gateway(pin=STRANGER)]
            await self.until(lambda: self.counted.count("host-away") >= 4)
            for host in hosts:
                self.assertTrue(host.away)
                self.assertEqual((await host.recipient(*ALICE)).code, 451)
            self.assertEqual(self.house.office.asked, [])

        return Deferred.fromCoroutine(test())

    def test_shut_out(self) -> Deferred[None]:
        """A gateway that is shut out is away at once and stays so."""

        async def test() -> None:
            host = self.gateway()
            await self.until(lambda: not host.away)
            self.retired.add(pin_of(GATEWAY))
            await self.until(lambda: host.away)
            await self.until(lambda: "host-away" in self.counted)
            self.assertTrue(host.away)
            self.assertEqual((await host.hand_over(sealed())).code, 451)

        return Deferred.fromCoroutine(test())

    def test_host_killed_and_back(self) -> Deferred[None]:
        """Crates in the spool outlive the host's absence; each is delivered once."""
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        spool = SealedSpool(Path(directory.name), 1_000, 10**9)
        spool.open()
        self.addCleanup(spool.close)
        bodies = [b"%d" % number * 3_000 for number in range(40)]

        async def test() -> None:
            host = self.gateway()
            forwarding = Forwarding(
                spool,
                host,
                reactor=self.reactor,
                rng=Random(4),
                in_thread=deferToThread,
                count=self.counted.append,
            )
            await self.until(lambda: not host.away)
            forwarding.start()
            for body in bodies:
                pieces = crates.seal(crate(body), PUBLIC)
                await deferToThread(spool.add, pieces)
                forwarding.wake()
                if len(self.house.office.taken) % 10 == 5:
                    self.cut_all()
            await self.port.stopListening()
            self.cut_all()
            await self.until(lambda: host.away)
            self.listen(self.number)
            await self.until(lambda: not spool.waiting())
            self.assertEqual(sorted(self.house.office.bodies), sorted(bodies))
            await forwarding.stop()

        return Deferred.fromCoroutine(test())

    def cut_all(self) -> None:
        """Cut every connection of the gateway, as a kill of the host would."""
        neighbour = self.house.link.neighbours.by_pin(pin_of(GATEWAY))
        assert neighbour is not None
        for session in list(neighbour.sessions):
            session.transport.abortConnection()
