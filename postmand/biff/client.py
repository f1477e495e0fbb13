r"""The wire of an IRC connection: Twisted's IRCClient, hardened.

Of Twisted's class the heartbeat remains. Its way with lines is replaced: there one
octet that is no UTF-8 ends the connection, "\x10n" becomes a line feed, CTCP is
answered, a PONG waits behind what is queued, nobody looks whether a PING is ever
answered, and what could not be read is logged as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.words.protocols.irc import IRCClient
from zope.interface import implementer

from postmand.biff import lines
from postmand.biff.casemap import is_nick
from postmand.biff.lines import Line, LineError
from postmand.faults import log_fault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

log = Logger()
_warn = log.warn

# Tags may take 8,191 octets before the 512 of the line itself (IRCv3 message tags).
_LONGEST = 8_191 + 2 * lines.LINE_OCTETS


class Listener(Protocol):
    """Who takes what a connection hears."""

    def connected(self, client: Client) -> None:
        """Note that the connection stands."""

    def heard(self, line: Line) -> None:
        """Take the next line; PING and PONG are not among them."""

    def answered(self) -> None:
        """Note that the server has answered a PING."""

    def lost(self) -> None:
        """Note that the connection is gone."""


@frozen
class Pulse:
    """How long after its last answer the server is asked, and how long it may take.

    Whoever asked for that answer: a PING is a line too, and servers count lines.
    """

    ping_seconds: float = 90.0
    pong_seconds: float = 90.0


@implementer(IPushProducer)
class Client(IRCClient):
    """One connection. It never raises for what it is sent, and logs nothing of it."""

    performLogin = 0
    transport: Any
    _heartbeat: Any

    def __init__(
        self, listener: Listener, reactor: IReactorTime, pulse: Pulse | None = None
    ) -> None:
        self._listener = listener
        self._reactor = reactor
        self._pulse = pulse or Pulse()
        self.heartbeatInterval: Any = self._pulse.ping_seconds
        self._rest = b""
        self._is_skipping = False
        self._is_over = False
        self._unanswered: Any = None
        # The server's own name, as its first reply has it.
        self._server = b""

    # Twisted's hooks -------------------------------------------------------------

    def connectionMade(self) -> None:
        """Begin the session (Twisted's hook)."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        # Who does not read what we say is not listened to either: a server that
        # pings without end would else fill our memory with answers.
        self.transport.registerProducer(self, True)
        self.startHeartbeat()  # type: ignore[no-untyped-call]
        self._safely(self._listener.connected, self)

    def dataReceived(self, data: bytes) -> None:
        """Split what came into lines; of one that is too long nothing is kept."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        for octets in whole:
            skipped, self._is_skipping = self._is_skipping, False
            if not skipped and len(octets) <= _LONGEST:
                self.lineReceived(octets)
        if len(self._rest) > _LONGEST:
            self._rest, self._is_skipping = b"", True

    def lineReceived(self, line: bytes) -> None:
        """Take one line, whatever it may be."""
        if self._is_over:
            return
        try:
            parsed = lines.parse(line)
        except LineError:
            return
        if parsed.code and not self._server and parsed.source is not None:
            self._server = parsed.source.nick
        if parsed.command == b"PING":
            self._answer(parsed)
        elif parsed.command == b"PONG":
            # One PING is out at a time, and a tunnel may rewrite its word.
            if not self._is_from_user(parsed) and self._quiet():
                self._heartbeat.reset()
                self._safely(self._listener.answered)
        else:
            self._safely(self._listener.heard, parsed)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell the session (Twisted's hook)."""
        self._is_over = True
        self._quiet()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._safely(self._listener.lost)

    def handleCommand(self, command: Any, prefix: Any, params: Any) -> None:
        """Do nothing: none of Twisted's own answers is to be given."""

    def badMessage(self, line: Any, excType: Any, excValue: Any, tb: Any) -> None:
        """Do nothing: Twisted's would log the line."""

    def quirkyMessage(self, s: Any) -> None:
        """Do nothing: Twisted's would log the line."""

    def sendLine(self, line: bytes) -> None:
        """Write octets that are whole lines at once, as they are."""
        if not self._is_over:
            self.transport.write(line)

    # What the session does -------------------------------------------------------

    def say(self, command: bytes, *params: bytes) -> None:
        """Write one line at once. Raises LineError; does nothing once it is over."""
        self.sendLine(lines.write(command, *params))

    def quit(self, message: str = "") -> None:
        """Say QUIT, and close once that is written."""
        self.say(b"QUIT", message.encode())
        self.close()

    def close(self) -> None:
        """Close once everything is written; hear nothing more."""
        if not self._is_over:
            self._is_over = True
            # With a producer it would wait for that one to end by itself.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self._is_over = True
        self.transport.abortConnection()

    def probe(self) -> bool:
        """Write a PING, unless one is not answered yet; tell whether it did."""
        if self._unanswered is not None or self._is_over:
            return False
        self.say(b"PING", b"biff")
        seconds = self._pulse.pong_seconds
        self._unanswered = self._reactor.callLater(seconds, self._silence)
        return True

    # The producer: reading goes on as long as the other end reads ------------------

    def pauseProducing(self) -> None:
        """Stop reading (Twisted's hook)."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on (Twisted's hook)."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost follows (Twisted's hook)."""

    # The link's pulse --------------------------------------------------------------

    def _createHeartbeat(self) -> LoopingCall:
        beat = LoopingCall(self.probe)
        beat.clock = self._reactor
        return beat

    def _answer(self, ping: Line) -> None:
        if ping.params:
            try:
                self.say(b"PONG", ping.params[-1])
            except LineError:
                # Longer than a line may be: it can not be answered as it is.
                self.say(b"PONG", lines.cut(ping.params[-1], 400))

    def _quiet(self) -> bool:
        """Await no answer any more; tell whether one was awaited."""
        waiting, self._unanswered = self._unanswered, None
        if waiting is not None and waiting.active():
            waiting.cancel()
        return waiting is not None

    def _silence(self) -> None:
        self._unanswered = None
        _warn("the IRC server does not answer: connecting anew")
        self.abort()

    def _is_from_user(self, line: Line) -> bool:
        """Tell whether a user said it: ircd-irc2 passes a PONG of anybody's on.

        A server may have a name that could be a nick, as `localhost`.
        """
        source = line.source
        if source is None or (source.nick == self._server and not source.user):
            return False
        return source.user != b"" or is_nick(source.nick)

    def _safely(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            log_fault(log, "the IRC session failed at a line", error)
