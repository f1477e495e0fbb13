"""twistd, but for the clocks of the node: `ahead.py FILE TWISTD'S-ARGUMENTS`.

The node's two clocks show the machine's time and so many seconds more as stand in FILE,
whenever they are asked. All else is as its operator starts it; timers run in real time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.scripts import twistd

from postmand import node as wiring
from postmand.site import Clocks


def main() -> None:
    """Run a node."""
    file = Path(sys.argv.pop(1))

    def ahead(clock: Callable[[], float]) -> Callable[[], float]:
        return lambda: clock() + float(file.read_text())

    clocks = Clocks(ahead(time.time), ahead(time.monotonic))
    wiring.node = partial(wiring.node, clocks=clocks)
    twistd.run()


if __name__ == "__main__":
    main()
