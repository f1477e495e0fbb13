"""What every line-based mail server of ours shares: one command at a time, bounded.

Twisted's own SMTP and POP3 servers run pipelined commands while an earlier one is
still being answered, offer every `do_` method they have, and greet with the machine's
name; docs/decisions/0001 tells why this is a class of its own and not a subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from postmand.faults import log_fault
from postmand.servers.outbox import Outbox

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from postmand.config import Limits

Running = Coroutine[Any, Any, None] | None
"""How a line is carried out: at once, or in a while."""

# What a browser says: a web page can make one POST to a port on loopback, and the body
# would be read as commands.
_HTTP = (
    b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE ",
    b"PATCH ", b"TRACE ", b"HOST:",
)  # fmt: skip
# So many commands of one session are run before the others have their turn.
_TURNS = 50
# How a TLS ClientHello begins (RFC 8446 5.1), and one in SSLv2's form: no verb does.
_TLS = (0x16, 0x80)
# Seconds a peer has to read our last words.
_LINGER = 30.0


def _nothing() -> None:
    """Nobody waits for the session's end."""


@implementer(IPushProducer)
class Dialogue(Protocol, TimeoutMixin):
    """A server protocol of command lines and replies.

    A subclass answers `command(line)`. Where that returns a coroutine, no later line is
    looked at until it is done, however much the peer has pipelined. What waits is
    bounded by `limits.pipeline_bytes`, and a peer that does not read its replies is not
    read from either. A subclass may set `self.raw` to take the bytes that follow a
    command as they come; it returns what it has left over.
    """

    log = Logger()
    transport: Any
    # Called once when the session is over; whoever made it may count on it.
    on_end: Callable[[], None]

    def __init__(self, limits: Limits, reactor: IReactorTime) -> None:
        self.limits = limits
        self.reactor = reactor
        self.raw: Callable[[bytes], bytes] | None = None
        self._buffer = b""
        self._busy = False
        self._advancing = False
        self._closing = False
        self._held = False
        self._choked: Deferred[None] | None = None
        self._greeted = False
        self._admitted = False
        self._last_words: IDelayedCall | None = None
        self.on_end = _nothing
        self._errors_in_row = 0
        self._errors = 0
        self._refusals = 0

    # What a subclass gives.

    def greeting(self) -> bytes:
        """Return the first line, without CRLF."""
        raise NotImplementedError

    def command(self, line: bytes) -> Running:
        """Carry out one line (without its line end)."""
        raise NotImplementedError

    def bare_line(self, line: bytes) -> Running:
        """Carry out one line that ended with LF alone; a subclass may refuse it."""
        return self.command(line)

    def greet(self) -> None:
        """Say the first line; a subclass may let the peer wait for it."""
        self.send(self.greeting())
        self.flush()

    def say_too_long(self) -> None:
        """Tell the peer that a line was over `limits.line_bytes`."""
        raise NotImplementedError

    def say_timeout(self) -> None:
        """Tell the peer that it was silent for too long."""
        raise NotImplementedError

    def say_fault(self) -> None:
        """Tell the peer that the fault is ours and that it may try again."""
        raise NotImplementedError

    def say_enough(self) -> None:
        """Tell the peer that it made too many errors."""
        raise NotImplementedError

    def still_moving(self) -> bool:
        """Whether raw bytes came fast enough since this was asked last."""
        return False

    def gone(self) -> None:
        """Let go of what the session holds: the connection is lost."""

    @property
    def lost(self) -> bool:
        """Whether the session is over; what a command still says goes nowhere."""
        return self._closing

    # Twisted's side.

    def patience(self, seconds: float | None) -> None:
        """Wait so long for the peer, from now on and from each `heard()`."""
        self.setTimeout(seconds)  # type: ignore[no-untyped-call]

    def heard(self) -> None:
        """Start the waiting anew; before the login it goes on, whatever is said."""
        if self._admitted:
            self.resetTimeout()  # type: ignore[no-untyped-call]

    def admit(self, seconds: float) -> None:
        """Note that the peer may stay, and wait so long for each line from now on."""
        self._admitted = True
        self.patience(seconds)

    def callLater(self, period: float, func: Callable[[], None]) -> object:
        """Use the reactor we were given (TimeoutMixin's hook)."""
        return self.reactor.callLater(period, func)

    def makeConnection(self, transport: Any) -> None:
        """Take the connection (Twisted's), and take the peer's address out of its name.

        Twisted puts the name before what its own parts log while it serves somebody.
        """
        below = transport
        while below is not None:
            if hasattr(below, "logstr"):
                below.logstr = "session"
            below = getattr(below, "transport", None)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """Greet."""
        if ITCPTransport.providedBy(self.transport):
            # Without it a reply waits for the peer's delayed ACK: 40 ms a turn.
            self.transport.setTcpNoDelay(True)
        self._outbox = Outbox(self.transport)
        self.transport.registerProducer(self, True)
        self.patience(self.limits.login_seconds)
        self.greet()

    def connectionLost(self, reason: Failure | None = None) -> None:  # noqa: ARG002
        """Drop everything. A command that has begun is carried to its end."""
        self._closing = True
        if self._last_words is not None and self._last_words.active():
            self._last_words.cancel()
        self._buffer = b""
        self.raw = None
        self.patience(None)
        self.resumeProducing()
        self.gone()
        ended, self.on_end = self.on_end, _nothing
        ended()

    def timeoutConnection(self) -> None:
        """Say why, then close: the peer was silent for too long."""
        if (self._busy and self._choked is None) or (
            self.raw is not None and self.still_moving()
        ):
            # It is we who are slow, or the peer is not.
            self.patience(self.timeOut)
            return
        self.say_timeout()
        self.close(abort=self._choked is not None)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes as they come; run what can be run."""
        if self._closing:
            return
        if not self._greeted:
            self._greeted = True
            if data[0] in _TLS:
                self.close(abort=True)
                return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def pauseProducing(self) -> None:
        """Stop: the peer does not read what we say (IPushProducer)."""
        if self._choked is None and not self._closing:
            self._choked = Deferred()
            self._hold()

    def resumeProducing(self) -> None:
        """Go on: what we said has left (IPushProducer)."""
        choked, self._choked = self._choked, None
        if choked is not None:
            choked.callback(None)
            self.heard()
            self._advance()

    def stopProducing(self) -> None:
        """Nothing more can be said (IPushProducer); connectionLost follows."""

    # Ours.

    def read_ahead(self, octets: int | None) -> None:
        """Take so much at once from the peer, where the transport lets us choose."""
        if isinstance(self.transport, FileDescriptor):
            default = FileDescriptor.bufferSize
            self.transport.bufferSize = default if octets is None else octets

    def send(self, line: bytes) -> None:
        """Say one line."""
        self.say(line + b"\r\n")

    def say(self, octets: bytes) -> None:
        """Say something; it is sent with the answers to what is buffered behind it.

        Replies to pipelined commands leave together (RFC 2920 3.2): over a tunnel each
        packet counts.
        """
        if not self._closing:
            self._outbox.say(octets)

    def flush(self) -> None:
        """Send what was said."""
        if self._closing:
            self._outbox.clear()
        else:
            self._outbox.flush()

    async def room(self) -> bool:
        """Wait until the peer has read what we said; False when it is gone."""
        self.flush()
        if self._choked is not None:
            waiting: Deferred[None] = Deferred()
            self._choked.chainDeferred(waiting)
            await waiting
        return not self._closing

    def close(self, *, abort: bool = False) -> None:
        """End the session: what was said is still sent, unless `abort`."""
        if not self._closing:
            self.flush()
            self._closing = True
            self._buffer = b""
            self.patience(None)
            self.transport.unregisterProducer()
            if not abort:
                self.transport.loseConnection()
                self._last_words = self.reactor.callLater(_LINGER, self._abort)
        if abort:
            self._abort()

    def _abort(self) -> None:
        """Cut the connection, whatever was not read of what we said."""
        self.transport.abortConnection()

    def erred(self) -> None:
        """Count a protocol error; close on too many (after the reply was sent)."""
        self._errors_in_row += 1
        self._errors += 1
        if (
            self._errors_in_row >= self.limits.protocol_errors_in_row
            or self._errors >= self.limits.protocol_errors
        ):
            self.say_enough()
            self.close()

    def refused(self) -> None:
        """Count a refusal by policy: its budget is larger, its peer is well-behaved."""
        self._errors_in_row = 0
        self._refusals += 1
        if self._refusals >= self.limits.refusals:
            self.say_enough()
            self.close()

    def fine(self) -> None:
        """Note that a command was in order."""
        self._errors_in_row = 0

    def _advance(self) -> None:
        """Run what is buffered until nothing is left or something has to wait.

        A command that finishes at once comes back here from within: the loop below goes
        on with the next line, and a long pipeline does not grow the stack.
        """
        if self._advancing:
            return
        self._advancing = True
        try:
            self._run_buffered()
        except Exception as error:
            # Where we are in what the peer says is not known any more.
            log_fault(self.log, "a session failed", error)
            self.say_fault()
            self.close()
        finally:
            self._advancing = False
        if self._outbox and not (self._busy and b"\n" in self._buffer):
            self.flush()
        self._hold()

    def _run_buffered(self) -> None:
        turns = 0
        while self._buffer and not (self._busy or self._closing or self._choked):
            turns += 1
            if turns > _TURNS:
                self._give_way()
                return
            if self.raw is not None:
                data, self._buffer = self._buffer, b""
                self._buffer = self.raw(data)
                continue
            line, found, rest = self._buffer.partition(b"\n")
            if len(line) > self.limits.line_bytes:
                # Where it ends nobody knows yet: its rest must not become a command.
                self.say_too_long()
                self.close()
                return
            if not found:
                return
            self._buffer = rest
            if line[:8].upper().startswith(_HTTP):
                self.close(abort=True)
                return
            self.heard()
            if line.endswith(b"\r"):
                self._run(self.command, line[:-1])
            else:
                self._run(self.bare_line, line)

    def _give_way(self) -> None:
        """Let other sessions have their turn before the rest of a long pipeline."""
        self._busy = True
        self.reactor.callLater(0, self._finished, None)

    def _hold(self) -> None:
        """Read from the peer only while there is room for what it says."""
        if self._closing:
            return
        full = len(self._buffer) > self.limits.pipeline_bytes
        if (full or self._choked is not None) != self._held:
            self._held = not self._held
            if self._held:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()

    def _run(self, carry_out: Callable[[bytes], Running], line: bytes) -> None:
        try:
            running = carry_out(line)
        except Exception as error:
            log_fault(self.log, "a command failed", error)
            self.say_fault()
            self.refused()
            return
        if running is not None:
            self.pending(running)

    def pending(self, running: Coroutine[Any, Any, None]) -> None:
        """Let `running` finish before the next line is looked at."""
        self._busy = True
        Deferred.fromCoroutine(running).addCallbacks(self._finished, self._failed)

    def _finished(self, _: object) -> None:
        self._busy = False
        if not self._closing:
            self.heard()
            self._advance()

    def _failed(self, failure: Failure) -> None:
        log_fault(self.log, "a command failed", failure)
        if not self._closing:
            self.say_fault()
            self.refused()
        self._finished(None)
