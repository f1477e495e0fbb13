"""Which mails leave the pool: each hidden among others of its size.

Whoever watches both ends of the node can tell mails apart by their size, roughly, and
knows who handed in something of that size since when. So only mails of one class hide
each other, and of one account's mails each is but one more guess at the same account.
docs/decisions tells what else was tried, and `make anonymity` measures it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from random import Random

from postmand.config import Delays
from postmand.internet import Pooled

BOUNDS = (8 * 2**10, 64 * 2**10, 512 * 2**10, 4 * 2**20)
"""The largest size of each class but the last, in octets."""

SHARE = 3
"""How many mails of an account leave together, and may still call others."""

MOST = SHARE + 1
"""How many mails of each account and class the rule has to see."""

# Sums of logarithms of equal shares may fall short of a whole number.
_ROUNDING = 1e-9


def size_class(octets: int) -> int:
    """Return the class of a message of so many octets: 0 is the smallest."""
    return bisect_left(BOUNDS, octets)


def effective_set(shares: Sequence[int]) -> float:
    """Return 2^entropy over accounts of which each has so many mails in a batch.

    Among n accounts with a mail each it is n; whoever has more than the others makes
    it smaller (Serjantov and Danezis 2002). Of nothing it is 0.
    """
    total = sum(shares)
    if not total:
        return 0.0
    spread = sum(share * math.log2(share) for share in shares if share)
    return total / math.exp2(spread / total)


def leaving(
    waiting: Sequence[Pooled], now: int, rules: Delays, random: Random
) -> list[int]:
    """Return the items that leave at `now`, in random order.

    `waiting` holds the first `MOST` by `due` of each account and class. Of each class
    up to `SHARE` mails of every account leave together,

    - as soon as their effective set is `rules.pool_set`, or
    - when one of them is due, for that one has to leave and all hide it best. An
      account with more than `SHARE` waiting calls nobody: by handing in at all hours it
      could otherwise make the others leave before they are enough.

    Whatever is due leaves, alone if it must.
    """
    classes: dict[int, dict[bytes, list[Pooled]]] = {}
    for mail in waiting:
        accounts = classes.setdefault(mail.size_class, {})
        accounts.setdefault(mail.owner, []).append(mail)
    gone = [
        mail.item
        for accounts in classes.values()
        for mail in _of_class(list(accounts.values()), now, rules.pool_set)
    ]
    random.shuffle(gone)
    return gone


def _of_class(
    accounts: Sequence[list[Pooled]], now: int, least: int
) -> Iterator[Pooled]:
    together = _called(accounts, now) or _hidden(accounts, least)
    for mails in accounts:
        mails.sort(key=_due)
        share = SHARE if together else 0
        yield from mails[:share]
        yield from (mail for mail in mails[share:] if mail.due <= now)


def _called(accounts: Sequence[list[Pooled]], now: int) -> bool:
    return any(
        len(mails) <= SHARE and any(mail.due <= now for mail in mails)
        for mails in accounts
    )


def _hidden(accounts: Sequence[list[Pooled]], least: int) -> bool:
    # The set is never larger than the number of accounts.
    return (
        len(accounts) >= least
        and effective_set([min(len(mails), SHARE) for mails in accounts])
        >= least - _ROUNDING
    )


def _due(mail: Pooled) -> int:
    return mail.due
