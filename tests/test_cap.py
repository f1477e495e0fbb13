"""So many in so long a time, whichever time is looked at."""

from __future__ import annotations

from random import Random

from postmand.rules.cap import Cap


def test_no_more_than_that() -> None:
    """What is taken counts until its time has gone; a refusal costs nothing."""
    cap = Cap(3, 60.0)
    assert [cap.take(1, 0.0) for _ in range(4)] == [True, True, True, False]
    assert not cap.take(1, 59.0)
    assert cap.take(3, 62.0)
    assert not cap.take(1, 62.0)


def test_amounts() -> None:
    """A large amount that does not fit leaves the room to smaller ones."""
    cap = Cap(100, 3_600.0)
    assert cap.take(60, 0.0)
    assert not cap.take(60, 1.0)
    assert cap.take(40, 2.0)
    assert not cap.take(1, 3_000.0)
    assert not Cap(5, 1.0).take(6, 0.0)


def test_any_window() -> None:
    """Over no time of that length is more taken, however the asking falls."""
    rng = Random(3)
    cap, now, taken = Cap(50, 60.0), 1_000_000.0, []
    for _ in range(5_000):
        now += rng.expovariate(2.0)
        if cap.take(1, now):
            taken.append(now)
    for number in range(len(taken) - 50):
        assert taken[number + 50] - taken[number] > 60.0
    # And it gives what it promises, but for one slice of sixty.
    assert len(taken) > 50 * (now - 1_000_000.0) / 60.0 * 0.9


def test_bounded() -> None:
    """However much is asked, the table has an entry a slice and no more."""
    cap = Cap(10**9, 60.0)
    for number in range(10_000):
        cap.take(1, number / 10)
    assert len(cap._taken) <= 62
