"""Dovecot beside ours: it hands mail out of Maildirs, and checks Postfix's logins.

It runs by hand, with its own configuration and mail below the directory of the
measurement; what the machine has installed in /etc and /var stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nacl.pwhash import argon2id

from benchmarks.places import MAIL, count_files, make_owned, unlink_files
from benchmarks.processes import Program, free_port
from benchmarks.server import PASSWORD
from postmand.config import Accounts as Cost

PROGRAM = Path("/usr/sbin/dovecot")
POP3_PROGRAM = Path("/usr/lib/dovecot/pop3")

_CONF = """\
protocols = {protocols}
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/dovecot.log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{mail}/%u
first_valid_uid = {uid}
passdb {{
  {passdb}
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={mail}/%u
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {sasl}
  }}
}}
"""
_POP3_CONF = """\
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


class Logins:
    """Dovecot as what checks Postfix's logins."""

    pop3 = False

    def __init__(self, home: Path, mail: Path, passdb: str) -> None:
        self.mail = mail
        self.sasl = free_port()
        self.port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        text = _CONF + (_POP3_CONF if self.pop3 else "")
        configuration = home / "dovecot.conf"
        configuration.write_text(
            text.format(
                home=home,
                mail=self.mail,
                uid=MAIL,
                passdb=passdb,
                sasl=self.sasl,
                port=self.port,
                protocols="pop3" if self.pop3 else "none",
            )
        )
        command = [str(PROGRAM), "-F", "-c", str(configuration)]
        self._program = Program(command, home / "output")

    def start(self) -> None:
        """Start it."""
        self._program.start(self.sasl, *([self.port] if self.pop3 else []))

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return self._program.cpu_seconds()


class HashedLogins(Logins):
    """Passwords kept as ours keeps them: Argon2id, of the same cost.

    Those of `hot` are in the clear: that is what a memory of logins, which Dovecot has
    not for hashes, would come to.
    """

    def __init__(
        self, directory: Path, hot: Sequence[str], cold: Sequence[str], settings: Cost
    ) -> None:
        home = directory / "hashed-logins"
        home.mkdir(parents=True)
        hashed = argon2id.str(
            PASSWORD.encode(),
            opslimit=settings.argon2_passes,
            memlimit=settings.argon2_memory_kib * 1024,
        ).decode()
        lines = [f"{name}:{{PLAIN}}{PASSWORD}\n" for name in hot]
        lines += [f"{name}:{{ARGON2ID}}{hashed}\n" for name in cold]
        passwords = home / "passwords"
        passwords.write_text("".join(lines))
        passdb = f"driver = passwd-file\n  args = {passwords}"
        super().__init__(home, directory / "mail", passdb)


class Dovecot(Logins):
    """Dovecot: POP3 over Maildirs, and one password for all."""

    name = "Dovecot"

    def __init__(self, directory: Path, accounts: Sequence[str]) -> None:
        self.accounts = accounts
        self.pop3 = POP3_PROGRAM.exists()
        passdb = f"driver = static\n  args = password={PASSWORD}"
        super().__init__(directory / "dovecot", directory / "mail", passdb)
        make_owned(self.mail, MAIL, MAIL, 0o755)
        for account in accounts:
            for part in ("", "tmp", "new", "cur"):
                make_owned(self.mail / account / part, MAIL, MAIL, 0o700)

    def renew(self) -> None:
        """Empty the Maildirs, Dovecot's indexes included."""
        unlink_files(self.mail)

    def stored(self) -> int:
        """Count the messages in the Maildirs."""
        return count_files(
            place for box in self.mail.iterdir() for place in (box / "new", box / "cur")
        )

    def fill(self, account: str, message: bytes, count: int) -> None:
        """Put `count` messages into an account's Maildir, as a delivery does."""
        text = message.replace(b"\r\n", b"\n")
        for number in range(count):
            path = self.mail / account / "new" / f"1700000000.M{number:06d}.queue"
            path.write_bytes(text)
            os.chown(path, MAIL, MAIL)
