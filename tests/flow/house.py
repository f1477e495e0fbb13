"""A whole node as its own process, as its operator starts it."""

from __future__ import annotations

import contextlib
import json
import poplib
import smtplib
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from tests.flow.program import (
    BIN,
    LOCAL,
    PATIENCE,
    SURROUNDINGS,
    Program,
    Section,
    free_port,
    toml,
)

__all__ = [
    "BIN",
    "PATIENCE",
    "SURROUNDINGS",
    "House",
    "Section",
    "Wire",
    "free_port",
    "password",
    "take_all",
]


def password(name: str) -> str:
    """Return the password of the member called `name`."""
    return f"pw-of-{name}-7q3XzLk"


class House(Program):
    """A node in a directory of its own: configured, started, stopped, killed.

    `overrides` are sections of the configuration on top of cheap passwords and free
    ports. `log` is a file beside the state directory, not in it.
    """

    def __init__(self, base: Path, **overrides: Section) -> None:
        super().__init__(base)
        self.smtp_port = free_port()
        self.pop_port = free_port()
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

    def start(self) -> Self:
        """Start the node and wait until both servers greet."""
        self.launch()
        for port in (self.smtp_port, self.pop_port):
            self.await_banner(port)
        return self

    def add(self, *names: str, reopen: bool = False) -> None:
        """Make accounts; their recovery codes' announcements are in `recovery`.

        With `reopen` their names may be closed ones.
        """
        options = ["--password-stdin", *(["--reopen"] if reopen else [])]
        for name in names:
            self.recovery[name] = self.ctl(
                "account", "add", name, *options, told=password(name) + "\n"
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

    def __init__(self, port: int, address: str = LOCAL, own: str = LOCAL) -> None:
        self.socket = socket.create_connection((address, port), PATIENCE, (own, 0))
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
