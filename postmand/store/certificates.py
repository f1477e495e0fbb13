"""What an exchange shows under STARTTLS: its own certificate, or an operator's."""

from __future__ import annotations

import datetime
import hashlib
import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from postmand.store import keyfile

OWN = "exchange.pem"
"""The file, in the state directory, of the identity that we made."""

# The same for everybody: a certificate must not tell when its gateway began. The end is
# "no date" (RFC 5280 4.1.2.5). Who checks it, does so by TLSA, which asks for neither.
_BEGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
# A chain of long certificates is a tenth of this.
_MOST_OCTETS = 131_072


class CertificateError(Exception):
    """The identity can not be used; the text names the file and the mend."""


def identity(
    state: Path, host_name: str, certificate: str = "", private_key: str = ""
) -> bytes:
    """Return the identity as PEM: private key, certificate, and what stands above it.

    Without files the one in the state directory, made where there is none. Given files
    may be one and the same; a renewed one is read at the next call. Blocks. Raises
    CertificateError.
    """
    if not certificate and not private_key:
        return _own(state / OWN, host_name)
    if not certificate:
        raise CertificateError("certificate is missing beside private_key")
    chain = _read(Path(certificate))
    key = _read(Path(private_key), private=True) if private_key else chain
    if not private_key:
        _refuse_readable(Path(certificate))
    return _fitting(key, chain, certificate, private_key or certificate)


def tlsa(pem: bytes) -> str:
    """Return what a TLSA record "3 1 1" says of the identity (RFC 6698 2.1, RFC 7671).

    It is the key's, so it stays when a certificate is renewed for the same key.
    """
    spki = (
        x509.load_pem_x509_certificates(pem)[0]
        .public_key()
        .public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return f"3 1 1 {hashlib.sha256(spki).hexdigest()}"


def _own(path: Path, host_name: str) -> bytes:
    try:
        if not path.exists():
            keyfile.make(path, _made(host_name))
        pem = keyfile.read(path)
    except keyfile.OpenToOthersError:
        raise CertificateError(
            f"{path}: others may read it; make it 0600, or remove it for a new one"
        ) from None
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None
    return _fitting(pem, pem, str(path), str(path))


def _made(host_name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name holds 64 characters at most (RFC 5280 A.1); clients read the other.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name[:64])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            octets = file.read(_MOST_OCTETS)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None
    if private:
        _refuse_readable(path)
    return octets


def _refuse_readable(path: Path) -> None:
    """Refuse a key that everybody may read; a group (ssl-cert) is the operator's."""
    if os.stat(path.expanduser()).st_mode & stat.S_IRWXO:
        raise CertificateError(
            f"{path}: everybody may read this private key; make it 0640 or less"
        )


def _fitting(key: bytes, chain: bytes, chain_name: str, key_name: str) -> bytes:
    """Return both as one PEM, the key first; refuse what does not belong together."""
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise CertificateError(
            f"{chain_name}: holds no certificate in PEM form"
        ) from None
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise CertificateError(
            f"{key_name}: holds no private key in PEM form without a passphrase"
        ) from None
    if private.public_key() != certificates[0].public_key():
        raise CertificateError(
            f"{key_name}: is not the key of {chain_name}; give both of one certificate"
        )
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
