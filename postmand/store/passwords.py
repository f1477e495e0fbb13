"""An account's secret key, wrapped under a password or a recovery code.

One Argon2id of the secret gives 64 octets. Half of them, hashed, are kept to check the
secret; the other half wraps the key and is never kept.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from attrs import field, frozen
from nacl.pwhash import argon2id

from postmand.store.seal import NONCE_BYTES, decrypt, encrypt

SALT_BYTES = argon2id.SALTBYTES
MAX_PASSWORD = 1024

_HALF = 32


class BadPasswordError(ValueError):
    """The password cannot be one; the text says why, in words for the user."""


@frozen
class Cost:
    """What one try of a secret costs: Argon2id passes, and memory in KiB."""

    passes: int
    memory_kib: int


# A recovery code has 160 random bits: Argon2id only has to be there.
RECOVERY_COST = Cost(2, 19 * 1024)


@frozen
class Wrapped:
    """A wrapped secret key, and what checks the secret that opens it."""

    salt: bytes
    verifier: bytes
    key: bytes = field(repr=False)


@frozen
class Purpose:
    """Whose key is wrapped and with what: bound to the wrapping, never exchanged."""

    account: int
    secret: bytes

    def data(self) -> bytes:
        """Return the octets that the wrapping is bound to."""
        return b"postmand key " + self.account.to_bytes(8, "big") + self.secret


def by_password(account: int) -> Purpose:
    """Return the purpose of the key wrapped under the account's password."""
    return Purpose(account, b"password")


def by_recovery(account: int) -> Purpose:
    """Return the purpose of the key wrapped under the account's recovery code."""
    return Purpose(account, b"recovery")


def check_password(password: bytes) -> bytes:
    """Return `password` if every client can send it; raise BadPasswordError if not."""
    if not password:
        raise BadPasswordError("the password is empty")
    if len(password) > MAX_PASSWORD:
        raise BadPasswordError(f"the password is longer than {MAX_PASSWORD} octets")
    if any(octet in password for octet in b"\0\r\n"):
        raise BadPasswordError("the password holds a NUL or an end of line")
    return password


def wrap(secret_key: bytes, secret: bytes, cost: Cost, purpose: Purpose) -> Wrapped:
    """Wrap a secret key. Blocks for one Argon2id."""
    salt = os.urandom(SALT_BYTES)
    stretched = stretch(secret, salt, cost)
    nonce = os.urandom(NONCE_BYTES)
    sealed = encrypt(secret_key, purpose.data(), nonce, stretched[_HALF:])
    return Wrapped(salt, _verifier(stretched), nonce + sealed)


def unwrap(
    wrapped: Wrapped, secret: bytes, cost: Cost, purpose: Purpose
) -> bytes | None:
    """Return the secret key, or None for a wrong secret. Blocks for one Argon2id.

    Raises SealError where the secret is right and the wrapped key was tampered with.
    """
    stretched = stretch(secret, wrapped.salt, cost)
    if not hmac.compare_digest(_verifier(stretched), wrapped.verifier):
        return None
    nonce, sealed = wrapped.key[:NONCE_BYTES], wrapped.key[NONCE_BYTES:]
    return decrypt(sealed, purpose.data(), nonce, stretched[_HALF:])


def stretch(secret: bytes, salt: bytes, cost: Cost) -> bytes:
    """Return 64 octets of Argon2id."""
    return argon2id.kdf(
        2 * _HALF,
        secret,
        salt,
        opslimit=cost.passes,
        memlimit=cost.memory_kib * 1024,
    )


def _verifier(stretched: bytes) -> bytes:
    return hashlib.blake2b(
        stretched[:_HALF], digest_size=32, person=b"postmand-check"
    ).digest()
