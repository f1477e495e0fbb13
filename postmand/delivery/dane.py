"""DANE for mail (RFC 7672): a server's key, as its domain says in signed DNS. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

import service_identity
from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto
from service_identity.cryptography import verify_certificate_hostname

# RFC 7672 3.1: of the four certificate usages these two mean something for mail.
TRUST_ANCHOR, END_ENTITY = 2, 3

_TLSA = re.compile(r"(\d{1,3}) (\d{1,3}) (\d{1,3}) ([0-9A-Fa-f ]+)")
_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}
_SIZES = {1: 32, 2: 64}
# So many records of one name are looked at.
_MOST = 20


@frozen
class Association:
    """One TLSA record (RFC 6698 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes = field(repr=False)

    @property
    def usable(self) -> bool:
        """Whether it can be decided with (RFC 7672 3.1)."""
        return (
            self.usage in (TRUST_ANCHOR, END_ENTITY)
            and self.selector in (0, 1)
            and (self.matching == 0 or len(self.data) == _SIZES.get(self.matching))
        )

    def meets(self, certificate: x509.Certificate) -> bool:
        """Tell whether the record is of this certificate, or of its key."""
        try:
            octets = _selected(certificate, self.selector)
        except (ValueError, UnsupportedAlgorithm):
            return False  # a key nobody can have published
        if self.matching:
            octets = _DIGESTS[self.matching](octets).digest()
        return hmac.compare_digest(octets, self.data)


def _selected(certificate: x509.Certificate, selector: int) -> bytes:
    if selector == 0:
        return certificate.public_bytes(Encoding.DER)
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read(texts: Iterable[str]) -> tuple[Association, ...]:
    """Return the usable records of those that the DNS gave, in presentation form."""
    found = []
    for text in list(texts)[:_MOST]:
        match = _TLSA.fullmatch(text)
        if match is None:
            continue
        data = match[4].replace(" ", "")
        if len(data) % 2:
            continue
        numbers = (int(match[1]), int(match[2]), int(match[3]))
        found.append(Association(*numbers, bytes.fromhex(data)))
    return tuple(one for one in found if one.usable)


def holds(
    associations: Sequence[Association],
    chain: Sequence[x509.Certificate],
    names: Sequence[str],
) -> bool:
    """Tell whether what a server showed, its own certificate first, is vouched for.

    For an end entity neither names nor dates count (RFC 7672 3.1.1); below a trust
    anchor both do, and one of `names` has to fit (3.1.2, 3.2.3).
    """
    if not chain:
        return False
    own = [one for one in associations if one.usage == END_ENTITY]
    if any(one.meets(chain[0]) for one in own):
        return True
    anchors = [one for one in associations if one.usage == TRUST_ANCHOR]
    return any(
        _leads(anchor, chain) for one in anchors for anchor in _anchors(one, chain)
    ) and fits(chain[0], names)


def _anchors(
    association: Association, chain: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Return the certificates a record stands for: shown by the server, or its own."""
    shown = [one for one in chain if association.meets(one)]
    if not shown and (association.selector, association.matching) == (0, 0):
        try:
            shown = [x509.load_der_x509_certificate(association.data)]
        except (ValueError, UnsupportedAlgorithm):
            return []
    return shown


def _leads(anchor: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """Tell whether the server's certificate is good below this anchor, today."""
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    try:
        store.add_cert(crypto.X509.from_cryptography(anchor))
        context = crypto.X509StoreContext(
            store,
            crypto.X509.from_cryptography(chain[0]),
            [crypto.X509.from_cryptography(one) for one in chain[1:]],
        )
        context.verify_certificate()
    except (crypto.X509StoreContextError, crypto.Error):
        return False
    return True


def fits(certificate: x509.Certificate, names: Iterable[str]) -> bool:
    """Tell whether a certificate is for one of these names (RFC 6125)."""
    for name in names:
        try:
            verify_certificate_hostname(certificate, name)
        except (
            service_identity.VerificationError,
            service_identity.CertificateError,
            ValueError,
        ):
            continue
        return True
    return False
