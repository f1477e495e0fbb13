"""From what the observer made of it to figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from attrs import frozen

from benchmarks.anonymity.model import DAY, FLOODER, Setting
from benchmarks.anonymity.node import Course, run
from benchmarks.anonymity.observer import Posterior
from benchmarks.anonymity.rules import Rule

_HOUR = 3_600.0
# Of the beginning, when the pool is empty, and of the end, when nothing more comes.
_LEFT_OUT = 2 * DAY
_TIED = 1e-9

Measure = Callable[["Figures"], float]


@frozen
class Seen:
    """One release as the observer saw it through. `delay` in seconds."""

    effective: float
    hit: float
    delay: float
    size_class: int


@frozen
class Figures:
    """A rule in a setting. Sets are in accounts, delays in hours.

    `tenth` is the set that nine of ten releases have at least; it moves in steps.
    `worst` is 2^(mean entropy) of the tenth of the releases with the smallest sets.
    `hit` is the observer's rate of right guesses, `uniform` what it would be if all in
    a set were as likely.
    `bound` is how many mails come within the 95th percentile of the delay, and the one
    itself; it can not be more than the members.
    """

    releases: int
    median: float
    tenth: float
    worst: float
    hit: float
    uniform: float
    delay: float
    delay_95: float
    longest: float
    bound: float


def effective_set(posterior: Posterior) -> float:
    """Return 2^entropy of the posterior."""
    return math.exp2(-sum(p * math.log2(p) for p in posterior.values() if p > 0))


def measure(rule: Rule, setting: Setting, seed: int) -> list[Seen]:
    """Run a rule once and look at it. The flooder's own mails are left out."""
    # The same hand-ins for every rule; chance of its own for what the rule draws.
    course = run(rule, setting.hand_ins(Random(seed)), Random(f"{seed} {rule.label}"))
    posteriors = rule.posteriors(course.hand_ins, course.releases, course.own)
    return _seen(course, posteriors, setting.days * DAY - _LEFT_OUT)


def _seen(course: Course, posteriors: Sequence[Posterior], end: float) -> list[Seen]:
    seen = []
    for release, index, posterior in zip(
        course.releases, course.mails, posteriors, strict=True
    ):
        mail = course.hand_ins[index]
        if mail.account != FLOODER and _LEFT_OUT <= mail.at <= end:
            seen.append(
                Seen(
                    effective_set(posterior),
                    _hit(posterior, mail.account),
                    release.at - mail.at,
                    release.size_class,
                )
            )
    return seen


def _hit(posterior: Posterior, account: int) -> float:
    """Return the chance that the best guess is right; among equals it is a lot."""
    best = max(posterior.values())
    guesses = [one for one, chance in posterior.items() if chance > best - _TIED]
    return (account in guesses) / len(guesses)


def summary(seen: Sequence[Seen], setting: Setting) -> Figures:
    """Return the figures of some releases: all, or those of a size class."""
    sets = sorted(one.effective for one in seen)
    delays = sorted(one.delay / _HOUR for one in seen)
    delay_95 = _quantile(delays, 0.95)
    rate = len(seen) * _HOUR / (setting.days * DAY - 2 * _LEFT_OUT)
    return Figures(
        releases=len(seen),
        median=_quantile(sets, 0.5),
        tenth=_quantile(sets, 0.1),
        worst=_spread(sets[: max(1, len(sets) // 10)]),
        hit=sum(one.hit for one in seen) / len(seen),
        uniform=sum(1 / one for one in sets) / len(sets),
        delay=_quantile(delays, 0.5),
        delay_95=delay_95,
        longest=delays[-1],
        bound=min(setting.members, 1 + rate * delay_95),
    )


def _spread(sets: Sequence[float]) -> float:
    return math.exp2(sum(map(math.log2, sets)) / len(sets))


def _quantile(values: Sequence[float], share: float) -> float:
    return values[int(share * (len(values) - 1))]


def best(one: Figures, others: Sequence[Figures], measure: Measure) -> bool:
    """Whether none of `others` has as large a set for as short a 95 % delay."""
    own = measure(one), one.delay_95
    return not any(
        its != own and its[0] >= own[0] and its[1] <= own[1]
        for its in ((measure(other), other.delay_95) for other in others)
    )


def on_frontier(one: Figures, others: Sequence[Figures]) -> bool:
    """Whether it is best by the mean of the worst tenth."""
    return best(one, others, lambda figures: figures.worst)


def on_step_frontier(one: Figures, others: Sequence[Figures]) -> bool:
    """Whether it is best by the tenth percentile."""
    return best(one, others, lambda figures: figures.tenth)
