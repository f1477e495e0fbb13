"""Passwords to keys: what opens a member's account for a session."""

from __future__ import annotations

import hashlib
import os

from attrs import field, frozen
from nacl import bindings
from zope.interface import implementer

from postmand.interfaces import Credential, IKeyring, Member
from postmand.store.passwords import (
    SALT_BYTES,
    Cost,
    Wrapped,
    by_password,
    stretch,
    unwrap,
)
from postmand.store.seal import SealError


def thread_key(secret_key: bytes) -> bytes:
    """Return the key that makes and knows the Message-IDs given out to a member."""
    return hashlib.blake2b(
        key=secret_key, digest_size=32, person=b"postmand-thread"
    ).digest()


def opened(
    account: int,
    name: str,
    display_name: str,
    public_key: bytes,
    version: int,
    secret_key: bytes,
) -> Member:
    """Return the member whose secret key this is.

    Raises SealError where the public key is not its own: mail sealed to an exchanged
    one would be read by who exchanged it.
    """
    if bindings.crypto_scalarmult_base(secret_key) != public_key:
        raise SealError("the public key is not the secret key's")
    return Member(
        account,
        name,
        display_name,
        public_key,
        version,
        secret_key,
        thread_key(secret_key),
    )


@implementer(IKeyring)
@frozen
class Keyring:
    """Opens accounts. `cost` is what an unknown name costs: that of a new password."""

    cost: Cost
    _salt: bytes = field(factory=lambda: os.urandom(SALT_BYTES), repr=False)

    def unlock(self, credential: Credential | None, password: bytes) -> Member | None:
        """Return the opened account, or None (see IKeyring).

        Raises SealError where the password is right and the row was tampered with.
        """
        if credential is None:
            stretch(password, self._salt, self.cost)
            return None
        secret_key = unwrap(
            Wrapped(credential.salt, credential.verifier, credential.wrapped_key),
            password,
            Cost(credential.passes, credential.memory_kib),
            by_password(credential.account),
        )
        if secret_key is None or credential.disabled:
            return None
        return opened(
            credential.account,
            credential.name,
            credential.display_name,
            credential.public_key,
            credential.version,
            secret_key=secret_key,
        )
