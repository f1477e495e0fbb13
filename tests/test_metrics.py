"""The page of counters: what it shows, when it changes, and whom it answers."""

from __future__ import annotations

import io
import re

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.abroad import Tally
from postmand.counts import Counts
from postmand.metrics import Gauges, LagProbe, MetricsFactory, Published

PEER = IPv4Address("TCP", "127.61.62.63", 61626)
GET = b"GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n"


def samples(page: bytes) -> dict[str, float]:
    """Return the page's numbers by name and label."""
    lines = page.decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


class Transport(StringTransportWithDisconnection):
    """A connection from PEER that can be cut."""

    def __init__(self) -> None:
        super().__init__(peerAddress=PEER)

    def loseConnection(self) -> None:
        """Cut it, and be known to be cut, as a real one."""
        self.disconnecting = True
        super().loseConnection()

    def abortConnection(self) -> None:
        """Cut it."""
        self.loseConnection()


class PageTest(SynchronousTestCase):
    """What is published."""

    def setUp(self) -> None:
        """Count into a page whose gauges the test sets."""
        self.counts = Counts()
        self.pool, self.lag = 0, 0.0
        gauges = Gauges(pool=lambda: self.pool, lag=lambda: self.lag)
        self.published = Published(self.counts, gauges)

    def shown(self) -> dict[str, float]:
        """Return what the page shows now."""
        return samples(self.published.page())

    def test_before_the_first_tick(self) -> None:
        """All is 0: a rate can be computed from the first event on."""
        shown = self.shown()
        self.assertEqual(set(shown.values()), {0.0})
        self.assertEqual(
            set(shown),
            {
                "postmand_accepted_total",
                "postmand_released_total",
                "postmand_held_total",
                "postmand_bounces_total",
                *(
                    f'postmand_relay_total{{result="{result}"}}'
                    for result in (
                        "delivered",
                        "retry",
                        "failed",
                        "doubtful",
                        "no-gateway",
                    )
                ),
                "postmand_queue_pool_messages",
                "postmand_reactor_lag_seconds",
            },
        )

    def test_numbers(self) -> None:
        """Every count stands under its name, with its reason where it has one."""
        self.counts.count("accepted", times=5)
        self.counts.count("refused", "quota-spent", times=2)
        self.counts.count("refused", "no-such-user")
        self.counts.count("released", times=4)
        self.counts.count("held", times=2)
        self.counts.count("relay", "delivered", times=3)
        self.counts.count("relay", "doubtful")
        self.counts.count("bounces")
        self.pool, self.lag = 7, 0.12345
        self.published.publish()
        shown = self.shown()
        for name, value in (
            ("postmand_accepted_total", 5),
            ('postmand_refused_total{reason="quota-spent"}', 2),
            ('postmand_refused_total{reason="no-such-user"}', 1),
            ("postmand_released_total", 4),
            ("postmand_held_total", 2),
            ('postmand_relay_total{result="delivered"}', 3),
            ('postmand_relay_total{result="doubtful"}', 1),
            ('postmand_relay_total{result="retry"}', 0),
            ("postmand_bounces_total", 1),
            ("postmand_queue_pool_messages", 7),
            ("postmand_reactor_lag_seconds", 0.123),
        ):
            self.assertEqual(shown[name], value, name)

    def test_what_the_queue_tells(self) -> None:
        """What is released or held is no fault; what has no name of its own is."""
        tally = Tally(self.counts)
        for name in ("released", "held", "deferred", "store-busy"):
            tally.queue(name, 2)
        self.assertEqual(
            self.counts.snapshot(),
            {
                ("released", ""): 2,
                ("held", ""): 2,
                ("relay", "retry"): 2,
                ("faults", "store-busy"): 2,
            },
        )

    def test_stands_still_between_ticks(self) -> None:
        """Not an octet of the page tells what happened since the last tick."""
        self.counts.count("accepted")
        self.published.publish()
        before = self.published.page()
        self.counts.count("accepted")
        self.counts.count("refused", "quota-spent")
        self.pool, self.lag = 3, 1.0
        self.assertEqual(self.published.page(), before)
        self.published.publish()
        self.assertNotEqual(self.published.page(), before)

    def test_gauges_are_asked_by_the_tick_alone(self) -> None:
        """Looking at the page measures nothing and takes nothing away."""
        asked = []
        published = Published(self.counts, Gauges(lag=lambda: asked.append(1) or 0.5))
        published.page()
        self.assertEqual(asked, [])
        published.publish()
        published.page()
        published.page()
        self.assertEqual(asked, [1])

    def test_nothing_of_machine_process_or_account(self) -> None:
        """Only our metrics: no Python, no process, no start; no labels but two."""
        self.counts.count("refused", "alice@mail.i2p")
        self.published.publish()
        text = self.published.page().decode()
        self.assertNotIn("alice", text)
        names = {line.split(" ")[2] for line in text.splitlines() if line[0] == "#"}
        self.assertEqual({name.split("_")[0] for name in names}, {"postmand"})
        self.assertNotIn("_created", text)
        self.assertLessEqual(set(re.findall(r"[{,](\w+)=", text)), {"reason", "result"})


class ServingTest(SynchronousTestCase):
    """Who asks for the page, and what is answered."""

    def setUp(self) -> None:
        """A factory on a clock; all that is logged is kept."""
        self.clock = Clock()
        counts = Counts()
        counts.count("accepted", times=3)
        self.published = Published(counts, Gauges())
        self.published.publish()
        self.factory = MetricsFactory(self.published, self.clock)
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)
        self.logged: list[object] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def connect(self) -> Transport:
        """Open a connection."""
        protocol = self.factory.buildProtocol(PEER)
        assert protocol is not None
        transport = Transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def ask(self, request: bytes) -> bytes:
        """Send a request on a connection of its own; return all that comes."""
        transport = self.connect()
        transport.protocol.dataReceived(request)
        answer = transport.value()
        if transport.connected:
            transport.loseConnection()
        return answer

    def test_page(self) -> None:
        """The page of the last tick, whole, with the type Prometheus reads."""
        head, _, body = self.ask(GET).partition(b"\r\n\r\n")
        self.assertEqual(body, self.published.page())
        lines = head.split(b"\r\n")
        self.assertEqual(lines[0], b"HTTP/1.1 200 OK")
        self.assertEqual(
            sorted(lines[1:]),
            [
                b"Cache-Control: no-store",
                b"Content-Length: %d" % len(body),
                b"Content-Type: text/plain; version=0.0.4; charset=utf-8",
            ],
        )

    def test_forms_of_the_address(self) -> None:
        """With a query, with its host, over HTTP/1.0: the same page."""
        for line in (
            b"GET /metrics?a=b HTTP/1.1",
            b"GET http://localhost:9125/metrics HTTP/1.1",
            b"GET /metrics HTTP/1.0",
        ):
            answer = self.ask(line + b"\r\nHost: a\r\n\r\n")
            self.assertIn(b" 200 OK\r\n", answer, line)
            self.assertTrue(answer.endswith(self.published.page()), line)

    def test_other_methods(self) -> None:
        """Anything but GET is 405 and says what is allowed."""
        for method in (b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"X"):
            answer = self.ask(method + b" /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 405 "), method)
            self.assertIn(b"\r\nAllow: GET\r\n", answer)
            self.assertNotIn(b"postmand_", answer)

    def test_other_places(self) -> None:
        """There is one page."""
        for place in (b"/", b"/metrics/", b"/metrics/x", b"//metrics", b"*", b"//["):
            answer = self.ask(b"GET " + place + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 404 "), place)
            self.assertNotIn(b"postmand_", answer)

    def test_no_banner(self) -> None:
        """Neither software nor clock is told, whatever is asked."""
        for request in (
            GET,
            b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            b"EHLO localhost\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\n" + b"A: " + b"x" * 9_000 + b"\r\n" * 2,
            b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 600 + b"\r\n",
        ):
            answer = self.ask(request).lower()
            self.assertTrue(answer.startswith(b"http/1.1 "), request[:40])
            for word in (b"server:", b"date:", b"twisted", b"python"):
                self.assertNotIn(word, answer, request[:40])

    def test_requests_in_a_row(self) -> None:
        """A scraper keeps its connection, and may ask ahead."""
        transport = self.connect()
        transport.protocol.dataReceived(GET * 3)
        self.assertEqual(transport.value().count(b"HTTP/1.1 200 OK"), 3)
        self.assertTrue(transport.connected)

    def test_a_body_is_not_kept(self) -> None:
        """However long a body is, it goes nowhere; the answer is the same."""
        transport = self.connect()
        transport.protocol.dataReceived(
            b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"
        )
        request = transport.protocol.requests[0]
        for _ in range(30):
            self.assertEqual(transport.value(), b"")
            transport.protocol.dataReceived(bytes(100_000))
            self.assertIsNone(request.content)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 405 "))

    def test_nothing_is_logged(self) -> None:
        """No line for a request, a refusal, an idle connection, or a lost one."""
        access = self.factory._logFile = io.StringIO()
        self.ask(GET)
        self.ask(b"nonsense\r\n\r\n")
        idle = self.connect()
        self.clock.advance(60)
        self.assertFalse(idle.connected)
        self.assertEqual(self.logged, [])
        self.assertEqual(access.getvalue(), "")

    def test_few_at_a_time(self) -> None:
        """The seventeenth connection is none; when one ends there is room again."""
        open_ = [self.connect() for _ in range(16)]
        self.assertIsNone(self.factory.buildProtocol(PEER))
        open_.pop().loseConnection()
        self.connect()
        self.assertIsNone(self.factory.buildProtocol(PEER))

    def test_no_call_is_left(self) -> None:
        """Where nobody is connected nothing wakes the reactor for the page."""
        self.ask(GET)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LagTest(SynchronousTestCase):
    """How late the reactor is."""

    def setUp(self) -> None:
        """A probe that looks each second, on a clock."""
        self.clock = Clock()
        self.probe = LagProbe(self.clock, seconds=1.0)
        self.probe.startService()

    def stall(self, seconds: float) -> None:
        """Let time pass in which the reactor runs nothing."""
        self.clock.rightNow += seconds

    def test_in_time(self) -> None:
        """A reactor that runs what is due has no lag."""
        self.clock.pump([0.25] * 40)
        self.assertEqual(self.probe.take(), 0.0)

    def test_worst(self) -> None:
        """The longest stall since it was asked before is told, once."""
        for late in (0.25, 2.0, 0.5):
            self.stall(1.0 + late)
            self.clock.advance(0)
        self.assertEqual(self.probe.take(), 2.0)
        self.clock.pump([0.25] * 8)
        self.assertEqual(self.probe.take(), 0.0)

    def test_a_stall_that_lasts(self) -> None:
        """A probe that is overdue when it is asked counts as late already."""
        self.stall(4.0)
        self.assertEqual(self.probe.take(), 3.0)

    def test_a_clock_set_back(self) -> None:
        """Nothing is ever early."""
        self.stall(-100.0)
        self.assertEqual(self.probe.take(), 0.0)

    def test_stopped(self) -> None:
        """A probe that was stopped wakes nobody and tells nothing."""
        self.probe.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.probe.take(), 0.0)
