"""What all parts of a node stand on, whichever its role."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.application.service import IService

from postmand.config import Config
from postmand.counts import Counts
from postmand.queue.spool import Memory, Spool
from postmand.services import Threads

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.interfaces import IProtocolFactory


@frozen
class Clocks:
    """The wall's clock, which somebody may set, and one that nobody sets."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


@frozen(eq=False)
class Site:
    """The configuration, the reactor, and what is shared by all who need it."""

    config: Config
    reactor: Any
    clocks: Clocks
    random: Random
    counts: Counts
    washing: Threads
    _memory: Memory = field(init=False)

    @_memory.default
    def _all_bodies(self) -> Memory:
        return Memory(self.config.limits.body_memory)

    def new_spool(self) -> Spool:
        """Return a place for a message that is coming in."""
        octets = self.config.limits.spool_bytes
        return Spool(self._memory, octets, self.config.state, self.washing)


@frozen(eq=False)
class Parts:
    """What a role is made of.

    `factories` make the servers' sessions, by section. Services `below` end after the
    threads that wash, those `above` before them. `pool` counts mail in the pool.
    """

    factories: dict[str, IProtocolFactory]
    below: Sequence[IService] = ()
    above: Sequence[IService] = ()
    pool: Callable[[], int] = lambda: 0
