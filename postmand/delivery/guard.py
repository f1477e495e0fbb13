"""What protects mail on its way to a domain's server: how TLS has to be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.delivery import dane

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol

Trust = Callable[[SSL.Context], None]
"""Tells a context which authorities are believed."""


def system_trust(context: SSL.Context) -> None:
    """Believe the authorities that the system believes."""
    context.set_default_verify_paths()


@frozen
class Guard:
    """What one server has to show.

    `required`: no TLS, no mail. `associations`: one of them has to hold (DANE).
    `authority`: the certificate has to lead to an authority we believe. `names` are
    those a certificate may be for; the first is the one that is asked for (SNI).
    """

    names: tuple[str, ...]
    required: bool = False
    associations: tuple[dane.Association, ...] = ()
    authority: bool = False

    @property
    def checked(self) -> bool:
        """Whether it matters who the server is."""
        return self.authority or bool(self.associations)


@implementer(IOpenSSLClientConnectionCreator)
class Handshake:
    """Makes the TLS of one connection; `refused` tells that the guard was not met."""

    def __init__(self, guard: Guard, trust: Trust = system_trust) -> None:
        self.refused = False
        self._guard = guard
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if guard.authority:
            trust(self._context)
            self._context.set_verify(SSL.VERIFY_PEER, self._verify)
        else:
            self._context.set_verify(SSL.VERIFY_NONE, _anybody)
        self._context.set_info_callback(self._stage)

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """Return a connection that asks for the server by its name."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_tlsext_host_name(self._guard.names[0].encode("ascii"))
        return connection

    def _verify(
        self, _: SSL.Connection, _shown: Any, _error: int, _depth: int, good: int
    ) -> bool:
        self.refused = self.refused or not good
        return bool(good)

    def _stage(self, connection: SSL.Connection, where: int, _: int) -> None:
        """Judge the server once the handshake is done and before a word is said."""
        if where & SSL.SSL_CB_HANDSHAKE_DONE and not self._met(connection):
            self.refused = True
            failure = Failure(VerificationError(errors=[]))
            connection.get_app_data().failVerification(failure)

    def _met(self, connection: SSL.Connection) -> bool:
        guard = self._guard
        if not guard.checked:
            return True
        try:
            chain = connection.get_peer_cert_chain(as_cryptography=True) or []
            if guard.associations:
                return dane.holds(guard.associations, chain, guard.names)
            return bool(chain) and dane.fits(chain[0], guard.names)
        except Exception:
            # Whatever a stranger's certificate makes us stumble over: OpenSSL would not
            # see an exception, and go on.
            return False


def _anybody(*_: Any) -> bool:
    return True
