"""When a message for the Internet leaves: none, defer, batch (guide 7.4), or pool.

Pure: the member's choice and the time in, what the queue keeps out. A due is a whole
minute, so that a row tells no finer time; the settings are those of `config.Delays`.
"""

from __future__ import annotations

from random import Random

from attrs import frozen

from postmand.config import DELAYS, Delays
from postmand.rules.verdict import Verdict

MINUTE = 60
_HOUR = 3_600
_DAY = 86_400

# What is handed in during the last minute before a batch waits for the next one: it may
# come to the disk after the tick that takes the batch, and would leave alone.
LAST_CALL = MINUTE

# A deadline in the pool lies on one of four marks in the longest wait: every 6 h of
# 24. A row then tells the hand-in to a quarter of that wait only; and what was not
# hidden in time leaves on the same mark as the others of its quarter, not by itself.
POOL_MARKS = 4

BAD_DELAY = Verdict(
    "bad-delay",
    554,
    "5.6.0",
    f"Postman-Delay must be given once and be one of {', '.join(DELAYS)}",
)


@frozen
class Due:
    """The minute at which a message is due, in seconds since 1970-01-01 UTC.

    `pooled`: it leaves before that, when enough others hide it.
    """

    due: int
    pooled: bool = False


def due(mode: str, now: int, rules: Delays, random: Random) -> Due:
    """Return when a message handed in at `now` leaves, by one of config.DELAYS.

    none: with the next tick. defer: at a random minute of the span, every one as
    likely. batch: at the next of the hours, but see LAST_CALL. pool: `pool_hours`
    later at the latest, and not before three quarters of them for want of others.
    Raises ValueError for any other mode.
    """
    if mode == "none":
        return Due(now - now % MINUTE)
    if mode == "defer":
        return Due(_deferred(now, rules, random))
    if mode == "batch":
        return Due(_next_batch(now + LAST_CALL, rules.batch_hours))
    if mode == "pool":
        longest = rules.pool_hours * _HOUR
        latest = now + longest
        return Due(latest - latest % (longest // POOL_MARKS), pooled=True)
    raise ValueError("there is no such delay")


def _deferred(now: int, rules: Delays, random: Random) -> int:
    """Return a minute not before the shortest wait and not after the longest one.

    Where there is none between them, the first after the shortest.
    """
    first = -(-(now + rules.defer_min_seconds) // MINUTE)
    last = (now + rules.defer_max_seconds) // MINUTE
    return MINUTE * random.randint(first, max(first, last))


def _next_batch(after: int, hours: tuple[int, ...]) -> int:
    """Return the first batch that is later than `after`."""
    midnight = after - after % _DAY
    batches = (midnight + day + hour * _HOUR for day in (0, _DAY) for hour in hours)
    return min(batch for batch in batches if batch > after)


def choice(header: bytes | None, account: str, default: str) -> str | Verdict:
    """Return the mode for a message: its own, else its account's, else the node's.

    `header` is the value of the message's Postman-Delay field, in any case, or None;
    of a field given twice it is both values with a comma between them, as RFC 9110
    5.3 joins them. What is none of config.DELAYS is refused and not guessed at: a
    delay that the member did not get would betray them.
    """
    if header is None:
        return account or default
    mode = header.strip(b" \t").lower().decode("ascii", "replace")
    return mode if mode in DELAYS else BAD_DELAY
