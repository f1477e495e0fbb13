"""IRC networks: InspIRCd or ngIRCd, with Atheme's or Anope's services or with none.

They run by hand with configurations of our own on free ports of the loopback; what the
machine has installed in /etc and /var stays as it is, and is not started. None of them
wants to be root: then they run as Debian's user `irc`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Self

from tests.conftest import need
from tests.flow.program import free_port
from tests.peers.irc.users import User
from tests.peers.postfix import await_port

__all__ = ["PAIRS", "Network"]

_PATIENCE = 60.0
_CONF = Path(__file__).with_name("conf")
_PACKAGES = {"atheme-services": "atheme-services", "anope": "anope"}
_LIMITS = {
    ("inspircd", "default"): "",
    ("inspircd", "strict"): 'fakelag="no"',
    ("inspircd", "none"): 'threshold="10000" commandrate="1000000"',
    ("ngircd", "default"): "",
    ("ngircd", "none"): "MaxPenaltyTime = 0",
}
PAIRS = ("inspircd+atheme", "inspircd+anope", "ngircd+anope", "ngircd")
"""What is tested: a server, and behind the plus sign its services."""


class Network:
    """One IRC server at `port`, and its services (NickServ@services.test) if it has.

    `limits` are those on floods: "default" are the server's own, "none" are none, and
    "strict" is InspIRCd's default but that who floods is thrown out, not slowed down.
    `services_fold` is the case mapping by which Atheme compares nicks.
    InspIRCd's are for 127.0.0.1: users from 127.1.0.0/16 never have any.
    """

    def __init__(
        self, pair: str, limits: str = "none", services_fold: str = "rfc1459"
    ) -> None:
        self.pair = pair
        self.server, _, self.services = pair.partition("+")
        self.port, self._link = free_port(), free_port()
        self._home = Path(tempfile.mkdtemp(prefix="irc-", dir="/tmp"))
        self._settings = {
            "home": str(self._home),
            "port": str(self.port),
            "link": str(self._link),
            "limits": _LIMITS[self.server, limits],
            "services": _read("ngircd-services") if self.services else "",
            "protocol": self._protocol(),
            "services_fold": services_fold,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> Self:
        """Start it; return when it takes users and NickServ answers them."""
        self._owned()
        try:
            self._run("server", self._server_command())
            await_port(self.port)
            if self.services:
                self.start_services()
        except BaseException:
            self.stop()
            raise
        return self

    def start_services(self) -> None:
        """Start the services; return when NickServ answers."""
        self._run("services", self._services_command())
        self.await_services()

    def await_services(self) -> None:
        """Return when NickServ answers: no list of users names it on every server."""
        asking = User(self.port, f"asking{time.monotonic_ns() % 10**9}")
        until = time.monotonic() + _PATIENCE
        try:
            while not asking.has_heard(rb":NickServ!\S* NOTICE"):
                if time.monotonic() > until:
                    raise AssertionError(f"no NickServ on {self.pair}: {self.told()}")
                asking.say(b"PRIVMSG NickServ :HELP")
                asking.wait(0.2)
        finally:
            asking.quit()

    def pause_services(self) -> None:
        """Have the services stand still; they are still linked."""
        self._running["services"].send_signal(signal.SIGSTOP)

    def resume_services(self) -> None:
        """Have them go on."""
        self._running["services"].send_signal(signal.SIGCONT)

    def stop_services(self) -> None:
        """End the services in order: they keep what they know."""
        running = self._running.pop("services")
        running.terminate()
        running.wait(_PATIENCE)

    def kill_services(self) -> None:
        """Kill the services as a crash does; the server sees them go."""
        running = self._running.pop("services")
        running.kill()
        running.wait(_PATIENCE)

    def stop(self) -> None:
        """End it, and remove what it kept."""
        for running in self._running.values():
            running.kill()
            running.wait(_PATIENCE)
        self._running.clear()
        shutil.rmtree(self._home, ignore_errors=True)

    def told(self) -> str:
        """Return the ends of what its programs printed."""
        return "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-1500:]}"
            for log in self._home.glob("*.out")
        )

    # The programs.

    def _protocol(self) -> str:
        if self.server == "ngircd":
            return "ngircd"
        return "inspircd3" if self.services == "anope" else "inspircd"

    def _server_command(self) -> Sequence[str]:
        config = self._write(self.server)
        if self.server == "ngircd":
            return [_program("ngircd"), "-n", "-f", config]
        return [_program("inspircd"), "--config", config, "--nofork"]

    def _services_command(self) -> Sequence[str]:
        config, home = self._write(self.services), str(self._home)
        if self.services == "atheme":
            program = _program("atheme-services")
            files = ["-l", f"{home}/atheme-start.log", "-p", f"{home}/atheme.pid"]
            return [program, "-n", "-c", config, *files, "-D", f"{home}/db"]
        places = [f"--confdir={home}", f"--dbdir={home}/db", f"--logdir={home}"]
        modules = "--modulesdir=/usr/lib/anope"
        return [_program("anope"), "--config=anope.conf", *places, modules, "--nofork"]

    def _write(self, name: str) -> str:
        place = self._home / f"{name}.conf"
        place.write_text(Template(_read(name)).substitute(self._settings))
        return str(place)

    def _run(self, role: str, command: Sequence[str]) -> None:
        with (self._home / f"{role}.out").open("ab") as out:
            self._running[role] = subprocess.Popen(
                command,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                **_somebody(),
            )

    def _owned(self) -> None:
        for name in ("db", "db/backups", "none.d", "backups"):
            (self._home / name).mkdir()
        (self._home / "motd.txt").write_text("a test\n")
        # Atheme does not begin without one.
        (self._home / "db" / "services.db").touch()
        if os.getuid() == 0:
            owner = pwd.getpwnam("irc")
            for place in (self._home, *self._home.rglob("*")):
                os.chown(place, owner.pw_uid, owner.pw_gid)


def _somebody() -> dict[str, object]:
    if os.getuid():
        return {}
    return {"user": "irc", "group": "irc", "extra_groups": []}


def _program(name: str) -> str:
    found = Path("/usr/sbin", name)
    return str(found) if found.exists() else need(name, _PACKAGES.get(name))


def _read(name: str) -> str:
    return (_CONF / f"{name}.conf").read_text()
