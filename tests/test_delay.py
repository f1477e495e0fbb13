"""When a message leaves: each mode's span, and that its due tells nothing else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import DELAYS, Delays
from postmand.rules.delay import BAD_DELAY, LAST_CALL, Due, choice, due

MIDNIGHT = 1_700_006_400  # 2023-11-15 00:00:00 UTC
NOON = MIDNIGHT + 12 * 3_600
DAY = 86_400
RULES = Delays()
times = st.integers(0, 4_000_000_000)


@given(st.sampled_from(DELAYS), times, st.randoms(use_true_random=False))
def test_whole_minutes(mode: str, now: int, random: Random) -> None:
    """No row tells a second, whatever the mode."""
    assert due(mode, now, RULES, random).due % 60 == 0


@given(times, st.randoms(use_true_random=False))
def test_none_is_due_at_once(now: int, random: Random) -> None:
    """It leaves at the next tick, and its row tells the minute only."""
    found = due("none", now, RULES, random)
    assert now - 60 < found.due <= now
    assert not found.pooled


@given(times, st.randoms(use_true_random=False))
def test_defer_keeps_its_bounds(now: int, random: Random) -> None:
    """Never before 2,000 s, never after 4,000."""
    found = due("defer", now, RULES, random)
    assert now + 2_000 <= found.due <= now + 4_000
    assert not found.pooled


def test_defer_uses_the_whole_span() -> None:
    """Every minute of the span, each about as often."""
    random = Random(1)
    drawn = [due("defer", MIDNIGHT, RULES, random).due for _ in range(3_300)]
    minutes = {when: drawn.count(when) for when in drawn}
    assert sorted(minutes) == [*range(MIDNIGHT + 2_040, MIDNIGHT + 3_961, 60)]
    assert all(50 < times < 160 for times in minutes.values())


def test_defer_within_one_minute() -> None:
    """A span without a whole minute in it ends at the first one after it begins."""
    rules = Delays(defer_min_seconds=2, defer_max_seconds=4)
    assert due("defer", MIDNIGHT + 10, rules, Random(1)).due == MIDNIGHT + 60


@pytest.mark.parametrize(
    ("now", "leaves"),
    [
        (MIDNIGHT + 1, NOON),
        (NOON - LAST_CALL - 1, NOON),
        (NOON - LAST_CALL, MIDNIGHT + DAY),
        (NOON, MIDNIGHT + DAY),
        (NOON + 1, MIDNIGHT + DAY),
        (MIDNIGHT + DAY - LAST_CALL, NOON + DAY),
        (MIDNIGHT + DAY, NOON + DAY),
    ],
)
def test_batch(now: int, leaves: int) -> None:
    """The next batch; but not one that may be gone before the message is kept."""
    assert due("batch", now, RULES, Random(1)) == Due(leaves)


@pytest.mark.parametrize("hours", [(7,), (23, 5), (0, 6, 12, 18)])
@given(now=times)
def test_batch_hours(hours: tuple[int, ...], now: int) -> None:
    """Any hours in any order: always one of them, within a day."""
    found = due("batch", now, Delays(batch_hours=hours), Random(1)).due
    assert found % DAY // 3_600 in hours
    assert found % 3_600 == 0
    assert now + LAST_CALL < found <= now + LAST_CALL + DAY


@given(times, st.integers(1, 168))
def test_pool_deadline(now: int, hours: int) -> None:
    """Never later than the longest wait, never before three quarters of it."""
    found = due("pool", now, Delays(pool_hours=hours), Random(1))
    longest = hours * 3_600
    assert found.pooled
    assert now + longest * 3 // 4 < found.due <= now + longest


def test_pool_deadline_hides_the_hand_in() -> None:
    """All that comes within the same six hours has one deadline."""
    found = {due("pool", now, RULES, Random(1)).due for now in range(0, 21_600, 60)}
    assert len(found) == 1


def test_unknown_mode_is_a_fault() -> None:
    """A mode that nobody checked is not taken for another one."""
    with pytest.raises(ValueError, match="no such delay"):
        due("soon", MIDNIGHT, RULES, Random(1))


@pytest.mark.parametrize(
    ("header", "account", "chosen"),
    [
        (None, "", "defer"),
        (None, "pool", "pool"),
        (b"none", "pool", "none"),
        (b" BATCH\t", "", "batch"),
        (b"Pool", "none", "pool"),
        (b"defer", "batch", "defer"),
    ],
)
def test_choice(header: bytes | None, account: str, chosen: str) -> None:
    """The message's own, else the account's, else the node's."""
    assert choice(header, account, "defer") == chosen


@pytest.mark.parametrize(
    "header",
    [b"", b"now", b"none,none", b"none, pool", b"n\xc3\xb6ne", b"none\x00", b"non e"],
)
def test_bad_choice(header: bytes) -> None:
    """What is none of the four, or given twice, is refused with all four named."""
    assert choice(header, "pool", "defer") is BAD_DELAY
    line = BAD_DELAY.line().decode()
    assert line.startswith("554 5.6.0 ")
    assert all(mode in line for mode in DELAYS)
    assert BAD_DELAY.reason == "bad-delay"
