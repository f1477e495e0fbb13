"""A line as long as I2P's: what is said arrives a while later."""

from __future__ import annotations

from tests.peers.irc.relay import Relay

SECONDS = 0.6


def delayed(target: int, seconds: float = SECONDS) -> Relay:
    """Return a proxy to `target` that adds so many seconds in each direction."""
    return Relay(target, seconds)
