"""A real Postfix, as a gateway or as the Internet: mail for example.org into a Maildir.

It runs by hand, with its configuration, queue and mail in a directory of its own; what
the machine has installed in /etc and /var stays as it is, and is not started.
"""

from __future__ import annotations

import base64
import grp
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.flow.program import LOCAL, free_port

MASTER = Path("/usr/lib/postfix/sbin/master")
_NOBODY = 65_534
_PATIENCE = 60.0

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
mydestination =
alias_maps =
inet_protocols = ipv4
maillog_file = {home}/log
maillog_file_prefixes = /tmp
smtpd_peername_lookup = no
virtual_mailbox_domains = example.org
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = 100
smtpd_recipient_restrictions =
  check_recipient_access inline:{{{{nobody@example.org=550 5.1.1 no such user}}}}
smtpd_tls_cert_file = {home}/gateway.pem
smtpd_tls_key_file = {home}/gateway.pem
smtpd_tls_received_header = yes
message_size_limit = 40000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
"""
_GATEWAY_CF = """\
myhostname = gateway.example
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_mandatory_protocols = >=TLSv1.3
smtpd_tls_fingerprint_digest = sha256
relay_clientcerts = inline:{{{{{client}=host}}}}
"""
_INTERNET_CF = """\
myhostname = mail.example.org
inet_interfaces = 127.0.0.1
smtp_bind_address = {address}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = may
mynetworks = 127.0.0.1/32
smtpd_relay_restrictions = reject_unauth_destination, permit
smtpd_tls_security_level = may
transport_maps = inline:{{{{{transport}}}}}
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"""
_INTERNET_DOORS = """\
{address}:{port} inet n - n - - smtpd
127.0.0.1:{door} inet n - n - - smtpd
  -o smtpd_relay_restrictions=permit_mynetworks,reject
smtp unix - - n - - smtp
"""
_GATEWAY_DOORS = """\
127.0.0.1:{plain} inet n - n - - smtpd
127.0.0.1:{pinned} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_tls_ask_ccert=yes
  -o smtpd_relay_restrictions=permit_tls_clientcerts,reject
"""
# Every service without chroot: its root would lack what it needs.
_MASTER_CF = """\
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
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


def fingerprint(pin: str) -> str:
    """Return a pin as Postfix writes the fingerprint of a public key."""
    octets = base64.b64decode(pin.removeprefix("sha256/"))
    return ":".join(f"{octet:02X}" for octet in octets)


class _Instance:
    """One Postfix with a directory of its own. `identity` is key and certificate."""

    def __init__(self, identity: bytes, main: str, doors: str) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        self._home.chmod(0o755)
        self._make_places()
        (self._home / "gateway.pem").touch(0o600)
        (self._home / "gateway.pem").write_bytes(identity)
        common = _MAIN_CF.format(home=self._home, daemons=MASTER.parent, uid=_NOBODY)
        (self._home / "main.cf").write_text(common + main)
        (self._home / "master.cf").write_text(doors + _MASTER_CF)
        self._running = subprocess.Popen(
            [MASTER, "-c", self._home, "-d"],
            env={**os.environ, "MAIL_CONFIG": str(self._home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def await_doors(self, *doors: tuple[str, int]) -> None:
        """Wait until all of them are open; end it where they do not."""
        try:
            for address, port in doors:
                await_port(port, address)
        except BaseException:
            self.stop()
            raise

    def told(self) -> str:
        """Return its log."""
        log = self._home / "log"
        return log.read_text() if log.exists() else ""

    def flush(self) -> None:
        """Have it try again now what was put off: under load its timers are late."""
        command = ["postqueue", "-c", self._home, "-f"]
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)

    def _make_places(self) -> None:
        owner = pwd.getpwnam("postfix").pw_uid
        group = grp.getgrnam("postdrop").gr_gid
        queue = self._home / "queue"
        _make(self._home / "data", owner, 0, 0o700)
        _make(self._home / "mail", _NOBODY, _NOBODY, 0o700)
        _make(queue, 0, 0, 0o755)
        _make(queue / "pid", 0, 0, 0o755)
        _make(queue / "maildrop", owner, group, 0o730)
        _make(queue / "public", owner, group, 0o710)
        for name in _QUEUES:
            _make(queue / name, owner, 0, 0o700)

    def collect(self, count: int) -> list[bytes]:
        """Wait until so many messages arrived; return and remove all there are."""
        new = self._home / "mail" / "all" / "new"
        until = time.monotonic() + _PATIENCE
        while len(found := list(new.glob("*"))) < count and time.monotonic() < until:
            time.sleep(0.05)
        messages = [file.read_bytes() for file in found]
        for file in found:
            file.unlink()
        return messages

    def stop(self) -> None:
        """End it, with its children, and remove what it kept."""
        self._running.terminate()
        self._running.wait(_PATIENCE)
        shutil.rmtree(self._home)


class Postfix(_Instance):
    """A gateway with two doors: `plain`, and `pinned`, which is TLS from the start.

    `identity` is its key and certificate as PEM; the pinned door relays for whoever
    shows the key that `client` is the pin of, and for nobody else.
    """

    def __init__(self, identity: bytes, client: str) -> None:
        self.plain, self.pinned = free_port(), free_port()
        super().__init__(
            identity,
            _GATEWAY_CF.format(client=fingerprint(client)),
            _GATEWAY_DOORS.format(plain=self.plain, pinned=self.pinned),
        )
        self.await_doors((LOCAL, self.plain), (LOCAL, self.pinned))


class Internet(_Instance):
    """The mail server of example.org, at `address` and `port`, with STARTTLS.

    Its users hand in at `door` of this machine. `ways` are the servers that i2pmail.org
    is reached at, the most preferred first: it has no other way to look them up. What
    is put off is tried again within seconds.
    """

    def __init__(
        self, identity: bytes, address: str, port: int, ways: Sequence[tuple[str, int]]
    ) -> None:
        self.address, self.port, self.door = address, port, free_port()
        hops = ",".join(f"[{host}]:{number}" for host, number in ways)
        super().__init__(
            identity,
            _INTERNET_CF.format(address=address, transport=f"i2pmail.org=smtp:{hops}"),
            _INTERNET_DOORS.format(address=address, port=port, door=self.door),
        )
        self.await_doors((address, port), (LOCAL, self.door))

    def send(self, sender: str, recipients: list[str], message: bytes) -> None:
        """Hand in one message as a user of example.org."""
        with smtplib.SMTP("127.0.0.1", self.door, "client", _PATIENCE) as session:
            assert not session.sendmail(sender, recipients, message)


class Sink:
    """Postfix's own smtp-sink: it takes everything and keeps nothing."""

    def __init__(self, program: str, *options: str) -> None:
        self.port = free_port()
        place = f"127.0.0.1:{self.port}"
        self._running = subprocess.Popen(
            [program, "-u", "nobody", *options, place, "100"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await_port(self.port)

    def stop(self) -> None:
        """End it."""
        self._running.kill()
        self._running.wait()


def await_port(port: int, address: str = LOCAL) -> None:
    """Wait until something listens there."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _make(place: Path, owner: int, group: int, mode: int) -> None:
    place.mkdir()
    place.chmod(mode)
    os.chown(place, owner, group)
