"""The MTA-STS policies of the domains that mail goes to, fetched and remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from postmand.delivery import mta_sts

if TYPE_CHECKING:
    from postmand.delivery.mta_sts import Policy
    from postmand.inbound import IResolver

Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches the policy file of a domain; raises PolicyFetchError."""

# So many domains are remembered; a policy that could not be had is not asked for again
# so soon, in seconds (RFC 8461 3.3).
_MOST = 10_000
_AGAIN = 300.0
# One that stands is fetched anew when it is so old, in seconds, or half its time over:
# who keeps us from it has to do so for all the rest of that (RFC 8461 10.2).
_DAY = 86_400.0


class PolicyFetchError(Exception):
    """The policy could not be fetched, or not in a way that proves whose it is."""


@frozen
class _Known:
    """A policy under the id of its record; None for one that could not be had.

    Before `again` it is not fetched anew; from `renewed` on it is, by the same id.
    """

    id: str
    policy: Policy | None
    until: float
    again: float = 0.0
    renewed: float = float("inf")

    def is_old(self, id_: str, now: float) -> bool:
        """Whether there may be another one by now, and it may be fetched."""
        return (self.id != id_ or self.renewed <= now) and self.again <= now


class Policies:
    """Policies by domain, in memory alone. `seconds` is a clock that nobody sets."""

    def __init__(
        self,
        resolver: IResolver,
        fetch: Fetch,
        seconds: Callable[[], float],
        most: int = _MOST,
    ) -> None:
        self._resolver = resolver
        self._fetch = fetch
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def policy(self, domain: str) -> Policy | None:
        """Return the policy that holds for a domain now, None where there is none.

        One that was had before holds until its time is over, whatever happened since
        to the record or to the server it came from (RFC 8461 3.3, 5.1).
        """
        known = self._remembered(domain)
        records = await self._resolver.ask(f"_mta-sts.{domain}", "TXT")
        found = mta_sts.record_id(records.texts) if records.status == "found" else None
        if found is not None and (
            known is None or known.is_old(found, self._seconds())
        ):
            known = await self._fetched(domain, found, known)
        return known.policy if known is not None else None

    def _remembered(self, domain: str) -> _Known | None:
        known = self._known.get(domain)
        if known is not None and known.until <= self._seconds():
            del self._known[domain]
            return None
        return known

    async def _fetched(self, domain: str, id_: str, known: _Known | None) -> _Known:
        try:
            policy = mta_sts.read(await self._fetch(domain))
        except PolicyFetchError:
            policy = None
        now = self._seconds()
        if policy is not None:
            renewed = now + min(_DAY, policy.max_age / 2)
            fresh = _Known(id_, policy, now + policy.max_age, renewed=renewed)
        elif known is not None and known.policy is not None:
            # The old one goes on; the new one is asked for again after a while.
            fresh = evolve(known, again=now + _AGAIN)
        else:
            fresh = _Known(id_, None, now + _AGAIN)
        self._known[domain] = fresh
        self._known.move_to_end(domain)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return fresh
