"""The way to one gateway: its connections, and whether it is to be tried at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from postmand.delivery.dialogue import Dialogue
from postmand.link import Pinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import (
        IDelayedCall,
        IReactorTime,
        IStreamClientEndpoint,
    )

    from postmand.config import Gateway, Relay
    from postmand.delivery.company import Dispatch
    from postmand.delivery.errand import Errand

# An away gateway is left aside twice as long each time, up to so many doublings.
_DOUBLINGS = 4
# Nothing is hoped any more of a connection that has not come about after these
# seconds: another gateway is asked for what waits.
HOPE = 10.0


class _Quiet(Factory):
    """A factory that does not tell the log when mail leaves."""

    noisy = False


@define(eq=False)
class _Call:
    """One connection, from the dialling to its end."""

    dialogue: Dialogue
    pinned: Pinned | None
    began: float
    timers: list[IDelayedCall] = field(factory=list)
    connecting: Deferred[Any] | None = None


class Way:
    """One gateway, named in the log by its number in the configuration.

    `identity` is our own key and certificate as PEM, for a gateway with a pin.
    """

    log = Logger()

    def __init__(
        self,
        number: int,
        gateway: Gateway,
        relay: Relay,
        dispatch: Dispatch,
        endpoint: IStreamClientEndpoint,
        *,
        name: bytes,
        identity: bytes,
        reactor: IReactorTime,
        rng: Random,
        count: Callable[[str], None],
    ) -> None:
        self.number = number
        self._gateway = gateway
        self._relay = relay
        self._dispatch = dispatch
        self._endpoint = endpoint
        self._name = name
        self._identity = identity
        self._reactor = reactor
        self._rng = rng
        self._count = count
        self._calls: list[_Call] = []
        self._away_until = float("-inf")
        self._full_until = float("-inf")
        self._failures = 0
        self._told = ""
        self._stopped = False

    # What the dispatch asks.

    @property
    def away(self) -> bool:
        """Whether it is left aside for now."""
        return self._stopped or self._reactor.seconds() < self._away_until

    @property
    def connections(self) -> int:
        """How many there are, or may come about."""
        return len(self._calls)

    @property
    def spare(self) -> bool:
        """Whether it may have one connection more."""
        if self.away or self.connections >= self._relay.connections_per_gateway:
            return False
        coming = [call for call in self._calls if not call.dialogue.greeted]
        if len(coming) > self.hoped_for:
            return False  # it does not look as if more would help
        return not self.connections or self._reactor.seconds() >= self._full_until

    @property
    def hoped_for(self) -> int:
        """How many connections are likely to come about soon."""
        since = self._reactor.seconds() - HOPE
        return sum(
            not call.dialogue.greeted and call.began > since for call in self._calls
        )

    def free(self) -> Dialogue | None:
        """Return a conversation that has nothing to do."""
        if self.away:
            return None
        dialogues = (call.dialogue for call in self._calls)
        return next((one for one in dialogues if one.free), None)

    def dial(self) -> None:
        """Make one connection more."""
        pinned, endpoint = None, self._endpoint
        if self._gateway.pin:
            pinned = Pinned(self._identity, self._gateway.pin)
            endpoint = wrapClientTLS(pinned, endpoint)
        call = _Call(self._dialogue(), pinned, self._reactor.seconds())
        self._calls.append(call)
        connecting = endpoint.connect(_Quiet.forProtocol(lambda: call.dialogue))
        call.connecting = connecting
        call.timers = [
            self._reactor.callLater(self._relay.connect_seconds, connecting.cancel),
            self._reactor.callLater(HOPE, self._dispatch.changed),
        ]
        connecting.addBoth(self._dialled, call)

    def stop(self, *, abort: bool) -> None:
        """Let every connection end: when what was begun is done, or at once."""
        self._stopped = True
        for call in list(self._calls):
            if call.connecting is not None:
                call.connecting.cancel()
            elif abort:
                call.dialogue.end("stopped")
            else:
                call.dialogue.retire()

    # What a conversation tells.

    def work(self) -> Errand | None:
        """Give it the next errand, unless the gateway is left aside."""
        return None if self.away else self._dispatch.work(self)

    def asks(self, errand: Errand) -> bool:
        """Whether the gateway is asked what became of the errand."""
        return self.number in errand.asks

    def finished(self, errand: Errand) -> None:
        """Pass on an errand that was answered; the gateway works."""
        if not self.away and self._failures:
            self._failures = 0
            if self._told:
                self._told = ""
                self.log.info("gateway {number} is back", number=self.number)
        self._dispatch.finished(self, errand)

    def doubtful(self, errand: Errand) -> None:
        """Pass on an errand whose answer will not come."""
        self._dispatch.doubtful(self, errand)

    def returned(self, errand: Errand, *, stale: bool) -> None:
        """Pass on an errand that has to go another way."""
        self._dispatch.returned(self, errand, stale=stale)

    def failed(self, dialogue: Dialogue, reason: str) -> None:
        """Leave the gateway aside."""
        call = next(call for call in self._calls if call.dialogue is dialogue)
        if call.pinned is not None and call.pinned.refused:
            reason = "link-pin"
        self._leave_aside(reason, call)

    def ended(self, dialogue: Dialogue) -> None:
        """Forget a connection."""
        for call in [call for call in self._calls if call.dialogue is dialogue]:
            self._forget(call)
        self._dispatch.changed()

    # Ours.

    def _dialogue(self) -> Dialogue:
        patience, lmtp = self._relay.reply_seconds, self._gateway.lmtp
        return Dialogue(self, self._name, patience, self._reactor, lmtp=lmtp)

    def _dialled(self, _: object, call: _Call) -> None:
        """Note that a connection came about, or will not."""
        call.connecting = None
        if call.dialogue.connected:
            if call.timers:
                call.timers.pop(0).cancel()
            return
        self._forget(call)
        self._leave_aside("no-connection", call)
        self._dispatch.changed()

    def _forget(self, call: _Call) -> None:
        self._calls.remove(call)
        for timer in call.timers:
            if timer.active():
                timer.cancel()

    def _leave_aside(self, reason: str, failed: _Call) -> None:
        if self._stopped:
            return
        seconds = self._relay.away_seconds * self._rng.uniform(0.75, 1.25)
        others = [call for call in self._calls if call is not failed]
        if not failed.dialogue.greeted and any(
            call.dialogue.greeted for call in others
        ):
            # It works, and may take no second connection from us.
            self._full_until = self._reactor.seconds() + seconds
            return
        if not self.away:
            doublings = 2 ** min(self._failures, _DOUBLINGS)
            self._away_until = self._reactor.seconds() + seconds * doublings
            self._failures += 1
            self._count("gateway-away")
        if reason != self._told:
            self._told = reason
            self.log.warn(  # noqa: G010 (Twisted's logger has no other)
                "gateway {number} is away: {reason}", number=self.number, reason=reason
            )
        for call in others:
            if call.dialogue.free:
                call.dialogue.retire()
