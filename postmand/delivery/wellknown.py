"""Fetches an MTA-STS policy file (RFC 8461 3.3): HTTPS, and the name proven by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from postmand.delivery import mx
from postmand.delivery.mta_sts import MOST_OCTETS
from postmand.delivery.policies import PolicyFetchError

if TYPE_CHECKING:
    from random import Random

    from postmand.delivery.dialling import Dial
    from postmand.inbound import IResolver

Prove = Callable[[str], IOpenSSLClientConnectionCreator]
"""Makes the TLS that believes a server of this name, by the system's authorities."""

_HTTPS = 443
# So long one address, with all that is said there, may take: seconds (RFC 8461 3.3).
_PATIENCE = 20.0


class PolicyFile:
    """Fetches policy files, from addresses that may be called and from no others."""

    def __init__(
        self,
        resolver: IResolver,
        *,
        public: Callable[[str], bool],
        dial: Dial,
        reactor: Any,
        rng: Random,
        prove: Prove = optionsForClientTLS,
        port: int = _HTTPS,
    ) -> None:
        self._resolver = resolver
        self._public = public
        self._dial = dial
        self._reactor: IReactorTime = reactor
        self._rng = rng
        self._prove = prove
        self._port = port

    async def fetch(self, domain: str) -> bytes:
        """Return the file; raises PolicyFetchError."""
        host = mx.Host(f"mta-sts.{domain}")
        places = await mx.places(host, self._resolver, self._rng, self._public)
        try:
            # A domain may have a name in the DNS that no certificate can be for.
            proof = self._prove(host.name)
        except ValueError:
            raise PolicyFetchError from None
        for address in places.addresses:
            door = _Door(self._dial(address, self._port), proof)
            getting = Deferred.fromCoroutine(self._get(host.name, door))
            timer = self._reactor.callLater(_PATIENCE, getting.cancel)
            try:
                return await getting
            except PolicyFetchError:
                raise
            except Exception:  # noqa: S112 - see below
                # HTTP, TLS and TCP have many faults, and all are the far end's.
                continue
            finally:
                if timer.active():
                    timer.cancel()
        raise PolicyFetchError

    async def _get(self, host: str, door: _Door) -> bytes:
        agent = Agent.usingEndpointFactory(self._reactor, door)
        url = f"https://{host}/.well-known/mta-sts.txt".encode("ascii")
        response = await agent.request(b"GET", url, Headers({}))
        kinds = response.headers.getRawHeaders(b"content-type", [])
        plain = [kind.split(b";")[0].strip().lower() for kind in kinds]
        # Redirections are not followed (RFC 8461 3.3).
        if response.code != 200 or plain != [b"text/plain"]:
            _Body().drop(response)
            raise PolicyFetchError
        return await _Body().read(response)


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Door:
    """The one endpoint of an agent: an address, and TLS that proves a name."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, proof: IOpenSSLClientConnectionCreator
    ) -> None:
        self._endpoint = wrapClientTLS(proof, endpoint)

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:  # noqa: ARG002
        """Return it, whatever is asked for."""
        return self

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect, without a line in the log that names whom we write to."""
        protocolFactory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connecting


class _Body(Protocol):
    """Takes a response's body, and not more of it than a policy may have."""

    transport: Any

    def __init__(self) -> None:
        self._taken = bytearray()
        self._done: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._dropped = False

    def read(self, response: IResponse) -> Deferred[bytes]:
        """Fire with the whole body, or fail."""
        response.deliverBody(self)
        return self._done

    def drop(self, response: IResponse) -> None:
        """Hang up."""
        self._dropped = True
        self._done.addErrback(lambda _: b"")
        response.deliverBody(self)

    def connectionMade(self) -> None:
        """Hang up at once if nothing is wanted."""
        if self._dropped:
            self._stop()

    def dataReceived(self, data: bytes) -> None:
        """Take a piece."""
        self._taken += data
        if len(self._taken) > MOST_OCTETS and not self._done.called:
            self._done.errback(Failure(PolicyFetchError()))
            self._stop()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Fire: with the body if it is whole."""
        if self._done.called:
            return
        if reason is not None and reason.check(ResponseDone):
            self._done.callback(bytes(self._taken))
        else:
            self._done.errback(Failure(ConnectError()))

    def _stop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
