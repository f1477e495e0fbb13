"""Whether a sender's own server knows it: asked for a handful of named domains only.

A callout makes the caller's name with the far end worse with each question; so answers
are kept, questions are capped, and no server is called that is not on the Internet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed

from postmand.rules.facts import Domain, plain_names
from postmand.rules.penalty import Penalties
from postmand.servers.asking import Cache, within

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

Call = Callable[[bytes, tuple[str, ...]], Deferred[str]]
"""Tries the addresses in turn: a session with the null sender, RCPT to the address
given, and no DATA. Fires with "accepted" (2yz to RCPT), "refused" (5yz to it, from a
server that takes the null sender), or "failed" for anything else."""

_WORDS = ("accepted", "refused", "failed")
# Of a domain's servers so many addresses are tried.
_ADDRESSES = 3


@frozen
class CalloutSettings:
    """The domains to be asked (lower case), times in seconds, and the caps.

    Of one domain about `per_minute` senders are asked in a minute, and no more.
    """

    domains: frozenset[str] = field(default=frozenset(), converter=plain_names)
    seconds: float = 20.0
    accepted_lasts: float = 14_400.0
    refused_lasts: float = 3_600.0
    failed_lasts: float = 120.0
    per_minute: int = 20
    entries: int = 5_000

    def lasts(self, word: str) -> float:
        """Return how long an answer is kept."""
        if word == "accepted":
            return self.accepted_lasts
        return self.refused_lasts if word == "refused" else self.failed_lasts


class Callouts:
    """Callouts through `call`, remembered by a keyed hash of the sender."""

    def __init__(
        self,
        call: Call,
        settings: CalloutSettings,
        reactor: IReactorTime,
        key: bytes,
    ) -> None:
        self._call = call
        self._settings = settings
        self._reactor = reactor
        self._key = key
        # A count that halves each 42 s forgets as many a minute as it holds.
        self._asked = Penalties(half_life=41.6, size=1_000)
        self._cache: Cache[str] = Cache(
            reactor.seconds, settings.lasts, settings.entries
        )

    def ask(self, sender: bytes, domain: Domain) -> Deferred[str]:
        """Fire with the word on a sender (Facts.callout), "" where none is wanted.

        Never fails.
        """
        if not sender or domain.name not in self._settings.domains:
            return succeed("")
        addresses = _addresses(domain)
        if not addresses:
            return succeed("failed")
        # The local part's case is its server's business (RFC 5321 2.4).
        mark = hashlib.blake2b(sender, key=self._key, digest_size=16).digest()
        return self._cache.ask(mark, lambda: self._asked_now(sender, domain, addresses))

    def _asked_now(
        self, sender: bytes, domain: Domain, addresses: tuple[str, ...]
    ) -> Deferred[str]:
        now = self._reactor.seconds()
        if self._asked.of(domain.name, now) >= self._settings.per_minute:
            return succeed("failed")
        self._asked.add(domain.name, now)
        asked = self._call(sender, addresses)
        answer = within(self._settings.seconds, self._reactor, asked, "failed")
        return answer.addCallback(_word)


def _addresses(domain: Domain) -> tuple[str, ...]:
    """Return where a domain's mail servers can be called: on the Internet only."""
    found: Iterable[str] = (
        host.address
        for host in domain.hosts
        if host.kind in ("MX", "A") and host.place == "public"
    )
    return tuple(dict.fromkeys(found))[:_ADDRESSES]


def _word(word: str) -> str:
    return word if word in _WORDS else "failed"
