"""Certificates made for a test: an authority, and servers' below it."""

from __future__ import annotations

import datetime
import hashlib

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)


@frozen
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def tlsa(self, usage: int, selector: int = 1, matching: int = 1) -> str:
        """Return the TLSA record of it, as the resolver writes it."""
        if selector:
            octets = self.certificate.public_key().public_bytes(
                serialization.Encoding.DER,
                serialization.PublicFormat.SubjectPublicKeyInfo,
            )
        else:
            octets = self.certificate.public_bytes(serialization.Encoding.DER)
        if matching:
            octets = hashlib.new(("", "sha256", "sha512")[matching], octets).digest()
        return f"{usage} {selector} {matching} {octets.hex()}"


class Authority:
    """Signs certificates, good from yesterday until tomorrow."""

    def __init__(self, name: str = "authority", above: Authority | None = None) -> None:
        self.issued: Issued = _issue(
            name, (), above.issued if above else None, authority=True
        )

    def issue(self, *names: str, expired: bool = False) -> Issued:
        """Return a server's certificate for these names."""
        return _issue(names[0], names, self.issued, expired=expired)


def self_signed(*names: str, expired: bool = False) -> Issued:
    """Return a certificate that nobody else has signed."""
    return _issue(names[0], names, None, expired=expired)


def _issue(
    name: str,
    names: tuple[str, ...],
    issuer: Issued | None,
    *,
    authority: bool = False,
    expired: bool = False,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above = issuer.certificate.subject if issuer else subject
    signer = issuer.key if issuer else key
    end = _NOW - _DAY if expired else _NOW + _DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - 2 * _DAY)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternative, critical=False)
    return Issued(builder.sign(signer, hashes.SHA256()), key)
