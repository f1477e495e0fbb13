"""One tick's releases: all that is due and what the pool lets go, in random order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from postmand.faults import log_fault
from postmand.interfaces import StoreBusyError
from postmand.internet import HeldBackError
from postmand.queue.means import Means
from postmand.queue.pace import PutOff

log = Logger()

# Faults of one tick that are logged one by one; the others are told as a number.
_LOGGED = 10


class Mixing(Protocol):
    """Says which items of the pool are to leave."""

    def leaving(self, now: int) -> Awaitable[Sequence[int]]:
        """Return the items that are to be released at `now`."""


class Releases:
    """Releases what is due, some messages at a time."""

    def __init__(
        self,
        means: Means,
        pool: Mixing,
        release: Callable[[int], Awaitable[None]],
    ) -> None:
        self._means = means
        self._pool = pool
        self._release = release
        self._put_off = PutOff()
        self._stopped = False

    def stop(self) -> None:
        """Begin no more releases."""
        self._stopped = True

    async def tick(self, now: int) -> None:
        """Release what is to leave at `now`, in random order.

        Fails with StoreBusyError where the store does not say what is due. A message
        that can not be released is put off, for longer each time, and does not stop
        the others.
        """
        # What is put off stands at the head of the queue, and must not fill the page.
        most = self._means.pace.most_a_tick + len(self._put_off)
        due = await self._means.queue.due(now, most)
        pooled = await self._leaving(now)
        seconds = self._means.reactor.seconds()
        ready = [item for item in due if not self._put_off.holds(item, seconds)]
        # What never failed goes before what did: many that fail stop nobody.
        ready.sort(key=self._put_off.__contains__)
        leaving = ready[: self._means.pace.most_a_tick]
        leaving += (item for item in pooled if not self._put_off.holds(item, seconds))
        self._means.random.shuffle(leaving)
        await self._all(leaving)

    async def _leaving(self, now: int) -> Sequence[int]:
        try:
            return await self._pool.leaving(now)
        except StoreBusyError:
            raise
        except Exception as fault:
            # What is not in the pool is due all the same.
            log_fault(log, "the pool failed", fault)
            self._means.count("pool-fault", 1)
            return ()

    async def _all(self, leaving: Sequence[int]) -> None:
        round_ = _Round(iter(leaving))
        workers = [
            Deferred.fromCoroutine(self._work(round_))
            for _ in range(min(self._means.pace.releases_at_once, len(leaving)))
        ]
        await gatherResults(workers, consumeErrors=True)
        for name, number in (("released", round_.released), ("held", round_.held)):
            if number:
                self._means.count(name, number)
        if round_.faults > _LOGGED:
            log.error("{n} messages could not be released", n=round_.faults)

    async def _work(self, round_: _Round) -> None:
        for item in round_.items:
            if self._stopped or round_.busy:
                return
            try:
                released = Deferred.fromCoroutine(_awaited(self._release(item)))
                released.addTimeout(
                    self._means.pace.release_seconds, self._means.reactor
                )
                await released
            except StoreBusyError:
                self._means.count("store-busy", 1)
                round_.busy = True
            except HeldBackError:
                round_.held += 1
                self._put_off.forget(item)
            except Exception as fault:
                if self._stopped:
                    return
                self._failed(item, fault, round_)
            else:
                round_.released += 1
                self._put_off.forget(item)

    def _failed(self, item: int, fault: Exception, round_: _Round) -> None:
        failures = self._put_off.put(item, self._means.reactor.seconds())
        if isinstance(fault, LookupError) and failures == 1:
            # An operator took it away. If it comes again the fault is ours.
            return
        self._means.count("release-fault", 1)
        round_.faults += 1
        if round_.faults <= _LOGGED:
            log_fault(log, "a message could not be released", fault)


class _Round:
    """What the workers of one tick share."""

    def __init__(self, items: Iterator[int]) -> None:
        self.items = items
        self.released = 0
        self.held = 0
        self.faults = 0
        self.busy = False


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable
