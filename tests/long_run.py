"""The command line of a fuzz target: so many inputs, and how far it is."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

_STEP = 10_000


def run(fuzz: Callable[[int, int], None], iterations: int, inputs: str) -> None:
    """Call `fuzz(iterations, seed)` in steps, each with the seed after the last one's.

    What it says tells how to try one step again alone.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=iterations)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().getrandbits(32)
    )
    chosen = parser.parse_args()
    print(f"{chosen.iterations} {inputs}, from seed {chosen.seed} on", flush=True)
    begun = time.monotonic()
    for number, done in enumerate(range(0, chosen.iterations, _STEP)):
        step = min(_STEP, chosen.iterations - done)
        fuzz(step, chosen.seed + number)
        passed = time.monotonic() - begun
        print(
            f"{done + step} of {chosen.iterations} passed in {passed:.0f} s "
            f"(--iterations {step} --seed {chosen.seed + number})",
            flush=True,
        )
