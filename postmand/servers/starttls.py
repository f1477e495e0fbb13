"""TLS for whoever comes to the exchange: better than none, and asked of nobody.

No client is asked for a certificate, and nothing of one session opens another: no
ticket, no session to be resumed, ephemeral keys only (RFC 7525 4.1, RFC 8996).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from postmand.servers.dialogue import Dialogue
from postmand.servers.outbox import Outbox

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol

# Forward secrecy with everybody; of the older suites those that old mail servers need.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
# pyOpenSSL has no names for these two.
_OP_NO_RENEGOTIATION = 0x40000000
_MODE_RELEASE_BUFFERS = 0x10

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS of the connections that ask for it.

    `identity` is PEM: the private key, the server's own certificate, then those above
    it. Raises ValueError, or OpenSSL's SSL.Error, for one that does not fit together.
    """

    def __init__(self, identity: bytes) -> None:
        self._context = _context(identity)

    def replace(self, identity: bytes) -> None:
        """Show another identity from now on; what is wrong with it leaves the old."""
        self._context = _context(identity)

    def serverConnectionForTLS(
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: ARG002 - Twisted's
    ) -> SSL.Connection:
        """Return a connection that shows our certificate."""
        return SSL.Connection(self._context, None)


def _context(identity: bytes) -> SSL.Context:
    blocks = [(match[1], match[0] + b"\n") for match in _BLOCK.finditer(identity)]
    keys = [block for kind, block in blocks if kind.endswith(b"PRIVATE KEY")]
    chain = [block for kind, block in blocks if kind == b"CERTIFICATE"]
    if len(keys) != 1 or not chain:
        raise ValueError("one private key and its certificate are needed")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_TICKET
        | SSL.OP_CIPHER_SERVER_PREFERENCE
        | _OP_NO_RENEGOTIATION
    )
    # A session that says nothing keeps no buffers.
    context.set_mode(_MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    own, *above = (x509.load_pem_x509_certificate(block) for block in chain)
    context.use_certificate(own)
    for certificate in above:
        context.add_extra_chain_cert(certificate)
    key = serialization.load_pem_private_key(keys[0], None)
    context.use_privatekey(key)  # type: ignore[arg-type]
    context.check_privatekey()
    return context


class UnderTls(Dialogue):
    """A dialogue that can go on under TLS."""

    @property
    def more_came(self) -> bool:
        """Whether the peer has said more than the line that is being answered."""
        return bool(self._buffer)

    def begin_tls(self, tls: ServerTls) -> None:
        """Go on under TLS, behind what was said so far.

        What the peer, or somebody between, has pipelined in the clear is dropped
        (RFC 3207 4.2): the next byte that is read comes out of the handshake.
        """
        self._buffer = b""
        self.flush()
        self.transport.startTLS(tls)
        self._outbox = Outbox(self.transport)
