"""Endpoints of addresses that were looked up, and looked at, before."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

# Whoever connects gives up before that, in seconds.
_LONGEST = 600

Dial = Callable[[str, int], IStreamClientEndpoint]
"""Makes an endpoint of an IPv4 or IPv6 address and a port."""


def tcp(reactor: Any, sources: Sequence[str] = ()) -> Dial:
    """Return what dials over the reactor's TCP. Whoever connects limits the time.

    It dials from the address of `sources` that is of the other end's family; where
    there is none, from whichever the system chooses (see `within_reach`).
    """

    def dial(address: str, port: int) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if _is_v6(address) else TCP4ClientEndpoint
        own = [one for one in sources if _is_v6(one) == _is_v6(address)]
        endpoint: IStreamClientEndpoint = kind(
            reactor,
            address,
            port,
            timeout=_LONGEST,
            bindAddress=(own[0], 0) if own else None,
        )
        return endpoint

    return dial


def within_reach(sources: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells whether an address can be called from one of `sources`.

    Where one is named, mail that left from an address of another family would be from
    nobody whom SPF or reverse DNS knows. Without any, all can.
    """
    families = {_is_v6(one) for one in sources} or {False, True}
    return lambda address: _is_v6(address) in families


def _is_v6(address: str) -> bool:
    return ":" in address


def bind_fault(source: str) -> str:
    """Return what the system has against leaving from an address, "" for nothing."""
    family = socket.AF_INET6 if _is_v6(source) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((source, 0))
    except OSError as error:
        return error.strerror or str(error)
    return ""
