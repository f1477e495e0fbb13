"""Counts that fade."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.rules.penalty import Penalties

pytestmark = pytest.mark.long


def test_fades() -> None:
    """A count is halved each half-life."""
    marks = Penalties(half_life=60.0)
    for _ in range(4):
        marks.add("x", 0.0)
    assert marks.of("x", 0.0) == 4.0
    assert marks.of("x", 60.0) == 2.0
    assert marks.of("x", 600.0) < 0.01
    assert marks.of("y", 0.0) == 0.0


def test_asking_changes_nothing() -> None:
    """To ask is not to count."""
    marks = Penalties()
    marks.add("x", 0.0)
    assert [marks.of("x", 0.0) for _ in range(3)] == [1.0] * 3


def test_bounded() -> None:
    """The table forgets who failed longest ago, and never who failed last."""
    marks = Penalties(size=100)
    marks.add("steady", 0.0)
    for number in range(1_000):
        marks.add(number, float(number) / 1_000)
        marks.add("steady", float(number) / 1_000)
    assert len(marks._marks) <= 100
    assert marks.of("steady", 1.0) > 900
    assert marks.of(0, 1.0) == 0.0


def test_clock_steps_back() -> None:
    """A clock set back makes nobody worse than he was."""
    marks = Penalties()
    marks.add("x", 1_000.0)
    assert marks.of("x", 10.0) == 1.0


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_never_above_the_failures(times: list[float]) -> None:
    """A count is between none and the number of failures."""
    marks = Penalties()
    for time in times:
        marks.add("x", time)
    assert 0.0 <= marks.of("x", max(times, default=0.0)) <= len(times)
