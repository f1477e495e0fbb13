"""The queue's clock: jumps of the wall's clock, to and fro, by hours and days."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.queue.clock import PACE, QueueClock

pytestmark = pytest.mark.long

START = 1_800_000_000 - 1_800_000_000 % 86_400
HOUR, DAY = 3_600, 86_400
TICK = 30


class Times:
    """A wall's clock that can be set, beside one that nobody sets."""

    def __init__(self, wall: float = START) -> None:
        self.wall = float(wall)
        self.steady = 77.0
        self.clock = QueueClock(lambda: self.wall, lambda: self.steady)

    def pass_(self, seconds: float) -> int:
        """Let time pass; return the queue's."""
        self.wall += seconds
        self.steady += seconds
        return self.clock.now()

    def ticks(self, number: int) -> list[int]:
        """Let so many ticks pass; return the queue's time at each."""
        return [self.pass_(TICK) for _ in range(number)]


def test_follows_the_wall() -> None:
    """Without a jump it is the wall's time."""
    times = Times()
    assert times.ticks(100)[-1] == START + 100 * TICK
    assert times.clock.base() == START + 100 * TICK


def test_jump_ahead_is_caught_up_with_in_steps() -> None:
    """A day ahead: PACE ticks of time a tick, until it is the wall's again."""
    times = Times()
    times.wall += DAY
    seen = [START, *times.ticks(400)]
    steps = [after - before for before, after in pairwise(seen)]
    assert max(steps) == PACE * TICK
    assert steps[-1] == TICK
    assert seen[-1] == int(times.wall)
    assert steps.index(max(steps)) == 0
    # 86,400 s at 19 s won a second: 4,547 s, 152 ticks.
    assert sum(step > TICK for step in steps) == 152


def test_long_silence_saves_nothing_up() -> None:
    """A node whose ticks stood still an hour does not jump a day at the next."""
    times = Times()
    times.pass_(HOUR)
    before = times.clock.now()
    times.steady += HOUR
    times.wall += HOUR + DAY
    assert times.clock.now() - before <= HOUR + 60 * (PACE - 1)


def test_jump_back_does_not_stop_it() -> None:
    """Two days back: it goes on at its own pace, and meets the wall later."""
    times = Times()
    times.wall -= 2 * DAY
    assert times.ticks(10) == [START + TICK * n for n in range(1, 11)]
    times.wall += 2 * DAY
    assert times.ticks(1) == [START + 11 * TICK]


def test_to_and_fro_does_not_add_up() -> None:
    """A hundred jumps of three hours and back win three hours in all."""
    times = Times()
    for _ in range(100):
        times.wall += 3 * HOUR
        times.ticks(30)
        times.wall -= 3 * HOUR
        times.ticks(30)
    assert times.clock.now() <= START + 6_000 * TICK + 3 * HOUR


def test_board_without_a_clock() -> None:
    """It starts in 1970, and takes the first true time at its word, and no other."""
    times = Times(10.0)
    assert times.ticks(4)[-1] == 10 + 4 * TICK
    times.wall = START
    assert times.ticks(1)[0] == START + TICK
    times.wall += 2 * DAY
    assert times.ticks(1)[0] == START + TICK + PACE * TICK


@pytest.mark.parametrize("hours", [6, 12, 72])
def test_new_delays_are_not_cut_short_while_it_catches_up(hours: int) -> None:
    """A wait of an hour, begun in the midst of it, is an hour for real, or more."""
    times = Times()
    times.wall += hours * HOUR
    times.ticks(10)
    due = times.clock.base() + HOUR
    begun = times.steady
    while times.clock.now() < due:
        times.pass_(TICK)
    caught_up = hours * HOUR / (PACE - 1)
    assert HOUR <= times.steady - begun <= max(HOUR, caught_up) + TICK


def test_new_delays_survive_a_wall_that_was_years_ahead() -> None:
    """It comes back, and what was handed in meanwhile is weeks late, not years."""
    times = Times()
    times.wall += 3_650 * DAY
    times.ticks(2)
    assert times.clock.base() - times.clock.now() == (PACE - 1) * DAY
    times.wall -= 3_650 * DAY
    assert times.clock.base() == times.clock.now()


moves = st.lists(
    st.tuples(st.floats(-10 * DAY, 10 * DAY), st.floats(0, 4 * HOUR)), max_size=30
)


@given(moves)
def test_promises(moves: list[tuple[float, float]]) -> None:
    """Never backward, never slower than time, never above PACE or the latest wall."""
    times = Times()
    latest = times.wall
    for jump, passing in moves:
        before = times.clock.now()
        times.wall += jump
        times.wall += passing
        times.steady += passing
        latest = max(latest + passing, times.wall)
        after = times.clock.now()
        assert before + int(passing) <= after + 1
        assert after - before <= PACE * passing + 1
        assert after <= latest + 1
        assert times.clock.base() >= after
