"""Talking to NickServ, so that nobody else can hear it: logging in, a nick back.

When services are away anybody may be called NickServ. What holds the password is said
only in forms that a server hands to services or to nobody: to NickServ at the services'
own server, by SQUERY (RFC 2812 3.4.2), or by the server's own command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from postmand.biff.lines import Line, LineError
from postmand.faults import log_fault

if TYPE_CHECKING:
    from postmand.biff.settings import Settings
    from postmand.biff.standing import Standing

log = Logger()

# No such nick, server or service; unknown command; services are down.
_REFUSALS = frozenset((401, 402, 408, 421, 440))
# What NickServ says at a connection's start comes between; so often is looked again.
_LOOKS = 8

Say = Callable[..., None]


def ways(settings: Settings) -> tuple[tuple[bytes, ...], ...]:
    """Return the forms in which to reach services, the surest first."""
    name, host = settings.services, settings.services_host
    # The I2P router's tunnel drops SQUERY.
    squery = () if settings.filtered else ((b"SQUERY", name),)
    if host:
        return ((b"PRIVMSG", name + b"@" + host), *squery)
    return (*squery, (name.upper(),))


class Services:
    """One word at a time for services, in whatever form the server takes."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._ways = ways(settings)
        self._name = settings.services.lower()
        self._host = settings.services_host.lower()
        self._say = say
        self._way = 0
        self._words: tuple[bytes, ...] = ()

    def tell(self, *words: bytes) -> None:
        """Say it. Raises LineError, with nothing said."""
        self._words = words
        command, *target = self._ways[self._way]
        if target:
            self._say(command, *target, b" ".join(words))
        else:
            self._say(command, *words)

    def refused(self, line: Line) -> bool:
        """Take a line; say it in the next form if this says that nobody heard it.

        True when no form is left: services are away.
        """
        if line.code not in _REFUSALS or not self._words:
            return False
        about = line.param(1).partition(b"@")[0].lower()
        # Some name the services' server, where it is that one that is missing.
        ours = (self._name, self._ways[self._way][0].lower(), self._host)
        if not about or about not in ours:
            return False
        self._way = (self._way + 1) % len(self._ways)
        if self._way == 0:
            self._words = ()
            return True
        self.tell(*self._words)
        return False

    def answered(self, line: Line) -> bool:
        """Whether NickServ said this. Nothing in it is to be trusted.

        Without a host it may be an impostor's.
        """
        source = line.source
        return (
            line.command == b"NOTICE"
            and source is not None
            and source.nick.lower() == self._name
            and self._host in (b"", source.host.lower())
        )


class Identification:
    """Logging in with NickServ; whether it worked the server tells, not NickServ."""

    def __init__(
        self, settings: Settings, standing: Standing, services: Services, say: Say
    ) -> None:
        self.was_answered = False
        self._settings = settings
        self._standing = standing
        self._services = services
        self._say = say
        self._looks = 0
        self._is_looking = False
        self._is_news = False

    def begin(self) -> bool:
        """Say the password; False if there is none that could be said."""
        account = self._settings.account or self._settings.nick
        try:
            self._services.tell(b"IDENTIFY", account, self._settings.password())
        except LineError:
            log.error("biff's password can not be said on IRC: [biff] password")
        except Exception as error:
            log_fault(log, "biff's password can not be had", error)
        else:
            return True
        self._standing.guesses += 1
        return False

    def heard(self, line: Line) -> bool:
        """Take a line; True when there is nothing more to wait for."""
        if self._services.refused(line):
            self.was_answered = False
            return True
        if self._services.answered(line):
            self.was_answered = self._is_news = True
        elif line.code in (307, 330) and self._standing.is_me(line.param(1)):
            self._standing.is_logged_in = True
        elif line.code == 318 and self._standing.is_me(line.param(1)):
            self._is_looking = False
        if self._is_news and not self._is_looking and self._looks < _LOOKS:
            self._looks += 1
            self._is_looking, self._is_news = True, False
            self._say(b"WHOIS", self._standing.nick)
        return self._standing.is_logged_in


class Recovery:
    """Getting our nick back from a ghost, or from whoever took it.

    Services that know us as its owner are asked to free it; Anope takes RECOVER,
    Atheme GHOST and RELEASE. No password is said for that.
    """

    def __init__(
        self, settings: Settings, standing: Standing, services: Services, say: Say
    ) -> None:
        self._nick = settings.nick
        self._standing = standing
        self._services = services
        self._say = say
        self._orders = [b"RELEASE", b"GHOST", b"RECOVER"]

    def begin(self) -> None:
        """Ask for the nick."""
        if self._standing.is_logged_in:
            self._next()
        else:
            self._take()

    def heard(self, line: Line) -> bool:
        """Take a line; True when the nick is ours."""
        if self._standing.is_me(self._nick):
            return True
        if self._services.refused(line):
            self._orders = []
            self._take()
        elif self._services.answered(line) and self._orders:
            self._next()
        return False

    def _next(self) -> None:
        self._services.tell(self._orders.pop(), self._nick)
        if not self._orders:
            self._take()

    def _take(self) -> None:
        self._say(b"NICK", self._nick)
