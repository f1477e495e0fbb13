"""What the runner and its parts work with."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from postmand.internet import IQueue
from postmand.queue.pace import Pace

Count = Callable[[str, int], None]


@frozen(eq=False)
class Means:
    """The queue, and the node's surroundings as the runner sees them.

    `reactor` gives intervals only; `count` is told what happened, by name and number:
    nothing in it tells one message from another.
    """

    queue: IQueue
    reactor: IReactorTime
    random: Random
    pace: Pace
    count: Count
