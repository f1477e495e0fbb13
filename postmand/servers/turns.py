"""Whose turn it is: so much at once for all who wait, and of one network less.

Networks are known here while somebody of theirs is, and no longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from postmand.rules.shares import network


class Turns:
    """At most `most` at once, and `of_one` of one network; the others wait.

    Next is, in the order in which they came, whose network has least at the time: who
    comes in crowds keeps nobody else waiting.
    """

    def __init__(self, most: int, of_one: int) -> None:
        self._most = most
        self._of_one = of_one
        self._taken: Counter[str] = Counter()
        self._waiting: dict[Deferred[None], str] = {}
        self._admitting = False

    def take(self, peer: str) -> Deferred[None]:
        """Fire when it is the turn of a peer (its address, "" for none).

        Who is cancelled while waiting has had none; every other one is given back.
        """
        whose = network(peer)
        if self._taken.total() < self._most and self._taken[whose] < self._of_one:
            self._taken[whose] += 1
            return succeed(None)
        turn: Deferred[None] = Deferred(self._leave)
        self._waiting[turn] = whose
        return turn

    def _leave(self, turn: Deferred[None]) -> None:
        del self._waiting[turn]

    def give(self, peer: str) -> None:
        """Give a turn back."""
        whose = network(peer)
        self._taken[whose] -= 1
        if not self._taken[whose]:
            del self._taken[whose]
        if not self._admitting:
            self._admit()

    def _admit(self) -> None:
        """Give out what is free; who gives theirs back at once does not nest here."""
        self._admitting = True
        try:
            while (turn := self._next()) is not None:
                self._taken[self._waiting.pop(turn)] += 1
                turn.callback(None)
        finally:
            self._admitting = False

    def _next(self) -> Deferred[None] | None:
        # Of equals the first is the one that came first.
        turn = min(self._waiting, key=self._taken_by, default=None)
        if turn is None or self._taken.total() >= self._most:
            return None
        return turn if self._taken_by(turn) < self._of_one else None

    def _taken_by(self, turn: Deferred[None]) -> int:
        """Return how much the network of one that waits has."""
        return self._taken[self._waiting[turn]]


async def in_turn(
    turns: Turns,
    peer: str,
    threads: Callable[..., Deferred[Any]],
    reactor: Any,
    function: Callable[[], Any],
) -> Any:
    """Return what a function does in a thread, once it is a peer's turn.

    The turn ends with the thread's work: nobody who stops waiting for it has another
    one meanwhile.
    """

    def work() -> Any:
        try:
            return function()
        finally:
            reactor.callFromThread(turns.give, peer)

    await turns.take(peer)
    return await threads(work)
