"""The counters on a page for Prometheus, published in ticks.

A page that followed each event would tell who watches it when a mail came and when it
left; between two ticks this one does not change. It has no word of the machine, the
process or its start, and no entry for an account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import field, frozen
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.application.service import Service
from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel, HTTPFactory, Request

from postmand.counts import Counts

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IDelayedCall
    from twisted.python.failure import Failure

PATH = b"/metrics"

# Prometheus' text format, which every version of it reads.
_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
# Connections to the page at a time, and how long one may be idle.
_CONNECTIONS = 16
_IDLE_SECONDS = 30
_PROBE_SECONDS = 0.1

# name of the count, what it is, and the label of its reasons ("" where it has none).
_COUNTERS = (
    ("accepted", "Messages accepted, from members and from the Internet.", ""),
    ("refused", "Refusals, by reason.", "reason"),
    ("released", "Messages released to the Internet.", ""),
    ("held", "Messages held back, their account being disabled.", ""),
    ("relay", "Tries to hand mail to a gateway, by what came of them.", "result"),
    ("bounces", "Recipients whose sender was told that they get nothing.", ""),
    ("faults", "What went wrong, by kind.", "kind"),
)
# Shown from the start: an alarm needs the 0 before the first 1.
_RESULTS = ("delivered", "retry", "failed", "doubtful", "no-gateway")


@frozen
class Gauges:
    """What is measured at a tick: each is asked once, when the tick publishes.

    `pool` gives the messages that wait in the pool; `lag` the seconds by which the
    reactor was late at worst since it was asked before.
    """

    pool: Callable[[], int] = lambda: 0
    lag: Callable[[], float] = lambda: 0.0


@frozen
class _Snapshot:
    counts: Mapping[tuple[str, str], int] = field(factory=dict)
    pool: int = 0
    lag: float = 0.0


class Published:
    """Counts and gauges as they were at the last tick; before the first all are 0."""

    def __init__(self, counts: Counts, gauges: Gauges) -> None:
        self._counts = counts
        self._gauges = gauges
        self._shown = _Snapshot()
        # Of its own: the package's has the Python version and the process's start.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def publish(self) -> None:
        """Show what is true now, until the next call. For the tick and nobody else."""
        self._shown = _Snapshot(
            self._counts.snapshot(), self._gauges.pool(), self._gauges.lag()
        )

    def page(self) -> bytes:
        """Return the page in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the last tick (prometheus_client's Collector)."""
        shown = self._shown
        for name, what, label in _COUNTERS:
            yield _counter(shown.counts, name, what, label)
        yield GaugeMetricFamily(
            "postmand_queue_pool_messages",
            "Messages that wait in the pool, up to four of an account and size.",
            value=shown.pool,
        )
        yield GaugeMetricFamily(
            "postmand_reactor_lag_seconds",
            "By how much the reactor was late at worst since the last tick.",
            value=round(max(0.0, shown.lag), 3),
        )


def _counter(
    counts: Mapping[tuple[str, str], int], name: str, what: str, label: str
) -> Metric:
    full = f"postmand_{name}"
    found = {reason: number for (of, reason), number in counts.items() if of == name}
    if not label:
        return CounterMetricFamily(full, what, value=sum(found.values()))
    family = CounterMetricFamily(full, what, labels=[label])
    if label == "result":
        found = dict.fromkeys(_RESULTS, 0) | found
    for reason, number in sorted(found.items()):
        family.add_metric([reason or "other"], number)
    return family


class _Request(Request):
    """A request, of which nothing but its first line is looked at."""

    def gotLength(self, length: int | None) -> None:
        """Keep no body: Twisted would, whatever its size."""

    def handleContentChunk(self, data: bytes) -> None:
        """Drop it."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Have it answered."""
        self.method, self.uri, self.clientproto = command, path, version
        self.channel.factory.answer(self)


class _Channel(HTTPChannel):
    """A connection."""

    requestFactory = _Request

    def timeoutConnection(self) -> None:
        """End it; Twisted's own would tell the log who it was."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Make room for another."""
        self.factory.ended()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class MetricsFactory(HTTPFactory):
    """Shows what is published at PATH, to few at a time, and writes no log."""

    noisy = False
    protocol = _Channel  # type: ignore[assignment]

    def __init__(self, published: Published, reactor: Any) -> None:
        super().__init__(timeout=_IDLE_SECONDS, reactor=reactor)
        self._published = published
        self._open = 0

    def answer(self, request: Any) -> None:
        """Answer with the page, or say what is asked for instead."""
        code, text = self._answer(request.method, request.uri)
        request.setResponseCode(code)
        request.setHeader(b"Content-Type", _TYPE)
        request.setHeader(b"Content-Length", b"%d" % len(text))
        request.setHeader(b"Cache-Control", b"no-store")
        if code == 405:
            request.setHeader(b"Allow", b"GET")  # RFC 9110 15.5.6
        request.write(text)
        request.finish()

    def _answer(self, method: bytes, uri: bytes) -> tuple[int, bytes]:
        if method != b"GET":
            return 405, b"Only GET is answered.\n"
        try:
            path = urlsplit(uri).path  # it may have its host, RFC 9112 3.2.2
        except ValueError:
            path = b""
        if path != PATH:
            return 404, b"There is %b and nothing else.\n" % PATH
        return 200, self._published.page()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection, or none: then it is closed at once."""
        if self._open >= _CONNECTIONS:
            return None
        self._open += 1
        return super().buildProtocol(addr)

    def ended(self) -> None:
        """Note that a connection ended."""
        self._open -= 1

    def startFactory(self) -> None:
        """Open no log, and keep no clock for one."""

    def stopFactory(self) -> None:
        """There is nothing to close."""

    def log(self, request: Request) -> None:
        """Write nothing."""


class LagProbe(Service):
    """Measures while it runs by how much the reactor is late with what is due."""

    def __init__(self, reactor: Any, seconds: float = _PROBE_SECONDS) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._due = 0.0
        self._worst = 0.0
        self._call: IDelayedCall | None = None

    def take(self) -> float:
        """Return the worst since it was asked before, in seconds; begin anew."""
        worst, self._worst = self._worst, 0.0
        if self._call is None:
            return worst
        # What is overdue and has not run yet counts, too.
        late: float = self._reactor.seconds() - self._due
        return max(worst, late)

    def startService(self) -> None:
        """Begin to measure."""
        super().startService()  # type: ignore[no-untyped-call]
        self._wait()

    def stopService(self) -> None:
        """Measure no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _wait(self) -> None:
        # Not a LoopingCall, which keeps to its grid: what is due there is not told.
        self._due = self._reactor.seconds() + self._seconds
        self._call = self._reactor.callLater(self._seconds, self._look)

    def _look(self) -> None:
        self._worst = max(self._worst, self._reactor.seconds() - self._due)
        self._wait()
