"""Real servers beside ours: Postfix taking mail in, Dovecot handing it out.

They run by hand, each with its own configuration, queue and mail below the directory of
the measurement, on high ports of loopback; what the machine has installed in /etc and
/var stays as it is. Both are as durable as they come: nothing is switched off.
"""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.processes import Program, free_port
from benchmarks.server import DOMAIN, PASSWORD

_POSTFIX = Path("/usr/lib/postfix/sbin")
_DOVECOT = Path("/usr/sbin/dovecot")
_DOVECOT_POP3 = Path("/usr/lib/dovecot/pop3")
# Who owns the delivered mail: a user every Debian has.
_MAIL = 8

_DOVECOT_CONF = """\
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
  driver = static
  args = password={password}
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
_DOVECOT_POP3_CONF = """\
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""
_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = queue.example
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {mail}
virtual_mailbox_maps = regexp:{home}/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = {uid}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
message_size_limit = 33388608
"""
# Every service without chroot: its root would lack what it needs.
_MASTER_CF = """\
127.0.0.1:{held} inet n - n - - smtpd
  -o smtpd_client_restrictions=check_client_access,static:HOLD
127.0.0.1:{delivered} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""
_QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
    "private", "saved", "trace",
)  # fmt: skip


def missing() -> list[str]:
    """Return, for each peer that can not be measured here, one line that says why."""
    if os.geteuid() != 0:
        return ["Postfix and Dovecot are left out: they start as root only."]
    packages = {
        "postfix": _POSTFIX / "master",
        "dovecot-core": _DOVECOT,
        "dovecot-pop3d": _DOVECOT_POP3,
    }
    return [
        f"Left out for want of the Debian package {package} (apt install {package})."
        for package, program in packages.items()
        if not program.exists()
    ]


class Dovecot:
    """Dovecot: POP3 over Maildirs, and the check of passwords for Postfix."""

    name = "Dovecot"

    def __init__(self, directory: Path, accounts: Iterable[str]) -> None:
        self.mail = directory / "mail"
        self.sasl = free_port()
        self.port = free_port()
        home = directory / "dovecot"
        home.mkdir(parents=True)
        self.pop3 = _DOVECOT_POP3.exists()
        text = _DOVECOT_CONF + (_DOVECOT_POP3_CONF if self.pop3 else "")
        configuration = home / "dovecot.conf"
        configuration.write_text(
            text.format(
                home=home,
                mail=self.mail,
                uid=_MAIL,
                password=PASSWORD,
                sasl=self.sasl,
                port=self.port,
                protocols="pop3" if self.pop3 else "none",
            )
        )
        _make_owned(self.mail, _MAIL, _MAIL, 0o755)
        for account in accounts:
            for part in ("", "tmp", "new", "cur"):
                _make_owned(self.mail / account / part, _MAIL, _MAIL, 0o700)
        command = [str(_DOVECOT), "-F", "-c", str(configuration)]
        self._program = Program(command, home / "output")

    def start(self) -> None:
        """Start it."""
        self._program.start(self.sasl, *([self.port] if self.pop3 else []))

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    def renew(self) -> None:
        """Empty the Maildirs, Dovecot's indexes included."""
        _unlink_files(self.mail)

    def settle(self) -> None:
        """Nothing is on its way here."""

    def stored(self) -> int:
        """Count the messages in the Maildirs."""
        return _count_files(
            place for box in self.mail.iterdir() for place in (box / "new", box / "cur")
        )

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return self._program.cpu_seconds()

    def fill(self, account: str, message: bytes, count: int) -> None:
        """Put `count` messages into an account's Maildir, as a delivery does."""
        text = message.replace(b"\r\n", b"\n")
        for number in range(count):
            path = self.mail / account / "new" / f"1700000000.M{number:06d}.queue"
            path.write_bytes(text)
            os.chown(path, _MAIL, _MAIL)


class Postfix:
    """One Postfix with two doors: see HeldPostfix and DeliveringPostfix."""

    def __init__(self, directory: Path, dovecot: Dovecot) -> None:
        self.held, self.delivered = free_port(), free_port()
        self.dovecot = dovecot
        self.queue = directory / "postfix" / "queue"
        home = self.queue.parent
        home.mkdir(parents=True)
        self._make_queue(home)
        (home / "mailboxes").write_text(f"/^(.+)@{DOMAIN}$/ $1/\n")
        (home / "main.cf").write_text(
            _MAIN_CF.format(
                home=home,
                daemons=_POSTFIX,
                domain=DOMAIN,
                mail=dovecot.mail,
                uid=_MAIL,
                sasl=dovecot.sasl,
            )
        )
        doors = {"held": self.held, "delivered": self.delivered}
        (home / "master.cf").write_text(_MASTER_CF.format(**doors))
        command = [str(_POSTFIX / "master"), "-c", str(home), "-d"]
        self._program = Program(command, home / "output", {"MAIL_CONFIG": str(home)})

    def _make_queue(self, home: Path) -> None:
        """Make the directories a Postfix queue consists of, with their owners."""
        owner = pwd.getpwnam("postfix").pw_uid
        group = grp.getgrnam("postdrop").gr_gid
        _make_owned(home / "data", owner, 0, 0o700)
        _make_owned(self.queue, 0, 0, 0o755)
        _make_owned(self.queue / "pid", 0, 0, 0o755)
        _make_owned(self.queue / "maildrop", owner, group, 0o730)
        _make_owned(self.queue / "public", owner, group, 0o710)
        for name in _QUEUES:
            _make_owned(self.queue / name, owner, 0, 0o700)

    def start(self) -> None:
        """Start it; Dovecot must run."""
        self._program.start(self.held, self.delivered)

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, Dovecot's work on logins included."""
        return self._program.cpu_seconds() + self.dovecot.cpu_seconds()

    def waiting(self) -> int:
        """Count the messages accepted and not yet delivered or put on hold."""
        names = "incoming", "active", "deferred", "maildrop"
        return _count_files(self.queue / name for name in names)

    def empty(self) -> None:
        """Remove every message there is."""
        for name in ("hold", "deferred", "defer", "incoming", "active", "maildrop"):
            _unlink_files(self.queue / name)
        _unlink_files(self.dovecot.mail)


class HeldPostfix:
    """Postfix's way in alone: what it accepts stays in its queue, on hold."""

    name = "Postfix, queue"

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix
        self.port = postfix.held

    def renew(self) -> None:
        """Remove every message there is."""
        self._postfix.empty()

    def settle(self) -> None:
        """What is on hold stays there."""

    def stored(self) -> int:
        """Count the messages in the queue."""
        hold = _count_files([self._postfix.queue / "hold"])
        return hold + self._postfix.waiting()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return self._postfix.cpu_seconds()


class DeliveringPostfix:
    """Postfix delivering what it accepts into Maildirs at the same time."""

    name = "Postfix, Maildirs"

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix
        self.port = postfix.delivered

    def renew(self) -> None:
        """Remove every message there is."""
        self._postfix.empty()

    def settle(self) -> None:
        """Wait until everything is delivered, a minute at the most."""
        until = time.monotonic() + 60
        while self._postfix.waiting() and time.monotonic() < until:
            time.sleep(0.1)

    def stored(self) -> int:
        """Count the messages in the Maildirs, and those on their way."""
        return self._postfix.dovecot.stored() + self._postfix.waiting()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return self._postfix.cpu_seconds()


def _make_owned(path: Path, owner: int, group: int, mode: int) -> None:
    path.mkdir(exist_ok=True)
    os.chown(path, owner, group)
    path.chmod(mode)


def _count_files(places: Iterable[Path]) -> int:
    return sum(len(files) for place in places for _, _, files in os.walk(place))


def _unlink_files(place: Path) -> None:
    for directory, _, files in os.walk(place):
        for name in files:
            Path(directory, name).unlink(missing_ok=True)
