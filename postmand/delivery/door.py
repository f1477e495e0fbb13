"""The way to a gateway while that is one of ours; closed once it was retired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

# While a connection stands, whether its gateway was shut out is asked this often.
_LOOK = 1.0


@implementer(IStreamClientEndpoint)
@frozen(eq=False)
class Door:
    """An endpoint that asks `shut` before it connects, and each second from then on.

    `shut` has to be quick; what it raises counts as yes. A connection is cut within a
    second or two, whatever it carries.
    """

    _endpoint: IStreamClientEndpoint
    _shut: Callable[[], bool]
    _reactor: IReactorTime

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect, unless it is shut."""
        if self.is_shut():
            return fail(ConnectError())
        watching = _Watching(protocolFactory, self, self._reactor)
        connecting: Deferred[Any] = self._endpoint.connect(watching)
        return connecting.addCallback(lambda watched: watched.wrappedProtocol)

    def is_shut(self) -> bool:
        """Tell whether nobody is to go that way."""
        try:
            return self._shut()
        except OSError:
            return True  # who is not known to be one of ours is told nothing


class _Watched(ProtocolWrapper):
    """One connection through the door."""

    factory: _Watching
    _looking: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        """Look, from now on."""
        self._looking = self.factory.reactor.callLater(_LOOK, self._look)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Look no more."""
        if self._looking is not None and self._looking.active():
            self._looking.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _look(self) -> None:
        if self.factory.door.is_shut():
            self.abortConnection()  # the transport's
        else:
            self._looking = self.factory.reactor.callLater(_LOOK, self._look)


class _Watching(WrappingFactory):
    """Makes them."""

    protocol = _Watched
    noisy = False

    def __init__(self, wrapped: Any, door: Door, reactor: IReactorTime) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.door = door
        self.reactor = reactor
