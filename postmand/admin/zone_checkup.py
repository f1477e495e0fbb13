"""The doctor's look at a gateway's names, live: what the DNS says of it today."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import dns.exception
import dns.reversename

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.admin.policy_checkup import check_policy
from postmand.admin.published import Published
from postmand.admin.vouching import check_spf
from postmand.config import Config, Exchange, Exit
from postmand.delivery import mta_sts
from postmand.dns.addresses import Networks
from postmand.gateway_keys import GatewayKeys
from postmand.store import certificates

# Addresses of documentation (RFC 5737, RFC 3849): nobody has a way of his own there.
_FAR = ("192.0.2.1", "2001:db8::1")
_PUBLISH = "publish what postmanctl gateway records prints"


def check_zone(config: Config) -> Iterator[Finding]:
    """Tell whether the DNS vouches for us, and whether it agrees with our keys."""
    exchange, exit_ = config.exchange, config.exit or Exit()
    if exchange is None:
        return
    try:
        yield from _findings(config, exchange, Published(exit_))
    except (dns.exception.DNSException, ValueError):
        yield fail(
            f"DNS: the resolver {exit_.resolver} does not answer",
            "start it, or name another at [exit] resolver",
        )


def _findings(config: Config, exchange: Exchange, zone: Published) -> Iterator[Finding]:
    domain, name = config.node.internet_domain, exchange.host_name
    servers = [
        text.split()[-1].removesuffix(".").lower() for text in zone.texts(domain, "MX")
    ]
    wanted = {
        f"MX of {domain}": name in servers,
        f"DMARC of {domain}": _has(zone, f"_dmarc.{domain}", "v=dmarc1"),
    }
    for what, there in wanted.items():
        yield ok(f"DNS: {what}") if there else fail(f"DNS: no {what}", _PUBLISH)
    exit_ = config.exit or Exit()
    yield from _addresses(name, exit_, zone)
    yield from check_spf(domain, name, _seen_from(name, exit_, zone), zone.records)
    tlsa = [text.lower() for text in zone.texts(f"_25._tcp.{name}", "TLSA")]
    yield from _keys(config, tlsa, name)
    if mta_sts.record_id(zone.texts(f"_mta-sts.{domain}", "TXT")) is None:
        yield warn(f"DNS: no MTA-STS of {domain}", _PUBLISH)
    else:
        where = _published(f"mta-sts.{domain}", zone)
        yield from check_policy(domain, servers, where)


def _keys(config: Config, tlsa: list[str], name: str) -> Iterator[Finding]:
    exchange = config.exchange or Exchange()
    made = exchange.certificate or (config.state / certificates.OWN).exists()
    if not tlsa:
        yield warn(f"DNS: no TLSA for {name}", f"with DNSSEC, {_PUBLISH}")
    elif made and GatewayKeys(config).tlsa() in tlsa:
        yield ok(f"DNS: TLSA for {name} is our key's")
    else:
        yield fail(f"DNS: TLSA for {name} is another key's", _PUBLISH)


def _addresses(name: str, exit_: Exit, zone: Published) -> Iterator[Finding]:
    """Look at where mail leaves from, and at what the name says."""
    published = _published(name, zone)
    if not published:
        yield fail(f"DNS: {name} has no address", _PUBLISH)
    leaving = _leaving(exit_)
    for address in leaving:
        yield _named(address, name, published)
    outside = [one for one in leaving if Networks().public(one)]
    for address in dict.fromkeys([*published, *outside]):
        back = dns.reversename.from_address(address).to_text()
        if f"{name}." in map(str.lower, zone.texts(back, "PTR")):
            yield ok(f"DNS: {address} leads back to {name}")
        else:
            yield warn(
                f"DNS: {address} does not lead back to {name}",
                "have its provider set the PTR, or mail from it is taken for spam",
            )


def _published(name: str, zone: Published) -> list[str]:
    texts = zone.texts(name, "A") + zone.texts(name, "AAAA")
    return [str(ip_address(text)) for text in texts]


def _seen_from(name: str, exit_: Exit, zone: Published) -> list[str]:
    """Return the addresses that others see mail come from, as far as that is known.

    What a router changes on the way is taken to become what the name says.
    """
    published = _published(name, zone)
    leaving = [
        one for one in _leaving(exit_) if one in published or Networks().public(one)
    ]
    return leaving or published


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


def _has(zone: Published, name: str, start: str) -> bool:
    return any(
        text.strip('"').lower().startswith(start) for text in zone.texts(name, "TXT")
    )
