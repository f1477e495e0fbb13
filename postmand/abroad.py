"""The wiring of mail for the Internet: built where the configuration names gateways."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString

from postmand.config import Config, ConfigError
from postmand.counts import Counts
from postmand.delivery.gateway import Courier
from postmand.delivery.link import new_identity
from postmand.message.border import Border
from postmand.message.dkim import SigningKey
from postmand.postoffice import Abroad, Allowance, QuotaDesk, Release, StampCounter
from postmand.postoffice.release import ReleaseSettings
from postmand.queue.clock import QueueClock
from postmand.queue.pace import Pace
from postmand.queue.pool import Pool
from postmand.queue.runner import Runner
from postmand.rules import hashcash, quota
from postmand.store.nodekey import NodeKeyError, operator
from postmand.store.nodekeys import DKIM, LINK, NodeKeys, open_node_keys
from postmand.store.opening import Store
from postmand.store.upgrade import upgrade

if TYPE_CHECKING:
    from random import Random


class Running(Service):
    """The queue's runner and the courier behind it."""

    def __init__(self, runner: Runner, courier: Courier) -> None:
        self._runner = runner
        self._courier = courier

    def startService(self) -> None:
        """Run."""
        super().startService()  # type: ignore[no-untyped-call]
        self._runner.start()

    def stopService(self) -> Deferred[None]:
        """Begin nothing more, and wait for what is on its way."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # Side by side: what is on its way has its ten seconds once, not twice.
        courier = self._courier.stop()
        await self._runner.stop()
        await courier


# What the queue tells, in the words that the metrics have for it.
_RESULTS = {
    "delivered": "delivered",
    "deferred": "retry",
    "failed": "failed",
    "doubtful": "doubtful",
    "unreached": "no-gateway",
}


@frozen
class Tally:
    """Counts what the queue and the gateways tell."""

    counts: Counts

    def queue(self, name: str, times: int = 1) -> None:
        """Count what the runner tells."""
        if name == "released":
            self.counts.count("released", times=times)
        elif name == "held":
            self.counts.count("held", times=times)
        elif name in _RESULTS:
            self.counts.count("relay", _RESULTS[name], times)
            if name == "failed":
                self.counts.count("bounces", times=times)
        else:
            self.counts.count("faults", name, times)

    def courier(self, name: str) -> None:
        """Count what the courier tells; of doubtful mail the runner tells, too."""
        if name != "doubtful":
            self.counts.count("faults", name)


@frozen
class Clocks:
    """The wall's clock, which somebody may set, and one that nobody sets."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


def node_keys(config: Config, url: str) -> NodeKeys | None:
    """Return what only the node's key opens, or None for a node without gateways.

    Asks for a passphrase where there is one. Raises ConfigError.
    """
    if not config.gateways:
        return None
    try:
        upgrade(url)
        return open_node_keys(
            config.database, config.node.key, config.state, operator()
        )
    except NodeKeyError as error:
        raise ConfigError(f"{config.source}: [node] key: {error}") from None


@frozen
class Parts:
    """What mail for the Internet is made of: for the office, and to be run."""

    office: Abroad
    counter: StampCounter
    pool: Pool
    running: IService


def parts(
    config: Config,
    store: Store,
    keys: NodeKeys,
    reactor: Any,
    *,
    clocks: Clocks,
    random: Random,
    in_thread: Callable[..., Deferred[Any]],
    counts: Counts,
) -> Parts:
    """Wire the parts. Blocks for the database."""
    queue, quotas = store.queue, store.quotas
    if queue is None or quotas is None:
        raise RuntimeError("the store was opened without the node's key")
    clock = QueueClock(clocks.wall, clocks.steady)
    rules = quota.Rules.from_config(config.quota)
    domain = config.node.mail_domain
    counter = StampCounter(quotas, domain, config.quota.stamp_days, clocks.wall)
    prices = hashcash.Prices.from_config(config.quota)
    desk = QuotaDesk(
        quotas,
        counter,
        rules,
        prices.least_bits,
        domain.encode(),
        clocks.wall,
        random,
    )
    office = Abroad(
        Allowance(quotas, rules, clocks.wall),
        config.delays,
        clock.base,
        {"quota": desk.answer},
    )
    release = Release(
        _release_settings(config),
        queue,
        store.accounts,
        _signer(config, keys),
        seconds=clocks.wall,
        clock=clock,
        random=random,
        in_thread=in_thread,
    )
    courier = _courier(config, keys, reactor, random, counts)
    pool = Pool(queue, config.delays, random)
    runner = Runner(
        queue,
        pool,
        courier,
        release.release,
        release.bounce,
        now=clock.now,
        reactor=reactor,
        random=random,
        pace=Pace(config.delays.tick_seconds, config.relay.at_once, config.relay),
        count=Tally(counts).queue,
    )
    return Parts(office, counter, pool, Running(runner, courier))


def _release_settings(config: Config) -> ReleaseSettings:
    names = config.node
    host_name = config.submission.host_name if config.submission else names.mail_domain
    return ReleaseSettings(
        host_name.encode(),
        Border(names.mail_domain.encode(), names.internet_domain.encode()),
        config.relay.give_up_seconds,
    )


def _signer(config: Config, keys: NodeKeys) -> Any:
    """Return what signs, or None before `postmanctl dkim make`."""
    kept = keys.get(DKIM)
    if kept is None:
        return None
    return SigningKey.from_octets(kept).signer(config.node.internet_domain)


def link_identity(keys: NodeKeys) -> bytes:
    """Return the key and certificate that gateways know the node by, as PEM.

    They are made when they are first asked for.
    """
    identity = keys.get(LINK)
    if identity is None:
        identity = new_identity()
        keys.put(LINK, identity)
    return identity


def _courier(
    config: Config, keys: NodeKeys, reactor: Any, random: Random, counts: Counts
) -> Courier:
    try:
        return Courier(
            config.gateways,
            config.relay,
            name=config.node.mail_domain.encode(),
            identity=link_identity(keys),
            dial=lambda text: clientFromString(reactor, text),
            reactor=reactor,
            rng=random,
            count=Tally(counts).courier,
        )
    except (ValueError, TypeError, LookupError):
        raise ConfigError(
            f"{config.source}: [gateways] endpoint: is none; write it as "
            '"tcp:127.0.0.1:2526"'
        ) from None
