"""What the bot could know of a nick when it said that mail had come.

It reads the record of the bot's line alone, and shares no code with the bot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

__all__ = ["undue"]

Record = Sequence[tuple[float, bytes]]

_NEWS = re.compile(rb"^(?:NOTICE|PRIVMSG) (\S+) :You have new mail$")
# The record is the relay's: the bot wrote a moment before, and read one after.
_SLACK = 0.3


def undue(said: Record, heard: Record, *, pushed: bool) -> list[bytes]:
    """Return the nicks that were told of mail with nothing to show that they may be.

    `said` is what the bot wrote, `heard` what it could read. What counts is what came
    since the nick last changed hands or, as far as one sees from the channel, could
    have. With `pushed` the server tells every login and logout, so that what is known
    of a connection stays known when it takes another nick.
    """
    begun = [(when, b"(new)") for when, line in said if line.startswith(b"USER ")]
    lines = sorted([*heard, *begun], key=lambda one: one[0])
    told = [(when, found[1]) for when, line in said if (found := _NEWS.match(line))]
    early = _known(lines, [when - _SLACK for when, _ in told], pushed=pushed)
    late = _known(lines, [when for when, _ in told], pushed=pushed)
    return [
        nick
        for (_, nick), before, after in zip(told, early, late, strict=True)
        if nick.lower() not in before | after
    ]


def _known(
    lines: Record, moments: Iterable[float], *, pushed: bool
) -> list[frozenset[bytes]]:
    """Return who was known to be identified at each of the moments, in order."""
    found, book, at = [], _Book(pushed), 0
    for moment in moments:
        while at < len(lines) and lines[at][0] <= moment:
            book.learn(lines[at][1].lower())
            at += 1
        found.append(book.identified())
    return found


class _Book:
    """What the lines so far say of nicks."""

    def __init__(self, pushed: bool) -> None:
        self._pushed = pushed
        # Who is logged in to what, and for whom services have vouched.
        self._accounts: dict[bytes, bytes] = {}
        self._vouched: set[bytes] = set()
        who = rb"(?:^| ):([^ !]+)!\S+ "
        services = rb"^:nickserv!\S+@services\.test notice \S+ :"
        lessons: dict[bytes, Callable[..., None]] = {
            rb"^\(new\)$": self._forget,
            who + rb"nick :?(\S+)$": self._renamed,
            who + rb"(?:quit|part)\b": self._lost,
            rb" kick \S+ (\S+)": self._lost,
            who + rb"join \S+$": self._lost,
            who + rb"join \S+ (\S+) :": self._logged,
            who + rb"account :?(\S+)": self._logged,
            rb"^:\S+ 330 \S+ (\S+) (\S+) :": self._logged,
            rb"^:\S+ 354 \S+ \d+ (\S+) :?(\S+)": self._logged,
            services + rb"(\S+) acc 3 *$": self._vouched.add,
            services + rb"status (\S+) 3\b": self._vouched.add,
        }
        self._lessons = [(re.compile(one), lesson) for one, lesson in lessons.items()]

    def learn(self, line: bytes) -> None:
        for pattern, lesson in self._lessons:
            if found := pattern.search(line):
                lesson(*found.groups())

    def identified(self) -> frozenset[bytes]:
        own = {nick for nick, account in self._accounts.items() if nick == account}
        return frozenset(own | self._vouched)

    def _forget(self) -> None:
        self._accounts.clear()
        self._vouched.clear()

    def _lost(self, *nicks: bytes) -> None:
        for nick in nicks:
            self._accounts.pop(nick, None)
            self._vouched.discard(nick)

    def _renamed(self, old: bytes, new: bytes) -> None:
        account = self._accounts.get(old)
        self._lost(old, new)
        if self._pushed and account is not None:
            self._accounts[new] = account

    def _logged(self, nick: bytes, account: bytes) -> None:
        self._accounts[nick] = account
