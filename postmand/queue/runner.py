"""The runner: at each tick it releases what is due, and sends released legs on.

Two things happen beside each other. A tick releases (`releases.Releases`) and ends when
the last message of its set is released, so ticks never overlap; one that takes longer
than its interval is followed by the next regular one. Legs (`legs.Legs`) are taken to
the courier as slots come free, for as long as some are due: a gateway that hangs holds
no tick up. Both ask the queue for what is due, never for what waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from postmand.faults import log_fault
from postmand.interfaces import StoreBusyError
from postmand.internet import ICourier, IQueue
from postmand.queue.ending import ended
from postmand.queue.legs import Legs
from postmand.queue.means import Arrived, Count, Means, nobody
from postmand.queue.pace import Pace
from postmand.queue.releases import Mixing, Releases
from postmand.queue.settling import Bounce, Settling

log = Logger()


class Runner:
    """Runs the queue of a node. Started once and stopped once.

    `release` turns a waiting item into legs, in one transaction, and fails with
    LookupError when it is gone, HeldBackError when it is held instead; `bounce` makes
    the copy that tells a sender which recipients failed. `now` is the queue's clock
    (`QueueClock.now`), `reactor` gives intervals only. `count` is told what happened,
    by name and number: nothing in it tells one message from another.
    """

    def __init__(
        self,
        queue: IQueue,
        pool: Mixing,
        courier: ICourier,
        release: Callable[[int], Awaitable[None]],
        bounce: Bounce,
        *,
        now: Callable[[], int],
        reactor: IReactorTime,
        random: Random,
        pace: Pace,
        count: Count,
        arrived: Arrived = nobody,
    ) -> None:
        means = self._means = Means(queue, reactor, random, pace, count, arrived)
        self._now = now
        self._releases = Releases(means, pool, release)
        self._legs = Legs(means, courier, Settling(means, bounce), now)
        # A release that takes long must not hold up what was released before.
        self._loops = LoopingCall(self._tick), LoopingCall(self._relay)
        self._ticking: Deferred[None] | None = None
        self._recalled = False
        self._stopped = False

    def start(self) -> None:
        """Run the first tick, and one every `pace.tick_seconds` from then on.

        Before anything else it asks the queue what was on its way when the node ended,
        and says how much that was; while the store can not tell, nothing is sent.
        """
        for loop in self._loops:
            loop.clock = self._means.reactor
            at_once = loop is self._loops[0]
            loop.start(self._means.pace.tick_seconds, at_once).addErrback(_ended_early)

    def cease(self) -> None:
        """Begin nothing more: to be called before the courier is stopped."""
        self._stopped = True
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._releases.stop()
        self._legs.cease()

    async def stop(self) -> None:
        """Begin nothing more; wait for what runs, `pace.stop_seconds` at most."""
        self.cease()
        legs = Deferred.fromCoroutine(self._legs.stop())
        if self._ticking is not None:
            await ended(
                [self._ticking], self._means.pace.stop_seconds, self._means.reactor
            )
        await legs

    def _tick(self) -> Deferred[None]:
        ticking = self._ticking = Deferred.fromCoroutine(self._run())
        return ticking.addBoth(self._ticked)

    def _ticked(self, _: object) -> None:
        self._ticking = None

    async def _run(self) -> None:
        try:
            if not self._recalled:
                await self._recall()
            await self._releases.tick(self._now())
        except StoreBusyError:
            self._means.count("store-busy", 1)
        except Exception as fault:
            if self._stopped:
                return
            # The next tick may do better; a loop that ends releases nothing at all.
            log_fault(log, "a tick failed", fault)
            self._means.count("tick-fault", 1)
        if self._recalled:
            self._legs.go_on()

    def _relay(self) -> None:
        if self._recalled:
            self._legs.wake()

    async def _recall(self) -> None:
        interrupted = await self._means.queue.in_flight()
        self._recalled = True
        if interrupted:
            self._means.count("interrupted", interrupted)
            log.warn(  # noqa: G010 (Twisted's logger has no other)
                "messages that were on their way when the node ended, and may arrive "
                "twice: {n}",
                n=interrupted,
            )


def _ended_early(failure: Failure) -> None:
    log_fault(log, "the runner ended", failure)
