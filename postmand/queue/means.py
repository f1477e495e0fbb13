"""What the runner and its parts work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from postmand.internet import IQueue
from postmand.queue.pace import Pace

Count = Callable[[str, int], None]
Arrived = Callable[[Iterable[int]], None]


def nobody(_: Iterable[int]) -> None:
    """Tell nobody that mail came."""


@frozen(eq=False)
class Means:
    """The queue, and the node's surroundings as the runner sees them.

    `reactor` gives intervals only; `count` is told what happened, by name and number:
    nothing in it tells one message from another. `arrived` is told whose mailboxes got
    a report (see INotice).
    """

    queue: IQueue
    reactor: IReactorTime
    random: Random
    pace: Pace
    count: Count
    arrived: Arrived = nobody
