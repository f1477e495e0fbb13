"""A real Postfix as the gateway: over TCP, and over TLS with both keys pinned."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import clientFromString
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from postmand.config import Gateway, Relay
from postmand.delivery.gateway import Courier
from postmand.internet import Report
from postmand.link import new_identity, pin_of
from tests.conftest import need
from tests.delivery_peer import HEADER, parcel
from tests.peers.postfix import Postfix, Sink

OURS, THEIRS, OTHER = (new_identity() for _ in range(3))
ALICE, NOBODY = b"alice@example.org", b"nobody@example.org"


class PeerCase(TestCase):
    """Couriers that end with their test."""

    timeout = 60

    def setUp(self) -> None:
        """Begin without counts."""
        self.counts: list[str] = []

    def courier(
        self, *gateways: Gateway, identity: bytes = OURS, **more: Any
    ) -> Courier:
        """Make a courier to these gateways."""
        courier = Courier(
            gateways,
            Relay(**more),
            name=b"localhost",
            identity=identity,
            dial=lambda string: clientFromString(reactor, string),
            reactor=reactor,
            rng=Random(1),
            count=self.counts.append,
        )
        self.addCleanup(courier.stop)
        return courier


def delivered(report: Report) -> bool:
    return all(reply.delivered for reply in report.replies.values())


class PostfixTests(PeerCase):
    """Postfix itself."""

    postfix: Postfix

    @classmethod
    def setUpClass(cls) -> None:
        """Start it."""
        need("smtp-sink", "postfix")
        if os.geteuid() != 0:
            pytest.skip("Postfix runs as root only")
        cls.postfix = Postfix(THEIRS, pin_of(OURS))

    @classmethod
    def tearDownClass(cls) -> None:
        """End it."""
        cls.postfix.stop()

    def plain(self, **more: Any) -> Courier:
        """Return a courier to the door without TLS."""
        return self.courier(Gateway(f"tcp:127.0.0.1:{self.postfix.plain}"), **more)

    def pinned(self, pin: str, identity: bytes) -> Courier:
        """Return a courier to the door with TLS."""
        gateway = Gateway(f"tcp:127.0.0.1:{self.postfix.pinned}", pin)
        return self.courier(gateway, identity=identity)

    async def test_many_down_one_connection(self) -> None:
        """A hundred messages in bursts, each whole, dots and all."""
        courier = self.plain(connections_per_gateway=1)
        body = b".\r\n..\r\n.dot\r\n" + b"x" * 998 + b"\r\n"
        sendings = [
            courier.send(parcel(ALICE, body=(body, b"%d\r\n" % number)))
            for number in range(100)
        ]
        reports = await gatherResults(sendings)
        self.assertTrue(all(report.replies and delivered(report) for report in reports))
        arrived = self.postfix.collect(100)
        self.assertEqual(len(arrived), 100)
        ends = {message.partition(b"\n\n")[2] for message in arrived}
        unix = body.replace(b"\r\n", b"\n")
        self.assertEqual(ends, {unix + b"%d\n" % number for number in range(100)})
        self.assertIn(b"from localhost (unknown [127.0.0.1])", arrived[0])

    async def test_refused(self) -> None:
        """Postfix's refusal of one is that one's; of all, and the next mail goes."""
        courier = self.plain(connections_per_gateway=1)
        some, none, after = await gatherResults(
            [
                courier.send(parcel(ALICE, NOBODY)),
                courier.send(parcel(NOBODY)),
                courier.send(parcel(ALICE)),
            ]
        )
        self.assertTrue(some.replies[ALICE].delivered)
        self.assertEqual(some.replies[NOBODY].code, 550)
        self.assertEqual(some.replies[NOBODY].enhanced, "5.1.1")
        self.assertEqual({one.code for one in none.replies.values()}, {550})
        self.assertTrue(delivered(after))
        self.assertEqual(len(self.postfix.collect(2)), 2)
        self.assertEqual(self.counts, [])

    async def test_long_and_eight_bit(self) -> None:
        """Thirty megabytes arrive as they were."""
        piece = "é".encode() * 400 + b"\r\n" + b"." * 60 + b"\r\n"
        report = await self.plain().send(parcel(ALICE, body=[piece * 75] * 464))
        self.assertTrue(report.replies and delivered(report))
        (arrived,) = self.postfix.collect(1)
        unix = piece.replace(b"\r\n", b"\n")
        self.assertEqual(arrived.partition(b"\n\n")[2], unix * 75 * 464)

    async def test_pinned_both_ways(self) -> None:
        """Postfix relays for our key, and is believed for its own."""
        courier = self.pinned(pin_of(THEIRS), OURS)
        reports = await gatherResults([courier.send(parcel(ALICE)) for _ in range(20)])
        self.assertTrue(all(report.replies and delivered(report) for report in reports))
        arrived = self.postfix.collect(20)
        self.assertEqual(len(arrived), 20)
        self.assertIn(b"TLSv1.3", arrived[0])
        self.assertIn(HEADER.partition(b"\r\n")[0], arrived[0])

    async def test_another_gateway_s_key(self) -> None:
        """A gateway with another key is away, and gets nothing."""
        told: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_namespace", "").startswith("postmand"):
                told.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        report = await self.pinned(pin_of(OTHER), OURS).send(parcel(ALICE))
        self.assertEqual((report, self.counts), (Report(), ["gateway-away"]))
        self.assertEqual(told, ["gateway 1 is away: link-pin"])

    async def test_another_client_s_key(self) -> None:
        """Without our key Postfix relays nothing, and no mail is sent back for it."""
        report = await self.pinned(pin_of(THEIRS), OTHER).send(parcel(ALICE))
        self.assertEqual(report.replies[ALICE].code, 454)
        self.assertEqual(report.replies[ALICE].enhanced, "4.7.1")


class SinkTests(PeerCase):
    """Postfix's smtp-sink, which misbehaves when told to."""

    def sink(self, *options: str) -> Gateway:
        """Start a sink that ends with the test."""
        sink = Sink(need("smtp-sink", "postfix"), *options)
        self.addCleanup(sink.stop)
        return Gateway(f"tcp:127.0.0.1:{sink.port}")

    async def send(self, courier: Courier, count: int = 50) -> list[Report]:
        """Send so many mails at once."""
        sendings = [courier.send(parcel(ALICE)) for _ in range(count)]
        reports: list[Report] = await gatherResults(sendings)
        return reports

    async def test_one_hangs_up(self) -> None:
        """Whatever the one hangs up on before the dot, the other takes all."""
        for command in ("connect", "ehlo", "mail", "rcpt", "data"):
            courier = self.courier(self.sink("-q", command), self.sink())
            for report in await self.send(courier):
                self.assertTrue(report.replies and delivered(report), command)

    async def test_one_refuses_itself(self) -> None:
        """A gateway that refuses greeting or sender in general is passed by."""
        for command in ("connect", "ehlo"):
            courier = self.courier(self.sink("-f", command), self.sink())
            for report in await self.send(courier):
                self.assertTrue(report.replies and delivered(report), command)

    async def test_hangs_up_on_the_dot(self) -> None:
        """That is the one window in which a mail may come twice: it is counted."""
        courier = self.courier(self.sink("-q", "."), self.sink())
        reports = await self.send(courier)
        doubtful = sum(report.doubtful for report in reports)
        self.assertGreater(doubtful, 0)
        self.assertEqual(self.counts.count("doubtful"), doubtful)
        for report in reports:
            self.assertNotEqual(report.doubtful, bool(report.replies))

    async def test_refuses_recipients(self) -> None:
        """Its refusal reaches the report, for good or for now."""
        for option, code in (("-f", 500), ("-r", 450)):
            (report,) = await self.send(self.courier(self.sink(option, "rcpt")), 1)
            self.assertEqual(report.replies[ALICE].code, code)

    async def test_without_esmtp_bursts(self) -> None:
        """A server without PIPELINING is spoken to step by step."""
        courier = self.courier(self.sink("-p"))
        for report in await self.send(courier):
            self.assertTrue(report.replies and delivered(report))
