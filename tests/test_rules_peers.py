"""Who has how many connections, and sizes as people read them."""

from __future__ import annotations

from postmand.rules.peers import Seats
from postmand.rules.sizes import octets


def test_seats() -> None:
    """So many in all, so many for one; a place that is left is another's."""
    seats = Seats(3, 2)
    assert [seats.take("a") for _ in range(3)] == [True, True, False]
    assert seats.take("b")
    assert not seats.take("c")
    seats.leave("a")
    assert seats.take("c")
    for peer in "abc":
        seats.leave(peer)
    assert [seats.take("d"), seats.take("d"), seats.take("a")] == [True] * 3


def test_sizes() -> None:
    """Octets below a KiB are counted, others rounded."""
    told = [octets(many) for many in (0, 1_023, 1_024, 1_258_291, 2**30, 2**40)]
    assert told == ["0 B", "1023 B", "1.0 KiB", "1.2 MiB", "1.0 GiB", "1024.0 GiB"]
