"""What becomes of a leg: each recipient by its own reply, gaps by chance alone."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import Relay
from postmand.internet import Leg, Reply, Report
from postmand.rules.retry import (
    EXPIRED,
    UNANSWERED,
    Settlement,
    away_gap,
    gap,
    judge,
)

NOW = 1_700_000_000
RULES = Relay()
A, B, C = b"a@example.org", b"b@example.org", b"c@example.org"
TAKEN = Reply(250, "2.0.0", "kept")
LATER = Reply(451, "4.7.1", "greylisted")
NEVER = Reply(550, "5.1.1", "nobody here")
LEG = Leg(
    account=1,
    name="jondoe",
    sender=b"jondoe@i2pmail.org",
    domain=b"example.org",
    recipients=(A, B, C),
    header=b"Subject: x\r\n\r\n",
    until=NOW + RULES.give_up_seconds,
)


def judged(report: Report, leg: Leg = LEG, now: int = NOW) -> Settlement:
    """Return the settlement."""
    return judge(leg, report, now, RULES, Random(1))


def test_each_recipient_by_its_reply() -> None:
    """One has it, one never will, one is tried again; and only that one."""
    found = judged(Report({A: TAKEN, B: NEVER, C: LATER}))
    assert found.delivered == 1
    assert found.failures == {B: NEVER}
    assert found.left == evolve(LEG, recipients=(C,), attempts=1)
    assert NOW + 450 <= found.due <= NOW + 1_350


def test_done() -> None:
    """Nothing is left when all have it or never will."""
    found = judged(Report({A: TAKEN, B: NEVER, C: TAKEN}))
    assert (found.left, found.delivered) == (None, 2)


@pytest.mark.parametrize("code", [100, 354, 399, 421, 499])
def test_strange_replies_are_temporary(code: int) -> None:
    """What is neither 2xx nor 5xx decides nothing."""
    reply = Reply(code, "4.0.0", "")
    assert judged(Report(dict.fromkeys(LEG.recipients, reply))).left is not None


def test_unanswered_recipient_is_tried_again() -> None:
    """A gateway that answers for one only has said nothing of the others."""
    found = judged(Report({A: TAKEN}))
    assert found.left is not None
    assert found.left.recipients == (B, C)


def test_reply_for_a_stranger_is_nothing() -> None:
    """A gateway can not settle whom it was not asked for."""
    found = judged(Report({b"x@example.org": NEVER}))
    assert found.failures == {}
    assert found.left == evolve(LEG, attempts=1)


def test_no_gateway_is_no_attempt() -> None:
    """Its gap is short and does not grow."""
    found = judged(Report(), evolve(LEG, attempts=7))
    assert found.left == evolve(LEG, attempts=7)
    assert NOW + 150 <= found.due <= NOW + 450


def test_doubtful_is_an_attempt() -> None:
    """The far end may have it: tried again, and that was a try."""
    found = judged(Report(doubtful=True), evolve(LEG, attempts=3))
    assert found.left == evolve(LEG, attempts=4)
    assert found.due > NOW


@pytest.mark.parametrize("attempts", range(12))
def test_doubtful_is_asked_about_while_the_gateway_knows(attempts: int) -> None:
    """A gateway forgets after an hour: the next try comes before that, however late."""
    report = Report({A: TAKEN}, doubtful=True)
    leg = evolve(LEG, attempts=attempts)
    for seed in range(50):
        due = judge(leg, report, NOW, RULES, Random(seed)).due
        assert NOW < due <= NOW + 2_700


def test_last_try_is_at_the_end() -> None:
    """No gap leads beyond the five days: the last try is made then."""
    leg = evolve(LEG, attempts=9, until=NOW + 100)
    assert judged(Report({A: LATER}), leg).due == NOW + 100


def test_time_over() -> None:
    """Who has not got it then gets the last reply, or ours, as the reason."""
    replies = {A: LATER, B: NEVER, C: TAKEN}
    found = judged(Report(replies), now=LEG.until)
    assert (found.left, found.delivered) == (None, 1)
    assert found.failures == {A: LATER, B: NEVER}
    assert set(judged(Report(), now=LEG.until).failures.values()) == {EXPIRED}
    assert EXPIRED.enhanced == "4.4.7"


def test_time_over_in_doubt() -> None:
    """The sender hears that it may have arrived."""
    found = judged(Report({A: TAKEN}, doubtful=True), now=LEG.until + 1)
    assert found.failures == {B: UNANSWERED, C: UNANSWERED}


def test_gaps_double_up_to_the_longest() -> None:
    """15 min, 30 min, … 6 h: each from half to one and a half of it, and all used."""
    for attempts, middle in enumerate([900, 1_800, 3_600, 7_200, 14_400, 21_600]):
        gaps = [gap(attempts, RULES, Random(seed)) for seed in range(300)]
        assert middle * 0.5 <= min(gaps) < middle * 0.55
        assert middle * 1.45 < max(gaps) <= middle * 1.5
    assert gap(10**6, RULES, Random(1)) <= 21_600 * 1.5


def test_shortest_gaps() -> None:
    """No setting makes a gap of nothing."""
    rules = Relay(retry_first_seconds=1, away_seconds=0.1)
    assert min(gap(0, rules, Random(seed)) for seed in range(50)) == 1
    assert min(away_gap(rules, Random(seed)) for seed in range(50)) == 1


@pytest.mark.long
@given(st.integers(400, 499), st.text(max_size=20), st.integers(0, 40))
def test_far_end_has_no_say_in_the_gap(code: int, text: str, attempts: int) -> None:
    """Whatever temporary reply it gives, the next try is at the same time."""
    leg = evolve(LEG, attempts=attempts)
    reply = Reply(code, f"4.7.{code}", text)
    report = Report(dict.fromkeys(LEG.recipients, reply))
    other = Report(dict.fromkeys(LEG.recipients, LATER))
    assert judged(report, leg).due == judged(other, leg).due


replies = st.sampled_from([None, TAKEN, LATER, NEVER, Reply(421, "4.3.2", "bye")])


@given(replies, replies, replies, st.booleans(), st.integers(-10, 10))
def test_nobody_is_lost_and_nobody_counted_twice(
    a: Reply | None, b: Reply | None, c: Reply | None, doubtful: bool, late: int
) -> None:
    """Each recipient is delivered, failed or left, and exactly one of them."""
    given_ = {who: reply for who, reply in ((A, a), (B, b), (C, c)) if reply}
    found = judged(Report(given_, doubtful), now=LEG.until + late)
    left = found.left.recipients if found.left else ()
    assert found.delivered + len(found.failures) + len(left) == 3
    assert not set(left) & set(found.failures)
    assert found.left is None or late < 0
    if found.left is not None:
        assert LEG.until + late < found.due <= LEG.until
