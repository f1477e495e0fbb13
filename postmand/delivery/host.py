"""The mail host as its gateway sees it: a few warm lines, and no waiting without them.

A line is kept up whether there is something to do or not: over a tunnel a handshake
takes longer than a client in its session should wait for an answer.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from postmand.delivery.hostline import (
    PATIENCE,
    Errand,
    HostLine,
    Load,
    Question,
)
from postmand.inbound import IHost
from postmand.interfaces import IChunks
from postmand.internet import Reply
from postmand.link import Pinned
from postmand.message.address import AddressError, parse_path
from postmand.rules.cap import Cap

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

    from postmand.config import Link

_CONNECT = 60.0
# Between one connection and the next: seconds, doubled with each that came to nothing.
_GAP = 1.0
_LONGEST_GAP = 300.0
# A line that was greeted and stood so long came to something, asked or not.
_STOOD = 10.0
# A crate that no line has begun with after these seconds is to come again.
_BEGIN = 120.0
# A caller waits ten minutes for the word on its message (RFC 5321 4.5.3.2.6).
_LIVE = 540.0
_WAITING = 64
_STOP = 10.0
_TRIES = 2
_PIECE = 65_536

AWAY = Reply(451, "4.4.1", "The mail host can not be reached; try again later")
_SILENT = Reply(451, "4.4.2", "The mail host does not answer; try again later")
_BUSY = Reply(451, "4.3.2", "The way to the mail host is busy; try again later")
_CAPPED = Reply(451, "4.7.1", "Too many recipients for now; try again later")
_NO_ADDRESS = Reply(553, "5.1.3", "That is no address")


def _sayable(address: bytes) -> bool:
    """Whether the host will read it as an address, and as nothing beside it."""
    try:
        _, parameters = parse_path(b"<%s>" % address)
    except AddressError:
        return False
    return not parameters


class _Quiet(Factory):
    """A factory that does not tell the log when it makes a connection."""

    noisy = False


@implementer(IChunks)
class _Slices:
    """The octets of a crate in memory."""

    def __init__(self, octets: bytes) -> None:
        self._rest = memoryview(octets)

    def next(self) -> Deferred[bytes]:
        """Fire with the next piece."""
        piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:]
        return succeed(bytes(piece))

    def close(self) -> None:
        """Let go of it."""
        self._rest = memoryview(b"")


@implementer(IHost)
class Host:
    """Keeps `link.connections` lines up, and gives each what it can take.

    With two or more one is left to questions while crates are on their way. `name` is
    what we call ourselves, never the machine's; `identity` our key and certificate
    (PEM), for a host with a pin. `count` is told of "host-away", "questions-capped".
    """

    log = Logger()

    def __init__(
        self,
        link: Link,
        *,
        name: bytes,
        identity: bytes,
        endpoint: IStreamClientEndpoint,
        reactor: IReactorTime,
        rng: Random,
        count: Callable[[str], None],
    ) -> None:
        self._link = link
        self._name = name
        self._identity = identity
        self._endpoint = endpoint
        self._reactor = reactor
        self._rng = rng
        self._count = count
        self._cap = Cap(link.questions_per_minute, 60.0)
        self._lines: list[HostLine] = []
        self._questions: deque[Question] = deque()
        self._loads: deque[Load] = deque()
        self._keeping: list[Deferred[None]] = []
        # What ends early when we stop: dialling, and waiting before it.
        self._pauses: set[Deferred[Any]] = set()
        self._naps: set[Deferred[None]] = set()
        self._stopped = True
        self._told = ""
        # The largest message the host takes, as it said last; 0 for no bound.
        self._most = 0

    def start(self) -> None:
        """Begin to keep the lines up."""
        self._stopped = False
        for _ in range(self._link.connections):
            self._keeping.append(Deferred.fromCoroutine(self._keep()))

    def stop(self) -> Deferred[None]:
        """Finish what was begun, for ten seconds; fire when no connection is left."""
        self._stopped = True
        self._give_up()
        for pause in list(self._pauses):
            pause.cancel()
        for line in list(self._lines):
            line.retire()
        timer = self._reactor.callLater(_STOP, self._abort)

        def stopped(_: object) -> None:
            if timer.active():
                timer.cancel()

        return gatherResults(self._keeping, consumeErrors=True).addBoth(stopped)

    @property
    def away(self) -> bool:
        """Whether there is no line now."""
        return not any(line.works for line in self._lines)

    @property
    def carries(self) -> int:
        """How many crates are on their way at once at the most."""
        return max(1, self._link.connections - 1)

    # IHost.

    def recipient(self, sender: bytes, recipient: bytes, size: int) -> Deferred[Reply]:
        """Ask live whether mail for `recipient` would be taken (see IHost)."""
        if not (recipient and _sayable(recipient) and _sayable(sender)):
            return succeed(_NO_ADDRESS)
        if self.away:
            return succeed(AWAY)
        if not self._cap.take(1, self._reactor.seconds()):
            self._count("questions-capped")
            return succeed(_CAPPED)
        question = Question(sender, recipient, size)
        question.timer = self._reactor.callLater(PATIENCE, question.settle, _SILENT)
        self._questions.append(question)
        self._dispatch()
        return question.done

    def takes(self, octets: int) -> bool:
        """Tell whether the host may take a message of that size (see IHost)."""
        return not 0 < self._most < octets

    def hand_over(self, sealed: bytes) -> Deferred[Reply]:
        """Hand over a sealed crate whose caller waits (see IHost)."""
        load = Load(len(sealed), partial(_Slices, sealed), live=True)
        timer = self._reactor.callLater(_LIVE, self._withdraw, load)

        def answered(word: Any) -> Any:
            if timer.active():
                timer.cancel()
            return word

        return self._carry(load).addBoth(answered)

    def carry(self, octets: int, begin: Callable[[], IChunks]) -> Deferred[Reply]:
        """Hand over a kept crate whose octets are read while it is on its way.

        `begin` gives them from the start, for each try. Fails with what reading fails
        with, EOFError where there are fewer or more, and for nothing else.
        """
        return self._carry(Load(octets, begin))

    def _carry(self, load: Load) -> Deferred[Reply]:
        if self.away:
            return succeed(AWAY)
        if len(self._loads) >= _WAITING:
            return succeed(_BUSY)
        self._expect(load)
        self._loads.append(load)
        self._dispatch()
        return load.done

    # What a line tells (its Company).

    def ready(self, line: HostLine) -> None:
        """Give out what waits."""
        self._most = line.most
        if self._told:
            self._told = ""
            self.log.info("the mail host is back")
            # With one line alone a large crate would let no question pass.
            for nap in list(self._naps):
                nap.cancel()
        self._dispatch()

    def parted(self, line: HostLine, reason: str, left: list[Errand]) -> None:
        """Give what a line left to another, once."""
        self._lines.remove(line)
        if reason and not line.proven:
            refused = line.pinned is not None and line.pinned.refused
            self._failed("link-pin" if refused else reason)
        for errand in reversed(left):
            if errand.tries >= _TRIES:
                errand.settle(_SILENT)
            elif isinstance(errand, Question):
                self._questions.appendleft(errand)
            elif isinstance(errand, Load):
                self._expect(errand)
                self._loads.appendleft(errand)
        self._dispatch()
        if self.away:
            self._give_up()

    # Ours.

    def _dispatch(self) -> None:
        while self._questions:
            takers = [line for line in self._lines if line.takes_questions]
            if not takers:
                break
            question = self._questions.popleft()
            if not question.done.called:
                min(takers, key=lambda line: line.asked).ask(question)
        while self._loads and sum(line.laden for line in self._lines) < self.carries:
            free = [line for line in self._lines if line.works and not line.laden]
            if not free:
                break
            load = self._loads.popleft()
            if not load.done.called:
                min(free, key=lambda line: line.asked).carry(load)

    def _expect(self, load: Load) -> None:
        """Let a crate wait for a line, and not for ever."""
        if load.timer is not None and load.timer.active():
            load.timer.cancel()
        load.timer = self._reactor.callLater(_BEGIN, self._not_begun, load)

    def _not_begun(self, load: Load) -> None:
        if load in self._loads:
            self._loads.remove(load)
            load.settle(_BUSY)

    def _withdraw(self, load: Load) -> None:
        """Bring a crate no further that nobody may wait for any more."""
        if load in self._loads:
            self._loads.remove(load)
        for line in list(self._lines):
            line.withdraw(load)
        load.settle(_BUSY)

    def _give_up(self) -> None:
        """Answer all that waits for a line."""
        waiting = [*self._questions, *self._loads]
        self._questions.clear()
        self._loads.clear()
        for errand in waiting:
            errand.settle(AWAY)

    def _failed(self, reason: str) -> None:
        """Say once that the host is away."""
        if self._stopped or not self.away:
            return
        self._count("host-away")
        if reason != self._told:
            self._told = reason
            self.log.warn(  # noqa: G010 (Twisted's logger has no other)
                "the mail host is away: {reason}", reason=reason
            )

    async def _keep(self) -> None:
        """Keep one line up, for as long as we run."""
        failures = 0
        while not self._stopped:
            line = await self._dial()
            since = self._reactor.seconds()
            if line is not None:
                await line.ended
            stood = self._reactor.seconds() - since >= _STOOD
            good = line is not None and (line.proven or (line.greeted and stood))
            failures = 0 if good else failures + 1
            if not self._stopped:
                gap = min(_GAP * 2 ** min(failures, 16), _LONGEST_GAP)
                await self._sleep(gap * self._rng.uniform(0.5, 1.5))

    async def _dial(self) -> HostLine | None:
        """Make a connection; None where none comes about."""
        endpoint = self._endpoint
        pinned = None
        if self._link.host_pin:
            pinned = Pinned(self._identity, self._link.host_pin)
            endpoint = wrapClientTLS(pinned, endpoint)
        line = HostLine(self, self._name, pinned, self._reactor, self._rng)
        self._lines.append(line)
        connecting = endpoint.connect(_Quiet.forProtocol(lambda: line))
        await self._within(_CONNECT, connecting)
        if line.connected:
            return line
        self._lines.remove(line)
        self._failed("no-connection")
        return None

    async def _sleep(self, seconds: float) -> None:
        nap: Deferred[None] = Deferred()
        self._naps.add(nap)
        await self._within(seconds, nap)
        self._naps.discard(nap)

    async def _within(self, seconds: float, pause: Deferred[Any]) -> None:
        """Wait for something to come about, fail, or be given up."""
        timer = self._reactor.callLater(seconds, pause.cancel)
        self._pauses.add(pause)
        # What a network names its failures is its own affair.
        with suppress(Exception):
            await pause
        self._pauses.discard(pause)
        if timer.active():
            timer.cancel()

    def _abort(self) -> None:
        for line in list(self._lines):
            line.end("stopped")
