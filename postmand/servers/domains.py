"""What DNS says of a sender's domain: its mail servers, its name servers, and where."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, succeed

from postmand.message.questions import host_name
from postmand.rules.facts import Domain, Host, plain_name
from postmand.servers.asking import Cache, together, within
from postmand.servers.turns import Turns

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.inbound import IResolver, Records

T = TypeVar("T")

# Of each kind of a domain's servers so many are looked at, the most preferred first.
_SERVERS = 4
# Of one server's addresses in a family so many, and so many of a kind's are kept.
_ADDRESSES, _KEPT = 64, 12
# Where a mail server may be: else the domain is refused, and no other matters.
_ON_THE_INTERNET = ("public", "own")
# A domain without NS records of its own lies in a zone above it, so far at the most.
_LEVELS = 4


@frozen
class DomainSettings:
    """How long is waited, and how long a domain's facts are kept, in seconds.

    `seconds` are for its MX or address, and once more for all else. Those kept weigh
    `weight` at the most, a domain 1 and 1 for each of its hosts. One network has
    `of_one_network` domains looked up at once, all together `at_once`.
    """

    seconds: float = 10.0
    found_lasts: float = 600.0
    none_lasts: float = 120.0
    failed_lasts: float = 15.0
    weight: int = 20_000
    at_once: int = 64
    of_one_network: int = 4

    def lasts(self, domain: Domain) -> float:
        """Return how long these facts are kept."""
        if "found" in (domain.mx, domain.address):
            return self.found_lasts
        if "failed" in (domain.mx, domain.address):
            return self.failed_lasts
        return self.none_lasts


class Domains:
    """The facts of domains, gathered once for all who ask within some minutes.

    `place` says where an address lies (see rules.facts.Host).
    """

    def __init__(
        self,
        resolver: IResolver,
        place: Callable[[str], str],
        reactor: IReactorTime,
        settings: DomainSettings | None = None,
    ) -> None:
        self._resolver = resolver
        self._place = place
        self._reactor = reactor
        self._settings = settings or DomainSettings()
        self._turns = Turns(self._settings.at_once, self._settings.of_one_network)
        self._cache: Cache[Domain] = Cache(
            reactor.seconds, self._settings.lasts, self._settings.weight, _weight
        )

    def facts(self, domain: bytes, peer: str) -> Deferred[Domain]:
        """Fire with the facts of a domain, which may be an international one.

        `peer` is the address of who has it asked: what nobody knows yet is looked up
        when it is its network's turn. Never fails: what was not found out in time is
        left out, or "failed".
        """
        name = host_name(domain)
        if not name:
            shown = domain.decode("utf-8", "backslashreplace")
            return succeed(Domain(shown, mx="none", address="none"))
        known = self._cache.known(name)
        return known or Deferred.fromCoroutine(self._in_turn(name, peer))

    async def _in_turn(self, name: str, peer: str) -> Domain:
        await self._turns.take(peer)
        begun = False

        def give(domain: Domain) -> Domain:
            self._turns.give(peer)
            return domain

        def question() -> Deferred[Domain]:
            nonlocal begun
            begun = True
            return self._facts(name).addCallback(give)

        # Somebody else may have asked meanwhile.
        answer = self._cache.ask(name, question)
        if not begun:
            self._turns.give(peer)
        return await answer

    def _facts(self, name: str) -> Deferred[Domain]:
        failed = Domain(name, mx="failed")
        asked = self._gathered(name)
        return within(3 * self._settings.seconds, self._reactor, asked, failed)

    async def _gathered(self, name: str) -> Domain:
        mx = await self._ask(name, "MX")
        domain = Domain(name, mx=mx.status)
        if mx.status == "failed" or not mx.exists:
            return evolve(domain, address="none" if not mx.exists else "")
        names_of_zone = self._within(self._name_servers(name), ())
        if mx.status == "found":
            targets = _exchanges(mx.texts)
            null = not targets and bool(mx.texts)
            hosts = await self._hosts("MX", targets)
            domain = evolve(domain, null_mx=null, hosts=hosts)
        else:
            # RFC 5321 5.1: a domain without MX is its own mail server.
            status, hosts = await self._addresses("A", name)
            domain = evolve(domain, address=status, hosts=_kept(hosts))
        if not all(map(_is_fit, domain.hosts)):
            names_of_zone.cancel()
        return evolve(domain, hosts=(*domain.hosts, *await names_of_zone))

    async def _name_servers(self, name: str) -> tuple[Host, ...]:
        """Find the servers of the zone that a name lies in."""
        zone = name
        for _ in range(_LEVELS):
            found = await self._ask(zone, "NS")
            if found.status == "found":
                return await self._hosts("NS", found.texts)
            zone = zone.partition(".")[2]
            # A top-level domain's servers are nobody's own.
            if found.status == "failed" or "." not in zone:
                break
        return ()

    async def _hosts(self, kind: str, names: Iterable[str]) -> tuple[Host, ...]:
        targets = [plain_name(name) for name in names][:_SERVERS]
        found = await together(
            self._within(self._addresses(kind, name), ("failed", ()))
            for name in targets
        )
        return _kept([host for _status, hosts in found for host in hosts])

    async def _addresses(self, kind: str, name: str) -> tuple[str, tuple[Host, ...]]:
        """Return whether a name has addresses ("found", "none", "failed"), and them."""
        if _is_address(name):
            # An MX must name a host (RFC 5321 5.1); some do this all the same.
            return "found", (self._host(kind, name, name),)
        asked = [self._ask(name, "A"), self._ask(name, "AAAA")]
        answers = await together(asked)
        hosts = tuple(
            self._host(kind, name, text)
            for answer in answers
            for text in answer.texts[:_ADDRESSES]
        )
        states = {answer.status for answer in answers}
        if hosts:
            return "found", hosts
        return ("failed" if "failed" in states else "none"), ()

    def _host(self, kind: str, name: str, address: str) -> Host:
        return Host(kind, name, address, self._place(address))

    def _ask(self, name: str, kind: str) -> Deferred[Records]:
        return self._resolver.ask(name, kind)

    def _within(self, asked: Coroutine[Any, Any, T], otherwise: T) -> Deferred[T]:
        return within(self._settings.seconds, self._reactor, asked, otherwise)


def _weight(domain: Domain) -> int:
    return 1 + len(domain.hosts)


def _is_fit(host: Host) -> bool:
    return host.place in _ON_THE_INTERNET


def _kept(hosts: Sequence[Host]) -> tuple[Host, ...]:
    """Return the first few of a kind's hosts; none behind one that is not fit."""
    for place, host in enumerate(hosts):
        if not _is_fit(host):
            return (*hosts[: min(place, _KEPT - 1)], host)
    return tuple(hosts[:_KEPT])


def _exchanges(texts: Iterable[str]) -> list[str]:
    """Return the hosts of MX records, the most preferred first, null MX left out."""
    pairs = [text.split(" ", 1) for text in texts]
    ranked = sorted((int(preference), host) for preference, host in pairs)
    return [host for _preference, host in ranked if host != "."]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
