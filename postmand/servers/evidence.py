"""What is known of who brings mail: gathered concurrently, while it speaks on.

Nothing here is a verdict: facts go to `rules.inbound`. Peers and senders are looked up
and forgotten; what is kept for minutes are the facts of domains.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from postmand.message.questions import host_name
from postmand.rules.facts import SPF_RESULTS, Domain, Facts, Reverse, Session
from postmand.rules.greylist import Greylist, Try
from postmand.servers.asking import Shared, together, within
from postmand.servers.turns import Turns

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.inbound import IResolver
    from postmand.servers.blacklists import Blacklists
    from postmand.servers.callout import Callouts
    from postmand.servers.domains import Domains

T = TypeVar("T")

SpfCheck = Callable[[str, bytes, bytes], Deferred[str]]
"""Fires with the result of RFC 7208 2.6 for a peer's address, HELO name and sender."""

# So many names of a peer's address are looked at.
_NAMES = 4


@frozen
class Sources:
    """Where facts come from, and how long they may take, in seconds.

    Facts are gathered for `of_one_network` callers of a network at once, for all
    together `at_once`.
    """

    resolver: IResolver
    domains: Domains
    blacklists: Blacklists
    callouts: Callouts
    greylist: Greylist
    spf: SpfCheck
    seconds: float = 20.0
    at_once: int = 2_000
    of_one_network: int = 8


class Evidence:
    """Finds out about callers; see servers.exchange.Evidence."""

    def __init__(self, sources: Sources, reactor: IReactorTime) -> None:
        self._sources = sources
        self._reactor = reactor
        self._turns = Turns(sources.at_once, sources.of_one_network)

    def begin(self, peer: str, session: Session, sender: bytes) -> Inquiry:
        """Begin, at MAIL, with the client's address and the envelope's sender."""
        return Inquiry(self._sources, self._turns, self._reactor, peer, session, sender)


class Inquiry:
    """What is being found out about one transaction.

    Everything is asked at once, but for the callout, which needs to know whom to call.
    """

    def __init__(
        self,
        sources: Sources,
        turns: Turns,
        reactor: IReactorTime,
        peer: str,
        session: Session,
        sender: bytes,
    ) -> None:
        self._sources = sources
        self._turns = turns
        self._reactor = reactor
        self._until = reactor.seconds() + sources.seconds
        self._peer = _plain(peer)
        self._session = session
        self._sender = sender
        # What is not found out, by a fault of ours too, is no fault of the sender's.
        self._unknown = _unknown(sender)
        nothing = Facts(self._peer, _text(sender), session, domain=self._unknown)
        asked = within(2 * sources.seconds, reactor, self._in_turn(nothing), nothing)
        self._facts = Shared(asked)

    async def facts(self) -> Facts:
        """Return what was found, as far as it was in time; may be asked again."""
        return await self._facts.wait()

    async def greylist(self, recipient: bytes) -> str:
        """Return the greylist's word on this recipient, as in `Facts.greylist`."""
        facts = await self.facts()
        reverse = facts.reverse
        one = Try(
            peer=self._peer,
            sender=facts.sender,
            recipient=_text(recipient),
            spf_pass=facts.spf == "pass",
            peer_name=reverse.name if reverse.confirmed else "",
        )
        return self._sources.greylist.judge(one, self._reactor.seconds())

    def end(self) -> None:
        """Stop asking: the transaction is over. May be called twice."""
        self._facts.cancel()

    async def _in_turn(self, nothing: Facts) -> Facts:
        await self._turns.take(self._peer)
        try:
            return await self._gathered(nothing)
        finally:
            self._turns.give(self._peer)

    async def _gathered(self, nothing: Facts) -> Facts:
        sources = self._sources
        name = self._session.helo.encode("utf-8", "replace")
        reverse = self._in_time(self._reverse(), Reverse("failed"))
        helo = self._in_time(self._helo_address(host_name(name)), "failed")
        listings = self._in_time(sources.blacklists.listings(self._peer), ())
        asked = sources.spf(self._peer, name, self._sender)
        spf = self._in_time(asked, "temperror")
        sender = self._in_time(self._of_sender(), (self._unknown, ""))
        everything: list[Deferred[Any]] = [reverse, helo, listings, spf, sender]
        found = await together(everything)
        return _facts(nothing, found)

    async def _of_sender(self) -> tuple[Domain, str]:
        """Return the facts of the sender's domain, and the callout's word."""
        octets = self._sender.rpartition(b"@")[2]
        if not octets:
            return Domain(), ""
        asked = self._sources.domains.facts(octets, self._peer)
        domain = await self._in_time(asked, self._unknown)
        word = await self._in_time(
            self._sources.callouts.ask(self._sender, domain), "failed"
        )
        return domain, word

    async def _helo_address(self, name: str) -> str:
        """Return whether the name a peer gave itself has addresses at all."""
        if "." not in name:
            return ""
        states = {
            answer.status
            for answer in await together(
                self._sources.resolver.ask(name, kind) for kind in ("A", "AAAA")
            )
        }
        if "found" in states:
            return "found"
        return "failed" if "failed" in states else "none"

    async def _reverse(self) -> Reverse:
        """Find the peer's name by its address, and whether it leads back (RFC 8601)."""
        address = ip_address(self._peer)
        kind = "A" if isinstance(address, IPv4Address) else "AAAA"
        pointers = await self._sources.resolver.ask(address.reverse_pointer, "PTR")
        if pointers.status != "found":
            return Reverse(pointers.status)
        names = [text.removesuffix(".") for text in pointers.texts[:_NAMES]]
        forward = await together(
            self._sources.resolver.ask(name, kind) for name in names
        )
        for name, found in zip(names, forward, strict=True):
            if any(ip_address(text) == address for text in found.texts):
                return Reverse("found", name, confirmed=True)
        return Reverse("found", names[0])

    def _in_time(
        self, asked: Coroutine[Any, Any, T] | Deferred[T], otherwise: T
    ) -> Deferred[T]:
        left = self._until - self._reactor.seconds()
        return within(left, self._reactor, asked, otherwise)


def _facts(nothing: Facts, found: list[Any]) -> Facts:
    reverse, helo_address, listings, spf, (domain, callout) = found
    return evolve(
        nothing,
        session=evolve(nothing.session, helo_address=helo_address),
        domain=domain,
        reverse=reverse,
        blacklists=listings,
        callout=callout,
        spf=spf if spf in SPF_RESULTS else "permerror",
    )


def _unknown(sender: bytes) -> Domain:
    """Return what is said of a sender's domain that nobody could look up."""
    octets = sender.rpartition(b"@")[2]
    return Domain(_text(octets), mx="failed") if octets else Domain()


def _text(octets: bytes) -> str:
    """Return octets as text that can be shown, and is the same for the same octets."""
    return octets.decode("utf-8", "backslashreplace")


def _plain(peer: str) -> str:
    """Return the peer's address, an IPv4 one that was mapped as such."""
    address = ip_address(peer)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
