"""Who waits for the bot's answer: a place or two each, and so many in all. Pure.

Who speaks for many must not keep the others out. When all places are taken, one whose
holder is gone is had first, then one of who has most of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container

from attrs import field, frozen

from postmand.biff.events import Said
from postmand.biff.roll import Identity


@frozen
class Talk:
    """A line said to us, and who on the roll said it."""

    said: Said
    identity: Identity = field(repr=False)

    @property
    def nick(self) -> bytes:
        """The speaker's nick, folded."""
        return self.identity.nick


class Waiting:
    """The places, in the order in which they were taken.

    `holds` tells whether an identity is still on the roll.
    """

    def __init__(
        self, holds: Callable[[Identity], bool], *, most: int, each: int
    ) -> None:
        self._holds = holds
        self._most = most
        self._each = each
        self._places: list[Talk] = []

    def has_room(self, nick: bytes) -> bool:
        """Tell whether this (folded) nick has not all the places it may have."""
        return sum(one.nick == nick for one in self._places) < self._each

    def put(self, talk: Talk) -> None:
        """Take a place; where none is to be had the line is dropped."""
        if len(self._places) >= self._most:
            self._make_room(talk.nick)
        if len(self._places) < self._most:
            self._places.append(talk)

    def take(self, busy: Container[bytes]) -> Talk | None:
        """Return who waits longest of those not busy; its place is free."""
        for index, talk in enumerate(self._places):
            if talk.nick not in busy:
                return self._places.pop(index)
        return None

    def clear(self) -> None:
        """Nobody waits any more."""
        self._places.clear()

    def __len__(self) -> int:
        return len(self._places)

    def _make_room(self, nick: bytes) -> None:
        here = [one for one in self._places if self._holds(one.identity)]
        if len(here) < len(self._places):
            self._places = here
            return
        counts = Counter(one.nick for one in here)
        greedy, most = counts.most_common(1)[0]
        if most > counts[nick] + 1:
            self._places.remove([one for one in here if one.nick == greedy][-1])
