"""What waits for a thread: bounded, and taken in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Generic, TypeVar

from postmand.interfaces import StoreBusyError

T = TypeVar("T")

Join = Callable[[], None]
StartThread = Callable[[Callable[[], None], str], Join]
"""Starts a thread that runs a function, with a name; returns what waits for its end."""

Dispatch = Callable[[Callable[[], None]], object]
"""Has a function run in the reactor's thread, as reactor.callFromThread does."""


def start_thread(run: Callable[[], None], name: str) -> Join:
    """Start a thread that does not keep the process alive."""
    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread.join


class Inbox(Generic[T]):
    """Items from any thread, for one or several that take them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item; raise StoreBusyError when too many wait, or after close()."""
        with self._changed:
            if self._closed:
                raise StoreBusyError("the store is closed")
            if len(self._items) >= self._limit:
                raise StoreBusyError("too much is waiting for the store")
            self._items.append(item)
            self._changed.notify()

    def take(
        self,
        most: int,
        weigh: Callable[[T], int] = lambda _: 0,
        heaviest: int = 0,
    ) -> list[T]:
        """Wait for items and return what is there; an empty list ends the work.

        At most `most`; and no further one once those taken weigh over `heaviest`.
        """
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            taken: list[T] = []
            weight = 0
            while self._items and len(taken) < most and weight <= heaviest:
                item = self._items.popleft()
                taken.append(item)
                weight += weigh(item)
            return taken

    def close(self) -> None:
        """Take no more; what waits is still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
