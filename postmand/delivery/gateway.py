"""Mail for the Internet goes to the gateways: to whichever has a connection free."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from postmand.delivery.doubts import Doubts
from postmand.delivery.errand import Errand
from postmand.delivery.way import Way
from postmand.internet import ICourier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from twisted.internet.interfaces import (
        IDelayedCall,
        IReactorTime,
        IStreamClientEndpoint,
    )

    from postmand.config import Gateway, Relay
    from postmand.internet import Parcel, Report

# So long a stop waits for what was begun, in seconds.
_STOP = 10.0


@implementer(ICourier)
class Courier:
    """Takes parcels to the gateways, the ways to which are asked in turn.

    What waits is given to a connection when that is greeted and free, not before: a
    gateway that hangs holds up what it was given, and nothing else. It waits in memory,
    bounded by how many parcels the caller sends at once.

    `name` is what we call ourselves, never the machine's; `dial` makes an endpoint of
    its string; `identity` is needed where a gateway has a pin; `count` is told of
    "gateway-away" and "doubtful"; `now` is the queue's clock. A gateway that may have a
    message from an earlier try is asked before that is sent again (`Doubts`).
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        relay: Relay,
        *,
        name: bytes,
        identity: bytes,
        dial: Callable[[str], IStreamClientEndpoint],
        reactor: IReactorTime,
        rng: Random,
        count: Callable[[str], None],
        now: Callable[[], int] | None = None,
    ) -> None:
        self._reactor = reactor
        numbers = [n for n, gateway in enumerate(gateways, 1) if gateway.lmtp]
        self._doubts = Doubts(numbers, relay.give_up_seconds, reactor.seconds, now)
        self._count = count
        self._waiting: list[Errand] = []
        self._stopping: Deferred[None] | None = None
        self._stop_timer: IDelayedCall | None = None
        self._dispatching = False
        self._again = False
        ways = [
            Way(
                number,
                gateway,
                relay,
                self,
                dial(gateway.endpoint),
                name=name,
                identity=identity,
                reactor=reactor,
                rng=rng,
                count=count,
            )
            for number, gateway in enumerate(gateways, 1)
        ]
        rng.shuffle(ways)
        # The one whose turn it is first.
        self._ways = deque(ways)

    def send(self, parcel: Parcel) -> Deferred[Report]:
        """Try once, with the next gateway when one is away; fire with what came of it.

        Fails with what reading the body fails with, and for nothing else. A recipient
        without a reply in a doubtful report is one whose answer did not come.
        """
        errand = Errand(parcel, len(self._ways))
        errand.asks = self._doubts.to_ask(parcel)
        if errand.remaining and self._reachable(errand):
            Deferred.fromCoroutine(self._admit(errand))
        else:
            self._conclude(errand)
        return errand.done

    def stop(self) -> Deferred[None]:
        """Finish what was begun; fire when no connection is left.

        After ten seconds what is not finished is cut and reported as it stands; who
        said goodbye and does not close is waited for ten seconds more at the most.
        """
        if self._stopping is None:
            self._stopping = Deferred()
            self._stop_timer = self._reactor.callLater(_STOP, self._abort)
            waiting, self._waiting = self._waiting, []
            for errand in waiting:
                self._conclude(errand)
            for way in self._ways:
                way.stop(abort=False)
            self.changed()
        stopped: Deferred[None] = Deferred()
        if self._stopping.called:
            return succeed(None)
        self._stopping.chainDeferred(stopped)
        return stopped

    # What a way tells (its Dispatch).

    def work(self, way: Way) -> Errand | None:
        """Return the errand that has waited longest among those for this gateway."""
        for number, errand in enumerate(self._waiting):
            if errand.wants(way.number):
                return self._waiting.pop(number)
        return None

    def finished(self, way: Way, errand: Errand) -> None:
        """Take an errand for which this gateway has done what it will."""
        if errand.underway:
            self.doubtful(way, errand)
            return
        if way.number in errand.asks:
            errand.asks.discard(way.number)
            self._doubts.cleared(errand.parcel.item, way.number)
        else:
            errand.tried.add(way.number)
        self._onward(errand)

    def doubtful(self, way: Way, errand: Errand) -> None:
        """Conclude: another try may send it twice."""
        self._count("doubtful")
        self._doubts.add(errand.parcel.item, way.number)
        errand.conclude(doubtful=True)

    def returned(self, way: Way, errand: Errand, *, stale: bool) -> None:
        """Take back an errand, for another gateway or a new connection."""
        if not stale:
            if way.number in errand.asks:
                self._can_not_ask(errand, {way.number})
            else:
                errand.tried.add(way.number)
        self._onward(errand)

    def changed(self) -> None:
        """See what can be done now."""
        self._dispatch()
        if self._stopping is not None and not any(
            one.connections for one in self._ways
        ):
            if self._stop_timer is not None and self._stop_timer.active():
                self._stop_timer.cancel()
            if not self._stopping.called:
                self._stopping.callback(None)

    # Ours.

    async def _admit(self, errand: Errand) -> None:
        try:
            await errand.body.open()
        except Exception as fault:
            # Whatever it is: whoever gave the body is to know.
            errand.fail(fault)
            return
        self._waiting.append(errand)
        self._dispatch()

    def _onward(self, errand: Errand) -> None:
        """Let what remains of an errand be taken elsewhere, the next before others."""
        if errand.remaining and self._reachable(errand) and errand.body.rewind():
            self._waiting.insert(0, errand)
            self._dispatch()
        else:
            self._conclude(errand)

    def _reachable(self, errand: Errand) -> bool:
        """Whether somebody is there to be asked, or to be sent it."""
        away = {way.number for way in self._ways if way.away}
        self._can_not_ask(errand, errand.asks & away)
        return any(not way.away and errand.wants(way.number) for way in self._ways)

    def _can_not_ask(self, errand: Errand, gateways: set[int]) -> None:
        """Do without an answer, but where we know that there is something to ask."""
        errand.asks -= gateways - self._doubts.about(errand.parcel.item)

    def _conclude(self, errand: Errand) -> None:
        """Report what was heard; who could not be asked may still have it."""
        errand.conclude(doubtful=bool(errand.asks and errand.remaining))

    def _dispatch(self) -> None:
        """Give out what waits; what is called from within is done by the same loop."""
        self._again = True
        if self._dispatching:
            return
        self._dispatching = True
        try:
            while self._again:
                self._again = False
                self._give_up()
                while self._waiting and self._give_out():
                    pass
        finally:
            self._dispatching = False

    def _give_up(self) -> None:
        """Conclude what no gateway is left for."""
        for errand in [one for one in self._waiting if not self._reachable(one)]:
            self._waiting.remove(errand)
            self._conclude(errand)

    def _give_out(self) -> bool:
        """Use one connection, or make one; False when there is nothing to be done."""
        if sum(way.hoped_for for way in self._ways) >= len(self._waiting):
            return False
        for way in list(self._ways):
            if not any(errand.wants(way.number) for errand in self._waiting):
                continue
            dialogue = way.free()
            if dialogue is None and not way.spare:
                continue
            self._ways.remove(way)
            self._ways.append(way)
            if dialogue is None:
                way.dial()
                return True
            errand = self.work(way)
            if errand is not None:
                dialogue.begin(errand)
            return True
        return False

    def _abort(self) -> None:
        """End what did not end by itself."""
        for way in self._ways:
            way.stop(abort=True)
