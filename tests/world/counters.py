"""The counters that a program shows to its operator."""

from __future__ import annotations

import re
import time
import urllib.request

from tests.flow.program import LOCAL, PATIENCE, Program, free_port


class Counters:
    """Those of a `program` that is yet to be started, and has no [metrics] so far."""

    def __init__(self, program: Program) -> None:
        port = free_port()
        self._url = f"http://{LOCAL}:{port}/metrics"
        with program.config.open("a") as file:
            file.write(f'\n[metrics]\nlisten = ["tcp:{port}:interface={LOCAL}"]\n')

    def value(self, name: str) -> float:
        """Return a counter as it is shown now, 0 where it is not."""
        with urllib.request.urlopen(self._url, timeout=PATIENCE) as page:
            text = page.read().decode()
        found = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def risen(self, name: str, least: float) -> float:
        """Return a counter once it is that high, or as it is when patience ends."""
        until = time.monotonic() + PATIENCE
        while (value := self.value(name)) < least and time.monotonic() < until:
            time.sleep(0.1)
        return value
