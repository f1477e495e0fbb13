"""The way out of a gateway: a message to the mail servers of its recipients' domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from postmand.delivery import mx
from postmand.delivery.call import Call, Ending, Goal, Manner
from postmand.delivery.caps import Caps
from postmand.delivery.consignment import Consignment
from postmand.delivery.dialling import within_reach
from postmand.delivery.errand import ELSEWHERE
from postmand.delivery.guard import Guard, Trust, system_trust
from postmand.delivery.policies import Policies
from postmand.delivery.secrecy import Secrecy
from postmand.faults import log_fault
from postmand.inbound import IExit
from postmand.internet import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from twisted.internet.interfaces import IReactorTime

    from postmand.config import Exit as Settings
    from postmand.delivery.dialling import Dial
    from postmand.delivery.policies import Fetch
    from postmand.inbound import IResolver, Outward

# No further server is called after so many seconds: the mail host tries again.
_ENOUGH = 240.0
# So long a stop waits for what was begun, in seconds.
_STOP = 10.0

FAULT = Reply(451, "4.3.0", "a fault of the gateway")
TOO_FAST = Reply(451, "4.3.2", "too many messages for the domain in a minute")
STOPPING = Reply(451, "4.3.2", "the gateway is about to stop")
AWAY = Reply(451, "4.4.1", "no mail server of the domain could be reached")
BEYOND = Reply(
    ELSEWHERE, "4.4.4", "the domain's mail servers are out of this gateway's reach"
)
BROKEN = Reply(451, "4.4.2", "the connection to the domain's mail server was lost")
DOUBTFUL = Reply(
    451, "4.4.2", "the connection was lost before the answer; it may have arrived"
)
_UNSAFE = Reply(451, "4.7.4", "the domain asks for TLS, and its server offered none")
_UNTRUSTED = Reply(451, "4.7.5", "the domain's server is not the one it names")
_REASONS = {
    "no-connection": AWAY,
    "tls-not-offered": _UNSAFE,
    "tls-refused": _UNSAFE,
    "tls-failed": evolve(_UNSAFE, text="no TLS with the domain's server came about"),
    "tls-untrusted": _UNTRUSTED,
}


@implementer(IExit)
class Exit:
    """Takes messages to where the DNS says, one try each.

    `name` is the gateway's own, by which it introduces itself and which it never calls;
    `public` tells whether an address may be called, and `dial` makes an endpoint of it,
    for one of the families that `settings.source` is of;
    `fetch` gets MTA-STS policies, `trust` names the authorities that are believed.
    `count` is told of "delivered", "deferred", "failed" and "doubtful", once a message.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        name: str,
        resolver: IResolver,
        *,
        public: Callable[[str], bool],
        dial: Dial,
        fetch: Fetch,
        reactor: IReactorTime,
        rng: Random,
        count: Callable[[str], None],
        trust: Trust = system_trust,
    ) -> None:
        self._resolver = resolver
        sts = Policies(resolver, fetch, reactor.seconds) if settings.mta_sts else None
        self._secrecy = Secrecy(resolver, sts, dane=settings.dane, port=settings.port)
        self._caps = Caps(
            settings.connections,
            settings.connections_per_domain,
            settings.messages_per_domain_minute,
            reactor.seconds,
        )
        self._manner = Manner(
            name.encode(),
            settings.connect_seconds,
            settings.reply_seconds,
            settings.idle_seconds,
            trust,
        )
        self._own_name = name
        self._public = public
        self._reached = within_reach(settings.source)
        self._dial = dial
        self._port = settings.port
        self._connections = settings.connections
        self._reactor = reactor
        self._rng = rng
        self._count = count
        self._calls: list[Call] = []
        self._stopping: Deferred[None] | None = None

    def send(self, outward: Outward) -> Deferred[Mapping[bytes, Reply]]:
        """Fire with one reply a recipient. Never fails for what the far end does."""
        return Deferred.fromCoroutine(self._send(outward))

    async def stop(self) -> None:
        """Begin nothing more; cut after ten seconds what is not finished."""
        self._stopping = self._stopping or Deferred()
        for call in list(self._calls):
            call.retire()
        timer = self._reactor.callLater(_STOP, self._abort)
        if self._calls:
            waiting: Deferred[None] = Deferred()
            self._stopping.chainDeferred(waiting)
            await waiting
        if timer.active():
            timer.cancel()

    # One message.

    async def _send(self, outward: Outward) -> Mapping[bytes, Reply]:
        if self._stopping is not None:
            return dict.fromkeys(outward.recipients, STOPPING)
        if not self._caps.admits(outward.domain):
            return dict.fromkeys(outward.recipients, TOO_FAST)
        await self._caps.enter(outward.domain)
        consignment = Consignment(outward)
        try:
            await self._take(consignment)
        except mx.NoRouteError as error:
            consignment.last_word = error.reply
        except Exception as fault:
            log_fault(self.log, "a message could not be sent", fault)
            consignment.last_word = FAULT
        finally:
            self._caps.leave(outward.domain)
            consignment.body.close()
        told = consignment.told()
        self._tell(told, doubtful=consignment.doubtful)
        return told

    def _tell(self, told: Mapping[bytes, Reply], *, doubtful: bool) -> None:
        codes = [reply.code // 100 for reply in told.values()]
        if doubtful:
            self._count("doubtful")
        elif codes and max(codes) == 2:
            self._count("delivered")
        else:
            self._count("failed" if 4 not in codes else "deferred")

    async def _take(self, consignment: Consignment) -> None:
        """Try the domain's servers, one after the other, as far as that helps."""
        domain = consignment.domain
        enough = self._reactor.seconds() + _ENOUGH
        hosts = await mx.hosts(domain, self._resolver, self._rng, self._own_name)
        own = await self._own_addresses()
        policy = await self._secrecy.policy(domain)
        nowhere = mx.NO_SERVER
        for host in hosts:
            if not consignment.remaining or consignment.doubtful:
                return
            places = await mx.places(
                host,
                self._resolver,
                self._rng,
                lambda one: self._may_call(one, own),
                self._reached,
            )
            if places.failed:
                nowhere = mx.NO_DNS
            elif places.beyond and nowhere is mx.NO_SERVER:
                nowhere = BEYOND
            if not places.addresses:
                continue
            guard = await self._secrecy.guard(domain, host, places, policy)
            if isinstance(guard, Reply):
                consignment.last_word = consignment.last_word or guard
                continue
            await self._call_host(consignment, places.addresses, guard, enough)
        if consignment.last_word is None:
            consignment.last_word = nowhere

    async def _own_addresses(self) -> frozenset[str]:
        found: list[str] = []
        for kind in ("AAAA", "A"):
            found += (await self._resolver.ask(self._own_name, kind)).texts
        return frozenset(found)

    def _may_call(self, address: str, own: frozenset[str]) -> bool:
        return address not in own and self._public(address)

    async def _call_host(
        self,
        consignment: Consignment,
        addresses: tuple[str, ...],
        guard: Guard,
        enough: float,
    ) -> None:
        """Try one host's addresses until somebody answers there."""
        for address in addresses:
            if self._stopping is not None or self._reactor.seconds() >= enough:
                consignment.last_word = consignment.last_word or AWAY
                return
            goal = Goal(address, guard)
            ending, call = await self._try(consignment, goal)
            if call.reason in ("tls-failed", "tls-refused") and not guard.required:
                # RFC 7435 4: better in the clear than not at all.
                ending, call = await self._try(consignment, evolve(goal, clear=True))
            if ending is Ending.ANSWERED:
                return
            if ending is Ending.DOUBTFUL:
                consignment.doubtful = True
                consignment.last_word = DOUBTFUL
                return
            consignment.last_word = _word(call)

    async def _try(self, consignment: Consignment, goal: Goal) -> tuple[Ending, Call]:
        """Carry it over a connection that there is, or a new one."""
        ending = Ending.STALE
        while ending is Ending.STALE:
            call = self._idle(goal) or self._new(goal)
            consignment.body.rewind()
            ending = await call.carry(consignment)
        return ending, call

    # Connections.

    def _idle(self, goal: Goal) -> Call | None:
        return next((one for one in self._calls if one.free and one.goal == goal), None)

    def _new(self, goal: Goal) -> Call:
        if len(self._calls) >= self._connections:
            idle = next((one for one in self._calls if one.free), None)
            if idle is not None:
                idle.retire()
        endpoint = self._dial(goal.address, self._port)
        call = Call(goal, self._manner, endpoint, self._reactor, self._ended)
        self._calls.append(call)
        return call

    def _ended(self, call: Call) -> None:
        self._calls.remove(call)
        stopping = self._stopping
        if stopping is not None and not self._calls and not stopping.called:
            stopping.callback(None)

    def _abort(self) -> None:
        for call in list(self._calls):
            call.retire(abort=True)


def _word(call: Call) -> Reply:
    """Return what is told of a server that did not take the message."""
    word = call.word
    if word is not None and word.code >= 400:
        reply = word.reply()
        if reply.permanent:  # it refused us, and nobody's address
            reply = evolve(reply, code=451, enhanced=f"4{reply.enhanced[1:]}")
        return reply
    return _REASONS.get(call.reason, BROKEN)
