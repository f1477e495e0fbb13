"""Endpoints of addresses that were looked up, and looked at, before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

# Whoever connects gives up before that, in seconds.
_LONGEST = 600

Dial = Callable[[str, int], IStreamClientEndpoint]
"""Makes an endpoint of an IPv4 or IPv6 address and a port."""


def tcp(reactor: Any) -> Dial:
    """Return what dials over the reactor's TCP. Whoever connects limits the time."""

    def dial(address: str, port: int) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(reactor, address, port, timeout=_LONGEST)
        return endpoint

    return dial
