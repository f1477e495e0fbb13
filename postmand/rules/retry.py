"""What becomes of a leg after a try: done, tried again, or failed (RFC 5321 4.5.4.1).

Pure: a report in, a settlement out. The settings are those of `config.Relay`. Gaps grow
and are random, and nothing that the far end says moves them: a tarpit or a chosen row
of 4xx replies can not mark a message by the time of its next try.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from attrs import evolve, field, frozen

from postmand.config import Relay
from postmand.internet import Leg, Reply, Report

# A gateway remembers for an hour what became of a message (RFC 5321 gives no way to
# ask); half as much again by chance still is within it.
_ASKED_AGAIN = 1_800

# More doublings than reach the longest gap from any shortest one.
_DOUBLINGS = 32

# Ours, not the far end's: what is told where it said nothing (RFC 3463 3.5, 3.6).
EXPIRED = Reply(451, "4.4.7", "delivery time expired", ours=True)
UNANSWERED = Reply(
    *(451, "4.4.2", "the connection was lost before the answer; it may have arrived"),
    ours=True,
)


@frozen
class Settlement:
    """What a try came to: `left` is to be tried again at `due`, or None.

    `failures` gives the last reply for each recipient that will not get the message;
    `delivered` counts those that have it. Times are seconds since 1970-01-01 UTC.
    """

    left: Leg | None
    due: int
    failures: Mapping[bytes, Reply] = field(factory=dict)
    delivered: int = 0


def gap(attempts: int, rules: Relay, random: Random) -> int:
    """Return the seconds to wait after a try, with `attempts` made before it."""
    doubled = rules.retry_first_seconds << min(attempts, _DOUBLINGS)
    return _about(min(doubled, rules.retry_longest_seconds), random)


def away_gap(rules: Relay, random: Random) -> int:
    """Return the seconds to wait when no gateway was reached: no attempt was made."""
    return _about(min(rules.retry_first_seconds, int(rules.away_seconds) or 1), random)


def longest_gap(rules: Relay, random: Random) -> int:
    """Return the seconds to wait where only an operator can mend what is wrong."""
    return _about(rules.retry_longest_seconds, random)


def _about(seconds: int, random: Random) -> int:
    return max(1, round(seconds * random.uniform(0.5, 1.5)))


def judge(
    leg: Leg, report: Report, now: int, rules: Relay, random: Random
) -> Settlement:
    """Return what becomes of `leg` after a try that ended at `now`.

    A recipient that is not answered for, or doubtfully, is tried again: the far end
    that has a message twice is better than none that has it (RFC 5321 6.1). The last
    try is made at `leg.until`; what is not taken then has failed, with the reply it got
    or with one of the constants above. After a doubtful try the next comes while the
    gateway still knows what became of this one, and answers instead of sending twice.
    """
    reached = bool(report.replies) or report.doubtful
    over = now >= leg.until
    unanswered = UNANSWERED if report.doubtful else EXPIRED
    failures: dict[bytes, Reply] = {}
    again: list[bytes] = []
    delivered = 0
    for recipient in leg.recipients:
        reply = report.replies.get(recipient)
        if reply is not None and reply.delivered:
            delivered += 1
        elif reply is not None and reply.permanent:
            failures[recipient] = reply
        elif over:
            failures[recipient] = reply or unanswered
        else:
            again.append(recipient)
    if not again:
        return Settlement(None, now, failures, delivered)
    pause = gap(leg.attempts, rules, random) if reached else away_gap(rules, random)
    if report.doubtful:
        pause = min(pause, _about(_ASKED_AGAIN, random))
    left = evolve(leg, recipients=tuple(again), attempts=leg.attempts + reached)
    return Settlement(left, min(now + pause, leg.until), failures, delivered)
