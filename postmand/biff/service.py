"""biff's connection as a service: kept up as long as the node runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.protocol import Factory

from postmand.biff.bot import Bot
from postmand.biff.client import Client, Pulse
from postmand.biff.session import Session
from postmand.biff.settings import Settings

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IStreamClientEndpoint

    from postmand.biff.events import IBot
    from postmand.config import Biff
    from postmand.notice import IClaims, INotice, IWatches

# What a server gets to close the connection after QUIT, in seconds.
_PARTING = 3.0


class _Clients(Factory):
    """Makes one client a connection, all for the same session."""

    noisy = False

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Client:  # noqa: ARG002 (Twisted's hook)
        """Return a client."""
        return self._make()


class Connection(ClientService):
    """The connection to IRC: made anew when it is lost, with ever longer waits.

    They double up to 300 seconds, a random part less, and are short again only after
    a session was up for a while: a server that takes connections and ends them is
    not besieged. A stop says QUIT, and fires when that is written and the link closed.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        random: Random,
        pulse: Pulse | None = None,
    ) -> None:
        self.line = session = Session(settings, reactor, random)
        super().__init__(
            endpoint,
            _Clients(lambda: Client(session, reactor, pulse)),
            retryPolicy=lambda _failures: session.retry.next(),
            clock=reactor,
        )
        self._reactor = reactor

    def tell(self, bot: IBot) -> None:
        """Tell this bot from now on; it speaks through `line`."""
        self.line.bot = bot

    def stopService(self) -> Deferred[None]:
        """Say QUIT; a server that does not close soon is left without."""
        self.line.leave()
        late = self._reactor.callLater(_PARTING, self.line.abort)

        def closed(result: Any) -> Any:
            if late.active():
                late.cancel()
            return result

        stopped: Deferred[None] = super().stopService()
        return stopped.addBoth(closed)


class BiffService(Service):
    """The bot and its connection. `notice` is what the mail's side tells of new mail.

    The store is there as long as it runs. A stop writes down what is not yet written,
    says QUIT, and fires when both are done.
    """

    def __init__(self, bot: Bot, connection: Connection) -> None:
        self.notice: INotice = bot
        self._bot = bot
        self._connection = connection

    def startService(self) -> None:
        """Read who watches what, and connect."""
        super().startService()  # type: ignore[no-untyped-call]
        self._bot.start()
        self._connection.startService()

    def stopService(self) -> Deferred[None]:
        """Write down, then leave."""
        super().stopService()  # type: ignore[no-untyped-call]
        written = self._bot.stop()
        return written.addBoth(lambda _result: self._connection.stopService())


def service(
    settings: Biff,
    endpoint: IStreamClientEndpoint,
    password: str,
    watches: IWatches,
    claims: IClaims,
    *,
    reactor: Any,
    random: Random,
    wall: Callable[[], float],
    domains: frozenset[bytes],
    mail_domain: bytes,
) -> BiffService:
    """Return biff as [biff] wants it; nothing is connected before it is started.

    `password` is the account's with NickServ, "" without a login. `domains` are the
    mail system's, in lower case; `mail_domain` is the one that biff shows.
    """
    # Half of it until the server is asked, half for its answer.
    pulse = Pulse(settings.silence_seconds / 2, settings.silence_seconds / 2)
    connection = Connection(
        _settings(settings, password), endpoint, reactor, random, pulse
    )
    bot = Bot(
        settings,
        watches,
        claims,
        connection.line,
        domains=domains,
        mail_domain=mail_domain,
        reactor=reactor,
        random=random,
        wall=wall,
    )
    connection.tell(bot)
    return BiffService(bot, connection)


def _settings(settings: Biff, password: str) -> Settings:
    secret = password.encode()
    return Settings(
        nick=settings.nick.encode(),
        channels=tuple(channel.encode() for channel in settings.channels),
        login=settings.login,
        account=settings.account.encode(),
        password=lambda: secret,
        filtered=settings.filtered,
        services=settings.services.encode(),
        services_host=settings.services_host.encode(),
    )
