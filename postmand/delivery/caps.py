"""How much leaves at once: for one domain, for all, and in a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import DeferredSemaphore

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE = 60.0


@define
class _Traffic:
    """What is under way to a domain, or was a short while ago."""

    slots: DeferredSemaphore
    users: int = 0
    begun: list[float] = field(factory=list)


class Caps:
    """Slots for messages under way, a domain's before one of all.

    Who waits is served in turn. `seconds` is a clock that nobody sets.
    """

    def __init__(
        self,
        connections: int,
        per_domain: int,
        per_minute: int,
        seconds: Callable[[], float],
    ) -> None:
        self._all = DeferredSemaphore(connections)
        self._per_domain = per_domain
        self._per_minute = per_minute
        self._seconds = seconds
        self._domains: dict[bytes, _Traffic] = {}

    def admits(self, domain: bytes) -> bool:
        """Count one message more for a domain; False if that is too many a minute."""
        self._forget()
        traffic = self._domains.get(domain)
        if traffic is None:
            slots = DeferredSemaphore(self._per_domain)
            traffic = self._domains[domain] = _Traffic(slots)
        if len(traffic.begun) >= self._per_minute:
            return False
        traffic.begun.append(self._seconds())
        return True

    async def enter(self, domain: bytes) -> None:
        """Wait for a slot; to be called after `admits`, and `leave` after it."""
        traffic = self._domains[domain]
        traffic.users += 1
        await traffic.slots.acquire()
        await self._all.acquire()

    def leave(self, domain: bytes) -> None:
        """Give the slot back."""
        traffic = self._domains[domain]
        traffic.users -= 1
        self._all.release()
        traffic.slots.release()

    def _forget(self) -> None:
        """Let go of what is over, so that no table of domains grows."""
        since = self._seconds() - _MINUTE
        for domain, traffic in list(self._domains.items()):
            while traffic.begun and traffic.begun[0] <= since:
                traffic.begun.pop(0)
            if not (traffic.users or traffic.begun):
                del self._domains[domain]
