"""The link of host and gateway: TLS 1.3, each end known by its key alone.

No authority, no name and no date is trusted: the public key's SHA-256 (of its
SubjectPublicKeyInfo, RFC 7469 2.4) is what the operator was told, or the handshake
ends before our own certificate is shown.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.protocols.tls import TLSMemoryBIOProtocol

# The same for everybody, so that a certificate tells its key and nothing more: neither
# who made it nor when. The end is "no date" (RFC 5280 4.1.2.5).
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "link")])
_BEGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_SERIAL = 1

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class PinError(Exception):
    """The far end's key is not the one that was pinned."""


def new_identity() -> bytes:
    """Make a key of our own; return it and its certificate as PEM. To be kept secret.

    P-256, which every TLS 1.3 server takes (RFC 8446 9.1).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(_SERIAL)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def pin_of(pem: bytes) -> str:
    """Return "sha256/BASE64" of the first key in `pem`: certificate's, public, private.

    Raises ValueError where there is none.
    """
    block = _BLOCK.search(pem)
    if block is None:
        raise ValueError("no PEM block")
    kind, text = block[1], block[0] + b"\n"
    if kind == b"CERTIFICATE":
        return _pin(x509.load_pem_x509_certificate(text))
    if kind == b"PUBLIC KEY":
        return _digest(serialization.load_pem_public_key(text))
    return _digest(serialization.load_pem_private_key(text, None).public_key())


def _pin(certificate: x509.Certificate) -> str:
    return _digest(certificate.public_key())


def _digest(key: Any) -> str:
    octets = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256/" + base64.b64encode(hashlib.sha256(octets).digest()).decode()


def pin_shown(transport: Any) -> str:
    """Return the pin of the key that the far end of a TLS transport showed, or ""."""
    shown = transport.getPeerCertificate()
    if shown is None:
        return ""
    try:
        return _pin(shown.to_cryptography())
    except (ValueError, UnsupportedAlgorithm):
        return ""


class _Judging:
    """One end's TLS: whether the other's key will do is asked at each handshake."""

    def __init__(self, identity: bytes, method: int) -> None:
        self._context = _context(identity, method)
        self._context.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify
        )
        self._context.set_info_callback(self._stage)

    def judge(self, pin: str) -> bool:
        """Tell whether a pin is one that we know; must not raise."""
        raise NotImplementedError

    def _connection(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(protocol)
        return connection

    def _meets(self, certificate: x509.Certificate) -> bool:
        try:
            pin = _pin(certificate)
        except (ValueError, UnsupportedAlgorithm):
            pin = ""  # a key nobody could have pinned; OpenSSL must see no exception
        return self.judge(pin)

    def _verify(
        self, _: SSL.Connection, shown: Any, _error: int, depth: int, _ok: int
    ) -> bool:
        """Judge the peer's own certificate; what it shows above that says nothing."""
        return depth > 0 or self._meets(shown.to_cryptography())

    def _stage(self, connection: SSL.Connection, where: int, _: int) -> None:
        """Judge again at the end: no path through a chain may go around `_verify`."""
        if not where & SSL.SSL_CB_HANDSHAKE_DONE:
            return
        shown = connection.get_peer_certificate(as_cryptography=True)
        if shown is None or not self._meets(shown):
            self.judge("")
            connection.get_app_data().failVerification(Failure(PinError()))


@implementer(IOpenSSLClientConnectionCreator)
class Pinned(_Judging):
    """Makes the TLS of one connection. `refused` tells whether the pin was not met."""

    def __init__(self, identity: bytes, pin: str) -> None:
        super().__init__(identity, SSL.TLS_CLIENT_METHOD)
        self.refused = False
        self._pin = pin

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """Return a connection that trusts the pinned key alone."""
        return self._connection(tlsProtocol)

    def judge(self, pin: str) -> bool:
        """Tell whether it is the pinned one."""
        met = hmac.compare_digest(pin, self._pin)
        self.refused = self.refused or not met
        return met


@implementer(IOpenSSLServerConnectionCreator)
class Admitting(_Judging):
    """Makes the TLS of a server's connections: who shows a known key is let in.

    `knows` is asked for a pin at every handshake, and must not raise: who is shut out
    is out at the next one. No session is resumed, so each shows its key.
    """

    def __init__(self, identity: bytes, knows: Callable[[str], bool]) -> None:
        super().__init__(identity, SSL.TLS_SERVER_METHOD)
        self._knows = knows

    def serverConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """Return a connection that lets in who is known."""
        return self._connection(tlsProtocol)

    def judge(self, pin: str) -> bool:
        """Tell whether a pin is known; what could not be read as a key is not."""
        return bool(pin) and self._knows(pin)


def _context(identity: bytes, method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    blocks = {match[1]: match[0] + b"\n" for match in _BLOCK.finditer(identity)}
    key = serialization.load_pem_private_key(blocks[b"PRIVATE KEY"], None)
    context.use_certificate(x509.load_pem_x509_certificate(blocks[b"CERTIFICATE"]))
    context.use_privatekey(key)  # type: ignore[arg-type]
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context
