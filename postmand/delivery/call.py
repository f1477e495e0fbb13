"""A call at one address of a domain's server: SMTP, over TLS where that is to be."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, ITLSTransport
from twisted.internet.protocol import Factory
from zope.interface import implementer

from postmand.delivery.connection import Gone
from postmand.delivery.dialogue import Dialogue
from postmand.delivery.guard import Guard, Handshake, Trust
from postmand.delivery.replies import extensions

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

    from postmand.delivery.errand import Errand
    from postmand.delivery.replies import Answer


class Ending(Enum):
    """How an errand came back from a server."""

    ANSWERED = "answered"
    DOUBTFUL = "doubtful"
    RETURNED = "returned"
    STALE = "stale"


@frozen
class Manner:
    """How calls are made: our name, and the seconds that things may take."""

    name: bytes
    connect_seconds: float
    reply_seconds: float
    idle_seconds: float
    trust: Trust = field(repr=False)


@frozen
class Goal:
    """Where a call goes to, and how it is protected; `clear` is without any TLS."""

    address: str
    guard: Guard
    clear: bool = False


@implementer(IHandshakeListener)
class Conversation(Dialogue):
    """A conversation with a stranger's server, which begins with STARTTLS (RFC 3207).

    It ends with the reasons "tls-not-offered", "tls-refused" and "tls-failed" where
    there is no TLS and there has to be, and "tls-untrusted" where it is the wrong one.
    """

    def __init__(self, call: Call, manner: Manner, reactor: IReactorTime) -> None:
        super().__init__(call, manner.name, manner.reply_seconds, reactor, lmtp=False)
        self.idle = manner.idle_seconds
        self._goal = call.goal
        self._trust = manner.trust
        self._shaken = False

    def handshakeCompleted(self) -> None:
        """Note that what is said from now on is for the two of us (Twisted's hook)."""
        self._shaken = True
        self.wake()

    async def _hello(self) -> dict[bytes, bytes]:
        offered = await self._introduced()
        guard = self._goal.guard
        if self._goal.clear:
            return offered
        if b"STARTTLS" not in offered:
            if guard.required:
                raise Gone("tls-not-offered")
            return offered
        answer = await self._ask(b"STARTTLS\r\n")
        if answer.code != 220:
            if guard.required:
                raise Gone("tls-refused")
            return offered
        await self._shake_hands(Handshake(guard, self._trust))
        # What was offered in the clear counts for nothing (RFC 3207 4.2).
        return await super()._hello()

    async def _introduced(self) -> dict[bytes, bytes]:
        """Say EHLO; HELO to a server that is too old for it (RFC 5321 3.2)."""
        answer = await self._ask(b"EHLO %s\r\n" % self._name)
        if answer.code == 250:
            return extensions(answer)
        if answer.code >= 500 and not self._goal.guard.required:
            answer = await self._ask(b"HELO %s\r\n" % self._name)
            if answer.code == 250:
                return {}
        self.refusal = answer
        raise Gone("hello-refused")

    async def _shake_hands(self, handshake: Handshake) -> None:
        if not (self.anew() and ITLSTransport.providedBy(self.transport)):
            # Somebody has spoken in the clear what was to be heard as if protected.
            raise Gone("tls-refused")
        self.transport.startTLS(handshake)
        deadline = self.reactor.seconds() + self._patience
        while not self._shaken and self.over is None:
            if not await self.event(deadline):
                break
        if handshake.refused:
            raise Gone("tls-untrusted")
        if self.over is not None or not self._shaken:
            raise Gone("tls-failed")


class _Quiet(Factory):
    """A factory that does not tell the log when mail leaves."""

    noisy = False


class Call:
    """One connection, from the dialling to its end; carries one errand at a time.

    `reason` names what went wrong, `word` is what the server said to it. `on_end` is
    called once, when the connection is gone.
    """

    def __init__(
        self,
        goal: Goal,
        manner: Manner,
        endpoint: IStreamClientEndpoint,
        reactor: IReactorTime,
        on_end: Callable[[Call], None],
    ) -> None:
        self.goal = goal
        self.reason = ""
        self.over = False
        self._manner = manner
        self._endpoint = endpoint
        self._reactor = reactor
        self._on_end = on_end
        self._dialogue = Conversation(self, manner, reactor)
        self._waiting: Errand | None = None
        self._done: Deferred[Ending] | None = None
        self._connecting: Deferred[Any] | None = None

    @property
    def free(self) -> bool:
        """Whether it can be given an errand."""
        return self._dialogue.free and not self.over

    @property
    def word(self) -> Answer | None:
        """What the server said when it would not talk to us."""
        return self._dialogue.refusal or self._dialogue.unasked

    @property
    def greeted(self) -> bool:
        """Whether the server was willing to talk."""
        return self._dialogue.greeted

    async def carry(self, errand: Errand) -> Ending:
        """Carry an errand; the first one makes the connection."""
        done: Deferred[Ending] = Deferred()
        self._done = done
        if self.free:
            self._dialogue.begin(errand)
        else:
            self._waiting = errand
            await self._dial()
        return await done

    async def _dial(self) -> None:
        connecting = self._endpoint.connect(_Quiet.forProtocol(lambda: self._dialogue))
        self._connecting = connecting
        timer = self._reactor.callLater(self._manner.connect_seconds, connecting.cancel)
        # Whatever it fails with: there is no connection.
        await connecting.addErrback(lambda _: None)
        self._connecting = None
        if timer.active():
            timer.cancel()
        if not self._dialogue.connected and not self.over:
            self.reason = self.reason or "no-connection"
            self._ended()

    def retire(self, *, abort: bool = False) -> None:
        """Let it end: when what was begun is done, or at once."""
        if self._connecting is not None:
            self._connecting.cancel()
        elif abort:
            self._dialogue.end("stopped")
        else:
            self._dialogue.retire()

    # What the conversation tells (its Company).

    def work(self) -> Errand | None:
        """Give what waits for the greeting."""
        errand, self._waiting = self._waiting, None
        return errand

    def asks(self, errand: Errand) -> bool:  # noqa: ARG002
        """See Company: strangers remember nothing for us."""
        return False

    def finished(self, errand: Errand) -> None:  # noqa: ARG002 (there is one only)
        """See Company."""
        self._come_back(Ending.ANSWERED)

    def doubtful(self, errand: Errand) -> None:  # noqa: ARG002
        """See Company."""
        self._come_back(Ending.DOUBTFUL)

    def returned(self, errand: Errand, *, stale: bool) -> None:  # noqa: ARG002
        """See Company."""
        self._come_back(Ending.STALE if stale else Ending.RETURNED)

    def failed(self, dialogue: Dialogue, reason: str) -> None:  # noqa: ARG002
        """See Company."""
        self.reason = reason
        if self._waiting is not None:  # what never began need not wait for the end
            self._waiting = None
            self._come_back(Ending.RETURNED)

    def ended(self, dialogue: Dialogue) -> None:  # noqa: ARG002
        """See Company."""
        self._ended()

    def _ended(self) -> None:
        if not self.over:
            self.over = True
            self._on_end(self)
        self._come_back(Ending.RETURNED)

    def _come_back(self, ending: Ending) -> None:
        done, self._done = self._done, None
        if done is not None:
            # After the conversation has gone on: it may be free by then.
            self._reactor.callLater(0, done.callback, ending)
