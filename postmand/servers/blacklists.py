"""What blacklists in DNS say of a peer (RFC 5782), and whether they can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import evolve

from postmand.rules.facts import Listing, plain_name
from postmand.servers.asking import Cache, together, within

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from postmand.inbound import IResolver

# What is listed in every zone that works, and what in none (RFC 5782 5).
_POINTS = {4: ("127.0.0.2", "127.0.0.1"), 6: ("::ffff:7f00:2", "::ffff:7f00:1")}
# How long is believed what a zone's test points showed, in seconds.
_GOOD_LASTS = 3_600.0
_OTHER_LASTS = 300.0
_CODES = 16


class Blacklists:
    """The zones of the settings. A zone's test points are asked once it lists somebody.

    Each question has `seconds`.
    """

    def __init__(
        self,
        resolver: IResolver,
        zones: Iterable[str],
        reactor: IReactorTime,
        seconds: float = 8.0,
    ) -> None:
        self._resolver = resolver
        self._zones = tuple(plain_name(zone) for zone in zones)
        self._reactor = reactor
        self._seconds = seconds
        self._points: Cache[str] = Cache(
            reactor.seconds, _lasts, max(1, 2 * len(self._zones))
        )

    async def listings(self, peer: str) -> tuple[Listing, ...]:
        """Return what every zone says of an address."""
        asked = (
            within(
                2 * self._seconds,
                self._reactor,
                self._listing(zone, peer),
                Listing(zone, "failed"),
            )
            for zone in self._zones
        )
        return tuple(await together(asked))

    async def _listing(self, zone: str, peer: str) -> Listing:
        answer = await self._resolver.ask(f"{reversed_octets(peer)}.{zone}", "A")
        listing = Listing(zone, answer.status, answer.texts[:_CODES])
        if answer.status != "found":
            return listing
        version = ip_address(peer).version
        points = await self._points.ask(
            f"{version} {zone}", lambda: self._ask_points(zone, version)
        )
        return evolve(listing, points=points)

    def _ask_points(self, zone: str, version: int) -> Deferred[str]:
        asked = self._judged_points(zone, version)
        return within(self._seconds, self._reactor, asked, "failed")

    async def _judged_points(self, zone: str, version: int) -> str:
        names = [f"{reversed_octets(point)}.{zone}" for point in _POINTS[version]]
        listed, unlisted = await together(
            self._resolver.ask(name, "A") for name in names
        )
        if "failed" in (listed.status, unlisted.status):
            return "failed"
        if unlisted.status == "found":
            return "lists-all"
        return "good" if listed.status == "found" else "lists-none"


def reversed_octets(address: str) -> str:
    """Return an address as it stands before a zone's name.

    Octets for IPv4, nibbles for IPv6, the last first (RFC 5782 2.1 and 2.4).
    """
    return ip_address(address).reverse_pointer.rsplit(".", 2)[0]


def _lasts(points: str) -> float:
    return _GOOD_LASTS if points == "good" else _OTHER_LASTS
