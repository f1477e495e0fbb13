"""Which protection a domain asks for: DANE (RFC 7672), MTA-STS (RFC 8461), or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmand.delivery import dane
from postmand.delivery.guard import Guard
from postmand.internet import Reply

if TYPE_CHECKING:
    from postmand.delivery.mta_sts import Policy
    from postmand.delivery.mx import Host, Places
    from postmand.delivery.policies import Policies
    from postmand.inbound import IResolver, Records

NO_TLSA = Reply(451, "4.7.5", "the keys of the domain's server can not be looked up")
NOT_NAMED = Reply(451, "4.7.5", "the domain's policy does not name its mail server")


class Secrecy:
    """Finds out what a server has to show before it is given mail.

    `policies` is None without MTA-STS; `dane` needs a resolver that validates.
    """

    def __init__(
        self,
        resolver: IResolver,
        policies: Policies | None,
        *,
        dane: bool,
        port: int = 25,
    ) -> None:
        self._resolver = resolver
        self._policies = policies
        self._dane = dane
        self._port = port

    async def policy(self, domain: str) -> Policy | None:
        """Return the domain's MTA-STS policy if one is enforced."""
        if self._policies is None:
            return None
        policy = await self._policies.policy(domain)
        return policy if policy is not None and policy.enforced else None

    async def guard(
        self, domain: str, host: Host, places: Places, policy: Policy | None
    ) -> Guard | Reply:
        """Return what a host has to show, or why it gets no mail.

        Where DANE says something it counts, and MTA-STS never excuses from it
        (RFC 8461 2). Keys of which none can be used authenticate nobody: they ask for
        TLS, and what the policy asks for beside that still holds (RFC 7672 2.2).
        """
        guard: Guard | Reply | None = None
        if self._dane and host.secure and places.secure:
            guard = await self._by_dane(domain, host, places)
        if isinstance(guard, Reply) or (guard is not None and guard.checked):
            return guard
        if policy is not None:
            if not policy.names(host.name):
                return NOT_NAMED
            return Guard((host.name,), required=True, authority=True)
        return guard or Guard((host.name,))

    async def _by_dane(
        self, domain: str, host: Host, places: Places
    ) -> Guard | Reply | None:
        """Look at the name that aliases lead to, then at the one we had (2.2.2)."""
        for name in dict.fromkeys((places.canonical, host.name)):
            records = await self._associations(name)
            if records.status == "failed":
                return NO_TLSA  # RFC 7672 2.1.2: or whoever stops the answer decides
            if records.status != "found" or not records.secure:
                continue
            # All names that the way here was vouched for (RFC 7672 3.2.3).
            names = tuple(dict.fromkeys((name, host.name, domain)))
            return Guard(names, required=True, associations=dane.read(records.texts))
        return None

    async def _associations(self, name: str) -> Records:
        return await self._resolver.ask(f"_{self._port}._tcp.{name}", "TLSA")
