"""Real mail programs, each in a home of its own that tells a lot about its user.

What they would tell is listed in `TRACES`: after a program ran, none of it may be
found in what the recipient gets.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.flow.house import House, password

HOST = "marys-laptop.home.example.org"
USER = "realmary"
REAL_NAME = "Mary Realname"
TRACES = (
    HOST.encode(),
    b"marys-laptop",
    USER.encode(),
    REAL_NAME.encode(),
    b"Realname",
    b"-0400",
    b"-0430",
    b"Caracas",
    b"10.77.66.55",
)
SUBJECT = "Greetings from the field"
BODY = "Hello alice,\n\n.one dot\n..two dots\nFrom the start of a line\n\nbye\n"


class Home:
    """A home directory with its environment."""

    def __init__(self, path: Path, house: House) -> None:
        path.mkdir(mode=0o700)
        self.path = path
        self.house = house
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "USER": USER,
            "LOGNAME": USER,
            "HOSTNAME": HOST,
            "NAME": REAL_NAME,
            "TZ": "America/Caracas",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
        }

    @property
    def smtp(self) -> str:
        """Return host:port of the submission server."""
        return f"127.0.0.1:{self.house.smtp_port}"

    @property
    def pop(self) -> str:
        """Return host:port of the POP3 server."""
        return f"127.0.0.1:{self.house.pop_port}"

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file of the home."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(mode)
        return path

    def run(
        self,
        *command: str,
        told: bytes = b"",
        more: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a program to its end; return its standard output."""
        done = subprocess.run(
            command,
            input=told,
            capture_output=True,
            cwd=self.path,
            env={**self.environment, **(more or {})},
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise AssertionError(
                f"{command[0]} ended with {done.returncode}:\n"
                f"{done.stdout.decode(errors='replace')}\n"
                f"{done.stderr.decode(errors='replace')}\n{self.house.told()}"
            )
        return done.stdout

    @property
    def password(self) -> str:
        """Return the password of the member who writes."""
        return password("jondoe")


def assert_clean(message: bytes, *own: bytes) -> None:
    """See that nothing of the sender's machine or program is in the header block.

    `own` are traces of this very program.
    """
    header = message.partition(b"\r\n\r\n")[0]
    for trace in (*TRACES, *own):
        assert trace.lower() not in header.lower(), (trace, header.decode("latin-1"))
    assert header.startswith(b"Return-Path: <jondoe@mail.i2p>\r\nReceived: ")
    names = [
        line.partition(b":")[0]
        for line in header.split(b"\r\n")
        if line[:1] not in (b" ", b"\t")
    ]
    assert len(names) == len(set(names)), names
