"""A whole node as its own process, as its operator starts it."""

from __future__ import annotations

import contextlib
import json
import os
import poplib
import random
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
# The node's own surroundings tell something too: none of it may come out.
SURROUNDINGS = {
    "TZ": "America/Caracas",
    "HOSTNAME": "nodes-own-box.home.example.net",
    "LANG": "C.UTF-8",
    "PATH": os.environ["PATH"],
}
PATIENCE = 60.0


def password(name: str) -> str:
    """Return the password of the member called `name`."""
    return f"pw-of-{name}-7q3XzLk"


def free_port() -> int:
    """Return a port that nothing listens on, outside the range of outgoing ones."""
    while True:
        port = random.randint(15_000, 31_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


Table = Mapping[str, object]
Section = Table | Sequence[Table]


def toml(sections: Mapping[str, Section]) -> str:
    """Return sections of strings, numbers, booleans and lists as TOML.

    A sequence of tables is an array of them, as `[[gateways]]` is.
    """
    lines = []
    for section, content in sections.items():
        tables = [content] if isinstance(content, Mapping) else content
        for table in tables:
            one = isinstance(content, Mapping)
            lines.append(f"[{section}]" if one else f"[[{section}]]")
            for key, value in table.items():
                lines.append(f"{key} = {_shown(value)}")
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {_shown(one)}" for key, one in value.items())
        return "{ " + pairs + " }"
    return repr(value)


class House:
    """A node in a directory of its own: configured, started, stopped, killed.

    `overrides` are sections of the configuration on top of cheap passwords and free
    ports. `log` is a file beside the state directory, not in it.
    """

    def __init__(self, base: Path, **overrides: Section) -> None:
        self.base = base
        self.state = base / "state"
        self.config = base / "node.toml"
        self.log = base / "node.log"
        self.smtp_port = free_port()
        self.pop_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.before: list[str] = []
        self.twistd = [str(BIN / "twistd")]
        self._ahead = base / "ahead"
        self.recovery: dict[str, str] = {}
        self.configure(**overrides)

    def configure(self, **overrides: Section) -> None:
        """Write the configuration; takes effect at the next start."""
        sections: dict[str, Any] = {
            "node": {"state": str(self.state)},
            "submission": {"listen": [f"tcp:{self.smtp_port}:interface=127.0.0.1"]},
            "pop3": {"listen": [f"tcp:{self.pop_port}:interface=127.0.0.1"]},
            "accounts": {"argon2_passes": 1, "argon2_memory_kib": 8},
        }
        for section, table in overrides.items():
            if isinstance(table, Mapping):
                sections.setdefault(section, {}).update(table)
            else:
                sections[section] = table
        self.config.write_text(toml(sections))

    # The process.

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process and return at once."""
        command = [*self.twistd, "-n", "--pidfile=", "postman"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, *command, "--config", str(self.config)],
                cwd=self.base,
                env=SURROUNDINGS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.process

    def start(self) -> House:
        """Start the node and wait until both servers greet."""
        process = self.launch()
        for port in (self.smtp_port, self.pop_port):
            self._await_banner(process, port)
        return self

    def _await_banner(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"the node ended at its start:\n{self.told()}")
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 5) as link,
            ):
                if link.recv(256):
                    return
            time.sleep(0.02)
        raise AssertionError(f"the node does not greet on {port}:\n{self.told()}")

    def on_a_clock(self) -> House:
        """Have the node started with clocks that `later` moves ahead."""
        self._set_ahead(0.0)
        program = Path(__file__).with_name("ahead.py")
        self.twistd = [sys.executable, str(program), str(self._ahead)]
        return self

    def later(self, seconds: float) -> float:
        """Move the node's clocks ahead at once; return the time of day they show."""
        self._set_ahead(self._seconds_ahead() + seconds)
        return self.now()

    def now(self) -> float:
        """Return the time of day as the node has it, in seconds since 1970 UTC."""
        return time.time() + self._seconds_ahead()

    def _seconds_ahead(self) -> float:
        return float(self._ahead.read_text()) if self._ahead.exists() else 0.0

    def _set_ahead(self, seconds: float) -> None:
        # The node may read at any moment: never half a number.
        new = self._ahead.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._ahead)

    def stop(self) -> None:
        """End it as an operator does, and see that it ended well."""
        status = self._end(signal.SIGTERM)
        # twistd cleans up and then lets the signal end it.
        if status not in (None, 0, -signal.SIGTERM):
            raise AssertionError(f"the node ended with {status}:\n{self.told()}")
        if status is not None and "Server Shut Down" not in self.told()[-200:]:
            raise AssertionError(f"the node did not end in order:\n{self.told()}")

    def kill(self) -> None:
        """End it as a power cut does, as far as a process can feel one."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(how)
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the node does not end:\n{self.told()}") from None

    def told(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    # The operator.

    def ctl(self, *arguments: str, told: str = "") -> str:
        """Run postmanctl with `told` on its standard input; return what it prints."""
        done = subprocess.run(
            [str(BIN / "postmanctl"), "--config", str(self.config), *arguments],
            input=told,
            capture_output=True,
            text=True,
            cwd=self.base,
            env=SURROUNDINGS,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise AssertionError(
                f"postmanctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def add(self, *names: str) -> None:
        """Make accounts; their recovery codes' announcements are in `recovery`."""
        for name in names:
            self.recovery[name] = self.ctl(
                "account", "add", name, "--password-stdin", told=password(name) + "\n"
            )

    def quota(self, name: str) -> dict[str, Any]:
        """Return what `postmanctl quota show` tells of an account."""
        told: dict[str, Any] = json.loads(self.ctl("quota", "show", name, "--json"))
        return told

    # The members.

    @contextlib.contextmanager
    def smtp(self, name: str | None = None) -> Iterator[smtplib.SMTP]:
        """Open an SMTP session, logged in when a name is given."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port, "client", PATIENCE) as session:
            if name is not None:
                session.login(name, password(name))
            yield session

    @contextlib.contextmanager
    def pop(self, name: str | None = None) -> Iterator[poplib.POP3]:
        """Open a POP3 session, logged in when a name is given; QUIT at its end."""
        session = poplib.POP3("127.0.0.1", self.pop_port, PATIENCE)
        try:
            if name is not None:
                session.user(name)
                session.pass_(password(name))
            yield session
            session.quit()
        finally:
            session.close()

    def submit(self, name: str, recipients: list[str], message: bytes) -> None:
        """Hand in one message as the member called `name`."""
        with self.smtp(name) as session:
            refused = session.sendmail(f"{name}@mail.i2p", recipients, message)
            assert not refused

    def collect(self, name: str, *, delete: bool = True) -> list[bytes]:
        """Return the member's messages, CRLF line ends, oldest first."""
        with self.pop(name) as session:
            return take_all(session, delete=delete)

    def greet(self, port: int) -> Wire:
        """Open a bare connection; its banner is not read yet."""
        return Wire(port)


def take_all(
    session: poplib.POP3, *, delete: bool = True, most: int = sys.maxsize
) -> list[bytes]:
    """Return what the open session's mailbox holds; mark it deleted if asked."""
    found = []
    for number in range(1, min(most, session.stat()[0]) + 1):
        found.append(b"".join(line + b"\r\n" for line in session.retr(number)[1]))
        if delete:
            session.dele(number)
    return found


class Wire:
    """A bare line connection, for words no client would say."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")

    def say(self, *lines: str | bytes) -> None:
        """Send lines in one burst."""
        parts = [line.encode() if isinstance(line, str) else line for line in lines]
        self.socket.sendall(b"".join(part + b"\r\n" for part in parts))

    def line(self) -> str:
        """Return the next line without its end, "" at the end of the connection."""
        return self.file.readline().decode("latin-1").removesuffix("\r\n")

    def reply(self) -> str:
        """Return the next SMTP reply, its lines joined by a newline."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def listing(self) -> list[str]:
        """Return the lines of a POP3 listing, without the dot that ends it."""
        lines = []
        while (line := self.line()) not in (".", ""):
            lines.append(line)
        return lines

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
