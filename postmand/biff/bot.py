"""biff, put together: what the connection and the mail's side tell, and what it says.

One event after the other goes to the roll and the checks first, and only then to those
who act on it: whoever acts knows all that the server has told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from postmand.biff.asking import Asking
from postmand.biff.commands import Commands, Doors
from postmand.biff.events import Down, Event, IBot, Renamed, Said
from postmand.biff.identity import Terms
from postmand.biff.notices import Notices
from postmand.biff.pace import Pace
from postmand.biff.roll import Roll
from postmand.faults import log_fault
from postmand.notice import INotice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from twisted.internet.interfaces import IReactorTime

    from postmand.biff.events import ILine
    from postmand.config import Biff
    from postmand.notice import IClaims, IWatches

log = Logger()


@implementer(IBot, INotice)
class Bot:
    """The bot of [biff]. It outlives every link; `line` is what it speaks through.

    `domains` are the mail system's, in lower case, `mail_domain` the one it shows.
    `wall` tells the day only; all else goes by the reactor's clock.
    """

    def __init__(
        self,
        settings: Biff,
        watches: IWatches,
        claims: IClaims,
        line: ILine,
        *,
        domains: frozenset[bytes],
        mail_domain: bytes,
        reactor: IReactorTime,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        services = settings.services.encode()
        terms = Terms(
            settings.usable_methods,
            services,
            settings.services_host.encode(),
            settings.check_seconds,
        )
        channels = [channel.encode() for channel in settings.channels]
        roll = Roll(channels, settings.users, filtered=settings.filtered)
        pace = Pace(reactor, settings.line_seconds, line.ping)
        self._asking = Asking(terms, roll, pace, line, reactor=reactor, random=random)
        self._notices = Notices(
            watches,
            self._asking,
            roll,
            pace,
            line,
            reactor=reactor,
            random=random,
            wall=wall,
            notice_seconds=settings.notice_seconds,
        )
        doors = Doors(watches, claims, domains, mail_domain)
        self._commands = Commands(
            doors, self._notices, self._asking, roll, pace, line, services, reactor
        )

    def start(self) -> None:
        """Read who watches what, and tick from now on; the store is there."""
        self._notices.start()

    def stop(self) -> Deferred[None]:
        """Write down what is not written yet; the store is still there, and the line.

        Fires when that is done, and never fails.
        """
        return Deferred.fromCoroutine(self._notices.stop())

    def arrived(self, accounts: Iterable[int]) -> None:
        """See INotice."""
        try:
            self._notices.arrived(accounts)
        except Exception as fault:
            log_fault(log, "new mail is not noted", fault)

    def happened(self, event: Event) -> None:
        """See IBot."""
        for takes in self._asking.happened, self._notices.happened, self._act:
            try:
                takes(event)
            except Exception as fault:
                log_fault(log, "an event failed", fault)

    def _act(self, event: Event) -> None:
        match event:
            case Said():
                self._commands.said(event)
            case Renamed(old, new):
                self._commands.renamed(old, new)
            case Down():
                self._commands.forget()
