"""The pool: mail that waits until it is hidden among enough others."""

from __future__ import annotations

from random import Random

from postmand.config import Delays
from postmand.internet import IQueue
from postmand.rules import mixing


class Pool:
    """What of the pool leaves, as `postmand.rules.mixing` rules it."""

    def __init__(self, queue: IQueue, rules: Delays, random: Random) -> None:
        self._queue = queue
        self._rules = rules
        self._random = random

    async def leaving(self, now: int) -> list[int]:
        """Return the items that are to be released at `now`, in random order.

        They stay in the pool until they are released: asked again before, it may say
        otherwise. Fails as IQueue does.
        """
        waiting = await self._queue.pool(mixing.MOST)
        return mixing.leaving(waiting, now, self._rules, self._random)
