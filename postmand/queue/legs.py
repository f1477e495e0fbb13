"""Released legs on their way to a gateway: begun, sent, judged, settled.

Each try of a leg is a task of its own, and none waits for another. What a task holds is
one parcel at most; all else in memory is the numbers of legs, and bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from postmand.faults import log_fault
from postmand.interfaces import StoreBusyError
from postmand.internet import DueLeg, ICourier, Leg, Parcel, Report
from postmand.queue.ending import ended
from postmand.queue.means import Means
from postmand.queue.pace import PutOff
from postmand.queue.settling import Settling, Tried
from postmand.rules.retry import Settlement, judge

log = Logger()

# Between two ticks: no more legs are begun than this, each of them once, and no more
# after so many faults of ours (each of them is a line in the log).
_MINUTE = 60
_BEGUN = 10_000
_FAULTS = 10
# Verdicts that may wait for the store before no more legs are begun.
_LATE = 256


class Legs:
    """Takes legs that are due to the courier, `pace.at_once` at a time."""

    def __init__(
        self,
        means: Means,
        courier: ICourier,
        settling: Settling,
        now: Callable[[], int],
    ) -> None:
        self._means = means
        self._courier = courier
        self._settling = settling
        self._now = now
        # Legs that this process has in hand; the domains of those that hold a slot, and
        # how many do by domain.
        self._tasks: dict[int, Deferred[None]] = {}
        self._sending: dict[int, bytes] = {}
        self._to_domain: Counter[bytes] = Counter()
        self._put_off = PutOff()
        self._slots = means.pace.at_once
        self._answers = 0
        self._reached = True
        self._paused = False
        self._stopped = False
        self._begun: set[int] = set()
        self._faults = 0
        self._taking = False
        self._ask = False
        self._slot_free: Deferred[None] | None = None

    def wake(self) -> None:
        """Begin what is due, and go on until nothing is.

        When no gateway can be reached, or the store is busy, no more legs are begun
        until the next call; and if it was the gateways, then a single one, to see
        whether that has changed. No leg is begun twice between two calls.
        """
        self._paused = False
        self._begun.clear()
        self._faults = 0
        self._slots = self._means.pace.at_once
        if not self._reached:
            # Those that hang do not count: they are no answer.
            self._slots = min(self._slots, len(self._sending) + 1)
        self.go_on()

    def go_on(self) -> None:
        """Begin what has become due since the last call of `wake`, as that allows."""
        self._wake_taker()
        self._ask = True
        if not self._taking and self._may_begin():
            self._taking = True
            taking = Deferred.fromCoroutine(self._take())
            taking.addErrback(self._unforeseen)
            taking.addBoth(self._taken)

    def cease(self) -> None:
        """Begin no more. What comes back unsent from now on is due as before."""
        self._stopped = True
        self._settling.stop()
        self._wake_taker()

    async def stop(self) -> None:
        """Begin no more; wait for what is on its way, `pace.stop_seconds` at most.

        What has not ended then keeps its mark in the queue: it may have arrived.
        """
        self.cease()
        running = [*self._tasks.values()]
        await ended(running, self._means.pace.stop_seconds, self._means.reactor)

    # --- what is due

    def _taken(self, _: object) -> None:
        self._taking = False

    def _may_begin(self) -> bool:
        return not (
            self._stopped
            or self._paused
            or self._faults >= _FAULTS
            or len(self._begun) >= _BEGUN
            or len(self._settling) >= _LATE
        )

    async def _take(self) -> None:
        while self._ask and self._may_begin():
            self._ask = False
            for leg in await self._page():
                while len(self._sending) >= self._slots and not self._stopped:
                    self._slot_free = Deferred()
                    await self._slot_free
                if not self._may_begin():
                    return
                if self._is_free(leg):
                    self._begin(leg)
                    self._ask = True

    async def _page(self) -> list[DueLeg]:
        """Return some of the legs that are due, in random order.

        The queue gives the longest overdue first, so no page passes over anybody but
        those who wait for their domain; within it the order of releases is not seen.
        """
        most = self._means.pace.page + len(self._tasks) + len(self._put_off)
        busy = [domain for domain in self._to_domain if self._is_busy(domain)]
        try:
            due = await self._means.queue.legs_due(self._now(), most, busy)
        except StoreBusyError:
            self._store_is_busy()
            return []
        page = [leg for leg in due if self._is_free(leg)][: self._means.pace.page]
        self._means.random.shuffle(page)
        return page

    def _is_free(self, leg: DueLeg) -> bool:
        """Whether a leg may be begun now."""
        if leg.item in self._tasks or leg.item in self._begun:
            return False
        if self._put_off.holds(leg.item, self._means.reactor.seconds()):
            return False
        return not self._is_busy(leg.domain)

    def _is_busy(self, domain: bytes) -> bool:
        """Whether as many legs to a domain are on their way as may be.

        Half of all: one that answers slowly, or never, leaves the rest to others.
        """
        return self._to_domain[domain] >= max(1, self._means.pace.at_once // 2)

    # --- one leg

    def _begin(self, leg: DueLeg) -> None:
        self._begun.add(leg.item)
        self._sending[leg.item] = leg.domain
        self._to_domain[leg.domain] += 1
        task = Deferred.fromCoroutine(self._carry(leg.item))
        self._tasks[leg.item] = task
        task.addErrback(self._unforeseen)
        task.addBoth(self._ended, leg.item)

    def _ended(self, _: object, item: int) -> None:
        del self._tasks[item]
        self._leave_slot(item)

    def _leave_slot(self, item: int) -> None:
        domain = self._sending.pop(item, None)
        if domain is None:
            return
        was_busy = self._is_busy(domain)
        self._to_domain[domain] -= 1
        if not self._to_domain[domain]:
            del self._to_domain[domain]
        self._wake_taker()
        if was_busy:
            # The queue was asked for others' legs alone.
            self.go_on()

    def _wake_taker(self) -> None:
        waiting, self._slot_free = self._slot_free, None
        if waiting is not None:
            waiting.callback(None)

    async def _carry(self, item: int) -> None:
        parcel = await self._opened(item)
        if parcel is None:
            return
        leg = parcel.leg
        if self._stopped:
            parcel.body.close()
            settlement = self._unsent(leg)
        else:
            settlement = self._judged(leg, await self._sent(parcel))
        tried = Tried(item, leg, settlement)
        await self._settling.settle(tried, lambda: self._leave_slot(item))
        self._put_off.forget(item)

    def _judged(self, leg: Leg, report: Report) -> Settlement:
        if self._stopped and not (report.replies or report.doubtful):
            # Nobody had the time to answer: that says nothing of the gateways.
            return self._unsent(leg)
        relay, random = self._means.pace.relay, self._means.random
        return judge(leg, report, self._now(), relay, random)

    def _unsent(self, leg: Leg) -> Settlement:
        # The queue rounds a due up to the minute; this one is due now.
        now = self._now()
        return Settlement(leg, now - now % _MINUTE)

    async def _opened(self, item: int) -> Parcel | None:
        """Mark a leg as begun; None if it is gone or can not be opened now."""
        try:
            return await self._means.queue.begin(item)
        except StoreBusyError:
            self._store_is_busy()
        except Exception as fault:
            if self._is_the_end(fault):
                raise
            failures = self._put_off.put(item, self._means.reactor.seconds())
            # Gone: an operator dropped it. If it comes again the fault is ours.
            if not isinstance(fault, LookupError) or failures > 1:
                self._fault("a leg could not be begun", fault)
        return None

    async def _sent(self, parcel: Parcel) -> Report:
        before = self._answers
        try:
            report = await self._courier.send(parcel)
        except Exception as fault:
            if self._is_the_end(fault):
                raise
            # Nobody knows how far it came.
            self._fault("the courier failed", fault)
            parcel.body.close()
            return Report(doubtful=True)
        self._learn(report, before)
        return report

    def _learn(self, report: Report, before: int) -> None:
        """Note whether gateways can be reached, and stop asking when none can."""
        if report.doubtful:
            self._means.count("doubtful", 1)
        if report.replies or report.doubtful:
            self._answers += 1
            self._reached = True
            if self._slots < self._means.pace.at_once:
                self._slots = self._means.pace.at_once
                self._wake_taker()
            return
        if self._stopped:
            return
        self._means.count("unreached", 1)
        if self._answers == before:
            # Nobody else had an answer in that time either.
            self._reached = False
            self._paused = True

    # --- faults

    def _store_is_busy(self) -> None:
        self._means.count("store-busy", 1)
        self._paused = True

    def _fault(self, where: str, fault: Exception | Failure) -> None:
        self._faults += 1
        self._means.count("leg-fault", 1)
        log_fault(log, where, fault)

    def _is_the_end(self, fault: BaseException | None) -> bool:
        """Whether a task was cancelled because the runner stops."""
        return self._stopped and isinstance(fault, CancelledError)

    def _unforeseen(self, failure: Failure) -> None:
        if not self._is_the_end(failure.value):
            self._fault("a leg's task failed", failure)
