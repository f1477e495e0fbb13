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
_SLACK = 0.15


def undue(said: Record, heard: Record, lag: float) -> list[bytes]:
    """Return the nicks that were told of mail with nothing to show that they may be.

    `said` is what the bot wrote, `heard` what the server wrote to it `lag` seconds
    before it could read it. What counts is what came since the nick last changed hands
    or, as far as one sees from the channel, could have.
    """
    coming = [(when + lag, line) for when, line in heard]
    begun = [(when, b"(new)") for when, line in said if line.startswith(b"USER ")]
    lines = sorted(coming + begun, key=lambda one: one[0])
    told = [(when, found[1]) for when, line in said if (found := _NEWS.match(line))]
    early = _known(lines, [when - _SLACK for when, _ in told])
    late = _known(lines, [when for when, _ in told])
    return [
        nick
        for (_, nick), before, after in zip(told, early, late, strict=True)
        if nick.lower() not in before | after
    ]


def _known(lines: Record, moments: Iterable[float]) -> list[frozenset[bytes]]:
    """Return who was known to be identified at each of the moments, in order."""
    found, known, at = [], set[bytes](), 0
    for moment in moments:
        while at < len(lines) and lines[at][0] <= moment:
            _learn(known, lines[at][1].lower())
            at += 1
        found.append(frozenset(known))
    return found


def _learn(known: set[bytes], line: bytes) -> None:
    if line == b"(new)":
        known.clear()
    for pattern, lesson in _LESSONS:
        if found := pattern.search(line):
            lesson(known, *found.groups())


def _holds(known: set[bytes], nick: bytes, account: bytes) -> None:
    if nick == account:
        known.add(nick)


def _changes(known: set[bytes], nick: bytes, account: bytes) -> None:
    known.discard(nick)
    _holds(known, nick, account)


def _lost(known: set[bytes], *nicks: bytes) -> None:
    known.difference_update(nicks)


def _vouched(known: set[bytes], nick: bytes) -> None:
    known.add(nick)


def _tagged(known: set[bytes], account: bytes, nick: bytes) -> None:
    _holds(known, nick, account)


_WHO = rb"(?:^| ):([^ !]+)!\S+ "
_LESSONS: tuple[tuple[re.Pattern[bytes], Callable[..., None]], ...] = tuple(
    (re.compile(pattern), lesson)
    for pattern, lesson in (
        (_WHO + rb"nick :?(\S+)$", _lost),
        (_WHO + rb"(?:quit|part)\b", _lost),
        (rb" kick \S+ (\S+)", _lost),
        (_WHO + rb"join \S+$", _lost),
        (_WHO + rb"join \S+ (\S+) :", _changes),
        (_WHO + rb"account :?(\S+)", _changes),
        (rb"^:\S+ 330 \S+ (\S+) (\S+) :", _holds),
        (rb"^:\S+ 354 \S+ \d+ (\S+) :?(\S+)", _holds),
        (rb"^@(?:\S*;)?account=([^; ]+)\S* :([^ !]+)!", _tagged),
        (rb"^:nickserv!\S+@services\.test notice \S+ :(\S+) acc 3 *$", _vouched),
        (rb"^:nickserv!\S+@services\.test notice \S+ :status (\S+) 3\b", _vouched),
    )
)
