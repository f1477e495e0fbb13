"""A node under strace, and the trace it leaves."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.flow.house import PATIENCE, House


def under(house: House, strace: str, calls: str) -> None:
    """Have the node started under strace; its trace is in `trace` beside the state."""
    house.before = [
        *(strace, "-D", "-f", "-y", "-s", "48", "-e", f"trace={calls}"),
        *("-o", str(_file(house))),
    ]


def lines(house: House) -> list[str]:
    """Return what strace wrote of a node that has ended.

    strace gathers what it writes, and is no child of ours: it may be at it still when
    the node is gone. Its last word is that the node's first thread ended.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        written = _file(house).read_text().splitlines() or [""]
        first_thread = written[0].partition(" ")[0]
        if re.match(rf"{first_thread} +\+\+\+ (killed|exited) ", written[-1]):
            return written
        time.sleep(0.02)
    raise AssertionError("strace did not say that the node ended")


def _file(house: House) -> Path:
    return house.base / "trace"
