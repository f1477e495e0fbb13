"""Programs under measurement: started, weighed and ended, with all their children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 30
_STOP_SECONDS = 20


class StartError(Exception):
    """A program did not come up; the text says which, and ends with its last words."""


def free_port() -> int:
    """Return a port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """One server program with its descendants."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = arguments
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *ports: int) -> None:
        """Start it and wait until it greets at all `ports` of loopback."""
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        for port in ports:
            self._await_greeting(port)

    def stop(self) -> None:
        """End it, then what is left of its children; returns when all are gone."""
        if self._running is None:
            return
        children = self.pids()[1:]
        self._running.terminate()
        try:
            self._running.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        for pid in children:
            _end_orphan(pid, self._running.pid)
        self._running = None

    def pids(self) -> list[int]:
        """Return the process and its descendants, parents first."""
        if self._running is None:
            return []
        children: dict[int, list[int]] = {}
        for pid, fields in _all_stats():
            children.setdefault(int(fields[1]), []).append(pid)
        found = [self._running.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, that of children gone since included."""
        own = set(self.pids())
        ticks = 0
        for pid, fields in _all_stats():
            if pid in own:
                ticks += sum(int(value) for value in fields[11:15])
        return ticks / _TICKS

    def pss_kib(self) -> int:
        """Return its memory in KiB, each shared page divided by its sharers."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss:", "SwapPss:")):
                    total += int(line.split()[1])
        return total

    def _await_greeting(self, port: int) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if self._running is None or self._running.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as link:
                    if link.recv(1):
                        return
            except OSError:
                time.sleep(0.02)
        last = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        raise StartError(f"{self._arguments[0]} did not start: {' / '.join(last)}")


def _all_stats() -> list[tuple[int, list[str]]]:
    """Return (pid, what follows the name in /proc/PID/stat) of every process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            found.append((int(entry), text.rpartition(")")[2].split()))
    return found


def _end_orphan(pid: int, session: int) -> None:
    """End a child its parent left behind, if the number is still that child's."""
    try:
        if os.getsid(pid) == session:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
