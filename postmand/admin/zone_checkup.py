"""The doctor's look at a gateway's names, live: what the DNS says of it today."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import dns.exception
import dns.resolver
import dns.reversename

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config, Exchange, Exit
from postmand.dns.addresses import Networks
from postmand.dns.wire import Server
from postmand.gateway_keys import GatewayKeys
from postmand.store import certificates

_SECONDS = 5.0
# Addresses of documentation (RFC 5737, RFC 3849): nobody has a way of his own there.
_FAR = ("192.0.2.1", "2001:db8::1")
_PUBLISH = "publish what postmanctl gateway records prints"


class _Zone:
    """The DNS as the gateway's resolver tells it."""

    def __init__(self, exit_: Exit) -> None:
        server = Server.read(exit_.resolver)
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [server.host]
        self._resolver.port = server.port
        self._resolver.lifetime = _SECONDS

    def texts(self, name: str, kind: str) -> list[str]:
        """Return the records; raises DNSException where nobody answers."""
        try:
            answer = self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        return [record.to_text().lower() for record in answer]


def check_zone(config: Config) -> Iterator[Finding]:
    """Tell whether MX, SPF, DMARC, TLSA and PTR are there and agree with us."""
    exchange, exit_ = config.exchange, config.exit or Exit()
    if exchange is None:
        return
    try:
        yield from _findings(config, exchange, _Zone(exit_))
    except (dns.exception.DNSException, ValueError):
        yield fail(
            f"DNS: the resolver {exit_.resolver} does not answer",
            "start it, or name another at [exit] resolver",
        )


def _findings(config: Config, exchange: Exchange, zone: _Zone) -> Iterator[Finding]:
    domain, name = config.node.internet_domain, exchange.host_name
    wanted = {
        f"MX of {domain}": any(
            text.split()[-1] == f"{name}." for text in zone.texts(domain, "MX")
        ),
        f"SPF of {domain}": _has(zone, domain, "v=spf1"),
        f"DMARC of {domain}": _has(zone, f"_dmarc.{domain}", "v=dmarc1"),
    }
    for what, there in wanted.items():
        yield ok(f"DNS: {what}") if there else fail(f"DNS: no {what}", _PUBLISH)
    yield from _addresses(name, config.exit or Exit(), zone)
    yield from _keys(config, zone.texts(f"_25._tcp.{name}", "TLSA"), name)
    if not _has(zone, f"_mta-sts.{domain}", "v=stsv1"):
        yield warn(f"DNS: no MTA-STS of {domain}", _PUBLISH)


def _keys(config: Config, tlsa: list[str], name: str) -> Iterator[Finding]:
    exchange = config.exchange or Exchange()
    made = exchange.certificate or (config.state / certificates.OWN).exists()
    if not tlsa:
        yield warn(f"DNS: no TLSA for {name}", f"with DNSSEC, {_PUBLISH}")
    elif made and GatewayKeys(config).tlsa() in tlsa:
        yield ok(f"DNS: TLSA for {name} is our key's")
    else:
        yield fail(f"DNS: TLSA for {name} is another key's", _PUBLISH)


def _addresses(name: str, exit_: Exit, zone: _Zone) -> Iterator[Finding]:
    """Look at where mail leaves from, and at what the name says."""
    texts = zone.texts(name, "A") + zone.texts(name, "AAAA")
    published = [str(ip_address(text)) for text in texts]
    if not published:
        yield fail(f"DNS: {name} has no address", _PUBLISH)
    leaving = _leaving(exit_)
    for address in leaving:
        yield _named(address, name, published)
    outside = [one for one in leaving if Networks().public(one)]
    for address in dict.fromkeys([*published, *outside]):
        back = dns.reversename.from_address(address).to_text()
        if f"{name}." in zone.texts(back, "PTR"):
            yield ok(f"DNS: {address} leads back to {name}")
        else:
            yield warn(
                f"DNS: {address} does not lead back to {name}",
                "have its provider set the PTR, or mail from it is taken for spam",
            )


def _named(address: str, name: str, published: list[str]) -> Finding:
    """Judge one address that mail leaves from."""
    if address in published:
        return ok(f"exit: mail leaves from {address}, as {name} says")
    what = f"exit: mail leaves from {address}, which is no address of {name}"
    if not Networks().public(address):
        return warn(what, f"where a router changes it, see that it is one of {name}'s")
    return fail(what, f"publish it, or name one of {name}'s at [exit] source")


def _leaving(exit_: Exit) -> list[str]:
    """Return the addresses that mail leaves from: named, or the system's choice."""
    if exit_.source:
        return [str(ip_address(text)) for text in exit_.source]
    return [address for far in _FAR if (address := chosen_source(far))]


def chosen_source(far: str) -> str:
    """Return where the system would leave from on its way to an address, or "".

    Nothing is sent.
    """
    family = socket.AF_INET6 if ":" in far else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 25))
            address: str = probe.getsockname()[0]
    except OSError:
        return ""
    return address


def _has(zone: _Zone, name: str, start: str) -> bool:
    return any(text.strip('"').startswith(start) for text in zone.texts(name, "TXT"))
