"""Waiting for what runs, but not for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime


async def ended(
    running: Sequence[Deferred[Any]], seconds: float, reactor: IReactorTime
) -> None:
    """Return when all have fired; cancel what has not after so many seconds."""
    if not running:
        return
    all_fired = DeferredList(running)
    patience = reactor.callLater(seconds, _cancel, running)
    await all_fired
    if patience.active():
        patience.cancel()


def _cancel(running: Sequence[Deferred[Any]]) -> None:
    for one in running:
        one.cancel()
