"""The greylist: strangers wait, who comes back is known, and the table is bounded."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from postmand.rules.greylist import Greylist, GreylistSettings, Try

_HOUR = 3_600.0
_DAY = 24 * _HOUR
SETTINGS = GreylistSettings(wait=300.0, domains={"good.example"}, entries=100)
ONE = Try("11.0.0.25", "alice@b.example", "bob@mail.i2p")


def table(settings: GreylistSettings = SETTINGS) -> Greylist:
    return Greylist(settings, b"k" * 32)


def known(grey: Greylist, one: Try, now: float = 0.0) -> float:
    """Let a stranger come back, and return when."""
    assert grey.judge(one, now) == "wait"
    assert grey.judge(one, now + 300.0) == "known"
    return now + 300.0


def test_waits_and_passes() -> None:
    """Who comes back too early still waits from its first try; then it is known."""
    grey = table()
    assert grey.judge(ONE, 0.0) == "wait"
    assert grey.judge(ONE, 1.0) == "wait"
    assert grey.judge(ONE, 299.9) == "wait"
    assert grey.judge(ONE, 300.0) == "known"
    assert grey.judge(ONE, 300.0) == "known"


def test_comes_back_too_late() -> None:
    """After the window a try is a first one again."""
    grey = table()
    assert grey.judge(ONE, 0.0) == "wait"
    assert grey.judge(ONE, 2 * _DAY) == "known"
    grey = table()
    assert grey.judge(ONE, 0.0) == "wait"
    assert grey.judge(ONE, 2 * _DAY + 1) == "wait"
    assert grey.judge(ONE, 2 * _DAY + 301) == "known"


def test_known_for_a_time() -> None:
    """Who writes now and then stays known; who stays away is a stranger again."""
    grey = table()
    now = known(grey, ONE)
    for _ in range(5):
        now += 35 * _DAY
        assert grey.judge(ONE, now) == "known"
    assert grey.judge(ONE, now + 35 * _DAY + 1) == "wait"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"peer": "11.0.0.200"}, True),
        ({"peer": "::ffff:11.0.0.7"}, True),
        ({"peer": "11.0.1.25"}, False),
        ({"sender": "ALICE@B.example"}, True),
        ({"sender": "eve@b.example"}, False),
        ({"sender": ""}, False),
        ({"recipient": "Bob@mail.i2p"}, True),
        ({"recipient": "eve@mail.i2p"}, False),
    ],
)
def test_what_is_the_same(change: dict[str, str], same: bool) -> None:
    """A network, a sender and a recipient together are known; no other three."""
    grey = table()
    now = known(grey, ONE)
    assert grey.judge(evolve(ONE, **change), now) == ("known" if same else "wait")


def test_ipv6_network() -> None:
    """An IPv6 host has a whole /64 to come from."""
    grey = table()
    one = evolve(ONE, peer="2a00:1:2:3::25")
    now = known(grey, one)
    assert grey.judge(evolve(one, peer="2a00:1:2:3:ffff::1"), now) == "known"
    assert grey.judge(evolve(one, peer="2a00:1:2:4::25"), now) == "wait"


def test_parts_do_not_run_together() -> None:
    """A sender's end is not a recipient's beginning."""
    grey = table()
    now = known(grey, evolve(ONE, sender="a@b.example", recipient="c"))
    assert grey.judge(evolve(ONE, sender="a@b.exampl", recipient="ec"), now) == "wait"


def test_null_sender() -> None:
    """The null sender waits like others; SPF of a HELO name excuses nobody."""
    grey = table()
    null = evolve(ONE, sender="", spf_pass=True)
    now = known(grey, null)
    assert grey.judge(evolve(null, recipient="eve@mail.i2p"), now) == "wait"


@pytest.mark.parametrize(
    ("change", "excused"),
    [
        ({"sender": "x@good.example"}, False),
        ({"sender": "x@good.example", "spf_pass": True}, True),
        ({"sender": "x@GOOD.example", "spf_pass": True}, True),
        ({"sender": "x@list.good.example", "spf_pass": True}, True),
        ({"sender": "x@notgood.example", "spf_pass": True}, False),
        ({"peer_name": "out.good.example"}, True),
        ({"peer_name": "Good.example."}, True),
        ({"peer_name": "good.example.net"}, False),
        ({"sender": "", "peer_name": "good.example"}, True),
    ],
)
def test_known_good(change: dict[str, str], excused: bool) -> None:
    """A domain of the settings is excused where SPF or the peer's name vouches."""
    expected = "excused" if excused else "wait"
    assert table().judge(evolve(ONE, **change), 0.0) == expected


def test_spf_vouches_once_known() -> None:
    """A domain that SPF vouched for and that came back is excused from then on."""
    grey = table()
    vouched = evolve(ONE, spf_pass=True)
    now = known(grey, vouched)
    other = Try("12.0.0.1", "eve@b.example", "carol@mail.i2p", spf_pass=True)
    assert grey.judge(other, now) == "excused"
    assert grey.judge(evolve(other, spf_pass=False), now) == "wait"
    assert grey.judge(evolve(other, sender="x@sub.b.example"), now) == "wait"
    assert grey.judge(evolve(other, recipient="d@mail.i2p"), now + 35 * _DAY) == (
        "excused"
    )
    assert grey.judge(evolve(other, recipient="e@mail.i2p"), now + 71 * _DAY) == "wait"


def test_spf_alone_is_not_enough() -> None:
    """Anybody has SPF: a domain's first mail waits, and only with SPF does it count."""
    grey = table()
    now = known(grey, ONE)
    vouched = evolve(ONE, spf_pass=True, recipient="eve@mail.i2p")
    assert grey.judge(vouched, now) == "wait"


@pytest.mark.long
def test_bounded() -> None:
    """A flood of strangers is forgotten, the oldest first; who is known stays so."""
    grey = table()
    now = known(grey, ONE)
    for number in range(10_000):
        one = Try(f"12.{number % 200}.{number // 200}.1", f"{number}@x", "bob@y")
        assert grey.judge(one, now) == "wait"
        assert len(grey) <= 2 * SETTINGS.entries
    assert grey.judge(ONE, now) == "known"
    late = now + 300
    assert grey.judge(Try("12.0.0.1", "0@x", "bob@y"), late) == "wait"
    assert grey.judge(Try("12.199.49.1", "9999@x", "bob@y"), late) == "known"


def test_known_are_bounded_too() -> None:
    """Of those that are known the one that stayed away longest is forgotten."""
    grey = table()
    for number in range(300):
        one = Try(f"12.0.{number % 200}.1", f"{number}@x", "bob@y")
        known(grey, one, number * 1_000.0)
    assert len(grey) <= 2 * SETTINGS.entries
    end = 300 * 1_000.0
    assert grey.judge(Try("12.0.0.1", "0@x", "bob@y"), end) == "wait"
    assert grey.judge(Try("12.0.99.1", "299@x", "bob@y"), end) == "known"


def test_who_keeps_coming_stays() -> None:
    """A flood of others that become known drives out nobody who comes often."""
    grey = table()
    now = known(grey, ONE)
    for number in range(300):
        one = Try(f"12.0.{number % 200}.1", f"{number}@x", "bob@y")
        now = known(grey, one, now)
        assert grey.judge(ONE, now) == "known"


def test_one_network_has_a_share() -> None:
    """A network that tries everything drives out no other stranger, and gets room."""
    grey = table()
    assert grey.judge(ONE, 0.0) == "wait"
    for number in range(1_000):
        assert grey.judge(Try("12.0.0.1", f"{number}@x", "b@y"), 1.0) == "wait"
    assert len(grey) == 3
    assert grey.judge(Try("12.0.0.1", "500@x", "b@y"), 400.0) == "wait"
    assert grey.judge(Try("12.0.0.1", "0@x", "b@y"), 400.0) == "known"
    assert grey.judge(Try("12.0.0.1", "500@x", "b@y"), 400.0) == "wait"
    assert grey.judge(Try("12.0.0.1", "500@x", "b@y"), 700.0) == "known"
    assert grey.judge(ONE, 700.0) == "known"


def test_sweeps() -> None:
    """What is too old is gone, also where nobody comes any more."""
    grey = table()
    now = known(grey, ONE)
    grey.judge(evolve(ONE, sender="eve@x.example"), now)
    assert len(grey) == 2
    grey.sweep(now + 2 * _DAY + 1)
    assert len(grey) == 1
    grey.sweep(now + 36 * _DAY)
    assert len(grey) == 0
    assert not grey._load


def test_keeps_no_address() -> None:
    """The table holds nothing of a try that could be read, and no plain hash of it."""
    grey, other = table(), Greylist(SETTINGS, b"another key")
    known(grey, evolve(ONE, spf_pass=True))
    known(other, evolve(ONE, spf_pass=True))
    grey.judge(evolve(ONE, sender="eve@x.example"), 0.0)
    kept = repr((grey._strangers, grey._known, grey._load))
    for trace in ("alice", "b.example", "bob", "11.0.0", "eve"):
        assert trace not in kept
    assert not grey._known.keys() & other._known.keys()


def test_clock_steps_back() -> None:
    """A clock that is set back makes nobody known too early, and breaks nothing."""
    grey = table()
    assert grey.judge(ONE, 1_000.0) == "wait"
    assert grey.judge(ONE, 0.0) == "wait"
    assert grey.judge(ONE, 1_300.0) == "known"
    assert grey.judge(ONE, 0.0) == "known"


@pytest.mark.long
@given(st.text(max_size=50), st.text(max_size=50), st.booleans())
def test_any_address(sender: str, recipient: str, spf: bool) -> None:
    """Whatever an address is made of, it can wait and come back."""
    grey = table()
    one = Try("11.0.0.1", sender, recipient, spf_pass=spf)
    if grey.judge(one, 0.0) != "excused":
        assert grey.judge(one, 300.0) == "known"
