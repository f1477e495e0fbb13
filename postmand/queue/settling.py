"""What came of a try is written down, however long the store takes to let us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from postmand.faults import log_fault
from postmand.interfaces import Copy, StoreBusyError
from postmand.internet import Leg, Reply
from postmand.queue.means import Means
from postmand.rules.retry import Settlement, longest_gap

log = Logger()

# Seconds until what could not be written is tried again: the first time, and at most
# while the store is busy, and where the fault is ours and does not pass by itself.
_FIRST = 1.0
_LONGEST_BUSY = 60.0
_LONGEST_FAULT = 3_600.0

Bounce = Callable[[Leg, Mapping[bytes, Reply]], Awaitable[Copy | None]]


@frozen
class Tried:
    """A leg that was tried, and what is to become of it."""

    item: int
    leg: Leg
    settlement: Settlement


class Settling:
    """Writes verdicts. While the process lives none is lost."""

    def __init__(
        self,
        means: Means,
        bounce: Bounce,
    ) -> None:
        self._means = means
        self._bounce = bounce
        self._late: set[int] = set()
        self._stopped = False

    def __len__(self) -> int:
        """Return how many verdicts wait for the store after a first failure."""
        return len(self._late)

    def stop(self) -> None:
        """From now on a task that is cancelled is to end."""
        self._stopped = True

    async def settle(self, tried: Tried, late: Callable[[], None]) -> None:
        """Write it, again and again until it is written; call `late` after a failure.

        Fails with CancelledError alone, after `stop`: the mark in the queue tells the
        next process that the leg was on its way.
        """
        pause = _FIRST
        try:
            while (longest := await self._failure(tried)) is not None:
                self._late.add(tried.item)
                late()
                await deferLater(self._means.reactor, pause)
                pause = min(2.0 * pause, longest)
        finally:
            self._late.discard(tried.item)
        self._told(tried)

    async def _failure(self, tried: Tried) -> float | None:
        """Try once; return None if it is written, else the longest pause."""
        try:
            await self._write(tried)
        except StoreBusyError:
            self._means.count("store-busy", 1)
            return _LONGEST_BUSY
        except LookupError:
            # An operator dropped it meanwhile.
            return None
        except Exception as fault:
            if self._stopped and isinstance(fault, CancelledError):
                raise
            log_fault(log, "a verdict could not be kept", fault)
            self._means.count("settle-fault", 1)
            return _LONGEST_FAULT
        return None

    async def _write(self, tried: Tried) -> None:
        settlement = tried.settlement
        copy = None
        if settlement.failures:
            try:
                copy = await self._bounce(tried.leg, settlement.failures)
            except StoreBusyError:
                raise
            except Exception as fault:
                if self._stopped and isinstance(fault, CancelledError):
                    raise
                log_fault(log, "a bounce could not be written", fault)
                self._means.count("bounce-fault", 1)
                settlement = self._unbounced(tried)
        await self._means.queue.settle(
            tried.item, settlement.left, settlement.due, copy
        )
        if copy is not None:
            self._means.arrived([copy.recipient.account])

    def _unbounced(self, tried: Tried) -> Settlement:
        """Return a settlement that keeps those who failed, too, to be tried again.

        Their sender must hear of them, so they stay until that works: seldom tried, and
        to be seen in the queue by the operator, who reads of the fault in the log.
        """
        settlement = tried.settlement
        left = settlement.left or tried.leg
        again = set(settlement.failures)
        if settlement.left is not None:
            again.update(settlement.left.recipients)
        recipients = tuple(one for one in tried.leg.recipients if one in again)
        pause = longest_gap(self._means.pace.relay, self._means.random)
        return Settlement(evolve(left, recipients=recipients), settlement.due + pause)

    def _told(self, tried: Tried) -> None:
        left = tried.settlement.left
        again = left is not None and left.attempts > tried.leg.attempts
        for name, recipients in (
            ("delivered", tried.settlement.delivered),
            ("failed", len(tried.settlement.failures)),
            ("deferred", len(left.recipients) if left and again else 0),
        ):
            if recipients:
                self._means.count(name, recipients)
