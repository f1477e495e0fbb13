"""Stamps: read, weighed, priced, made, and refused with their reason."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import Quota
from postmand.rules.hashcash import (
    MAX_STAMP,
    STRETCH,
    Prices,
    Stamp,
    StampError,
    challenge,
    mint,
    resource,
    search,
    weigh,
    zero_bits,
)

DAY = 86_400
TODAY = 20_779  # 2026-11-22
NOON = TODAY * DAY + 43_200
MINE = b"quota/jondoe@mail.i2p"
BITS = 8


def stamp(
    bits: int = BITS,
    date: str = "261122",
    to: bytes = MINE,
    version: bytes = b"1",
    ext: bytes = b"",
    rand: bytes = b"salt",
) -> bytes:
    """Return a stamp whose hash has at least the bits it claims."""
    begun = b"%b:%d:%b:%b:%b:%b:" % (version, bits, date.encode(), to, ext, rand)
    for number in count():
        made = begun + b"%x" % number
        if zero_bits(made) >= bits:
            return made
    raise AssertionError


def weighed(octets: bytes, days: int = 1, now: float = NOON) -> Stamp:
    """Weigh a stamp of jondoe's."""
    return weigh(octets, MINE, now, days)


def reason(octets: bytes, days: int = 1, now: float = NOON) -> str:
    """Return why a stamp is refused; its text is one that can be mailed."""
    with pytest.raises(StampError) as caught:
        weighed(octets, days, now)
    error = caught.value
    assert error.text == str(error)
    assert error.text.isprintable()
    assert len(error.text) < 200
    return error.reason


def test_a_good_stamp() -> None:
    """Its octets as they came, the bits it claims, and how long it is remembered."""
    good = stamp()
    assert weighed(good) == Stamp(good, BITS, TODAY + 2)


def test_known_stamps() -> None:
    """Stamps that others published: hashcash(1), hashcash.py and hashcash.org."""
    published = b"1:20:040806:foo::65f460d0726f420d:13a6b8"
    assert zero_bits(published) >= 20
    now = (TODAY - 8_143) * DAY  # 2004-08-06
    assert weigh(published, b"foo", now, 0).bits == 20
    assert zero_bits(b"1:16:040922:foo::+ArSrtKd:164b3") == 16
    assert zero_bits(b"0:030626:adam@cypherspace.org:6470e06d773e05a8") == 32


def test_zero_bits_are_exact() -> None:
    """Each one counts: not whole octets and not hexadecimal digits."""
    for number in range(2_000):
        text = b"%d" % number
        bits = f"{int(hashlib.sha1(text).hexdigest(), 16):0160b}"
        assert zero_bits(text) == len(bits) - len(bits.lstrip("0"))


def test_a_lying_claim() -> None:
    """One bit more than the hash has is refused, whatever the hash has."""
    for number in range(200):
        octets = b"1:%d:261122:%b::salt:%x" % (9, MINE, number)
        if zero_bits(octets) < 9:
            assert reason(octets) == "lying-bits"
        else:
            assert weighed(octets).bits == 9


def test_lucky_bits_buy_nothing() -> None:
    """A hash with more zeros than the stamp claims is worth what it claims."""
    lucky = next(
        octets
        for number in count()
        if zero_bits(octets := b"1:2:261122:%b::salt:%x" % (MINE, number)) >= 8
    )
    assert weighed(lucky).bits == 2


@pytest.mark.parametrize(
    "date", ["261121", "261122", "261123", "2611222359", "261122235959", "2611210000"]
)
def test_dates_within_a_day(date: str) -> None:
    """Made by a clock of any zone: yesterday's, today's and tomorrow's are good."""
    assert weighed(stamp(date=date)).bits == BITS


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("261120", "too-old"),
        ("2611202359", "too-old"),
        ("261115", "too-old"),
        ("261022", "too-old"),
        ("000101", "too-old"),
        ("261124", "in-the-future"),
        ("2611240000", "in-the-future"),
        ("271122", "in-the-future"),
        ("991231", "in-the-future"),
    ],
)
def test_dates_beyond(date: str, expected: str) -> None:
    """Last week's, last month's, and those to come."""
    assert reason(stamp(date=date)) == expected


def test_window_is_the_configuration() -> None:
    """With no day beside today's, and with a week of them."""
    assert weighed(stamp(), days=0).expires_day == TODAY + 1
    assert reason(stamp(date="261121"), days=0) == "too-old"
    assert reason(stamp(date="261123"), days=0) == "in-the-future"
    assert weighed(stamp(date="261115"), days=7).expires_day == TODAY + 1


@pytest.mark.long
@given(st.integers(-3, 3), st.integers(0, 3), st.integers(0, DAY - 1))
def test_mark_outlives_the_window(offset: int, days: int, second: int) -> None:
    """While any clock, also one set back by a day, takes a stamp, its mark is there.

    Rows go when their day is before today's.
    """
    made = stamp()
    try:
        weighed_stamp = weighed(made, days, NOON + offset * DAY)
    except StampError:
        return
    forgotten = weighed_stamp.expires_day + 1
    for later in (forgotten, forgotten - 1):
        with pytest.raises(StampError):
            weighed(made, days, later * DAY + second)
    assert weighed(made, days, (forgotten - 2) * DAY + second) == weighed_stamp


@pytest.mark.parametrize(
    "date",
    [
        *("", "2611", "26112", "2611221", "26112212", "261122123", "26112212345"),
        *("2611221234567", "261322", "260230", "261100", "2611222460"),
        *("261122236061", "26112a", "+61122", " 61122"),
    ],
)
def test_dates_that_are_none(date: str) -> None:
    """A day that does not exist, and digits too many or too few."""
    assert reason(b"1:0:%b:%b::salt:0" % (date.encode(), MINE)) == "malformed"


@pytest.mark.parametrize(
    "octets",
    [
        *(b"", b":", b":::::::", b"1", b"1:", b"1:26", b"hello", b"\0", b"\xff\xfe"),
        b"1:8:261122:quota/jondoe@mail.i2p::salt",
        b"1:8:261122:quota/jondoe@mail.i2p:::salt:0",
        b"1:8:261122:quota/jondoe@mail.i2p::salt:",
        b"1:8:261122:quota/jondoe@mail.i2p::salt:0:",
        b"1:8:261122:quota/jondoe@mail.i2p::sa lt:0",
        b"1:8:261122:quota/jondoe@mail.i2p::salt:0\n",
        b"1:8:261122:quota/jondoe@mail.i2p::salt:0\r\n",
        b" 1:8:261122:quota/jondoe@mail.i2p::salt:0",
        b"1:8:261122:quota/jondoe@mail.i2p::salt:\xc3\xa4",
        b"1:8:261122:quota/jondoe@mail.i2p:e\tx:salt:0",
        b"1:-8:261122:quota/jondoe@mail.i2p::salt:0",
        b"1:+8:261122:quota/jondoe@mail.i2p::salt:0",
        b"1:8 :261122:quota/jondoe@mail.i2p::salt:0",
        b"1:\xd9\xa8:261122:quota/jondoe@mail.i2p::salt:0",
        b"1:8.0:261122:quota/jondoe@mail.i2p::salt:0",
        b"1::261122:quota/jondoe@mail.i2p::salt:0",
        b"1:1000:261122:quota/jondoe@mail.i2p::salt:0",
        b"1:8:261122:::salt:0",
    ],
)
def test_malformed(octets: bytes) -> None:
    """What is no stamp is called so."""
    assert reason(octets) == "malformed"


@pytest.mark.parametrize("version", [b"0", b"2", b"10", b"01", b"11"])
def test_other_versions(version: bytes) -> None:
    """A stamp of another version, also 0, which needs no claim."""
    assert reason(stamp(version=version)) == "wrong-version"


def test_version_0() -> None:
    """The old form has fewer fields."""
    assert reason(b"0:261122:quota/jondoe@mail.i2p:6470e06d") == "wrong-version"


@pytest.mark.parametrize(
    "to",
    [
        b"quota/alice@mail.i2p",
        b"quota/Jondoe@mail.i2p",
        b"QUOTA/jondoe@mail.i2p",
        b"quota/jondoe@MAIL.I2P",
        b"quota/jondoe@i2pmail.org",
        b"quota/jondoe@mail.i2p.",
        b"quota/jondoe",
        b"jondoe@mail.i2p",
        b"signup/jondoe@mail.i2p",
        b"quota/*@mail.i2p",
        b"xquota/jondoe@mail.i2p",
    ],
)
def test_made_out_to_others(to: bytes) -> None:
    """Another account's, another purpose's, other letters: octet by octet."""
    assert reason(stamp(to=to)) == "wrong-resource"


def test_resource() -> None:
    """Names and domains are lower case already; whatever comes, the resource is."""
    assert resource("jondoe", "mail.i2p") == MINE
    assert resource("JonDoe", "Mail.I2P") == MINE


def test_too_long_comes_first() -> None:
    """Megabytes are not looked at, whatever they say."""
    limit = MAX_STAMP - len(stamp()) + 10
    assert reason(stamp(ext=b"x" * limit)) == "too-long"
    assert reason(b"1" * 50_000_000) == "too-long"
    assert reason(b":" * (MAX_STAMP + 1)) == "too-long"


def test_the_longest_account_has_stamps() -> None:
    """The longest name in the longest domain fits, with bits to spare."""
    longest = resource("n" * 64, ("d" * 62 + ".") * 3 + "d" * 64)
    made = mint(longest, 8, NOON, Random(1))
    assert weigh(made, longest, NOON, 1).bits == 8


def test_extension_is_allowed() -> None:
    """What hashcash(1) -x puts in the fifth field does no harm."""
    assert weighed(stamp(ext=b"a=1,2;b;c=x-y_z!")).bits == BITS


@given(st.binary(max_size=600))
def test_anything_is_answered(octets: bytes) -> None:
    """No input raises anything but a StampError, and noise is never good."""
    assert reason(octets) in {"malformed", "too-long", "wrong-version"}


@pytest.mark.long
@given(st.data())
def test_a_changed_octet_is_another_stamp(data: st.DataObject) -> None:
    """No octet can be changed, put in or left out without doing the work again."""
    good = stamp(bits=12)
    at = data.draw(st.integers(0, len(good) - 1))
    put = data.draw(st.binary(max_size=2).filter(lambda put: put != good[at : at + 1]))
    other = good[:at] + put + good[at + 1 :]
    if zero_bits(other) < 12:
        with suppress(StampError):
            assert weighed(other).bits < 12


def test_prices() -> None:
    """The largest entry that the bits reach; above all of them, the largest."""
    prices = Prices.from_config(Quota())
    bought = {bits: prices.recipients(bits) for bits in range(26, 161)}
    assert (bought[26], bought[27], bought[28], bought[29]) == (20, 40, 80, 80)
    assert set(bought.values()) == {20, 40, 80}
    assert prices.least_bits == 26
    gap = Prices.from_config(Quota(stamps={"20": 7, "9": 3}))
    assert [gap.recipients(bits) for bits in (9, 19, 20)] == [3, 3, 7]


@pytest.mark.parametrize("bits", [0, 25])
def test_too_few_bits(bits: int) -> None:
    """It is told how many are needed."""
    with pytest.raises(StampError, match=f"has {bits} bits.* 26") as caught:
        Prices.from_config(Quota()).recipients(bits)
    assert caught.value.reason == "too-few-bits"


def test_nothing_for_sale() -> None:
    """A node may sell nothing."""
    nothing = Prices.from_config(Quota(stamps={}))
    assert nothing.least_bits is None
    with pytest.raises(StampError, match="nothing on this node") as caught:
        nothing.recipients(160)
    assert caught.value.reason == "too-few-bits"


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 7, 8, 9, 12, 13])
def test_mint(bits: int) -> None:
    """What is minted weighs what was asked for, on the exact bit, and not less."""
    for seed in range(5):
        made = mint(MINE, bits, NOON, Random(seed))
        assert weighed(made, days=0).bits == bits
        assert made.startswith(b"1:%d:261122:%b::" % (bits, MINE))


def test_mint_stops_at_the_first() -> None:
    """No counter before the one found would have done: not a try is wasted."""
    made = mint(MINE, 10, NOON, Random(5))
    begun, _, counter = made.rpartition(b":")
    for number in range(int(counter, 16)):
        tried = begun + b":%x%03x" % (number // STRETCH, number % STRETCH)
        assert zero_bits(tried) < 10


def test_mint_is_at_random() -> None:
    """Two stamps of one day differ before their counters."""
    random = Random(1)
    salts = {mint(MINE, 1, NOON, random).split(b":")[5] for _ in range(100)}
    assert len(salts) == 100


def test_mint_tells_how_far_it_is() -> None:
    """Tries so far, in steps, and the average; nothing after the stamp is found."""
    told: list[tuple[int, int]] = []
    made = mint(
        MINE, 14, NOON, Random(3), lambda *tries: told.append(tries), stretches=1
    )
    counter = int(made.rpartition(b":")[2], 16)
    assert told == [(n * STRETCH, 1 << 14) for n in range(1, counter // STRETCH + 1)]
    assert told


def test_search_ends() -> None:
    """A part of the counters without a stamp gives none; parts can be shared out."""
    begun = challenge(MINE, 16, NOON, Random(3))
    parts = [search(begun, 16, first, 1) for first in range(64)]
    found = next(part for part in parts if part is not None)
    assert None in parts
    assert weighed(found).bits == 16


@pytest.mark.parametrize("bits", [-1, 0, 161])
def test_bits_no_stamp_has(bits: int) -> None:
    """Nobody mints for ever."""
    with pytest.raises(ValueError, match="1 to 160 bits"):
        challenge(MINE, bits, NOON, Random(1))


@pytest.mark.parametrize("to", [b"", b"a:b", b"a b", b"\xe4", b"x" * 600])
def test_resources_no_stamp_has(to: bytes) -> None:
    """A colon would break the stamp."""
    with pytest.raises(ValueError, match="made out"):
        challenge(to, 8, NOON, Random(1))
