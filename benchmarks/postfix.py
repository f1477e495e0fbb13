"""Postfix beside ours: it takes mail in, logins checked by Dovecot.

It runs by hand, with its own configuration, queue and data below the directory of the
measurement; what the machine has installed in /etc and /var stays as it is. It is as
durable as it comes: nothing is switched off.
"""

from __future__ import annotations

import grp
import pwd
import time
from pathlib import Path

from benchmarks.dovecot import Dovecot, HashedLogins
from benchmarks.places import MAIL, count_files, make_owned, unlink_files
from benchmarks.processes import Program, free_port
from benchmarks.server import DOMAIN

PROGRAM = Path("/usr/lib/postfix/sbin/master")

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
virtual_mailbox_maps = texthash:{home}/mailboxes
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
127.0.0.1:{hashed} inet n - n - - smtpd
  -o smtpd_client_restrictions=check_client_access,static:HOLD
  -o smtpd_sasl_path=inet:127.0.0.1:{hashed_sasl}
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


class Postfix:
    """One Postfix with three doors, each with a class of its own below."""

    def __init__(self, directory: Path, dovecot: Dovecot, hashed: HashedLogins) -> None:
        self.held, self.hashed, self.delivered = (free_port() for _ in range(3))
        self.dovecot = dovecot
        self._logins = dovecot, hashed
        self.queue = directory / "postfix" / "queue"
        home = self.queue.parent
        home.mkdir(parents=True)
        self._make_queue(home)
        boxes = (f"{name}@{DOMAIN} {name}/\n" for name in dovecot.accounts)
        (home / "mailboxes").write_text("".join(boxes))
        (home / "main.cf").write_text(
            _MAIN_CF.format(
                home=home,
                daemons=PROGRAM.parent,
                domain=DOMAIN,
                mail=dovecot.mail,
                uid=MAIL,
                sasl=dovecot.sasl,
            )
        )
        (home / "master.cf").write_text(
            _MASTER_CF.format(
                held=self.held,
                hashed=self.hashed,
                hashed_sasl=hashed.sasl,
                delivered=self.delivered,
            )
        )
        command = [str(PROGRAM), "-c", str(home), "-d"]
        self._program = Program(command, home / "output", {"MAIL_CONFIG": str(home)})

    def _make_queue(self, home: Path) -> None:
        """Make the directories a Postfix queue consists of, with their owners."""
        owner = pwd.getpwnam("postfix").pw_uid
        group = grp.getgrnam("postdrop").gr_gid
        make_owned(home / "data", owner, 0, 0o700)
        make_owned(self.queue, 0, 0, 0o755)
        make_owned(self.queue / "pid", 0, 0, 0o755)
        make_owned(self.queue / "maildrop", owner, group, 0o730)
        make_owned(self.queue / "public", owner, group, 0o710)
        for name in _QUEUES:
            make_owned(self.queue / name, owner, 0, 0o700)

    def start(self) -> None:
        """Start it; Dovecot must run."""
        self._program.start(self.held, self.hashed, self.delivered)

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, Dovecot's work on logins included."""
        logins = sum(one.cpu_seconds() for one in self._logins)
        return self._program.cpu_seconds() + logins

    def waiting(self) -> int:
        """Count the messages accepted and not yet delivered or put on hold."""
        names = "incoming", "active", "deferred", "maildrop"
        return count_files(self.queue / name for name in names)

    def empty(self) -> None:
        """Remove every message there is."""
        for name in ("hold", "deferred", "defer", "incoming", "active", "maildrop"):
            unlink_files(self.queue / name)
        unlink_files(self.dovecot.mail)


class _Door:
    """One of Postfix's ways in."""

    lags = False

    def __init__(self, postfix: Postfix, port: int) -> None:
        self._postfix = postfix
        self.port = port

    def renew(self) -> None:
        """Remove every message there is."""
        self._postfix.empty()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        return self._postfix.cpu_seconds()


class HeldPostfix(_Door):
    """Postfix's way in alone: what it accepts stays in its queue, on hold."""

    name = "Postfix, queue"

    def __init__(self, postfix: Postfix) -> None:
        super().__init__(postfix, postfix.held)

    def settle(self) -> None:
        """What is on hold stays there."""

    def stored(self) -> int:
        """Count the messages in the queue."""
        hold = count_files([self._postfix.queue / "hold"])
        return hold + self._postfix.waiting()


class HashedPostfix(HeldPostfix):
    """The same, with the passwords of those who come seldom kept as hashes."""

    name = "Postfix, queue, hashed passwords"

    def __init__(self, postfix: Postfix) -> None:
        _Door.__init__(self, postfix, postfix.hashed)


class DeliveringPostfix(_Door):
    """Postfix delivering what it accepts into Maildirs at the same time."""

    name = "Postfix, Maildirs"

    def __init__(self, postfix: Postfix) -> None:
        super().__init__(postfix, postfix.delivered)

    def settle(self) -> None:
        """Wait until everything is delivered, a minute at the most."""
        until = time.monotonic() + 60
        while self._postfix.waiting() and time.monotonic() < until:
            time.sleep(0.1)

    def stored(self) -> int:
        """Count the messages in the Maildirs, and those on their way."""
        return self._postfix.dovecot.stored() + self._postfix.waiting()
