"""The observer works out what can be worked out, and the pool holds against it."""

from __future__ import annotations

from itertools import permutations
from random import Random
from xml.etree import ElementTree

import pytest

from benchmarks.anonymity import observer
from benchmarks.anonymity.alternatives import threshold, timed
from benchmarks.anonymity.field import POOL
from benchmarks.anonymity.figures import (
    Figures,
    effective_set,
    measure,
    on_frontier,
    summary,
)
from benchmarks.anonymity.model import FLOODER, HandIn, Setting
from benchmarks.anonymity.node import run
from benchmarks.anonymity.observer import Release
from benchmarks.anonymity.plot import Panel, Point, svg
from benchmarks.anonymity.rules import HOUR, Exponential, Ours, Pooling, Uniform

pytestmark = pytest.mark.long

NONE, DEFER = Ours("none", "none"), Ours("defer", "defer")
DAILY = Pooling("all, every 24 h", timed(24), wakes=24 * HOUR)


def test_no_delay_is_no_set() -> None:
    """Whoever comes alone, and leaves at once, is known."""
    hand_ins = [HandIn(600.5 * n, n % 3, 1_000) for n in range(1, 20)]
    course = run(NONE, hand_ins, Random(1))
    posteriors = NONE.posteriors(hand_ins, course.releases, course.own)
    assert course.mails == list(range(19))
    assert [list(one) for one in posteriors] == [[n % 3] for n in range(1, 20)]


def test_a_threshold_is_its_accounts() -> None:
    """Of four mails of three accounts one is twice as likely."""
    rule = Pooling("4", threshold(4))
    hand_ins = [HandIn(600.5 * n, n % 3, 1_000) for n in range(4)]
    course = run(rule, hand_ins, Random(1))
    posteriors = rule.posteriors(hand_ins, course.releases, course.own)
    assert posteriors == [{0: 0.5, 1: 0.25, 2: 0.25}] * 4
    equal = [HandIn(600.5 * n, n, 1_000) for n in range(4)]
    course = run(rule, equal, Random(1))
    for posterior in rule.posteriors(equal, course.releases, course.own):
        assert effective_set(posterior) == pytest.approx(4)


def test_the_default_pool_hides_among_eight() -> None:
    """Eight accounts, one letter each: a set of eight, and at once."""
    hand_ins = [HandIn(600.5 * n, n, 1_000) for n in range(8)]
    course = run(POOL, hand_ins, Random(1))
    assert {release.at for release in course.releases} == {4_230.0}
    for posterior in POOL.posteriors(hand_ins, course.releases, course.own):
        assert effective_set(posterior) == pytest.approx(8)


def test_sizes_are_seen() -> None:
    """A large mail among letters is known."""
    hand_ins = [HandIn(10.5 + n, n, 1_000_000 if n == 3 else 1_000) for n in range(6)]
    course = run(DAILY, hand_ins, Random(1))
    place = course.mails.index(3)
    assert DAILY.posteriors(hand_ins, course.releases, course.own)[place] == {3: 1.0}


def test_what_the_flooder_knows_hides_nobody() -> None:
    """Its own mails are not among the guesses."""
    hand_ins = [HandIn(10.5 + n, FLOODER if n % 2 else n, 1_000) for n in range(6)]
    for rule in (DAILY, Exponential("1 h", 1), Uniform("1 h", 1)):
        course = run(rule, hand_ins, Random(1))
        posteriors = rule.posteriors(hand_ins, course.releases, course.own)
        for place, mail in enumerate(course.mails):
            assert FLOODER not in posteriors[place]
            assert mail % 2 or posteriors[place][mail] > 0


def test_an_unexpected_release_is_noticed() -> None:
    """An observer who is wrong about the rule does not go on counting."""
    hand_ins = [HandIn(0.5, 1, 1_000), HandIn(1.5, 2, 1_000)]
    with pytest.raises(observer.ReplayError):
        observer.replay(hand_ins, [Release(30.0, 0)], lambda inside, _: inside)


def exact(matrix: list[list[float]]) -> list[list[float]]:
    """Return the chances of each pair over all permutations."""
    size = len(matrix)
    found = [[0.0] * size for _ in range(size)]
    for order in permutations(range(size)):
        weight = 1.0
        for row, column in enumerate(order):
            weight *= matrix[row][column]
        for row, column in enumerate(order):
            found[row][column] += weight
    return [[cell / sum(row) for cell in row] for row in found]


def test_scaling_comes_near_the_permutations() -> None:
    """Uniform delays, seven at a time: sets and chances are nearly the true ones.

    A single set may be a sixth too large; on the average it is a fortieth at most.
    """
    errors = []
    for seed in range(6):
        random = Random(seed)
        came = sorted(random.uniform(0, 10) for _ in range(7))
        left = sorted(at + random.uniform(2, 8) for at in came)
        matrix = [[float(2 <= at - since <= 8) for since in came] for at in left]
        rows = [{i: cell for i, cell in enumerate(row) if cell} for row in matrix]
        for true, scaled in zip(exact(matrix), observer.scaled(rows), strict=True):
            own = effective_set(dict(enumerate(true)))
            errors.append(effective_set(scaled) / own - 1)
            for column, chance in enumerate(true):
                assert scaled.get(column, 0.0) == pytest.approx(chance, abs=0.12)
    assert max(map(abs, errors)) < 1 / 6
    assert abs(sum(errors) / len(errors)) < 1 / 40


def test_without_memory_is_exact() -> None:
    """Exponential delays: the chances are those of all permutations."""
    random = Random(3)
    came = sorted(random.uniform(0, 6) for _ in range(7))
    left = sorted(at + random.expovariate(0.3) for at in came)
    matrix = [[float(at > since) for since in came] for at in left]
    found = observer.memoryless(
        [HandIn(at, account, 1) for account, at in enumerate(came)],
        [Release(at, 0) for at in left],
    )
    for true, posterior in zip(exact(matrix), found, strict=True):
        for account, chance in enumerate(true):
            assert posterior.get(account, 0.0) == pytest.approx(chance, abs=1e-9)


def letters(rule: Ours | Pooling | Exponential, setting: Setting) -> Figures:
    """Return the figures of a rule's letters."""
    seen = measure(rule, setting, seed=1)
    return summary([one for one in seen if one.size_class == 0], setting)


def test_the_observer_is_as_right_as_it_believes() -> None:
    """Its rate of right guesses is what its posteriors promise, about one in set."""
    figures = letters(POOL, Setting(40, 14))
    assert figures.hit == pytest.approx(1 / 7, abs=0.06)
    assert letters(NONE, Setting(5, 60)).hit > 0.95


def test_the_default_pool_is_on_the_frontier() -> None:
    """Nothing else here has as large a worst tenth for as short a delay."""
    setting = Setting(20, 20)
    others = [
        letters(rule, setting)
        for rule in (NONE, DEFER, Ours("batch", "batch"), DAILY, Exponential("4 h", 4))
    ]
    default = letters(POOL, setting)
    assert on_frontier(default, others)
    assert default.worst > 4
    assert default.longest < 24 + 1 / 60


def test_a_flood_gains_little() -> None:
    """An account that hands in all day does not undo the pool."""
    quiet, flooded = (letters(POOL, Setting(20, 18, flood)) for flood in (0, 24))
    assert flooded.worst > quiet.worst - 1.5


def test_the_plot_is_a_picture() -> None:
    """It is XML, and has a mark for each point."""
    figures = letters(NONE, Setting(5, 30))
    points = [Point(family, f"rule {family}", figures) for family in range(8)]
    picture = svg([Panel("5 members", points)], ["one"] * 8, ["letters"])
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert picture.count("<circle") == 2 * 2
