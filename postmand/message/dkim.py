"""DKIM (RFC 6376): the node's signature on what leaves for the Internet.

RSA alone: every receiver checks it, and few check Ed25519 (RFC 8463), which would cost
the operator a second record. The header is canonicalised "relaxed", as receivers' own
relays fold it anew before they look; the body "simple": it is 7-bit, its lines are
short, and whoever changes it all the same has changed what was signed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import dkim
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

KEY_BITS = 2048
SIGNED = (
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"reply-to",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
)
"""What is signed. A field that is not there is signed as missing."""

_NAME = re.compile(rb"^([!-9;-~]+)[ \t]*:", re.MULTILINE)
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_STRING = 255  # RFC 1035 3.3.14: the longest string of a TXT record
_RUN = b"\r\n" * 4096


class BadSelectorError(ValueError):
    """The selector cannot be a label of the DNS; the text says so."""


class BodyHash:
    """The hash of a body under the "simple" canonicalisation (RFC 6376 3.4.3).

    Takes the body in pieces that are cut anywhere, and holds none of them. Lines end
    with CRLF; no CR or LF stands alone.
    """

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._hash = hashlib.sha256()
        # Octets of CRLF CRLF … that belong to the body only if something follows.
        self._ends = 0
        for piece in pieces:
            self.update(piece)

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        last = len(piece.rstrip(b"\r\n"))
        if last:
            self._write_ends()
            self._hash.update(memoryview(piece)[:last])
        self._ends += len(piece) - last

    def digest(self) -> bytes:
        """Return the hash, once the body is at its end."""
        whole = self._hash.copy()
        whole.update(b"\r\n")
        return whole.digest()

    def _write_ends(self) -> None:
        while self._ends > 0:
            run = _RUN[: self._ends]
            self._hash.update(run)
            self._ends -= len(run)


@frozen
class SigningKey:
    """An RSA key and the selector its public half is published under."""

    selector: str
    pem: bytes = field(repr=False)

    @classmethod
    def from_octets(cls, octets: bytes) -> SigningKey:
        """Return what to_octets() wrote down."""
        selector, _end, pem = octets.partition(b"\n")
        return cls(selector.decode("ascii"), pem)

    def to_octets(self) -> bytes:
        """Return the key as it is kept, sealed."""
        return self.selector.encode("ascii") + b"\n" + self.pem

    def signer(self, domain: str) -> Signer:
        """Return what signs with this key for `domain`."""
        return Signer(domain.encode("ascii"), self.selector.encode("ascii"), self.pem)

    def record(self, domain: str) -> tuple[str, str]:
        """Return name and value of the TXT record that publishes the public half."""
        return dns_record(self.selector, domain, public_key(self.pem))

    def published(self) -> bytes:
        """Return what that record says, its strings joined: as receivers read it."""
        return _said(public_key(self.pem)).encode("ascii")


@frozen
class Signer:
    """Signs for one domain. Computes only: the same input gives the same octets."""

    domain: bytes
    selector: bytes
    private_key_pem: bytes = field(repr=False)

    def sign(self, header: bytes, body: bytes) -> bytes:
        """Return the whole DKIM-Signature field, to be put in front of `header`.

        `header` is the block, final empty line included; both have CRLF line ends.
        Blocks for some milliseconds: call it in a thread.
        """
        return self.sign_hashed(header, BodyHash((body,)))

    def sign_hashed(self, header: bytes, body: BodyHash) -> bytes:
        """As sign(), for a body that need not be in memory."""
        signing = _Signing(header)
        signing.body_hash = base64.b64encode(body.digest())
        signing.key = _key(self.private_key_pem)
        signed: bytes = signing.sign(
            self.selector,
            self.domain,
            self.private_key_pem,
            canonicalize=(dkim.Relaxed, dkim.Simple),
            include_headers=_signed(header),
        )
        return signed


class _Signing(dkim.DKIM):  # type: ignore[misc] # dkimpy has no types
    """dkimpy's signing without what tells more than it must, or needs the whole body.

    `t` tells the second of the release, which Date does not; `i` and `q` say what
    holds without them (RFC 6376 3.5).

    RSA is OpenSSL's. dkimpy computes it with Python's integers: twice 3 ms a signature
    in which no other thread can run. Of its algorithms the other one asks the key.
    """

    body_hash: bytes
    key: _Key

    def gen_header(
        self,
        fields: list[tuple[bytes, bytes]],
        include_headers: Any,
        canon_policy: Any,
        header_name: bytes,
        pk: Any,  # noqa: ARG002
    ) -> bytes:
        told = [
            (tag, self.body_hash if tag == b"bh" else value)
            for tag, value in fields
            if tag not in (b"t", b"i", b"q")
        ]
        self.signature_algorithm = b"ed25519-sha256"
        written: bytes = super().gen_header(
            told, include_headers, canon_policy, header_name, self.key
        )
        return written


@frozen
class _Signature:
    signature: bytes


@frozen
class _Key:
    """An RSA key that is asked as dkimpy asks one of Ed25519."""

    _key: rsa.RSAPrivateKey = field(repr=False)

    def sign(self, digest: bytes) -> _Signature:
        """Sign a SHA-256 (RFC 8017 8.2)."""
        return _Signature(
            self._key.sign(digest, padding.PKCS1v15(), Prehashed(SHA256()))
        )


@lru_cache(2)
def _key(pem: bytes) -> _Key:
    """Return a key read once: OpenSSL looks at it for long."""
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the key that signs mail is RSA's")
    return _Key(key)


def new_key() -> bytes:
    """Return a new private RSA key, in PEM. Takes a while: it is made rarely."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    # dkimpy reads PKCS#1 most simply.
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )


def public_key(private_key_pem: bytes) -> bytes:
    """Return the public half of a private key, DER (SubjectPublicKeyInfo)."""
    key = load_pem_private_key(private_key_pem, password=None)
    return key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def dns_record(selector: str, domain: str, public_key: bytes) -> tuple[str, str]:
    """Return name and value of a TXT record as a zone file has them.

    The name is absolute; the value is in quoted strings of at most 255 octets, which
    receivers join (RFC 6376 3.6.2.2).
    """
    text = _said(public_key)
    strings = [text[at : at + _STRING] for at in range(0, len(text), _STRING)]
    value = " ".join(f'"{string}"' for string in strings)
    return f"{selector}._domainkey.{domain}.", value


def _said(public_key: bytes) -> str:
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public_key).decode()}"


def check_selector(selector: str) -> str:
    """Return `selector` if it is one lower-case label, else raise BadSelectorError."""
    if not _SELECTOR.fullmatch(selector):
        raise BadSelectorError(
            "a selector has at most 63 letters a-z, digits and hyphens, and no hyphen "
            "at its ends"
        )
    return selector


def _signed(header: bytes) -> list[bytes]:
    """Return SIGNED, each as often as it is there and once more.

    So that none can be added on the way (RFC 6376 5.4.2, 8.15).
    """
    there = [name.lower() for name in _NAME.findall(header)]
    return [name for name in SIGNED for _ in range(there.count(name) + 1)]
