"""What can be worked out from hand-ins and releases, by the kind of the rule.

Each of the three gives for every release, in order, the chance of each account to be
its sender (`Posterior`), from what is seen alone. Which of them fits a rule is the
observer's knowledge of it:

`replay`: the rule leaves nothing to chance but the order. The observer runs it too, on
what was handed in, and knows exactly what leaves when; each release of a tick is as
likely any of them. Exact.

`memoryless`: all that are inside at a release are equally likely to leave, old or new
(exponential delays, Mixmaster's pool). What is uncertain is who is still inside. Exact.

`matching`: each mail has a delay of its own, from a known distribution. The chances are
permanents of a matrix of likelihoods, hard to compute; scaling the matrix until each
hand-in and each release adds up to one (Sinkhorn) comes near them. The tests compare it
with all permutations of small cases.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from attrs import frozen

from benchmarks.anonymity.model import FLOODER, HandIn
from postmand.rules.mixing import size_class

Posterior = Mapping[int, float]
"""The chance of each account to be the sender."""

Replayed = Callable[[Sequence[int], float], Sequence[int]]
"""Given the indices of the hand-ins inside, and the time: the indices that leave."""

_ROUNDS = 60
_CLOSE = 1e-4


class ReplayError(Exception):
    """What the observer expected is not what was released."""


@frozen
class Release:
    """What the observer sees of a release; `at` in seconds."""

    at: float
    size_class: int


def _when(release: Release) -> float:
    return release.at


def _normalised(weights: Mapping[int, float]) -> Posterior:
    total = sum(weights.values())
    return {account: weight / total for account, weight in weights.items()}


def replay(
    hand_ins: Sequence[HandIn], releases: Sequence[Release], leaves: Replayed
) -> list[Posterior]:
    """Return the posteriors where `leaves` tells all that the rule does."""
    found: list[Posterior] = []
    inside: list[int] = []
    come = 0
    for at, tick in groupby(releases, _when):
        while come < len(hand_ins) and hand_ins[come].at <= at:
            inside.append(come)
            come += 1
        gone = set(leaves(inside, at))
        inside = [mail for mail in inside if mail not in gone]
        classes: dict[int, Counter[int]] = {}
        for mail in gone:
            kind = size_class(hand_ins[mail].octets)
            classes.setdefault(kind, Counter())[hand_ins[mail].account] += 1
        seen = list(tick)
        if Counter(one.size_class for one in seen) != {
            kind: accounts.total() for kind, accounts in classes.items()
        }:
            raise ReplayError(at)
        # What the flooder handed in it recognises when it comes out.
        known = {kind: _honest(accounts) for kind, accounts in classes.items()}
        found += (known[one.size_class] for one in seen)
    return found


def _honest(accounts: Counter[int]) -> Posterior:
    others = {name: float(n) for name, n in accounts.items() if name != FLOODER}
    return _normalised(others) if others else {}


@frozen
class _Apart:
    """One size class by itself, and without the mails that the flooder knows again.

    `places` are the places of its releases among all.
    """

    hand_ins: Sequence[HandIn]
    at: Sequence[float]
    places: Sequence[int]


def _apart(
    hand_ins: Sequence[HandIn], releases: Sequence[Release], own: frozenset[int]
) -> Iterator[_Apart]:
    for kind in {release.size_class for release in releases}:
        mails = [
            mail
            for mail in hand_ins
            if mail.account != FLOODER and size_class(mail.octets) == kind
        ]
        places = [
            place
            for place, release in enumerate(releases)
            if release.size_class == kind and place not in own
        ]
        yield _Apart(mails, [releases[place].at for place in places], places)


def memoryless(
    hand_ins: Sequence[HandIn],
    releases: Sequence[Release],
    own: frozenset[int] = frozenset(),
) -> list[Posterior]:
    """Return the posteriors where each mail inside is as likely to leave as any.

    `own` are the places among the releases of the flooder's mails.
    """
    found: list[Posterior] = [{} for _ in releases]
    for apart in _apart(hand_ins, releases, own):
        inside: list[tuple[int, float]] = []
        come = done = 0
        for at, same in groupby(apart.at):
            leave = len(list(same))
            while come < len(apart.hand_ins) and apart.hand_ins[come].at <= at:
                inside.append((apart.hand_ins[come].account, 1.0))
                come += 1
            posterior = _by_account(inside)
            for place in apart.places[done : done + leave]:
                found[place] = posterior
            done += leave
            # So many left, so many came: how many are inside is known.
            stay = 1.0 - leave / (come - done + leave)
            inside = [(one, chance * stay) for one, chance in inside]
            inside = [mail for mail in inside if mail[1] > 1e-9]
    return found


def _by_account(weights: Sequence[tuple[int, float]]) -> Posterior:
    accounts: dict[int, float] = {}
    for account, weight in weights:
        accounts[account] = accounts.get(account, 0.0) + weight
    return _normalised(accounts)


def matching(
    hand_ins: Sequence[HandIn],
    releases: Sequence[Release],
    likelihood: Callable[[float], float],
    longest: float,
    own: frozenset[int] = frozenset(),
) -> list[Posterior]:
    """Return the posteriors where each mail's delay is its own.

    `likelihood` gives the density of a delay, 0 beyond `longest`.
    """
    found: list[Posterior] = [{} for _ in releases]
    for apart in _apart(hand_ins, releases, own):
        came = [mail.at for mail in apart.hand_ins]
        rows: list[dict[int, float]] = []
        for at in apart.at:
            first, last = bisect_left(came, at - longest), bisect_right(came, at)
            row = {mail: likelihood(at - came[mail]) for mail in range(first, last)}
            rows.append({mail: chance for mail, chance in row.items() if chance > 0})
        for place, row in zip(apart.places, scaled(rows), strict=True):
            found[place] = _by_account(
                [(apart.hand_ins[mail].account, weight) for mail, weight in row.items()]
            )
    return found


def scaled(rows: Sequence[Mapping[int, float]]) -> list[dict[int, float]]:
    """Scale a square matrix, given sparse, until each row and column adds up to one."""
    matrix = [dict(row) for row in rows]
    for _ in range(_ROUNDS):
        columns: dict[int, float] = {}
        for row in matrix:
            total = sum(row.values())
            for column in row:
                row[column] /= total
                columns[column] = columns.get(column, 0.0) + row[column]
        if all(abs(total - 1.0) < _CLOSE for total in columns.values()):
            break
        for row in matrix:
            for column in row:
                row[column] /= columns[column]
    return [dict(_normalised(row)) for row in matrix]
