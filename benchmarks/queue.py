"""What the queue costs while much waits: `python -m benchmarks.queue`.

So many messages are put in by the step that accepts them. Of each stage a hundred or
more are due, whatever waits, and the pool has forty owners. Each question goes through
the seam, threads included; shown is the median of fifty. The memory is that of a
process which has opened the store and asked all of it; what fills it is another.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

from benchmarks.table import markdown
from postmand.interfaces import Outgoing
from postmand.internet import IQueue, Leg
from postmand.store import queue_rows
from postmand.store.bodies import Bodies
from postmand.store.database import connect
from postmand.store.nodekey import NodeKey
from postmand.store.opening import open_store
from postmand.store.postmaster import Listing
from postmand.store.queue_intake import put_step, sealed_message
from postmand.store.queue_opening import Opener
from postmand.store.settings import Settings
from postmand.store.upgrade import upgrade
from tests.contracts.stores import Loop

SIZES = (1_000, 10_000, 100_000)
NOW = 1_700_000_040
DUE = 100
OWNERS = 40
REPEAT = 50
BATCH = 1_000
KEY = NodeKey.from_master(bytes(range(32)))
BODY = (b"A line of a message, as long as lines are.\r\n" * 60,)
HEADER = (
    b"From: <jondoe@i2pmail.org>\r\nSubject: hello\r\n" + b"X: y\r\n" * 100 + b"\r\n"
)
UNTIL = NOW + 432_000


def a_message(number: int, *, pooled: bool) -> Outgoing:
    return Outgoing(
        account=number % OWNERS,
        name="jondoe",
        recipients=(b"someone@example.org",),
        fields=((b"From", b"<jondoe@mail.i2p>"), (b"Subject", b"hello")),
        message_id=b"<%032x@mail.i2p>" % number,
        body=BODY,
        due=NOW - 60 * number if number < DUE else NOW + 60 * number,
        pooled=pooled,
    )


def a_leg() -> Leg:
    domain, people = b"example.org", (b"someone@example.org",)
    return Leg(7, "jondoe", b"jondoe@i2pmail.org", domain, people, HEADER, UNTIL)


def fill(directory: str, many: int) -> float:
    """Put messages in: two of five wait, two are pooled, one is on its way.

    Returns the seconds that a message took, sealing included.
    """
    state = Path(directory)
    upgrade(f"sqlite:///{state}/postmand.db")
    bodies = Bodies(state / "bodies")
    bodies.make()
    opener = Opener(bodies, KEY)
    began = time.perf_counter()
    with closing(connect(state / "postmand.db")) as connection:
        for start in range(0, many, BATCH):
            connection.execute("BEGIN IMMEDIATE")
            for number in range(start, min(start + BATCH, many)):
                turn, place = number // 5, number % 5
                message = a_message(turn, pooled=place in (2, 3))
                sealed = sealed_message(bodies, message, KEY, 64 * 1024)
                put_step(sealed)(connection)
                if place == 4:
                    _release(connection, opener, sealed.item.item, sealed.item.due)
            connection.execute("COMMIT")
    return (time.perf_counter() - began) / many


def _release(connection, opener: Opener, item: int, due: int) -> None:
    legs = opener.released(connection, item, [a_leg()], due)
    queue_rows.take(connection, item, queue_rows.BEFORE_RELEASE, held=False)
    queue_rows.put(connection, legs)


def measure(directory: str) -> dict[str, float]:
    """Return the median of each question in ms, and the memory in MiB."""
    state, loop = Path(directory), Loop()
    url = f"sqlite:///{state}/postmand.db"
    began = time.perf_counter()
    store = open_store(url, state, Settings(), loop, node_key=KEY)
    found = {"open the store": 1000 * (time.perf_counter() - began)}
    queue = store.queue
    assert queue is not None
    with closing(connect(state / "postmand.db")) as connection:
        listing = Listing(connection, KEY)
        asked: dict[str, Callable[[], object]] = {
            f"due, {DUE}": lambda: loop.get(queue.due(NOW, DUE)),
            f"legs due, {DUE}": lambda: loop.get(queue.legs_due(NOW, DUE)),
            "pool, 4 of each": lambda: loop.get(queue.pool(4)),
            "list a page of 200": lambda: listing.page(2**61, 200),
        }
        for what, ask in asked.items():
            found[what] = median(ask)
    waiting = iter(loop.get(queue.due(NOW, DUE)))
    legs = iter(loop.get(queue.legs_due(NOW, DUE)))
    (tag,) = {leg.domain for leg in loop.get(queue.legs_due(NOW, DUE))}
    found["all legs due, all busy"] = median(
        lambda: loop.get(queue.legs_due(2**40, DUE, [tag]))
    )
    found["open and release one"] = median(lambda: release(loop, queue, next(waiting)))
    found["try and settle one"] = median(lambda: settle(loop, queue, next(legs).item))
    found["memory, MiB"] = memory()
    store.close()
    return found


def release(loop: Loop, queue: IQueue, item: int) -> None:
    loop.get(queue.open(item)).body.close()
    loop.get(queue.release(item, [a_leg()], NOW))


def settle(loop: Loop, queue: IQueue, item: int) -> None:
    loop.get(queue.begin(item)).body.close()
    loop.get(queue.settle(item, None, 0))


def median(ask: Callable[[], object]) -> float:
    """Return the median of a call's time, in ms."""
    spent = []
    for _ in range(REPEAT):
        began = time.perf_counter()
        ask()
        spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent)


def memory() -> float:
    """Return what is this process's own in memory, in MiB."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGESIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args()
    columns = []
    for many in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            columns.append(in_a_process(directory, many))
    head = ["median, ms", *(f"{many:,} queued" for many in options.sizes)]
    rows = [[what, *(f"{one[what]:.2f}" for one in columns)] for what in columns[0]]
    print(markdown("The queue", head, rows))


def in_a_process(directory: str, many: int) -> dict[str, float]:
    """Fill a queue and measure it, in new processes."""
    found = {}
    for first in (True, False):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            if first:
                took = pool.submit(fill, directory, many).result()
                found["seal and put one in"] = 1000 * took
            else:
                found |= pool.submit(measure, directory).result()
    return found


if __name__ == "__main__":
    main()
