"""The wiring of mail to and from the Internet, where the configuration has gateways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint

from postmand.config import Config, ConfigError, Inbound, Submission
from postmand.config.places import listens_here_only
from postmand.counts import Counts
from postmand.delivery.door import Door
from postmand.delivery.gateway import Courier
from postmand.link import new_identity
from postmand.message.border import Border
from postmand.message.dkim import SigningKey
from postmand.notice import INotice
from postmand.postoffice import (
    Abroad,
    Allowance,
    QuotaDesk,
    Release,
    StampCounter,
    Stationery,
)
from postmand.postoffice.arrivals import Arrivals, ArrivalSettings
from postmand.postoffice.office import PostOffice
from postmand.postoffice.release import ReleaseSettings
from postmand.queue.clock import QueueClock
from postmand.queue.means import nobody
from postmand.queue.pace import Pace
from postmand.queue.pool import Pool
from postmand.queue.runner import Runner
from postmand.rules import hashcash, quota
from postmand.servers.hostlink import HostLink
from postmand.site import Site
from postmand.store import crates
from postmand.store.nodekey import NodeKeyError, operator
from postmand.store.nodekeys import (
    DKIM,
    FORMER_DKIM,
    LINK,
    NodeKeys,
    open_node_keys,
)
from postmand.store.opening import Store
from postmand.store.quotas import Quotas
from postmand.store.retired import Retired
from postmand.store.upgrade import upgrade

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

    from postmand.postoffice.desks import Answer


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
        self._runner.cease()
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


def node_keys(config: Config, url: str) -> NodeKeys | None:
    """Return what only the node's key opens, or None for a node that needs none.

    Asks for a passphrase where there is one. Raises ConfigError.
    """
    if not config.needs_node_key:
        return None
    try:
        upgrade(url)
        return open_node_keys(
            config.database, config.node.key, config.state, operator()
        )
    except NodeKeyError as error:
        raise ConfigError(f"{config.source}: [node] key: {error}") from None


@frozen
class Way:
    """The mail host's way to the Internet: for the office, and to be run."""

    office: Abroad
    desks: Mapping[str, Answer]
    counter: StampCounter
    pool: Pool
    clock: QueueClock
    running: IService


def way(site: Site, store: Store, keys: NodeKeys, notice: INotice | None = None) -> Way:
    """Wire the way out; `notice` is told of reports. Blocks for the database."""
    config, clocks, random = site.config, site.clocks, site.random
    queue, quotas = store.queue, store.quotas
    if queue is None or quotas is None:
        raise RuntimeError("the store was opened without the node's key")
    clock = QueueClock(clocks.wall, clocks.steady)
    domain = config.node.mail_domain
    counter = StampCounter(quotas, domain, config.quota.stamp_days, clocks.wall)
    release = Release(
        _release_settings(config),
        queue,
        store.accounts,
        _signer(config, keys),
        seconds=clocks.wall,
        clock=clock,
        random=random,
        in_thread=site.washing,
    )
    courier = _courier(site, keys, clock)
    pool = Pool(queue, config.delays, random)
    runner = Runner(
        queue,
        pool,
        courier,
        release.release,
        release.bounce,
        now=clock.now,
        reactor=site.reactor,
        random=random,
        pace=Pace(config.delays.tick_seconds, config.relay.at_once, config.relay),
        count=Tally(site.counts).queue,
        arrived=notice.arrived if notice else nobody,
    )
    rules = quota.Rules.from_config(config.quota)
    office = Abroad(Allowance(quotas, rules, clocks.wall), config.delays, clock.base)
    desks = {"quota": _quota_desk(site, quotas, counter, rules).answer}
    return Way(office, desks, counter, pool, clock, Running(runner, courier))


def _quota_desk(
    site: Site, quotas: Quotas, counter: StampCounter, rules: quota.Rules
) -> QuotaDesk:
    return QuotaDesk(
        quotas,
        counter,
        rules,
        hashcash.Prices.from_config(site.config.quota).least_bits,
        stationery(site),
    )


def stationery(site: Site) -> Stationery:
    """Return what the desks write their answers on."""
    domain = site.config.node.mail_domain.encode()
    return Stationery(domain, site.clocks.wall, site.random)


def entrance(
    site: Site, inbound: Inbound, office: PostOffice, keys: NodeKeys, out: Way
) -> IProtocolFactory:
    """Return what listens for gateways that bring mail from the Internet."""
    config, most = site.config, _most_octets(site.config)
    pinned = any(one.pin for one in config.gateways)
    if not pinned and not all(map(listens_here_only, inbound.listen)):
        raise ConfigError(
            f"{config.source}: [inbound] listen: no gateway has a pin, so it must be "
            "of this machine; pair the gateways, or add interface=127.0.0.1"
        )
    hours_worth(config, inbound)
    arrivals = Arrivals(
        ArrivalSettings(
            _border(config),
            own_keys(keys),
            most,
        ),
        office,
        seconds=site.clocks.wall,
        random=site.random,
        in_thread=site.washing,
        counts=site.counts,
        leaves=out.clock.base,
    )
    link = HostLink(
        config.gateways,
        inbound,
        config.limits,
        host_name=config.node.mail_domain.encode(),
        max_message_bytes=most,
        max_crate_bytes=crates.most_octets(most),
        identity=link_identity(keys),
        office=arrivals,
        open_sealed=crates.opener(keys.key.public_key, keys.key.secret_key),
        new_spool=site.new_spool,
        in_thread=site.washing,
        reactor=site.reactor,
        counts=site.counts,
        retired=Retired(config.state).holds,
        signs=_selector(keys),
    )
    return link.listening()


def hours_worth(config: Config, inbound: Inbound) -> None:
    """See that an hour's cap lets through what may come at all; or ConfigError.

    What is larger would be told to come again, for ever.
    """
    least = crates.most_octets(_most_octets(config))
    if inbound.bytes_per_hour < least:
        raise ConfigError(
            f"{config.source}: [inbound] bytes_per_hour: must be {least} at least: so "
            "large is the largest message ([submission] max_message_bytes), sealed"
        )


def _most_octets(config: Config) -> int:
    return (config.submission or Submission()).max_message_bytes


def own_keys(keys: NodeKeys) -> tuple[bytes, ...]:
    """Return what the DNS says of our own DKIM key, and said of the one before it.

    Members' mail that was signed with that comes back from lists for a while.
    """
    kept = [keys.get(name) for name in (DKIM, FORMER_DKIM)]
    return tuple(
        SigningKey.from_octets(octets).published()
        for octets in kept
        if octets is not None
    )


def _selector(keys: NodeKeys) -> bytes:
    """Return the name of the key that members' mail is signed with, or b""."""
    octets = keys.get(DKIM)
    return SigningKey.from_octets(octets).selector.encode() if octets else b""


def _border(config: Config) -> Border:
    names = config.node
    return Border(names.mail_domain.encode(), names.internet_domain.encode())


def _release_settings(config: Config) -> ReleaseSettings:
    names = config.node
    host_name = config.submission.host_name if config.submission else names.mail_domain
    return ReleaseSettings(
        host_name.encode(),
        _border(config),
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


def _doors(site: Site) -> Callable[[str], IStreamClientEndpoint]:
    """Return what makes an endpoint of a gateway's string; no two have the same."""
    pins = {one.endpoint: one.pin for one in site.config.gateways}
    retired = Retired(site.config.state)

    def door(text: str) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = clientFromString(site.reactor, text)
        pin = pins[text]
        if not pin:
            return endpoint
        return Door(endpoint, lambda: retired.holds(pin), site.reactor)

    return door


def _courier(site: Site, keys: NodeKeys, clock: QueueClock) -> Courier:
    config = site.config
    try:
        return Courier(
            config.gateways,
            config.relay,
            name=config.node.mail_domain.encode(),
            identity=link_identity(keys),
            dial=_doors(site),
            reactor=site.reactor,
            rng=site.random,
            count=Tally(site.counts).courier,
            now=clock.now,
        )
    except (ValueError, TypeError, LookupError):
        raise ConfigError(
            f"{config.source}: [gateways] endpoint: is none; write it as "
            '"tcp:127.0.0.1:2526"'
        ) from None
