"""Files that hold a key: made whole or not at all, and the ways a key is written."""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
from pathlib import Path
from struct import Struct

from postmand.store.database import make_directory, sync_directory
from postmand.store.passwords import SALT_BYTES, Cost, Purpose, Wrapped, unwrap, wrap

MASTER_BYTES = 32
MASTER_COST = Cost(3, 64 * 1024)
"""Argon2id of the passphrase: paid once a start, so it may cost a second."""

_MAGIC = b"postmand node key, wrapped, 1\n"
_HEAD = Struct(">II")
_VERIFIER_BYTES = 32
# Nonce, key and tag of XChaCha20-Poly1305.
_WRAPPED_BYTES = 24 + MASTER_BYTES + 16
_WHOLE = len(_MAGIC) + _HEAD.size + SALT_BYTES + _VERIFIER_BYTES + _WRAPPED_BYTES
# A damaged file must not ask for all memory.
_MOST = Cost(64, 4 * 1024 * 1024)
_PURPOSE = Purpose(0, b"node passphrase")

# Longer than any way to write a key down.
_MOST_OCTETS = 4096
_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{43}=")
_CREDENTIAL = re.compile(r"(?!\.\.?\Z)[^/\0]{1,255}")


class OpenToOthersError(Exception):
    """Others than the file's owner may read or write it; the argument is its path."""


class NoCredentialError(Exception):
    """systemd hands over no such credential: what is wrong, and its mend."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


def make(path: Path, octets: bytes) -> bool:
    """Make a file for its owner alone, durable when this returns; False if it is there.

    Nobody ever sees a part of it. Raises OSError, and leaves no file then.
    """
    make_directory(path.parent)
    # A draft that a crash leaves behind holds a key that was never used.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.utime(file.fileno(), ns=(0, 0))
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def read(path: Path, *, private: bool = True) -> bytes:
    """Return what a small file holds, or OSError.

    With `private` OpenToOthersError for one that others may use. (A credential of
    systemd's looks so: its access list counts as the group's.)
    """
    with path.open("rb") as file:
        if private and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise OpenToOthersError(str(path))
        return file.read(_MOST_OCTETS)


def credential_path(name: str) -> Path:
    """Return the file of a credential of systemd's; NoCredentialError without one."""
    if not _CREDENTIAL.fullmatch(name):
        raise NoCredentialError(
            f'"{name}" is no name of a credential',
            "write a file's name without a directory",
        )
    line = f"LoadCredentialEncrypted={name}:/etc/credstore.encrypted/{name}"
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise NoCredentialError(
            "systemd has handed over no credentials",
            f"start as a service whose unit has {line}, or one command with "
            f'systemd-run --pty -p User=… -p {line} …; "postmanctl keys init" tells '
            "how the credential is made",
        )
    path = Path(directory, name)
    if not path.exists():
        raise NoCredentialError(
            f"systemd has handed over no credential {name}",
            f"write {line} into the unit",
        )
    return path


def master(octets: bytes) -> bytes:
    """Return the key in 32 plain octets, 64 hex digits or base64; else ValueError.

    The last two may end with a line's end.
    """
    if len(octets) == MASTER_BYTES:
        return octets
    text = octets.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text.decode())
    if _BASE64.fullmatch(text):
        return base64.b64decode(text)
    raise ValueError("it must hold 32 octets, plain, in hex or in base64")


def wrapped(key: bytes, passphrase: bytes, cost: Cost) -> bytes:
    """Return a key wrapped under a passphrase. Blocks for one Argon2id."""
    inner = wrap(key, passphrase, cost, _PURPOSE)
    head = _HEAD.pack(cost.passes, cost.memory_kib)
    return b"".join((_MAGIC, head, inner.salt, inner.verifier, inner.key))


def unwrapped(octets: bytes, passphrase: bytes) -> bytes | None:
    """Return the key, or None for a wrong passphrase. Blocks for one Argon2id.

    Raises ValueError for what wrapped() did not make, SealError for what was changed.
    """
    if len(octets) != _WHOLE or not octets.startswith(_MAGIC):
        raise ValueError("it is no wrapped key, or a part of one")
    passes, memory_kib = _HEAD.unpack_from(octets, len(_MAGIC))
    if not (0 < passes <= _MOST.passes and 8 <= memory_kib <= _MOST.memory_kib):
        raise ValueError("it asks for a passphrase of no possible cost")
    salt = len(_MAGIC) + _HEAD.size
    verifier = salt + SALT_BYTES
    key = verifier + _VERIFIER_BYTES
    inner = Wrapped(octets[salt:verifier], octets[verifier:key], octets[key:])
    return unwrap(inner, passphrase, Cost(passes, memory_kib), _PURPOSE)
