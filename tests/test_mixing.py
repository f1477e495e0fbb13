"""Which mails leave the pool."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import Delays
from postmand.internet import Pooled
from postmand.rules.mixing import (
    BOUNDS,
    MOST,
    SHARE,
    effective_set,
    leaving,
    size_class,
)

NOW = 1_000_000
LATER = NOW + 1
RULES = Delays(pool_set=8)


def mail(item: int, owner: int, due: int = LATER, size_class: int = 0) -> Pooled:
    """Return one that waits."""
    return Pooled(item, b"%d" % owner, size_class, due)


def gone(*waiting: Pooled, rules: Delays = RULES) -> set[int]:
    """Return what leaves, and see that nothing leaves twice."""
    items = leaving(waiting, NOW, rules, Random(1))
    assert len(items) == len(set(items))
    return set(items)


def test_size_classes() -> None:
    """A class's bound belongs to it; there is no largest size."""
    assert [size_class(bound) for bound in BOUNDS] == [0, 1, 2, 3]
    assert [size_class(bound + 1) for bound in BOUNDS] == [1, 2, 3, 4]
    assert size_class(0) == 0


def test_effective_set() -> None:
    """Equal shares count each account; an unequal one makes it smaller."""
    assert effective_set([1] * 8) == pytest.approx(8)
    assert effective_set([2, 1]) == pytest.approx(1.8899, abs=1e-4)
    assert effective_set([]) == 0


def test_nobody_leaves_early_alone() -> None:
    """Seven accounts are not eight."""
    assert gone(*(mail(owner, owner) for owner in range(7))) == set()


def test_the_set_leaves_together() -> None:
    """With the eighth account all leave."""
    assert gone(*(mail(owner, owner) for owner in range(8))) == set(range(8))


def test_one_account_is_no_set() -> None:
    """Many mails of few accounts hide nobody."""
    waiting = [mail(10 * owner + n, owner) for owner in range(7) for n in range(MOST)]
    assert gone(*waiting) == set()


def test_an_unequal_set_waits_for_another() -> None:
    """Eight accounts of which one has two are 7.6; with a ninth it is enough."""
    eight = [*(mail(owner, owner) for owner in range(8)), mail(100, 0)]
    assert gone(*eight) == set()
    assert gone(*eight, mail(8, 8)) == {*range(9), 100}


def test_sizes_do_not_hide_each_other() -> None:
    """Four letters and four large mails are two sets of four."""
    waiting = [mail(owner, owner, size_class=owner % 2) for owner in range(8)]
    assert gone(*waiting) == set()


def test_the_due_one_calls_all_of_its_size() -> None:
    """It has to leave, and with it all that could be it; other sizes stay."""
    waiting = [mail(1, 1, due=NOW), mail(2, 2), mail(3, 3), mail(4, 2)]
    assert gone(*waiting, mail(9, 9, size_class=1)) == {1, 2, 3, 4}


def test_a_share_of_each() -> None:
    """Whoever has many waiting sends `SHARE` of them, those first due."""
    flood = [mail(n, 1, due=LATER + 60 * n) for n in range(MOST)]
    assert gone(*reversed(flood), mail(100, 2, due=NOW)) == {100, *range(SHARE)}


def test_a_flood_calls_nobody() -> None:
    """What it has due leaves without the others."""
    flood = [mail(n, 1, due=NOW if n < 2 else LATER) for n in range(MOST)]
    others = [mail(100 + owner, 10 + owner) for owner in range(5)]
    assert gone(*flood, *others) == {0, 1}


def test_a_flood_does_not_keep_the_others() -> None:
    """Eight others leave with a share of it, if that share leaves them hidden."""
    flood = [mail(n, 1) for n in range(MOST)]
    others = [mail(100 + owner, 10 + owner) for owner in range(8)]
    shares = [SHARE] + [1] * 8
    assert (effective_set(shares) >= 8) == bool(gone(*flood, *others))
    ten = [*others, mail(200, 50), mail(201, 51)]
    assert gone(*flood, *ten) == {*range(SHARE), *range(100, 108), 200, 201}


def test_random_order() -> None:
    """The order in which they are given is not that in which they came."""
    waiting = [mail(owner, owner) for owner in range(20)]
    orders = {tuple(leaving(waiting, NOW, RULES, Random(seed))) for seed in range(20)}
    assert len(orders) == 20


POOLS = st.lists(
    st.builds(
        mail,
        item=st.integers(0, 10**6),
        owner=st.integers(0, 12),
        due=st.integers(NOW - 2, NOW + 5),
        size_class=st.integers(0, 1),
    ),
    max_size=60,
    unique_by=lambda one: one.item,
)


@pytest.mark.long
@given(POOLS)
def test_what_it_promises(waiting: list[Pooled]) -> None:
    """Whatever waits: all that is due leaves, and what leaves early is hidden.

    Unless it was called: then an account that is no flood has one due.
    """
    left = gone(*waiting)
    assert {one.item for one in waiting if one.due <= NOW} <= left
    for kind in (0, 1):
        shares: dict[bytes, int] = {}
        mails: dict[bytes, list[Pooled]] = {}
        for one in waiting:
            if one.size_class == kind:
                mails.setdefault(one.owner, []).append(one)
        early = [
            one
            for owned in mails.values()
            for one in owned
            if one.item in left and one.due > NOW
        ]
        callers = [
            owned
            for owned in mails.values()
            if len(owned) <= SHARE and any(one.due <= NOW for one in owned)
        ]
        for owner, owned in mails.items():
            shares[owner] = min(SHARE, sum(one.item in left for one in owned))
        if early and not callers:
            assert effective_set(list(shares.values())) >= 8 - 1e-6
        if callers:
            assert all(
                shares[owner] == min(SHARE, len(mails[owner])) for owner in mails
            )
