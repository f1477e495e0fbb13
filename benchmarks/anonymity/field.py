"""The rules that are compared, in families: one family, several settings."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from benchmarks.anonymity.alternatives import mixmaster, one_of_each, threshold, timed
from benchmarks.anonymity.rules import (
    HOUR,
    Exponential,
    Lottery,
    Ours,
    Pooling,
    Rule,
    Uniform,
)
from postmand.config import Delays

POOL = Ours("pool (8)", "pool")
"""The node's own, as it is by default."""


@frozen
class Family:
    """Rules that differ in their settings; drawn in one colour."""

    name: str
    rules: Sequence[Rule]


def _pool(least: int) -> Ours:
    return Ours(f"pool ({least})", "pool", Delays(pool_set=least))


FIELD: Sequence[Family] = (
    Family(
        "the node's delays",
        (Ours("none", "none"), Ours("defer", "defer"), Ours("batch", "batch"), POOL),
    ),
    Family("pool, other sets", (_pool(4), _pool(12), _pool(16), _pool(32))),
    Family(
        "one of each account",
        (
            Pooling("one of each (6)", one_of_each(6), deadline=24),
            Pooling("one of each (8)", one_of_each(8), deadline=24),
        ),
    ),
    Family(
        "exponential",
        tuple(
            Exponential(f"exponential, mean {hours} h", hours) for hours in (1, 2, 4, 8)
        ),
    ),
    Family(
        "uniform",
        tuple(Uniform(f"uniform, up to {hours} h", hours) for hours in (6, 12, 24)),
    ),
    Family(
        "timed batch",
        tuple(
            Pooling(f"all, every {hours} h", timed(hours), wakes=hours * HOUR)
            for hours in (6, 24)
        ),
    ),
    Family(
        "timed pool (Mixmaster)",
        tuple(
            Lottery(
                f"timed pool, {hours} h, {keep} stay",
                mixmaster(hours, keep, 0.65),
                wakes=hours * HOUR,
            )
            for hours, keep in ((1, 4), (4, 4), (4, 12))
        ),
    ),
    Family(
        "threshold, no deadline",
        (
            Pooling("8 mails", threshold(8)),
            Lottery("8 mails, 8 more stay", threshold(8, 8)),
        ),
    ),
)

FLOODED = frozenset(
    {"none", "defer", "batch", "pool (8)", "pool (16)", "one of each (8)"}
    | {"exponential, mean 4 h", "uniform, up to 24 h", "all, every 24 h"}
    | {"timed pool, 4 h, 4 stay", "8 mails", "8 mails, 8 more stay"}
)
"""Those that are run under a flood, too."""
