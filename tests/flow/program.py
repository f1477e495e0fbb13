"""A program of ours as its own process, as its operator starts it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

BIN = Path(sys.executable).parent
# The node's own surroundings tell something too: none of it may come out.
SURROUNDINGS = {
    "TZ": "America/Caracas",
    "HOSTNAME": "nodes-own-box.home.example.net",
    "LANG": "C.UTF-8",
    "PATH": os.environ["PATH"],
}
PATIENCE = 60.0
LOCAL = "127.0.0.1"


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
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return repr(value)


class Program:
    """twistd with a configuration and a state directory of its own.

    `log` is a file beside the state directory, not in it.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.state = base / "state"
        self.config = base / "node.toml"
        self.log = base / "node.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.before: list[str] = []
        self.twistd = [str(BIN / "twistd")]
        self._ahead = base / "ahead"

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

    def await_banner(self, port: int, address: str = LOCAL) -> None:
        """Wait until the program greets there."""
        process = self.process
        assert process
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"the node ended at its start:\n{self.told()}")
            with (
                contextlib.suppress(OSError),
                socket.create_connection((address, port), 5) as link,
            ):
                if link.recv(256):
                    return
            time.sleep(0.02)
        raise AssertionError(f"the node does not greet on {port}:\n{self.told()}")

    def on_a_clock(self, *, timers: bool = False) -> Self:
        """Have the node started with clocks, and timers, that `later` moves ahead."""
        self._set_ahead(0.0)
        program = Path(__file__).with_name("ahead.py")
        what = "timers" if timers else "clocks"
        self.twistd = [sys.executable, str(program), what, str(self._ahead)]
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
