"""The whole node on one page: it only wires.

A role is a wiring, not a package: what the config names is built, nothing else exists.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from twisted.python import usage

from postmand.config import Config, ConfigError, load
from postmand.counts import Counts
from postmand.randomness import PooledRandom
from postmand.services import (
    Listener,
    Stack,
    Threads,
    Timer,
    allow_files,
    endpoint_for,
)
from postmand.site import Clocks, Parts, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.application.service import IService

CLOCKS = Clocks()


class Options(usage.Options):
    """`twistd postman [--config FILE]`."""

    optParameters = (
        ("config", "c", None, "configuration file (default: a built-in mail host)"),
    )


def makeService(options: Options) -> IService:
    """Return the node that the configuration names.

    A fault in it ends the program with one line that names the mend.
    """
    from twisted.internet import reactor  # noqa: PLC0415 (importing installs one)

    # Twisted's timers go by the wall's clock: set back an hour, it would stop them all
    # for as long. Whoever wants the time of day asks `Clocks.wall`.
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    try:
        config = load(options["config"])
        allow_files(_connections(config))
        return node(config, reactor)
    except ConfigError as error:
        raise SystemExit(f"postmand: {error}") from None


def _connections(config: Config) -> int:
    """Return how many sessions there may be at a server of the role's."""
    most = config.limits.connections
    return most if config.exchange is None else min(most, config.exchange.connections)


def node(config: Config, reactor: Any, clocks: Clocks = CLOCKS) -> Stack:
    """Wire a node. Opens what it keeps, which blocks; listens once it is started."""
    # The threads of the store want the interpreter for moments only, and often: with
    # CPython's 5 ms a reply waits for them (measured: a fifth more mail a second).
    sys.setswitchinterval(0.0005)
    listening = _endpoints(config, reactor)
    washing = Threads(config.limits.wash_threads, reactor, "washing")
    site = Site(config, reactor, clocks, PooledRandom(), Counts(), washing)
    parts = _role(site)
    whole = Stack()  # type: ignore[no-untyped-call]
    for service in (
        *parts.below,
        washing,
        *parts.above,
        *_metrics(site, parts),
        *(Listener(where, parts.factories[section]) for section, where in listening),
    ):
        service.setServiceParent(whole)
    return whole


def _role(site: Site) -> Parts:
    """Build the role that the configuration names; the other's code stays unread."""
    if site.config.exchange is not None or site.config.link is not None:
        from postmand import outpost  # noqa: PLC0415

        return outpost.parts(site)
    from postmand import mailhost  # noqa: PLC0415

    return mailhost.parts(site)


def _metrics(site: Site, parts: Parts) -> Iterator[IService]:
    """Put the metrics' page among the servers, and yield what it needs to run."""
    if site.config.metrics is None:
        return
    from postmand.metrics import (  # noqa: PLC0415
        Gauges,
        LagProbe,
        MetricsFactory,
        Published,
    )

    lag = LagProbe(site.reactor)
    published = Published(site.counts, Gauges(pool=parts.pool, lag=lag.take))
    parts.factories["metrics"] = MetricsFactory(published, site.reactor)
    yield lag
    yield Timer(site.config.delays.tick_seconds, published.publish)


def _endpoints(config: Config, reactor: Any) -> list[tuple[str, Any]]:
    """Return (section, endpoint) for every place to listen at; all are free."""
    sections = {
        name: getattr(config, name)
        for name in (
            *("submission", "pop3", "web"),
            *("inbound", "exchange", "link", "metrics"),
        )
    }
    found = [
        (name, endpoint_for(reactor, f"{config.source}: [{name}] listen", text))
        for name, section in sections.items()
        if section is not None
        for text in section.listen
    ]
    texts = [
        text for section in sections.values() if section for text in section.listen
    ]
    for text in texts:
        if texts.count(text) > 1:
            raise ConfigError(
                f"{config.source}: listen: {text} is named twice; give each server a "
                "place of its own"
            )
    if not found:
        raise ConfigError(
            f"{config.source}: names no server; add [submission], [pop3] or both"
        )
    return found
