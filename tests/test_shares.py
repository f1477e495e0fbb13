"""What each network may take of what all share."""

from __future__ import annotations

from postmand.rules.shares import Shares

KEY = b"k" * 32


def many(shares: Shares, peer: str, now: float = 0.0, times: int = 100) -> int:
    """Return how often one can be taken."""
    return sum(shares.take(peer, 1, now) for _ in range(times))


def test_each_has_its_own() -> None:
    """Who has taken all leaves the others theirs."""
    shares = Shares([(10, 60.0)], KEY)
    assert many(shares, "192.0.2.1") == 10
    assert many(shares, "198.51.100.1") == 10


def test_networks() -> None:
    """Addresses that one peer chooses from share; the next network does not."""
    for one, same, other in (
        ("192.0.2.1", "192.0.2.254", "192.0.3.1"),
        ("192.0.2.1", "::ffff:192.0.2.77", "192.0.1.255"),
        ("2001:db8::1", "2001:db8:0:ffff::9", "2001:db8:1::1"),
        ("fe80::1%eth0", "fe80::2", "fe81::1"),
        ("", "", "192.0.2.1"),
    ):
        shares = Shares([(3, 60.0)], KEY)
        assert many(shares, one) == 3
        assert many(shares, same) == 0
        assert many(shares, other) == 3


def test_comes_back_evenly() -> None:
    """A tenth of the time brings a tenth of the amount, and no more is gathered."""
    shares = Shares([(10, 60.0)], KEY)
    many(shares, "a")
    assert many(shares, "a", 5.0) == 0
    assert many(shares, "a", 12.5) == 2
    assert many(shares, "a", 13.0) == 0
    assert many(shares, "a", 10_000.0) == 10


def test_every_span_counts() -> None:
    """What a minute would give an hour may not; nothing is taken of either then."""
    shares = Shares([(10, 60.0), (25, 3_600.0)], KEY)
    got = [many(shares, "a", 60.0 * minute) for minute in range(30)]
    assert got[:2] == [10, 10]
    assert sum(got) == 25 + 12
    assert got[-1] <= 1


def test_charged() -> None:
    """What is charged is missing, though it was not there: it takes longer to end."""
    shares = Shares([(10, 60.0)], KEY)
    shares.charge("a", 30, 0.0)
    assert not shares.take("a", 1, 125.0)
    assert shares.take("a", 1, 127.0)


def test_whole_or_nothing() -> None:
    """What is too much takes nothing."""
    shares = Shares([(10, 60.0)], KEY)
    assert not shares.take("a", 11, 0.0)
    assert shares.take("a", 10, 0.0)


def test_bounded() -> None:
    """So many networks are known, then the first is forgotten, and no other."""
    shares = Shares([(1, 60.0)], KEY, size=3)
    peers = [f"192.0.{one}.1" for one in range(4)]
    assert all(shares.take(peer, 1, 0.0) for peer in peers)
    assert len(shares._marks) == 3
    assert [shares.take(peer, 1, 0.0) for peer in peers[1:]] == [False] * 3
    assert shares.take(peers[0], 1, 0.0)


def test_forgotten_in_time() -> None:
    """Nothing is left of who took when it has all back; a debt is kept until then."""
    shares = Shares([(10, 60.0)], KEY)
    shares.charge("in debt", 60, 0.0)
    many(shares, "a", 1.0)
    many(shares, "b", 100.0)
    assert len(shares._marks) == 3
    many(shares, "b", 400.0)
    assert len(shares._marks) == 1


def test_no_address_is_kept() -> None:
    """The table holds marks, which another process's key would not give."""
    one, other = Shares([(1, 1.0)], KEY), Shares([(1, 1.0)], b"other")
    for shares in (one, other):
        shares.take("192.0.2.1", 1, 0.0)
        assert "192.0.2" not in repr(shares._marks)
    assert not set(one._marks) & set(other._marks)


def test_clock_steps_back() -> None:
    """A step back gives nothing, and takes nothing."""
    shares = Shares([(2, 60.0)], KEY)
    assert many(shares, "a", 1_000.0) == 2
    assert many(shares, "a", 10.0) == 0
