"""What is left of a day's recipients, what stamps add, and who may reserve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import Quota
from postmand.internet import PurchaseError, Standing
from postmand.rules.quota import (
    DAY,
    HOUR,
    MOST_BOUGHT,
    Reservations,
    Rules,
    buy,
    charge,
    grant,
    left,
    on_day,
    own_left,
    quota_spent,
)

RULES = Rules(per_day=20, first_day=5, bought_per_day=100, bought_hours=24)
OLD = 0
TODAY = 20_779
MIDNIGHT = TODAY * DAY
NOON = MIDNIGHT + 12 * HOUR + 34


def spend(standing: Standing, recipients: int, now: float = NOON) -> Standing:
    """Charge, which must succeed."""
    charged = charge(standing, RULES, OLD, recipients, now)
    assert charged is not None
    return charged


def test_rules_are_the_configuration() -> None:
    """Every key of [quota] that is a rule lands in its place."""
    quota = Quota(per_day=1, first_day=2, bought_per_day=3, bought_hours=4)
    assert Rules.from_config(quota) == Rules(1, 2, 3, 4)


def test_a_day_of_twenty() -> None:
    """Twenty one by one; the twenty-first is refused and changes nothing."""
    standing = Standing()
    for used in range(20):
        assert left(standing, RULES, OLD, NOON) == 20 - used
        standing = spend(standing, 1)
    assert left(standing, RULES, OLD, NOON) == 0
    assert charge(standing, RULES, OLD, 1, NOON) is None


def test_all_or_nothing() -> None:
    """A message to more than are left is not paid for in part."""
    standing = spend(Standing(), 18)
    assert charge(standing, RULES, OLD, 3, NOON) is None
    assert left(standing, RULES, OLD, NOON) == 2


def test_midnight() -> None:
    """At 0:00 UTC, not a second before, the day's own are all there again."""
    standing = spend(Standing(), 20)
    assert left(standing, RULES, OLD, MIDNIGHT + DAY - 1) == 0
    assert left(standing, RULES, OLD, MIDNIGHT + DAY) == 20
    assert on_day(standing, MIDNIGHT + DAY) == Standing(day=TODAY + 1)


def test_first_day() -> None:
    """An account made today has the first day's; from tomorrow on it has all."""
    assert left(Standing(), RULES, TODAY, NOON) == 5
    assert charge(Standing(), RULES, TODAY, 6, NOON) is None
    assert left(Standing(), RULES, TODAY, NOON + DAY) == 20
    # A clock behind the one that made the account.
    assert left(Standing(), RULES, TODAY, NOON - DAY) == 5


def test_fewer_a_day_than_are_spent() -> None:
    """A config that gives less now does not take from what was bought."""
    standing = buy(spend(Standing(), 20), RULES, 20, NOON)
    fewer = Rules(per_day=10)
    assert own_left(standing, fewer, OLD, NOON) == 0
    assert left(standing, fewer, OLD, NOON) == 20


def test_own_before_bought() -> None:
    """What expires at midnight anyway goes first."""
    standing = buy(Standing(), RULES, 40, NOON)
    standing = spend(standing, 19)
    assert (standing.spent, standing.bought) == (19, 40)
    standing = spend(standing, 3)
    assert (standing.spent, standing.bought) == (20, 38)
    assert left(standing, RULES, OLD, NOON) == 38


def test_bought_last_a_day() -> None:
    """Bought ones outlive midnight and end 24 h after, to the minute before."""
    standing = buy(Standing(), RULES, 20, NOON)
    assert standing.until == NOON - 34 + DAY
    assert left(standing, RULES, OLD, standing.until - 1) == 40
    assert left(standing, RULES, OLD, standing.until) == 20
    assert on_day(standing, standing.until).until == 0


def test_a_larger_purchase_replaces() -> None:
    """Bought ones never add up: 80 after 20 are 80, for a day of their own."""
    standing = buy(Standing(), RULES, 20, NOON)
    later = buy(standing, RULES, 80, NOON + HOUR)
    assert later.bought == 80
    assert later.until == standing.until + HOUR
    assert later.bought_today == 100


@pytest.mark.parametrize("recipients", [20, 40])
def test_a_smaller_or_equal_purchase_is_refused(recipients: int) -> None:
    """It would take something away, so it is refused, and told in words."""
    standing = buy(Standing(), RULES, 40, NOON)
    with pytest.raises(PurchaseError, match="40 bought recipients are left"):
        buy(standing, RULES, recipients, NOON)


def test_the_same_again_when_some_are_used() -> None:
    """What counts is what is left of the one before, not what it was."""
    standing = spend(buy(Standing(), RULES, 40, NOON), 21)
    assert standing.bought == 39
    assert buy(standing, RULES, 40, NOON).bought == 40


def test_no_more_than_so_many_a_day() -> None:
    """The cap counts all purchases of a UTC day, used or not, and says when it ends."""
    standing = spend(buy(Standing(), RULES, 80, NOON), 100)
    with pytest.raises(PurchaseError, match=r"at most 100.* 20 more.* in 12 h 0 min"):
        buy(standing, RULES, 21, NOON)
    standing = spend(buy(standing, RULES, 20, NOON), 20)
    with pytest.raises(PurchaseError, match="0 more today"):
        buy(standing, RULES, 20, MIDNIGHT + DAY - 1)
    assert buy(standing, RULES, 20, MIDNIGHT + DAY).bought_today == 20


def test_grant() -> None:
    """The operator's gift adds up, and leaves the day's right to buy alone."""
    standing = grant(buy(Standing(), RULES, 20, NOON), RULES, 7, NOON)
    assert (standing.bought, standing.bought_today) == (27, 20)
    assert standing.until == NOON - 34 + DAY
    with pytest.raises(PurchaseError, match="at most 1000000"):
        grant(standing, RULES, MOST_BOUGHT, NOON)


def test_clock_set_back_gives_nothing() -> None:
    """A standing of tomorrow keeps counting today: own, cap and expiry."""
    tomorrow = NOON + DAY
    standing = spend(buy(Standing(), RULES, 80, tomorrow), 60, tomorrow)
    for now in (tomorrow, NOON, NOON - 300 * DAY):
        assert left(standing, RULES, OLD, now) == 40
        assert on_day(standing, now) == standing
        with pytest.raises(PurchaseError):
            buy(spend(standing, 40, now), RULES, 21, now)


def test_clock_set_back_after_a_purchase_expired() -> None:
    """What had expired on a day before the standing's does not come back."""
    standing = spend(buy(Standing(), RULES, 80, NOON), 30)
    two_days_on = Standing(day=TODAY + 2, bought=standing.bought, until=standing.until)
    assert left(two_days_on, RULES, OLD, NOON) == 20


def test_a_purchase_by_a_clock_set_back_is_worth_its_stamp() -> None:
    """Bought while the clock is days behind the standing: it lasts all the same."""
    ahead = Standing(day=TODAY + 3, spent=20)
    standing = buy(ahead, RULES, 20, NOON)
    assert left(standing, RULES, OLD, NOON) == 20


def test_grant_mends_a_standing_of_the_future() -> None:
    """A clock was a year ahead: after a gift the next midnight counts again."""
    standing = Standing(day=TODAY + 365, spent=20)
    assert left(standing, RULES, OLD, NOON + DAY) == 0
    mended = grant(standing, RULES, 1, NOON)
    assert left(mended, RULES, OLD, NOON) == 1
    assert own_left(mended, RULES, OLD, NOON + DAY) == 20


@pytest.mark.parametrize(
    ("now", "span"),
    [
        (MIDNIGHT, "24 h 0 min"),
        (NOON, "12 h 0 min"),
        (MIDNIGHT + DAY - HOUR, "1 h 0 min"),
        (MIDNIGHT + DAY - HOUR + 1, "1 h 0 min"),
        (MIDNIGHT + DAY - HOUR + 60, "59 min"),
        (MIDNIGHT + DAY - 1, "1 min"),
    ],
)
def test_verdict_tells_all(now: float, span: str) -> None:
    """What is left, when it comes back and what can be done, with its codes."""
    verdict = quota_spent(spend(Standing(), 20, now), RULES, now)
    assert (verdict.reason, verdict.code) == ("quota-spent", 452)
    assert verdict.enhanced == "4.7.1"
    said = verdict.line().decode("ascii")
    assert "0 Internet recipients are left" in said
    assert f"20 come back at 0:00 UTC, in {span};" in said
    assert said.endswith("a stamp buys more")
    assert len(said) < 500


def test_verdict_promises_nothing_that_is_not() -> None:
    """Without a day's own, or with the cap reached, it does not say there were."""
    none = quota_spent(Standing(), Rules(per_day=0, bought_per_day=0), NOON)
    assert none.text == "0 Internet recipients are left"
    capped = spend(buy(Standing(), RULES, 100, NOON), 120)
    assert "stamp" not in quota_spent(capped, RULES, NOON).text


def test_verdict_of_a_clock_set_back() -> None:
    """It comes back when the standing's own day is over, and the text says that."""
    verdict = quota_spent(Standing(day=TODAY + 1, spent=20), RULES, NOON)
    assert "in 36 h 0 min" in verdict.text


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["charge", "buy"]),
        st.integers(1, 90),
        st.integers(-2 * DAY, 2 * DAY),
    ),
    max_size=40,
)


@pytest.mark.long
@given(STEPS)
def test_never_more_than_the_rules_give(steps: list[tuple[str, int, int]]) -> None:
    """Whatever the clock does: a day's own once a day seen, and the cap of each."""
    standing, now, used, bought = Standing(), float(NOON), 0, 0
    for act, recipients, step in steps:
        now = max(now + step, 0.0)
        before = left(standing, RULES, OLD, now)
        if act == "charge":
            charged = charge(standing, RULES, OLD, recipients, now)
            assert (charged is None) == (recipients > before)
            if charged is not None:
                assert left(charged, RULES, OLD, now) == before - recipients
                used += recipients
                standing = charged
        else:
            try:
                standing = buy(standing, RULES, recipients, now)
            except PurchaseError:
                continue
            bought += recipients
            assert left(standing, RULES, OLD, now) > before
        assert standing.until % 60 == 0
        assert standing.bought_today <= RULES.bought_per_day
    days = max(standing.day - TODAY, 0) + 3  # two before the first may be seen
    assert used <= days * RULES.per_day + bought
    assert bought <= days * RULES.bought_per_day


@given(st.integers(0, 30), st.integers(-400, 0), st.integers(0, DAY - 1))
def test_a_clock_set_back_never_gives_back(spent: int, days: int, second: int) -> None:
    """As long as no later day comes, no clock gives more than there was."""
    standing = Standing(day=TODAY, spent=spent)
    now = max(0, MIDNIGHT + days * DAY + second)
    assert left(standing, RULES, OLD, now) == max(0, 20 - spent)


def test_reservations_count_by_account() -> None:
    """One account's do not hinder another's, and what is given back is free again."""
    table = Reservations()
    assert table.reserve(1, left=2)
    assert table.reserve(1, left=2)
    assert not table.reserve(1, left=2)
    assert table.reserve(2, left=1)
    table.give_back(1)
    assert table.reserve(1, left=2)
    table.give_back(1, 2)
    assert (table.held(1), table.held(2)) == (0, 1)


def test_nothing_is_given_back_twice() -> None:
    """A session that gives back too much is a fault of ours, and is seen."""
    table = Reservations()
    table.reserve(1, left=9, recipients=2)
    with pytest.raises(ValueError, match="more given back"):
        table.give_back(1, 3)
    assert table.held(1) == 2


def test_memory_is_bounded() -> None:
    """Accounts that spent long ago leave nothing, and no spending goes unseen."""
    table = Reservations(size=10)
    table.reserve(7, left=1)
    before = table.mark(7)
    table.spent(7)
    assert table.mark(7) != before
    for account in range(100, 200):
        table.reserve(account, left=1)
        table.spent(account)
    assert table.mark(7) != before
    assert len(table._spent_at) == 10
    assert not table._held


class Race:
    """Sessions of one account that interleave as they like, on a standing that is kept.

    Each reads, reserves by what it read, and spends or gives back.
    """

    def __init__(self, sessions: int, spent: int) -> None:
        self.table = Reservations()
        self.kept = Standing(day=TODAY, spent=spent)
        self.read: list[tuple[int, Standing] | None] = [None] * sessions
        self.has = [False] * sessions
        self.won = self.lost = 0

    def step(self, session: int, *, spend: bool) -> None:
        """Let one session do what comes next for it."""
        read = self.read[session]
        if self.has[session]:
            self.has[session] = False
            self.settle(spend=spend)
        elif read is None:
            self.read[session] = (self.table.mark(1), self.kept)
        elif read[0] != self.table.mark(1):
            self.read[session] = None
        else:
            self.read[session] = None
            remains = left(read[1], RULES, OLD, NOON)
            self.has[session] = self.table.reserve(1, remains)

    def settle(self, *, spend: bool) -> None:
        """Spend a reservation, in the store first; or give it back."""
        if not spend:
            self.table.give_back(1)
            return
        charged = charge(self.kept, RULES, OLD, 1, NOON)
        if charged is None:
            self.lost += 1
            self.table.give_back(1)
            return
        self.kept, self.won = charged, self.won + 1
        self.table.spent(1)


@pytest.mark.long
@given(
    st.integers(15, 19),
    st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=200),
)
def test_eight_sessions_race(spent: int, steps: list[tuple[int, bool]]) -> None:
    """In whatever order: who has reserved can spend, and nothing is spent twice."""
    race = Race(8, spent)
    for session, spend in steps:
        race.step(session, spend=spend)
        assert sum(race.has) == race.table.held(1)
        assert sum(race.has) <= left(race.kept, RULES, OLD, NOON)
    assert race.lost == 0
    assert race.won <= 20 - spent


def test_one_of_eight_wins_the_last() -> None:
    """All have read that one is left; the first to reserve gets it, the rest none."""
    race = Race(8, 19)
    for _ in range(2):
        for session in range(8):
            race.step(session, spend=True)
    assert sum(race.has) == 1
    for _ in range(3):
        for session in range(8):
            race.step(session, spend=True)
    assert (race.won, race.lost) == (1, 0)
    assert left(race.kept, RULES, OLD, NOON) == 0
