"""Which addresses lie on the Internet, and which must never be asked or believed.

The tables are IANA's registries of special-purpose addresses (RFC 6890) as of 2025;
the standard library's change with Python's version, and a gateway's must not.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from attrs import field, frozen

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PUBLIC = "public"
MALFORMED = "malformed"

# The first that fits names the place.
_PLACES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")),
    ("link-local", ("169.254.0.0/16", "fe80::/10", "fec0::/10")),
    ("shared", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("documentation", ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),
    ("documentation", ("2001:db8::/32", "3fff::/20")),
    ("reserved", ("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")),
    ("reserved", ("2001::/23", "2620:4f:8000::/48", "5f00::/16", "100::/64")),
)
# Where an IPv6 address holds an IPv4 one that is reached through it, and how many bits
# stand behind that: mapped, compatible, translated (RFC 4291 2.5.5, RFC 2765 2.1),
# NAT64 (RFC 6052 2.1), 6to4 (RFC 3056 2).
_EMBEDDING: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
# What IANA has given out to be routed; all else is reserved (RFC 4291 2.4).
_GLOBAL = IPv6Network("2000::/3")

_TABLE: tuple[tuple[str, Network], ...] = tuple(
    (place, ip_network(network)) for place, many in _PLACES for network in many
)


def _networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)


@frozen
class Networks:
    """Where addresses lie, seen from a gateway.

    `own` are the gateway's own addresses: nothing of it leads back to itself. `allowed`
    are taken for public although they are not: a network of tests. Both are texts of
    addresses or networks; ValueError for any other.
    """

    own: tuple[Network, ...] = field(default=(), converter=_networks)
    allowed: tuple[Network, ...] = field(default=(), converter=_networks)

    def place(self, text: str) -> str:
        """Return PUBLIC, or the name of where else an address lies.

        "own", "loopback", "unspecified", "private", "link-local", "shared",
        "multicast", "documentation", "reserved", or MALFORMED for what is no address.
        An IPv6 address that leads to an IPv4 one lies where that lies.
        """
        try:
            address = ip_address(text)
        except ValueError:
            return MALFORMED
        forms = (address, *embedded(address))
        if _within(forms, self.own):
            return "own"
        if _within(forms, self.allowed):
            return PUBLIC
        return _place(forms[-1])

    def public(self, text: str) -> bool:
        """Whether an address lies on the Internet and is not our own."""
        return self.place(text) == PUBLIC


def embedded(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 address that an IPv6 one leads to, if it does."""
    # Neither is an IPv4 address of anybody's.
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return ()
    number = int(address)
    return tuple(
        IPv4Address(number >> behind & 0xFFFFFFFF)
        for network, behind in _EMBEDDING
        if address in network
    )[:1]


def _within(forms: Iterable[Address], networks: Iterable[Network]) -> bool:
    return any(form in network for network in networks for form in forms)


def _place(address: Address) -> str:
    for place, network in _TABLE:
        if address in network:
            return place
    if isinstance(address, IPv6Address) and address not in _GLOBAL:
        return "reserved"
    return PUBLIC
