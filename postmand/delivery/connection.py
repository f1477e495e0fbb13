"""A connection to a gateway as a coroutine sees it: say, wait for reply or room."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from postmand.delivery.replies import LINES, Answer, ReplyScan

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

# So long an orderly end may take, in seconds.
_LINGER = 10.0


class Gone(Exception):  # noqa: N818 (what happened, and no error of ours)
    """The conversation is over; the argument names the reason, "" for none."""


@implementer(IPushProducer)
class Connection(Protocol):
    """Replies in, commands out. One coroutine waits at a time.

    `over` names why nothing more will come, None while it may. Replies that came before
    are still handed out. No more of them are kept than are owed, and each has at most
    `lines` lines.
    """

    log = Logger()
    transport: Any

    def __init__(self, reactor: IReactorTime, lines: int = LINES) -> None:
        self.reactor = reactor
        self.over: str | None = None
        # What was said while nobody had been asked.
        self.unasked: Answer | None = None
        self._lost = False
        self._lines = lines
        self._scan = ReplyScan(lines)
        self._answers: deque[Answer] = deque()
        self._owed = 0
        self._choked = False
        self._waiting: Deferred[None] | None = None

    # Twisted's side.

    def connectionMade(self) -> None:
        """Have what is small leave at once."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Take what the gateway says."""
        if self.over is not None:
            return
        for answer in self._scan.feed(data):
            if len(self._answers) >= self._owed:
                self.unasked = answer
                self.over = "closing" if answer.code == 421 else "unasked-reply"
                break
            self._answers.append(answer)
        if self._scan.fault:
            self.over = self.over or self._scan.fault
        self.wake()

    def connectionLost(self, reason: Failure | None = None) -> None:  # noqa: ARG002
        """Note the end."""
        self._lost = True
        self.end("lost")

    def pauseProducing(self) -> None:
        """Stop: the gateway does not read (IPushProducer)."""
        self._choked = True

    def resumeProducing(self) -> None:
        """Go on: what was written has left (IPushProducer)."""
        self._choked = False
        self.wake()

    def stopProducing(self) -> None:
        """Nothing more can be said (IPushProducer); connectionLost follows."""

    # The coroutine's side.

    def end(self, reason: str) -> None:
        """Expect nothing more; whoever waits is told."""
        if self.over is None:
            self.over = reason
        self.wake()

    def say(self, octets: bytes, replies: int = 0) -> None:
        """Write, and expect so many replies to it."""
        self.owe(replies)
        self.transport.write(octets)

    def owe(self, replies: int) -> None:
        """Expect so many replies more."""
        self._owed += replies

    async def answer(self, seconds: float) -> Answer:
        """Return the next reply, complete; Gone where none comes, and for a 421."""
        deadline = self.reactor.seconds() + seconds
        while not self._answers:
            if self.over is not None:
                raise Gone(self.over)
            if not await self.event(deadline):
                self.over = "silent"
        self._owed -= 1
        answer = self._answers.popleft()
        if answer.code == 421:  # RFC 5321 3.8
            self.over = "closing"
            raise Gone(self.over)
        return answer

    def anew(self) -> bool:
        """Forget what came so far; False if there was something nobody has read yet."""
        clean = not (self._answers or self._scan.begun or self.unasked)
        self._scan = ReplyScan(self._lines)
        return clean and self.over is None

    async def room(self, deadline: float) -> None:
        """Wait until the transport takes more; return at once when it is over."""
        while self._choked and self.over is None:
            if not await self.event(deadline):
                self.over = "stuck"

    async def event(self, deadline: float) -> bool:
        """Wait until something happened (True), or the time has come (False)."""
        waiting: Deferred[None] = Deferred()
        self._waiting = waiting
        left = max(0.0, deadline - self.reactor.seconds())
        timer = self.reactor.callLater(left, self.wake)
        await waiting
        if timer.active():
            timer.cancel()
            return True
        return False

    async def close(self) -> None:
        """End the connection, in an orderly way if it will; it is gone on return."""
        deadline = self.reactor.seconds() + _LINGER
        if not self._lost:  # a TLS that never came about has nothing to unregister
            self.transport.unregisterProducer()
        if self.over == "parted":
            self.transport.loseConnection()
            while not self._lost and await self.event(deadline):
                pass
        if not self._lost:
            self.transport.abortConnection()
        while not self._lost:
            await self.event(self.reactor.seconds() + _LINGER)

    def wake(self) -> None:
        """Let the coroutine look what there is."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
