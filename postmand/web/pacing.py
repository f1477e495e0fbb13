"""HTTP/1.1 with its answers one by one: who sends many requests at once waits his turn.

Twisted's own answers all requests that came in one piece at once, whatever becomes of
the others' connections meanwhile, and whether or not the answers are taken: its pause
comes in the midst of a request, and does not hold then (RFC 9112 9.3.2 lets us wait).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure


class Turns:
    """Who waits for a turn of the reactor; each turn is one's."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, begin: Callable[[], None]) -> None:
        """Have it called in a later turn, behind all who wait already."""
        self._waiting.append(begin)
        if len(self._waiting) == 1:
            self._reactor.callLater(0, self._next)

    def _next(self) -> None:
        begin = self._waiting.popleft()
        if self._waiting:
            self._reactor.callLater(0, self._next)
        begin()


class PacedChannel(HTTPChannel):
    """A connection whose requests call `answer` when they are whole.

    One is answered for each piece that comes, the others in turns of their own; none
    while the visitor leaves answers lying, and nothing is read then.
    """

    turns: Turns

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fresh = False
        self._replaying = False
        self._held: Callable[[], None] | None = None

    def answering(self) -> None:
        """An answer begins; for those who count the time."""

    def answer(self, begin: Callable[[], None]) -> None:
        """Have a request that is whole begin its answer, now or later."""
        if self._fresh and not self._waitingForTransport:
            self._fresh = False
            self.answering()
            begin()
            return
        self._held = begin
        self._networkProducer.pauseProducing()
        if not self._waitingForTransport:
            self.turns.wait(self._go_on)

    def dataReceived(self, data: bytes) -> None:
        """Take a piece."""
        if not (self._replaying or self._busyReceiving):
            self._fresh = True
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """Look at what came behind the request."""
        self._fresh, self._replaying = False, True
        try:
            super().requestDone(request)  # type: ignore[no-untyped-call]
        finally:
            self._replaying = False

    def resumeProducing(self) -> None:
        """Go on in a turn of its own, now that the visitor took what was said."""
        super().resumeProducing()  # type: ignore[no-untyped-call]
        if self._held is not None:
            self.turns.wait(self._go_on)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget what was not answered."""
        self._held = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _go_on(self) -> None:
        if self._held is None or self._waitingForTransport:
            return
        begin, self._held = self._held, None
        self.answering()
        begin()
