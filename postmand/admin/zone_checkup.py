"""The doctor's look at a gateway's names, live: what the DNS says of it today."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import dns.exception
import dns.resolver
import dns.reversename

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config, Exchange, Exit
from postmand.dns.wire import Server
from postmand.gateway_keys import GatewayKeys

_SECONDS = 5.0
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
    yield from _addresses(name, zone)
    tlsa = zone.texts(f"_25._tcp.{name}", "TLSA")
    if not tlsa:
        yield warn(f"DNS: no TLSA for {name}", f"with DNSSEC, {_PUBLISH}")
    elif GatewayKeys(config).tlsa() in tlsa:
        yield ok(f"DNS: TLSA for {name} is our key's")
    else:
        yield fail(f"DNS: TLSA for {name} is another key's", _PUBLISH)
    if not _has(zone, f"_mta-sts.{domain}", "v=stsv1"):
        yield warn(f"DNS: no MTA-STS of {domain}", _PUBLISH)


def _addresses(name: str, zone: _Zone) -> Iterator[Finding]:
    found = zone.texts(name, "A") + zone.texts(name, "AAAA")
    if not found:
        yield fail(f"DNS: {name} has no address", _PUBLISH)
    for address in found:
        back = dns.reversename.from_address(str(ip_address(address))).to_text()
        if f"{name}." in zone.texts(back, "PTR"):
            yield ok(f"DNS: {address} leads back to {name}")
        else:
            yield warn(
                f"DNS: {address} does not lead back to {name}",
                "have its provider set the PTR, or mail from it is taken for spam",
            )


def _has(zone: _Zone, name: str, start: str) -> bool:
    return any(text.strip('"').startswith(start) for text in zone.texts(name, "TXT"))
