"""Where connections to the Internet leave from."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from postmand.delivery.dialling import bind_fault, tcp, within_reach

V4, V6 = "203.0.113.25", "2001:db8::25"


@pytest.mark.long
@pytest.mark.parametrize(
    ("sources", "address", "bound"),
    [
        ((), "11.0.0.1", None),
        ((), "2600::1", None),
        ((V4,), "11.0.0.1", (V4, 0)),
        ((V4, V6), "11.0.0.1", (V4, 0)),
        ((V4, V6), "2600::1", (V6, 0)),
        ((V6, V4), "11.0.0.1", (V4, 0)),
    ],
)
def test_bound(sources: tuple[str, ...], address: str, bound: Any) -> None:
    """Each family from its own address."""
    reactor = MemoryReactorClock()
    tcp(reactor, sources)(address, 25).connect(Factory())
    ((host, port, _, _, source),) = reactor.tcpClients
    assert (host, port, source) == (address, 25, bound)


def test_reach() -> None:
    """A family without an address of ours is not called."""
    both = ["11.0.0.1", "2600::1"]
    for sources, reached in (
        ((), both),
        ((V4,), both[:1]),
        ((V6,), both[1:]),
        ((V4, V6), both),
    ):
        may = within_reach(sources)
        assert [one for one in both if may(one)] == reached


def test_bind_fault() -> None:
    """An address of this machine will do, another one's not."""
    assert bind_fault("127.0.0.9") == ""
    assert "assign" in bind_fault("192.0.2.1")
