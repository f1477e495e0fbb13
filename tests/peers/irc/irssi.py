"""irssi in a terminal of tmux's, typed at and read as its user would."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.conftest import need
from tests.flow.program import SURROUNDINGS

_PATIENCE = 60.0
_SAID = re.compile(r"<\S+> |-\S+\(\S+\)- ")
_WHENCE = re.compile(r"(?<=^-)([^(]+)\(\S+\)(?=- )")
_CONFIG = """\
settings = {{
  core = {{ real_name = "somebody"; user_name = "user"; nick = "{nick}"; }};
  "fe-text" = {{ scrollback_lines = "500"; }};
  "fe-common/core" = {{
    timestamps = "no"; show_names_on_join = "no"; beep_when_away = "no";
    theme = "default"; autocreate_own_query = "yes";
  }};
}};
"""


class Irssi:
    """A terminal of 90 columns with irssi in it, not connected yet."""

    def __init__(self, nick: str) -> None:
        tmux, irssi = need("tmux"), need("irssi")
        self._home = Path(tempfile.mkdtemp(prefix="irssi-", dir="/tmp"))
        (self._home / "config").write_text(_CONFIG.format(nick=nick))
        self._tmux = [tmux, "-S", str(self._home / "tmux"), "-f", "/dev/null"]
        command = f"{irssi} --home={self._home} --noconnect"
        self._run("new-session", "-d", "-x", "90", "-y", "60", command)
        self.await_text("Irssi")

    def type(self, *lines: str) -> None:
        """Type lines, each with Enter behind it."""
        for line in lines:
            self._run("send-keys", "-l", "--", line)
            self._run("send-keys", "Enter")

    def await_text(self, pattern: str) -> str:
        """Return the screen when the pattern is found in it."""
        until = time.monotonic() + _PATIENCE
        while not re.search(pattern, screen := self.screen()):
            if time.monotonic() > until:
                raise AssertionError(f"irssi never showed {pattern!r}:\n{screen}")
            time.sleep(0.1)
        return screen

    def screen(self) -> str:
        """Return what the terminal shows."""
        return self._run("capture-pane", "-p", "-J")

    def dialogue(self) -> str:
        """Return what is said in the window, a line each, without users and hosts."""
        joined: list[str] = []
        for line in self.screen().splitlines():
            if _SAID.match(line):
                joined.append(line.rstrip())
            elif joined and line.startswith(" " * 10):
                joined[-1] += " " + line.strip()
        return "\n".join(_WHENCE.sub(r"\1", line) for line in joined)

    def stop(self) -> None:
        """End both."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [*self._tmux, *command],
            env={**SURROUNDINGS, "TERM": "screen", "HOME": str(self._home)},
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"tmux {command[0]}: {done.stderr}")
        return done.stdout
