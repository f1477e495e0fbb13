"""The node's key: what seals the queue, quotas and the node's other secrets.

One master of 32 random octets, of which the keys in use are derived. It lies where
`[node] key` says: in a file (for development), in a credential that systemd hands over,
or in the state directory, wrapped under a passphrase that is asked for at the start.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from attrs import field, frozen
from nacl import bindings

from postmand.store import keyfile
from postmand.store.passwords import BadPasswordError, check_password
from postmand.store.seal import NONCE_BYTES, SealError, decrypt, encrypt

MASTER_BYTES = keyfile.MASTER_BYTES
TAG_BYTES = 16
LEAST_PASSPHRASE = 12
WRAPPED_NAME = "node.key.wrapped"

_KEY_BYTES = 32
_PERSON = b"postmand-node"
_RESTORE = "restore it from a backup"
# Longer than any passphrase may be.
_LINE_OCTETS = 4096

Ask = Callable[[str], bytes]
"""Puts a question to the operator and returns the answer, without its line end."""


class NodeKeyError(Exception):
    """The node's key is not to be had, or not the right one: a line with its mend."""


class NoNodeKeyError(NodeKeyError):
    """There is no key yet, and none was to be made."""


@frozen
class NodeKey:
    """The keys of the node. None of them but the public one is written or logged.

    Who has `public_key` can seal for the node (`store.seal.seal_key`), `secret_key`
    opens that; both are X25519's.
    """

    public_key: bytes
    secret_key: bytes = field(repr=False)
    _tag_key: bytes = field(repr=False)
    _seal_key: bytes = field(repr=False)

    @classmethod
    def from_master(cls, master: bytes) -> NodeKey:
        """Derive the keys; ValueError unless `master` has 32 octets."""
        if len(master) != MASTER_BYTES:
            raise ValueError(f"a node's key has {MASTER_BYTES} octets")
        secret = _derived(master, b"open what is sealed to the node")
        return cls(
            bindings.crypto_scalarmult_base(secret),
            secret,
            _derived(master, b"tags"),
            _derived(master, b"seal what the node keeps"),
        )

    @property
    def fingerprint(self) -> str:
        """What tells this key from another and tells nothing of it: 16 hex digits."""
        return hashlib.blake2b(
            self.public_key, digest_size=8, person=b"postmand-print"
        ).hexdigest()

    def tag(self, purpose: bytes, *data: bytes) -> bytes:
        """Return 16 octets that stand for `data`, for this purpose and this node only.

        Equal for equal data; without the key nobody can tell or try what it stands for.
        """
        tag = hashlib.blake2b(key=self._tag_key, digest_size=TAG_BYTES, person=_PERSON)
        # With its length before it no item can pass for a part of another.
        for item in (purpose, *data):
            tag.update(len(item).to_bytes(8, "big"))
            tag.update(item)
        return tag.digest()

    def seal(self, plain: bytes, data: bytes) -> bytes:
        """Seal octets, bound to `data`; 40 octets longer, and never twice the same."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + encrypt(plain, data, nonce, self._seal_key)

    def open(self, sealed: bytes, data: bytes) -> bytes:
        """Open what seal() sealed with the same `data`, or raise SealError."""
        nonce = sealed[:NONCE_BYTES].ljust(NONCE_BYTES, b"\0")
        return decrypt(sealed[NONCE_BYTES:], data, nonce, self._seal_key)


def load(source: str, state: Path, ask: Ask | None, *, make: bool = True) -> NodeKey:
    """Return the node's key from where `source`, `[node] key`, says that it is.

    A file, and a wrapped key in the `state` directory, is made if it is not there and
    `make` says so. `ask` puts questions to the operator, a new passphrase's twice.
    Blocks, with "passphrase" for one Argon2id. Raises NodeKeyError.
    """
    kind, _colon, name = source.partition(":")
    try:
        if source == "passphrase":
            return NodeKey.from_master(_by_passphrase(state, ask, make=make))
        if kind == "file" and name:
            return NodeKey.from_master(_from_file(key_path(source, state), make=make))
        if kind == "credential" and name:
            return NodeKey.from_master(_from_credential(name))
    except keyfile.OpenToOthersError as error:
        raise _fault(f"others may use {error}", f"chmod 600 {error}") from error
    except OSError as error:
        where = error.filename or "the disk"
        mend = "let the node's user use it, or name another place at [node] key"
        raise _fault(f"{where}: {error.strerror}", mend) from error
    raise _fault(
        f'"{source}" names no place for it',
        'write "credential:NAME", "passphrase" or "file:PATH" at [node] key',
    )


def operator() -> Ask:
    """Return how to ask at this process's terminal, or, without one, its first line.

    The line is read once and answers whatever is asked, so that a new passphrase is
    handed in like an old one.
    """
    stdin = sys.stdin
    if stdin is not None and stdin.isatty():
        return _typed
    return one_line(lambda: stdin.buffer.readline(_LINE_OCTETS) if stdin else b"")


def one_line(read: Callable[[], bytes]) -> Ask:
    """Return an Ask that answers everything with the one line that `read` gives."""

    @cache
    def line() -> bytes:
        found = read()
        if not found:
            raise _fault(
                "standard input ended before its passphrase",
                "write it there, on a line of its own",
            )
        return found.removesuffix(b"\n").removesuffix(b"\r")

    return lambda _question: line()


def _typed(question: str) -> bytes:
    try:
        # What the terminal's encoding can not tell comes back as it was typed.
        return getpass.getpass(question).encode(errors="surrogateescape")
    except EOFError:
        raise _fault("no passphrase was typed", "start again, and type it") from None


def key_path(source: str, state: Path) -> Path:
    """Return where the file of "file:PATH" or "passphrase" lies."""
    if source == "passphrase":
        return state / WRAPPED_NAME
    return state / Path(source.partition(":")[2]).expanduser()


def _by_passphrase(state: Path, ask: Ask | None, *, make: bool) -> bytes:
    path = key_path("passphrase", state)
    if ask is None:
        raise _fault(
            "there is nobody to ask for its passphrase",
            "start at a terminal, or write it to standard input",
        )
    if not path.exists():
        if not make:
            raise _missing(path)
        master, passphrase = os.urandom(MASTER_BYTES), _new_passphrase(ask)
        if keyfile.make(path, keyfile.wrapped(master, passphrase, keyfile.MASTER_COST)):
            return master
    return _unwrapped(path, ask("Passphrase of the node's key: "))


def _unwrapped(path: Path, passphrase: bytes) -> bytes:
    try:
        master = keyfile.unwrapped(keyfile.read(path), passphrase)
    except (ValueError, SealError) as error:
        raise _fault(f"{path} is damaged: {error}", _RESTORE) from error
    if master is None:
        raise _fault("this is not its passphrase", "nothing was started, try again")
    return master


def _new_passphrase(ask: Ask) -> bytes:
    first = ask("New passphrase of the node's key: ")
    if first != ask("New passphrase again: "):
        raise _fault("the two passphrases differ", "nothing was made, begin anew")
    try:
        check_password(first)
    except BadPasswordError as error:
        told = str(error).replace("password", "passphrase")
        raise _fault(told, "choose another") from error
    if len(first.decode(errors="replace")) < LEAST_PASSPHRASE:
        raise _fault(
            f"the passphrase has fewer than {LEAST_PASSPHRASE} characters",
            "choose a longer one: who takes the disk can try as many as he likes",
        )
    return first


def _from_file(path: Path, *, make: bool) -> bytes:
    if not path.exists():
        if not make:
            raise _missing(path)
        keyfile.make(path, os.urandom(MASTER_BYTES))
    return _master(path, private=True)


def _from_credential(name: str) -> bytes:
    try:
        path = keyfile.credential_path(name)
    except keyfile.NoCredentialError as error:
        raise _fault(error.what, error.mend) from error
    return _master(path, private=False)


def _master(path: Path, *, private: bool) -> bytes:
    try:
        return keyfile.master(keyfile.read(path, private=private))
    except ValueError as error:
        raise _fault(f"{path}: {error}", _RESTORE) from error


def _missing(path: Path) -> NoNodeKeyError:
    return NoNodeKeyError(
        f"the node's key: there is none at {path} yet; make it with "
        '"postmanctl keys init"'
    )


def _fault(what: str, mend: str) -> NodeKeyError:
    return NodeKeyError(f"the node's key: {what}; {mend}")


def _derived(master: bytes, use: bytes) -> bytes:
    return hashlib.blake2b(
        use, key=master, digest_size=_KEY_BYTES, person=_PERSON
    ).digest()
