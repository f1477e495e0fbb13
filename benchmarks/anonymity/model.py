"""Members and what they hand in."""

from __future__ import annotations

import math
from random import Random

from attrs import frozen

DAY = 86_400.0
FLOODER = -1
"""The account that floods. It works for the observer, who knows its mails again."""


@frozen
class HandIn:
    """What the observer sees of a mail handed in; `at` in seconds.

    `at` is half past a second: never the moment of a tick.
    """

    at: float
    account: int
    octets: int


@frozen
class Setting:
    """So many members, each with one mail a day, for so many days.

    `flood` is how many mails a day one more account hands in, all of them letters.
    """

    members: int
    days: int
    flood: int = 0

    def hand_ins(self, random: Random) -> list[HandIn]:
        """Return what is handed in, in the order of time: a Poisson process each."""
        mails: list[HandIn] = []
        for account in range(self.members):
            at = random.expovariate(1 / DAY)
            while at < self.days * DAY:
                mails.append(HandIn(_half_past(at), account, _octets(random)))
                at += random.expovariate(1 / DAY)
        mails += (
            HandIn(_half_past(number * DAY / self.flood), FLOODER, 2_000)
            for number in range(self.flood * self.days)
        )
        return sorted(mails, key=_at)


def _half_past(at: float) -> float:
    return math.floor(at) + 0.5


def _octets(random: Random) -> int:
    """Letters, and one mail in seven with something attached."""
    if random.random() < 0.85:
        return int(random.lognormvariate(math.log(2_500), 1.0))
    return int(random.lognormvariate(math.log(150_000), 1.5))


def _at(mail: HandIn) -> float:
    return mail.at
