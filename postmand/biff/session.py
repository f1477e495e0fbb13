"""A session on IRC, connection after connection: its state, and what holds in all.

The states and the ways between them are Automat's; `phases` says what each does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automat import TypeMachineBuilder
from twisted.logger import Logger
from zope.interface import implementer

from postmand.biff import hearing, lines, phases
from postmand.biff.backoff import Backoff
from postmand.biff.events import Answered, Down, ILine
from postmand.biff.lines import Line
from postmand.biff.nickserv import Identification, Recovery, Services
from postmand.biff.phases import Phase, Steps
from postmand.biff.standing import Standing
from postmand.faults import log_fault

if TYPE_CHECKING:
    from random import Random

    from automat._typed import TypedDataState
    from twisted.internet.interfaces import IReactorTime

    from postmand.biff.client import Client
    from postmand.biff.events import Event, IBot
    from postmand.biff.settings import Settings

log = Logger()
_warn = log.warn

_TEXTS = (b"PRIVMSG", b"NOTICE")
# Who is up for that long, in seconds, may come back at once.
_LASTING = 60.0


@implementer(ILine)
class Session:
    """What a connection's lines are told to, and what the bot speaks through.

    `backoff` spaces what is tried again while connected; `retry` the connections: it
    begins anew only when a session was up for a while.
    """

    def __init__(
        self, settings: Settings, reactor: IReactorTime, random: Random
    ) -> None:
        self.settings = settings
        self.backoff = Backoff(random, first=4.0)
        self.retry = Backoff(random)
        self.bot: IBot | None = None
        self._reactor = reactor
        self._random = random
        self._timer: Any = None
        self._client: Client | None = None
        self._anew()
        self._steps: Steps = _machine(self)

    @property
    def nick(self) -> bytes:
        """Our own nick while up (`ILine`)."""
        return self.standing.nick if self.is_up else b""

    def _anew(self) -> None:
        """Know nothing of any connection."""
        self.is_up = False
        self.standing = Standing(self.settings)
        self._services = Services(self.settings, self.say)
        self._tried_nicks = 0
        self._up_since = 0.0

    # A connection's listener -----------------------------------------------------

    def connected(self, client: Client) -> None:
        """Begin (`client.Listener`)."""
        self._client = client
        self._steps.begin()

    def heard(self, line: Line) -> None:
        """Note what holds in all states, tell the bot, and let the state see to it."""
        if line.code and line.source is not None and line.source.user:
            # A reply is a server's, which has no user; whoever else sends one lies.
            return
        standing = self.standing
        granted = standing.capabilities.granted
        told = hearing.event(line, granted) if self.is_up else None
        before = standing.server()
        for name in standing.note(line):
            self.say(b"CAP", b"REQ", name)
        if line.command == b"ERROR":
            # Its text holds our own address: not for the log.
            _warn("the IRC server ends the connection")
        if told is not None:
            self._tell(told)
        if self.is_up and standing.server() != before:
            # What the bot was told of the server holds no longer.
            self._tell(Down())
            self._tell(standing.up())
        self._steps.heard(line)

    def answered(self) -> None:
        """Tell the bot (`client.Listener`)."""
        if self.is_up:
            self._tell(Answered())

    def lost(self) -> None:
        """End (`client.Listener`)."""
        self._client = None
        self._steps.lose()

    # The bot's line --------------------------------------------------------------

    def send(self, command: bytes, *params: bytes) -> None:
        """Write one line at once (`ILine`)."""
        if command in _TEXTS and len(params) == 2:
            target, text = params
            params = (target, lines.cut(text, self.room(command, target)))
        try:
            octets = lines.write(command, *params)
        except lines.TooLongError:
            return
        if self.is_up and self._client is not None:
            self._client.sendLine(octets)

    def room(self, command: bytes, target: bytes) -> int:
        """How many octets of text there is room for (`ILine`)."""
        return max(lines.room(self.nick, command, target), 0)

    def ping(self) -> bool:
        """Ask the server for a PONG (`ILine`)."""
        return self.is_up and self._client is not None and self._client.probe()

    # What phases do and ask ------------------------------------------------------

    def say(self, command: bytes, *params: bytes) -> None:
        """Write one line at once, up or not."""
        if self._client is not None:
            self._client.say(command, *params)

    def wait(self, seconds: float) -> None:
        """Tell the state after so many seconds, unless told otherwise meanwhile."""
        self._stop_timer()
        self._timer = self._reactor.callLater(seconds, self._late)

    def seconds(self) -> float:
        """Return the reactor's time."""
        return float(self._reactor.seconds())

    def introduce(self) -> None:
        """Ask for the capabilities and say who we are."""
        nick = self.settings.nick
        self.say(b"CAP", b"LS", b"302")
        self.say(b"NICK", nick)
        # Servers refuse user names with what a nick may have, brackets for one.
        self.say(b"USER", b"biff", b"0", b"*", nick)

    def take_another_nick(self, tries: int) -> None:
        """Register under a nick like ours; the right one is got back afterwards."""
        self._tried_nicks += 1
        if self._tried_nicks > tries:
            self.give_up("the IRC server refuses every nick")
            return
        # Nine octets are what every server takes (RFC 1459 1.2).
        other = b"%s%03d" % (self.settings.nick[:6], self._random.randrange(1_000))
        self.say(b"NICK", other)

    def onward(self) -> None:
        """Leave the welcome: log in with NickServ, where that is still to be done."""
        if self.standing.may_identify:
            self._steps.identify()
        else:
            self._steps.recover()

    def credentials(self) -> bytes | None:
        """Return what SASL PLAIN says (RFC 4616 2), or None without a password."""
        account = self.settings.account or self.settings.nick
        try:
            password = self.settings.password()
        except Exception as error:
            log_fault(log, "biff's password can not be had", error)
            return None
        if not password or b"\0" in password:
            return None
        return b"\0".join((b"", account, password))

    def identification(self) -> Identification:
        """Return a new try at NickServ."""
        return Identification(self.settings, self.standing, self._services, self.say)

    def note_guess(self, errand: Identification) -> None:
        """Count a password that NickServ did not like; tell the operator once."""
        standing = self.standing
        if errand.was_answered and not standing.is_logged_in:
            standing.guesses += 1
            if standing.guesses == 1:
                _warn("IRC: NickServ did not log biff in; see [biff] password")

    def recovery(self) -> Recovery:
        """Return a new try at getting our nick back."""
        return Recovery(self.settings, self.standing, self._services, self.say)

    def join_missing(self) -> None:
        """Ask for the channels that we are not in, all at once.

        A line for each would be taken for a flood by servers that throw out.
        """
        for channels in lines.lists(self.standing.missing()):
            self.say(b"JOIN", channels)

    def rise(self) -> None:
        """Tell the bot that the session is complete."""
        self.is_up = True
        self._up_since = self._reactor.seconds()
        log.info("biff is on IRC")
        if self.settings.login != "none" and not self.standing.is_logged_in:
            _warn("IRC: biff is not logged in; it will try again")
        self._tell(self.standing.up())

    def give_up(self, why: str) -> None:
        """Drop the connection; `why` is a constant."""
        _warn("{why}", why=why)
        if self._client is not None:
            self._client.abort()

    def forget(self) -> None:
        """Be without a connection."""
        self._stop_timer()
        was_up, since = self.is_up, self._up_since
        self._anew()
        if was_up:
            if self._reactor.seconds() - since >= _LASTING:
                self.retry.reset()
                self.backoff.reset()
            self._tell(Down())

    def leave(self) -> None:
        """Say QUIT and close, if there is a connection."""
        if self._client is not None:
            self._client.quit("leaving")

    def abort(self) -> None:
        """Close at once, if there is a connection."""
        if self._client is not None:
            self._client.abort()

    def _tell(self, event: Event) -> None:
        if self.bot is None:
            return
        try:
            self.bot.happened(event)
        except Exception as error:
            log_fault(log, "biff failed at an event", error)

    def _late(self) -> None:
        self._timer = None
        self._steps.late()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _heard(_steps: Steps, _session: Session, phase: Phase, line: Line) -> None:
    phase.heard(line)


def _late(_steps: Steps, _session: Session, phase: Phase) -> None:
    phase.late()


def _lost(_steps: Steps, session: Session, _phase: Phase) -> None:
    session.forget()


_builder = TypeMachineBuilder(Steps, Session)
_offline = _builder.state("offline")
_negotiating = _builder.state("negotiating capabilities", phases.Negotiating)
_authenticating = _builder.state("authenticating", phases.Authenticating)
_registering = _builder.state("registering", phases.Registering)
_settling = _builder.state("settling", phases.Settling)
_identifying = _builder.state("identifying", phases.Identifying)
_recovering = _builder.state("recovering the nick", phases.Recovering)
_joining = _builder.state("joining", phases.Joining)
_up = _builder.state("up", phases.Risen)

_offline.upon(Steps.begin).to(_negotiating).returns(None)
_offline.upon(Steps.heard).loop().returns(None)
_offline.upon(Steps.late).loop().returns(None)
_offline.upon(Steps.lose).loop().returns(None)
_negotiating.upon(Steps.authenticate).to(_authenticating).returns(None)
_negotiating.upon(Steps.register).to(_registering).returns(None)
_authenticating.upon(Steps.register).to(_registering).returns(None)
_negotiating.upon(Steps.settle).to(_settling).returns(None)
_authenticating.upon(Steps.settle).to(_settling).returns(None)
_registering.upon(Steps.settle).to(_settling).returns(None)
_settling.upon(Steps.identify).to(_identifying).returns(None)
_settling.upon(Steps.recover).to(_recovering).returns(None)
_identifying.upon(Steps.recover).to(_recovering).returns(None)
_recovering.upon(Steps.join).to(_joining).returns(None)
_joining.upon(Steps.rise).to(_up).returns(None)
_connected: tuple[TypedDataState[Steps, Session, Any, []], ...] = (
    _negotiating,
    _authenticating,
    _registering,
    _settling,
    _identifying,
    _recovering,
    _joining,
    _up,
)
for _state in _connected:
    _state.upon(Steps.heard).loop()(_heard)
    _state.upon(Steps.late).loop()(_late)
    _state.upon(Steps.lose).to(_offline)(_lost)

_machine = _builder.build()
