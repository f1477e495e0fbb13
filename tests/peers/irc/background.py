"""One event loop in a thread: relays and scripted users share it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_PATIENCE = 60.0


_LOOP = asyncio.new_event_loop()
_THREAD = threading.Thread(target=_LOOP.run_forever, daemon=True, name="irc")
_BEGINNING = threading.Lock()


def loop() -> asyncio.AbstractEventLoop:
    """Return the loop; the first call starts its thread, which ends with the tests."""
    with _BEGINNING:
        if _THREAD.ident is None:
            _THREAD.start()
    return _LOOP


def wait_for(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` on the loop from another thread; return or raise what it does."""
    return asyncio.run_coroutine_threadsafe(work, loop()).result(_PATIENCE)


def call(what: Callable[..., object], *arguments: Any) -> None:
    """Have the loop call this, in the order of such calls; return at once."""
    loop().call_soon_threadsafe(what, *arguments)
