"""The link to a gateway: TLS 1.3, each end known by its key and by nothing else.

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
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
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


@implementer(IOpenSSLClientConnectionCreator)
class Pinned:
    """Makes the TLS of one connection. `refused` tells whether the pin was not met."""

    def __init__(self, identity: bytes, pin: str) -> None:
        self.refused = False
        self._pin = pin
        self._context = _context(identity)
        self._context.set_verify(
            SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify
        )
        self._context.set_info_callback(self._stage)

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """Return a connection that trusts the pinned key alone."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        return connection

    def _meets(self, certificate: x509.Certificate) -> bool:
        try:
            met = hmac.compare_digest(_pin(certificate), self._pin)
        except (ValueError, UnsupportedAlgorithm):
            met = False  # a key nobody could have pinned; OpenSSL must see no exception
        self.refused = self.refused or not met
        return met

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
            self.refused = True
            connection.get_app_data().failVerification(Failure(PinError()))


def _context(identity: bytes) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    blocks = {match[1]: match[0] + b"\n" for match in _BLOCK.finditer(identity)}
    key = serialization.load_pem_private_key(blocks[b"PRIVATE KEY"], None)
    context.use_certificate(x509.load_pem_x509_certificate(blocks[b"CERTIFICATE"]))
    context.use_privatekey(key)  # type: ignore[arg-type]
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context
