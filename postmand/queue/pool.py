"""The pool: mail that waits until it is hidden among enough others."""

from __future__ import annotations

from random import Random

from postmand.config import Delays
from postmand.internet import IQueue
from postmand.rules import mixing


class Pool:
    """What of the pool leaves, as `postmand.rules.mixing` rules it.

    What it let go once stays let go, whatever the rule would say by now. So the rest of
    a batch that a busy store cut short follows with the next tick; and a message that
    can not be released and stays, overdue, does not call the others at every tick.

    `waiting` is how many messages stayed at the last answer, counting no more than
    `mixing.MOST` of an account and size.
    """

    def __init__(self, queue: IQueue, rules: Delays, random: Random) -> None:
        self._queue = queue
        self._rules = rules
        self._random = random
        # Of the last answer. In memory only: a start asks the rule anew.
        self._let_go: frozenset[int] = frozenset()
        self.waiting = 0

    async def leaving(self, now: int) -> list[int]:
        """Return the items that are to be released at `now`, in random order.

        They stay in the pool until they are released. Fails as IQueue does.
        """
        waiting = await self._queue.pool(mixing.MOST)
        late = [mail.item for mail in waiting if mail.item in self._let_go]
        fresh = [mail for mail in waiting if mail.item not in self._let_go]
        gone = late + mixing.leaving(fresh, now, self._rules, self._random)
        self._random.shuffle(gone)
        self._let_go = frozenset(gone)
        self.waiting = len(waiting) - len(gone)
        return gone
