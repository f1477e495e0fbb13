"""twistd, but for the clocks of the node: `ahead.py WHAT FILE TWISTD'S-ARGUMENTS`.

The node's two clocks show the machine's time and so many seconds more as stand in FILE,
whenever they are asked. All else is as its operator starts it. WHAT is "clocks", and
timers run in real time, or "timers", and they go by FILE too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.scripts import twistd

from postmand import node as wiring
from postmand.site import Clocks


def main() -> None:
    """Run a node."""
    what, file = sys.argv.pop(1), Path(sys.argv.pop(1))

    last = 0.0

    def seconds() -> float:
        nonlocal last
        # A node that is out of files has none for this one either.
        with suppress(OSError):
            last = float(file.read_text())
        return last

    def ahead(clock: Callable[[], float]) -> Callable[[], float]:
        return lambda: clock() + seconds()

    clocks = Clocks(ahead(time.time), ahead(time.monotonic))
    wired = partial(wiring.node, clocks=clocks)

    def node(config: Any, reactor: Any) -> Any:
        if what == "timers":
            reactor.seconds = clocks.steady
        return wired(config, reactor)

    wiring.node = node
    twistd.run()


if __name__ == "__main__":
    main()
