"""The states of a session, and what each of them says, awaits and gives up on.

A phase is made when its state is entered. It hears every line then, after the session
has noted what holds in all states, and is told once when its time is up.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, ClassVar, Protocol

from twisted.logger import Logger

# Automat reads the annotations of Steps when the machine is built.
from postmand.biff.lines import Line
from postmand.biff.nickserv import Identification

if TYPE_CHECKING:
    from postmand.biff.nickserv import Recovery
    from postmand.biff.session import Session

log = Logger()
_warn = log.warn

# Base64 goes in pieces of 400; a last one that is full is followed by "+" (SASL 3.1).
_PIECE = 400
_SASL_FAILED = frozenset((902, 904, 905, 906, 907))
_NICK_REFUSED = frozenset((432, 433, 436, 437))
_MOTD_ENDS = frozenset((376, 422))
_QUIET_SECONDS = 300.0
# For the answers to what was tried.
_SOON = 10.0
_OTHER_NICKS = 10
# A nick that is freed again and again is not asked for faster than this, in seconds.
_NICK_SECONDS = 5.0


class Steps(Protocol):
    """What may happen to a session. A step may be taken in the middle of another."""

    def begin(self) -> None:
        """Note that the connection stands: negotiate."""

    def authenticate(self) -> None:
        """Log in by SASL."""

    def register(self) -> None:
        """End the negotiation and wait to be welcomed."""

    def settle(self) -> None:
        """Note the welcome: hear what server this is."""

    def identify(self) -> None:
        """Log in with NickServ."""

    def recover(self) -> None:
        """Get our nick back."""

    def join(self) -> None:
        """Go into the channels."""

    def rise(self) -> None:
        """Be up: we are in a channel."""

    def heard(self, line: Line) -> None:
        """Take a line."""

    def late(self) -> None:
        """Note that the state's time is up."""

    def lose(self) -> None:
        """Note that the connection is gone."""


class Phase:
    """What one state does with lines and time."""

    patience: ClassVar[float] = 60.0

    def __init__(self, steps: Steps, session: Session) -> None:
        self.steps = steps
        self.session = session
        session.wait(self.patience)
        self.enter()

    def enter(self) -> None:
        """Say what is to be said first."""

    def heard(self, line: Line) -> None:
        """Take a line."""

    def late(self) -> None:
        """Go on without what was awaited."""


class _Unregistered(Phase):
    """Before the welcome, which may come in any of these states."""

    def heard(self, line: Line) -> None:
        """Be welcomed, or find another nick, or see to what this state awaits."""
        if line.code == 1:
            self.steps.settle()
        elif line.code in _NICK_REFUSED:
            self.session.take_another_nick(_OTHER_NICKS)
        else:
            self.answered(line)

    def answered(self, line: Line) -> None:
        """Take a line that is for this state alone."""


class Negotiating(_Unregistered):
    """CAP LS 302, and CAP REQ for what is wanted of the offers (IRCv3)."""

    def enter(self) -> None:
        """Ask for the offers, and say who we are."""
        self.session.introduce()

    def answered(self, line: Line) -> None:
        """Go on when all is answered, or when the server knows no CAP."""
        if line.code == 421 and line.param(1).upper() == b"CAP":
            self.steps.register()
        elif line.command == b"CAP" and self.session.standing.capabilities.is_settled:
            if self.session.standing.may_authenticate:
                self.steps.authenticate()
            else:
                self.steps.register()

    def late(self) -> None:
        """Do with what is granted so far."""
        self.steps.register()


class Authenticating(_Unregistered):
    """SASL PLAIN (IRCv3 SASL 3.1; RFC 4616)."""

    _is_told = False

    def enter(self) -> None:
        """Name the mechanism."""
        self.session.say(b"AUTHENTICATE", b"PLAIN")

    def answered(self, line: Line) -> None:
        """Show the password when asked; whatever comes of it, go on."""
        if line.command == b"AUTHENTICATE" and line.param(0) == b"+":
            self._tell()
        elif line.code == 903:
            self.session.standing.is_logged_in = True
            self.steps.register()
        elif line.code in _SASL_FAILED:
            _warn("IRC: SASL did not log biff in ({code})", code=line.code)
            self.steps.register()

    def _tell(self) -> None:
        credentials = None if self._is_told else self.session.credentials()
        self._is_told = True
        if credentials is None:
            self.late()
            return
        text = b64encode(credentials)
        for start in range(0, len(text) + 1, _PIECE):
            self.session.say(b"AUTHENTICATE", text[start : start + _PIECE] or b"+")

    def late(self) -> None:
        """Give it up."""
        self.session.say(b"AUTHENTICATE", b"*")
        self.steps.register()


class Registering(_Unregistered):
    """Between CAP END and the welcome."""

    patience = 120.0

    def enter(self) -> None:
        """End the negotiation."""
        self.session.say(b"CAP", b"END")

    def late(self) -> None:
        """A server that does not welcome us is none of ours."""
        self.session.give_up("the IRC server does not let biff in")


class Settling(Phase):
    """From the welcome to the end of its words: 005 comes there."""

    patience = 20.0

    def heard(self, line: Line) -> None:
        """Go on at the end of the MOTD."""
        if line.code in _MOTD_ENDS:
            self.session.onward()

    def late(self) -> None:
        """Go on."""
        self.session.onward()


class Identifying(Phase):
    """Logging in with NickServ."""

    patience = 30.0

    def enter(self) -> None:
        """Say the password."""
        self._errand = self.session.identification()
        if not self._errand.begin():
            self.steps.recover()

    def heard(self, line: Line) -> None:
        """Go on when it has come to something."""
        if self._errand.heard(line):
            self.late()

    def late(self) -> None:
        """Go on, logged in or not."""
        self.session.note_guess(self._errand)
        self.steps.recover()


class Recovering(Phase):
    """Getting our nick back before anybody sees us; with the right one, nothing."""

    patience = 30.0

    def enter(self) -> None:
        """Ask for it."""
        if self.session.standing.has_its_nick:
            self.steps.join()
            return
        self._errand = self.session.recovery()
        self._errand.begin()

    def heard(self, line: Line) -> None:
        """Go on when it is ours."""
        if self._errand.heard(line):
            self.steps.join()

    def late(self) -> None:
        """Go on with another nick; it is tried again later."""
        self.steps.join()


class Joining(Phase):
    """Going into the channels; up when we are in one."""

    def enter(self) -> None:
        """Ask for all of them."""
        self.session.join_missing()

    def heard(self, _line: Line) -> None:
        """Be up when the session has seen us come in."""
        if self.session.standing.inside:
            self.steps.rise()

    def late(self) -> None:
        """Ask again, less and less often."""
        self.session.join_missing()
        self.session.wait(self.patience + self.session.backoff.next())


class Risen(Phase):
    """In a channel. What is missing is seen to now and then."""

    patience = _QUIET_SECONDS

    def enter(self) -> None:
        """Tell the bot."""
        self._errand: Identification | Recovery | None = None
        self._is_well = self._is_nick_due = False
        self._nick_asked = float("-inf")
        self.session.rise()
        if self.session.standing.is_lacking:
            self.session.wait(self.session.backoff.next())

    def heard(self, line: Line) -> None:
        """See to what went amiss with this line, soon or at once."""
        session, errand = self.session, self._errand
        if errand is not None and errand.heard(line):
            self._end_errand()
            if isinstance(errand, Identification):
                self._recover()
        if session.standing.frees_nick(line):
            self._take_nick()
        elif session.standing.is_setback(line):
            self._is_well = False
            session.wait(session.backoff.next())

    def late(self) -> None:
        """See to what is missing; with nothing missing for long the waits are short."""
        # Services that say nothing must not keep us from our nick.
        is_hung = isinstance(self._errand, Identification)
        self._is_nick_due = False
        self._end_errand()
        session = self.session
        if not session.standing.is_lacking:
            if self._is_well:
                session.backoff.reset()
            self._is_well = True
            session.wait(_QUIET_SECONDS)
            return
        self._is_well = False
        session.join_missing()
        if is_hung or not self._identify():
            self._recover()
        session.wait(session.backoff.next() + _SOON)

    def _take_nick(self) -> None:
        """Ask for our nick, which is free: at once, or a little after the last time."""
        session, now = self.session, self.session.seconds()
        if now >= self._nick_asked + _NICK_SECONDS:
            self._nick_asked = now
            session.say(b"NICK", session.settings.nick)
        elif not self._is_nick_due:
            self._is_nick_due = True
            session.wait(self._nick_asked + _NICK_SECONDS - now)

    def _identify(self) -> bool:
        if not self.session.standing.may_identify:
            return False
        errand = self.session.identification()
        if errand.begin():
            self._errand = errand
        return self._errand is not None

    def _recover(self) -> None:
        if not self.session.standing.has_its_nick:
            self._errand = errand = self.session.recovery()
            errand.begin()

    def _end_errand(self) -> None:
        errand, self._errand = self._errand, None
        if isinstance(errand, Identification):
            self.session.note_guess(errand)
