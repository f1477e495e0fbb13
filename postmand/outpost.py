"""The wiring of a gateway: built where the configuration has [exchange] and [link]."""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString

from postmand.config import Config, ConfigError, Exchange, Exit, Link
from postmand.counts import Counts
from postmand.delivery.dialling import bind_fault, tcp, within_reach
from postmand.delivery.exit import Exit as Delivery
from postmand.delivery.forwarding import Forwarding
from postmand.delivery.host import Host
from postmand.delivery.wellknown import PolicyFile
from postmand.dns.addresses import Networks
from postmand.dns.port import SilentReactor
from postmand.dns.resolver import Resolver
from postmand.dns.wire import Server
from postmand.gateway_keys import GatewayKeys
from postmand.link import Admitting
from postmand.pairing import PairingError, key_octets
from postmand.scrutiny import AT_ONCE, Scrutiny
from postmand.scrutiny import networks as own_networks
from postmand.servers.exchange import Entrance, ExchangeFactory
from postmand.servers.ledger import Ledger
from postmand.servers.outgoing import Desk, OutgoingFactory, Settings
from postmand.servers.reception import Reception, ReceptionSettings
from postmand.servers.starttls import ServerTls
from postmand.servers.within import Within
from postmand.services import Timer
from postmand.site import Parts, Site
from postmand.store import crates
from postmand.store.database import StoreInUseError
from postmand.store.sealed_spool import SealedSpool

_SERVER = re.compile(r"\[?([0-9A-Fa-f:.]+?)\]?:([0-9]{1,5})")
# What the exit tells, in the words that the metrics have for it.
_RESULTS = {"deferred": "retry"}


class Outpost(Service):
    """What a gateway keeps going beside its servers."""

    def __init__(
        self, host: Host, forwarding: Forwarding, exit_: Delivery, spool: SealedSpool
    ) -> None:
        self._host = host
        self._forwarding = forwarding
        self._exit = exit_
        self._spool = spool

    def startService(self) -> None:
        """Reach for the host, and bring it what lies sealed."""
        super().startService()  # type: ignore[no-untyped-call]
        self._host.start()
        self._forwarding.start()

    def stopService(self) -> Deferred[Any]:
        """Begin nothing more, and let end what was begun."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # Side by side: each has its seconds once.
        leaving = Deferred.fromCoroutine(self._exit.stop())
        stopping = [self._forwarding.stop(), self._host.stop(), leaving]
        for one in stopping:
            await one
        self._spool.close()


def parts(site: Site) -> Parts:
    """Wire a gateway. Blocks for its keys; raises ConfigError."""
    config, reactor, random = site.config, site.reactor, site.random
    exchange, link, exit_ = _sections(config)
    keys = GatewayKeys(config)
    identity = keys.link()
    _host_key(config, link)
    _sources(config, exit_)
    server = _server(config, exit_.resolver)
    resolver = Resolver(SilentReactor(reactor), [server], random)
    # Strangers' questions, however many, keep none of our own waiting.
    own_resolver = Resolver(SilentReactor(reactor), [server], random)
    networks = own_networks(exchange, exit_)
    host = _host(site, exchange, link, identity)
    spool = SealedSpool(
        config.state / "sealed", exchange.sealed_messages, exchange.sealed_bytes
    )
    _open(config, spool)
    forwarding = _forwarding(site, spool, host)
    delivery = _delivery(site, exchange, exit_, own_resolver, networks)
    scrutiny = Scrutiny(site, exchange, exit_, resolver, networks)
    tls = ServerTls(keys.exchange())
    entrance = Entrance.of(
        exchange,
        config.node,
        evidence=scrutiny.evidence(),
        host=host,
        reception=_reception(site, exchange, link, host, scrutiny, spool, forwarding),
        tls=tls,
    )
    factories: dict[str, Any] = {
        "exchange": ExchangeFactory(
            entrance,
            config.limits,
            reactor,
            site.new_spool,
            site.counts,
            connections=exchange.connections,
            connections_per_peer=exchange.connections_per_peer,
        ),
        "link": _outgoing(site, exchange, link, exit_, delivery, identity),
    }
    running = Outpost(host, forwarding, delivery, spool)
    # A certificate that was renewed is found within the day.
    renewing = Timer(86_400.0, lambda: tls.replace(keys.exchange()))
    return Parts(
        factories,
        below=scrutiny.threads,
        above=[scrutiny.sweeping, renewing, running],
    )


def _host(site: Site, exchange: Exchange, link: Link, identity: bytes) -> Host:
    return Host(
        link,
        name=exchange.host_name.encode(),
        identity=identity,
        endpoint=clientFromString(site.reactor, link.host),
        reactor=site.reactor,
        rng=site.random,
        count=Tally(site.counts).link,
    )


def _forwarding(site: Site, spool: SealedSpool, host: Host) -> Forwarding:
    return Forwarding(
        spool,
        host,
        reactor=site.reactor,
        rng=site.random,
        in_thread=site.washing,
        count=Tally(site.counts).link,
    )


@frozen
class Tally:
    """Counts what the exit, the host's line and the forwarding tell."""

    counts: Counts

    def exit(self, word: str) -> None:
        """Count what became of a message to the Internet."""
        self.counts.count("relay", _RESULTS.get(word, word))

    def link(self, word: str) -> None:
        """Count what became of sealed mail, and what went wrong."""
        # What is forwarded was accepted once already, by the exchange.
        self.counts.count("relay" if word == "forwarded" else "faults", word)


def _open(config: Config, spool: SealedSpool) -> None:
    """Open the sealed spool; what the disk has against it is one line."""
    try:
        spool.open()
    except StoreInUseError:
        fault = "another gateway runs on it; stop that one first"
    except OSError as error:
        fault = f"{error.strerror}; make it a directory that this user may write to"
    else:
        return
    raise ConfigError(f"{config.source}: [node] state: {config.state}: {fault}")


def _sections(config: Config) -> tuple[Exchange, Link, Exit]:
    if config.exchange is None or config.link is None:
        raise ConfigError(
            f"{config.source}: a gateway needs [exchange] and [link]; "
            "postmanctl gateway init writes both"
        )
    return config.exchange, config.link, config.exit or Exit()


def _sources(config: Config, exit_: Exit) -> None:
    """Try the addresses that mail leaves from: each has to be this machine's."""
    for address in exit_.source:
        fault = bind_fault(address)
        if fault:
            raise ConfigError(
                f"{config.source}: [exit] source: {address}: {fault}; name an address "
                "of this machine, or none"
            )


def _server(config: Config, text: str) -> Server:
    match = _SERVER.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{config.source}: [exit] resolver: must be an address and a port, as in "
            '"127.0.0.1:53"'
        )
    return Server(match[1], int(match[2]))


def _delivery(
    site: Site,
    exchange: Exchange,
    exit_: Exit,
    resolver: Resolver,
    networks: Networks,
) -> Delivery:
    dial = tcp(site.reactor, exit_.source)
    reached = within_reach(exit_.source)
    policies = PolicyFile(
        resolver,
        public=lambda address: networks.public(address) and reached(address),
        dial=dial,
        reactor=site.reactor,
        rng=site.random,
    )
    return Delivery(
        exit_,
        exchange.host_name,
        resolver,
        public=networks.public,
        dial=dial,
        fetch=policies.fetch,
        reactor=site.reactor,
        rng=site.random,
        count=Tally(site.counts).exit,
    )


def _host_key(config: Config, link: Link) -> bytes:
    """Return the key that mail is sealed to, where it is known who may send, too."""
    # 127.0.0.1 is no trust: it is where a tunnel for everybody ends.
    if not (link.host_pin or link.unpinned):
        raise ConfigError(
            f"{config.source}: [link] host_pin: is missing; postmanctl gateway pair "
            "writes it, or whoever connects could send (to try it: unpinned = true)"
        )
    try:
        return key_octets(link.host_key)
    except PairingError:
        raise ConfigError(
            f"{config.source}: [link] host_key: is missing; postmanctl gateway pair "
            "writes it"
        ) from None


def _reception(
    site: Site,
    exchange: Exchange,
    link: Link,
    host: Host,
    scrutiny: Scrutiny,
    spool: SealedSpool,
    forwarding: Forwarding,
) -> Reception:
    limits = site.config.limits
    public_key = _host_key(site.config, link)

    async def keep(sealed: bytes) -> None:
        await site.washing(spool.add, [sealed])
        forwarding.wake()

    return Reception(
        ReceptionSettings(
            limits.header_bytes,
            limits.wash_memory,
            exchange.obey_dmarc,
            judged=AT_ONCE,
        ),
        host,
        scrutiny.authenticated,
        lambda crate: b"".join(crates.seal(crate, public_key)),
        keep,
        in_thread=site.washing,
        reactor=site.reactor,
    )


def _outgoing(
    site: Site,
    exchange: Exchange,
    link: Link,
    exit_: Exit,
    delivery: Delivery,
    identity: bytes,
) -> Any:
    config, reactor = site.config, site.reactor
    factory = OutgoingFactory(
        Settings(
            exchange.host_name,
            config.node.internet_domain,
            config.node.mail_domain,
            exchange.max_message_bytes,
            exchange.max_recipients,
        ),
        config.limits,
        reactor,
        site.new_spool,
        Desk(
            Ledger(delivery, exit_.memory_bytes, reactor),
            site.clocks.wall,
            site.random,
            site.washing,
        ),
        site.counts,
    )
    if not link.host_pin:
        return factory
    return Within(Admitting(identity, link.host_pin.__eq__), factory, reactor)
