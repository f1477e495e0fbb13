"""Counts: words of the code and numbers, and no more of them than fit."""

from __future__ import annotations

import pytest

from postmand.counts import OTHER, Counts


def test_counts() -> None:
    """Each name and reason has its own number."""
    counts = Counts()
    counts.count("accepted")
    counts.count("accepted")
    counts.count("refused", "quota-spent")
    counts.count("relay", "delivered", times=3)
    assert counts.snapshot() == {
        ("accepted", ""): 2,
        ("refused", "quota-spent"): 1,
        ("relay", "delivered"): 3,
    }


def test_snapshot_stands_still() -> None:
    """What was taken does not change with what is counted later."""
    counts = Counts()
    counts.count("released")
    taken = counts.snapshot()
    counts.count("released")
    assert taken == {("released", ""): 1}
    assert counts.snapshot() == {("released", ""): 2}


@pytest.mark.parametrize(
    "data",
    [
        "alice@mail.i2p",
        "550 5.1.1 No such user",
        "Quota-Spent",
        "-x",
        "x-",
        "a--b",
        "a\nb",
        "quota-spent\n",
        'x"} 1',
        "ünknown",
        "a" * 41,
    ],
)
def test_data_is_no_reason(data: str) -> None:
    """What is no word of the code is counted, but not written down."""
    counts = Counts()
    counts.count("refused", data)
    counts.count("refused", data)
    assert counts.snapshot() == {("refused", OTHER): 2}


def test_bounded() -> None:
    """Reasons beyond the table's room share one entry; those in it go on."""
    counts = Counts(most=3)
    for number in range(1000):
        counts.count("refused", f"reason-{number}")
        counts.count("refused", "reason-0")
    assert counts.snapshot() == {
        ("refused", "reason-0"): 1001,
        ("refused", "reason-1"): 1,
        ("refused", "reason-2"): 1,
        ("refused", OTHER): 997,
    }
    counts.count("accepted")
    assert sum(counts.snapshot().values()) == 2001
