"""gpg of Debian, with a keyring of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conftest import need


class Keyring:
    """A person's keys."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self._home = home

    def generate(self, *addresses: str) -> None:
        """Make a key with these addresses as its user ids."""
        first, *more = addresses
        self._gpg("--quick-generate-key", f"<{first}>", "default", "default", "never")
        for one in more:
            self._gpg("--quick-add-uid", f"<{first}>", f"<{one}>")

    def export(self, address: str) -> str:
        """Return the public key, armored."""
        return self._gpg("--armor", "--export", address).decode("ascii")

    def fingerprint(self, address: str) -> str:
        """Return the key's fingerprint, in capitals."""
        told = self._gpg("--with-colons", "--list-keys", address).decode()
        found = re.search(r"^fpr:+([0-9A-F]+):", told, re.MULTILINE)
        assert found, told
        return found[1]

    def wkd_hash(self, address: str) -> str:
        """Return what gpg would ask a Web Key Directory for."""
        told = self._gpg("--with-wkd-hash", "--list-keys", address).decode()
        found = re.search(rf"([a-z0-9]{{32}})@{address.partition('@')[2]}", told)
        assert found, told
        return found[1]

    def take(self, key: bytes) -> None:
        """Import a key."""
        self._gpg("--import", told=key)

    def listing(self) -> str:
        """Return all keys in words."""
        return self._gpg("--list-keys").decode()

    def encrypt(self, address: str, text: bytes) -> bytes:
        """Encrypt to the key of an address."""
        return self._gpg("--trust-model", "always", "-r", address, "-e", told=text)

    def decrypt(self, text: bytes) -> bytes:
        """Decrypt with what secret key there is."""
        return self._gpg("--decrypt", told=text)

    def close(self) -> None:
        """End the daemon that gpg leaves behind."""
        self._run("gpgconf", "--homedir", str(self._home), "--kill", "all")

    def _gpg(self, *arguments: str, told: bytes = b"") -> bytes:
        quiet = "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""
        return self._run(
            "gpg", "--homedir", str(self._home), *quiet, *arguments, told=told
        )

    def _run(self, program: str, *arguments: str, told: bytes = b"") -> bytes:
        done = subprocess.run(
            [need(program, "gnupg"), *arguments],
            input=told,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout
