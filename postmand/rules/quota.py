"""How many Internet recipients an account has left (guide 7.5). Pure, as all rules.

The day's own are spent first, then those that were bought. Days are UTC's and start
at 0:00. A standing of a later day than the clock's keeps counting: a clock that steps
back gives nobody anything back.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import evolve, frozen

from postmand.config import Quota
from postmand.internet import PurchaseError, Standing
from postmand.rules.verdict import Verdict

DAY = 86_400
HOUR = 3_600
MINUTE = 60

MOST_BOUGHT = 1_000_000
"""More than this nobody has left of what was bought or granted."""


@frozen
class Rules:
    """What an account has a day, on its first day, and may buy a day; for how long."""

    per_day: int = 20
    first_day: int = 20
    bought_per_day: int = 160
    bought_hours: int = 24

    @classmethod
    def from_config(cls, quota: Quota) -> Rules:
        """Return what the config file says."""
        return cls(
            quota.per_day, quota.first_day, quota.bought_per_day, quota.bought_hours
        )

    def own(self, created_day: int, day: int) -> int:
        """Return what an account made on `created_day` has of its own on `day`."""
        return self.first_day if day <= created_day else self.per_day


def on_day(standing: Standing, now: float) -> Standing:
    """Return the standing as it is at `now`: a new day's, without what expired."""
    today = int(now // DAY)
    if today > standing.day:
        standing = evolve(standing, day=today, spent=0, bought_today=0)
    if standing.until and standing.until <= _moment(standing, now):
        standing = evolve(standing, bought=0, until=0)
    return standing


def own_left(standing: Standing, rules: Rules, created_day: int, now: float) -> int:
    """Return what is left of the day's own recipients."""
    standing = on_day(standing, now)
    return max(0, rules.own(created_day, standing.day) - standing.spent)


def left(standing: Standing, rules: Rules, created_day: int, now: float) -> int:
    """Return how many recipients the account may still write to: own and bought."""
    own = own_left(standing, rules, created_day, now)
    return own + on_day(standing, now).bought


def charge(
    standing: Standing, rules: Rules, created_day: int, recipients: int, now: float
) -> Standing | None:
    """Return the standing after `recipients` were paid for, None if they can not be.

    The day's own go first, then the bought. All or nothing.
    """
    standing = on_day(standing, now)
    own = min(recipients, own_left(standing, rules, created_day, now))
    bought = recipients - own
    if bought > standing.bought:
        return None
    return evolve(standing, spent=standing.spent + own, bought=standing.bought - bought)


def buy(standing: Standing, rules: Rules, recipients: int, now: float) -> Standing:
    """Return the standing after a purchase, which replaces a smaller one before.

    Raises PurchaseError when as many are left of the one before, or when the account
    has bought enough for the day.
    """
    standing = on_day(standing, now)
    if standing.bought >= recipients:
        raise PurchaseError(
            f"{standing.bought} bought recipients are left, and this would buy "
            f"{recipients}; what is bought replaces what is left and does not add up, "
            "so use those first"
        )
    may_buy = max(0, rules.bought_per_day - standing.bought_today)
    if recipients > may_buy:
        raise PurchaseError(
            f"an account buys at most {rules.bought_per_day} recipients a day, "
            f"{may_buy} more today, and this would buy {recipients}; "
            f"try again {_comes_back(standing, now)}"
        )
    return evolve(
        standing,
        bought=recipients,
        until=_until(rules, _moment(standing, now)),
        bought_today=standing.bought_today + recipients,
    )


def grant(standing: Standing, rules: Rules, recipients: int, now: float) -> Standing:
    """Return the standing after the operator's gift: it adds to what is left.

    It lasts as long as what is bought and does not count as that. A standing of a
    later day becomes today's: this is how an operator mends what a wrong clock did.
    Raises PurchaseError for more than `MOST_BOUGHT` in all.
    """
    standing = on_day(standing, now)
    bought = standing.bought + recipients
    if bought > MOST_BOUGHT:
        raise PurchaseError(
            f"that would be {bought} recipients, and an account has at most "
            f"{MOST_BOUGHT}; grant fewer"
        )
    today = int(now // DAY)
    return evolve(
        standing,
        day=min(standing.day, today),
        bought=bought,
        until=max(standing.until, _until(rules, now)),
    )


def quota_spent(standing: Standing, rules: Rules, now: float) -> Verdict:
    """Return the refusal of a recipient when none is left (guide 7.5)."""
    standing = on_day(standing, now)
    told = ["0 Internet recipients are left"]
    if rules.per_day:
        told.append(f"{rules.per_day} come back {_comes_back(standing, now)}")
    if standing.bought_today < rules.bought_per_day:
        told.append("a stamp buys more")
    return Verdict("quota-spent", 452, "4.7.1", "; ".join(told))


class Reservations:
    """Recipients named in sessions and not yet paid for, by account. In memory only.

    A standing is read while others spend. Who reserves takes the `mark` before the
    reading; if it has moved afterwards, what was read may be old, and is read again.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._held: dict[int, int] = {}
        self._spent_at: OrderedDict[int, int] = OrderedDict()
        self._turn = 0
        self._forgotten = 0

    def held(self, account: int) -> int:
        """Return how many recipients the account's sessions have reserved."""
        return self._held.get(account, 0)

    def mark(self, account: int) -> int:
        """Return a number that moves whenever recipients of the account are spent."""
        return self._spent_at.get(account, self._forgotten)

    def reserve(self, account: int, left: int, recipients: int = 1) -> bool:
        """Reserve, unless with all that is reserved already it is more than `left`."""
        held = self.held(account) + recipients
        if held > left:
            return False
        self._held[account] = held
        return True

    def give_back(self, account: int, recipients: int = 1) -> None:
        """Let go of recipients that were not spent: RSET, an abort, a refusal."""
        held = self.held(account) - recipients
        if held < 0:
            raise ValueError("more given back than was reserved")
        if held:
            self._held[account] = held
        else:
            self._held.pop(account, None)

    def spent(self, account: int, recipients: int = 1) -> None:
        """Let go of recipients that the store has taken from the standing."""
        self.give_back(account, recipients)
        self._turn += 1
        self._spent_at[account] = self._turn
        self._spent_at.move_to_end(account)
        if len(self._spent_at) > self._size:
            _, self._forgotten = self._spent_at.popitem(last=False)


def _moment(standing: Standing, now: float) -> float:
    """Return now, or the start of the standing's day if the clock is behind it."""
    return max(now, standing.day * DAY)


def _until(rules: Rules, now: float) -> int:
    """Return when what is bought now expires, cut to the minute."""
    return int(now + rules.bought_hours * HOUR) // MINUTE * MINUTE


def _comes_back(standing: Standing, now: float) -> str:
    """Tell when the standing's day is over, as in `at 0:00 UTC, in 5 h 12 min`."""
    minutes = int(-(-((standing.day + 1) * DAY - now) // MINUTE))
    hours, minutes = divmod(minutes, 60)
    spans = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"at 0:00 UTC, in {spans}"
