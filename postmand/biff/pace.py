"""When the bot may write its next line: below what servers take for a flood.

What a server queues makes every check before it stale, and what it takes for a flood
ends the link. So lines are held back here, before they are checked, and one that may
be written is written at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from postmand.biff.credit import Credit

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

# After so many replies in a row one who is not in a hurry has a turn.
_IN_A_ROW = 3
# Clocks count in floats: a turn is not put off again for so little.
_TINY = 1e-6


class LinkLostError(Exception):
    """The link was lost before the turn came."""


class Pace:
    """Turns of one line and more, given in order, those of replies first.

    On average somewhat less than a line in `line_seconds`, and no more than `burst` of
    them at once after a silence (a turn of several lines may go beyond and is paid for
    after it).
    `ping` asks the server for a PONG, unless one is still awaited, and tells whether
    it did.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        line_seconds: float,
        ping: Callable[[], bool],
        burst: int = 2,
    ) -> None:
        self._reactor = reactor
        self._ping = ping
        self._credit = Credit(line_seconds, burst, reactor.seconds())
        self._replies: deque[tuple[int, Deferred[None]]] = deque()
        self._others: deque[tuple[int, Deferred[None]]] = deque()
        self._in_a_row = 0
        self._is_giving = False
        self._call: IDelayedCall | None = None

    def turn(self, lines: int = 1, *, reply: bool = False) -> Deferred[None]:
        """Fire when so many lines may be written.

        Fails with LinkLostError when the link is lost before. Cancelled, the turn is
        not used up.
        """
        queue = self._replies if reply else self._others
        waiting: Deferred[None] = Deferred(lambda _: self._withdraw(queue, waiting))
        queue.append((lines, waiting))
        self._give()
        return waiting

    def give_back(self, lines: int) -> None:
        """So many lines of a turn were not needed."""
        self._credit.give_back(lines)
        self._give()

    def answered(self) -> None:
        """A PONG has come, of whoever's PING: one is out at a time."""
        self._credit.answered(self._reactor.seconds())
        self._give()

    def clear(self) -> None:
        """The link is lost: nobody has a turn."""
        waiting = [one for _, one in (*self._replies, *self._others)]
        self._replies.clear()
        self._others.clear()
        self._credit.lost(self._reactor.seconds())
        self._sleep()
        for one in waiting:
            one.errback(LinkLostError())

    def _withdraw(
        self, queue: deque[tuple[int, Deferred[None]]], waiting: Deferred[None]
    ) -> None:
        for place in [one for one in queue if one[1] is waiting]:
            queue.remove(place)
        self._sleep()

    def _give(self) -> None:
        if self._is_giving:
            # From within a turn: many who give theirs back are no deep stack.
            return
        self._is_giving = True
        while (self._replies or self._others) and self._may_write():
            lines, waiting = self._next().popleft()
            self._credit.spend(lines, self._reactor.seconds())
            waiting.callback(None)
        self._is_giving = False
        self._sleep()

    def _may_write(self) -> bool:
        left = self._credit.left(self._reactor.seconds())
        return left >= 1.0 - _TINY and not self._credit.is_full

    def _next(self) -> deque[tuple[int, Deferred[None]]]:
        if self._replies and (self._in_a_row < _IN_A_ROW or not self._others):
            self._in_a_row += 1
            return self._replies
        self._in_a_row = 0
        return self._others

    def _sleep(self) -> None:
        """Wake when there is something to do: a turn is due, or a question."""
        if self._call is not None:
            if self._call.active():
                self._call.cancel()
            self._call = None
        now = self._reactor.seconds()
        pause: float | None = None
        if self._credit.wants_answer(now):
            # Behind what was given just now, which is not written yet.
            pause = 0.0
        elif self._replies or self._others:
            pause = self._credit.pause(now)
        if pause is not None:
            self._call = self._reactor.callLater(pause, self._wake)

    def _wake(self) -> None:
        now = self._reactor.seconds()
        if self._credit.wants_answer(now):
            self._credit.asked(now, is_new=self._ping())
        self._give()
