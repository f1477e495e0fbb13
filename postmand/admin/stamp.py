"""`postmanctl stamp …`: hashcash stamps, made and looked at."""

from __future__ import annotations

import os
import signal
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from math import exp
from multiprocessing import get_context
from typing import Any

from attrs import define, field

from postmand.admin.call import Call
from postmand.admin.keys import add_passphrase
from postmand.admin.quota import add_stamp, opened, weighed
from postmand.admin.terminal import CommandError, Terminal
from postmand.internet import PurchaseError
from postmand.randomness import PooledRandom
from postmand.rules.hashcash import (
    MOST_BITS,
    STRETCH,
    Prices,
    challenge,
    resource,
    search,
)
from postmand.rules.names import check_spelling

# Stretches of tries between two looks at the clock: a fifth of a second or so.
STRETCHES = 128
# Below this, other processes are started in vain.
BITS_FOR_ONE = 21

_BAR = 30

Progress = Callable[[int], None]
"""Called with how many tries were made so far."""


def add_parser(commands: Any) -> None:
    """Add `stamp` and what it does to the command line."""
    parser = commands.add_parser("stamp", help="make and check hashcash stamps")
    inner = parser.add_subparsers(metavar="COMMAND", required=True)
    what = "make a stamp that buys recipients for an account; the time it takes is luck"
    command = inner.add_parser("mint", help=what, description=what)
    command.add_argument("name", metavar="NAME", help="the account, as in jondoe")
    command.add_argument(
        "--bits",
        type=_bits,
        metavar="N",
        help="how many; each more takes twice as long (default: the fewest that buy)",
    )
    command.set_defaults(run=mint)
    what = "tell what a stamp would buy now, or why nothing; it is not spent"
    command = inner.add_parser("check", help=what, description=what)
    command.add_argument("name", metavar="NAME", help="the account, as in jondoe")
    add_stamp(command)
    add_passphrase(command)
    command.set_defaults(run=check)


def mint(call: Call) -> int:
    """Make a stamp; it stands alone on standard output."""
    name, config = check_spelling(call.options.name), call.config
    bits = call.options.bits or Prices.from_config(config.quota).least_bits
    if bits is None:
        raise CommandError(
            f"{config.source}: [quota] stamps: stamps buy nothing here; use --bits"
        )
    begun = challenge(
        resource(name, config.node.mail_domain), bits, call.seconds(), PooledRandom()
    )
    bar = Bar(call.terminal, bits, call.seconds)
    try:
        stamp = found(begun, bits, os.cpu_count() or 1, bar.show)
    finally:
        bar.clear()
    call.terminal.say(stamp.decode("ascii"))
    return 0


def check(call: Call) -> int:
    """Tell what a stamp would buy now, or the reason why nothing."""
    stamp = weighed(call)
    with opened(call) as book:
        if book.ledger.is_spent(book.connection, stamp.octets):
            raise CommandError("this stamp has bought something already (stamp-spent)")
        try:
            standing = book.ledger.offer(
                book.connection, book.credential.account, stamp.bits, book.now
            )
        except PurchaseError as error:
            raise CommandError(f"{error} (not-now)") from error
    call.terminal.say(
        f"a good stamp of {stamp.bits} bits: it would buy {standing.bought} recipients "
        f"for {call.options.name}"
    )
    return 0


def found(begun: bytes, bits: int, processes: int, progress: Progress) -> bytes:
    """Return the stamp of `bits` that begins with the challenge `begun`."""
    if processes == 1 or bits < BITS_FOR_ONE:
        for first in count(0, STRETCHES):
            stamp = search(begun, bits, first, STRETCHES)
            if stamp is not None:
                return stamp
            progress((first + STRETCHES) * STRETCH)
    return _found_together(begun, bits, processes, progress)


def _found_together(
    begun: bytes, bits: int, processes: int, progress: Progress
) -> bytes:
    """Search in several processes: a core each."""
    with ProcessPoolExecutor(
        processes, get_context("fork"), initializer=_let_parent_be_interrupted
    ) as pool:
        tried = 0
        starts = count(0, STRETCHES)

        def more() -> Future[bytes | None]:
            return pool.submit(search, begun, bits, next(starts), STRETCHES)

        # One for each to go on with while the last is fetched.
        searches = {more() for _ in range(2 * processes)}
        try:
            while True:
                done, searches = wait(searches, return_when=FIRST_COMPLETED)
                for one in _stamps(done):
                    return one
                tried += len(done) * STRETCHES * STRETCH
                progress(tried)
                searches |= {more() for _ in done}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _stamps(done: set[Future[bytes | None]]) -> Iterator[bytes]:
    for future in done:
        stamp = future.result()
        if stamp is not None:
            yield stamp


def _let_parent_be_interrupted() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@define(eq=False)
class Bar:
    """A line on a terminal that tells how far a search has come.

    The search is a lottery: it knows no end, and what was tried brings it no nearer. So
    the bar shows how likely it was to be over by now, and what is left on average.
    """

    _terminal: Terminal
    _bits: int
    _seconds: Callable[[], float]
    _begun: float = field(init=False)
    _shown: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self._seconds()

    def show(self, tries: int) -> None:
        """Show how far it is, where there is a terminal."""
        if not self._terminal.err.isatty():
            return
        expected = 1 << self._bits
        chance = 1 - exp(-tries / expected)
        rate = tries / max(self._seconds() - self._begun, 0.001)
        marks = "#" * int(chance * _BAR)
        line = (
            f"[{marks:.<{_BAR}}] {chance:4.0%}, {rate / 1e6:.1f} M tries/s, "
            f"about {_span(expected / rate)} to go"
        )
        self._write(f"\r{line:<78}")
        self._shown = True

    def clear(self) -> None:
        """Wipe the line off."""
        if self._shown:
            self._write(f"\r{'':<78}\r")

    def _write(self, text: str) -> None:
        print(text, end="", file=self._terminal.err, flush=True)


def _span(seconds: float) -> str:
    """Return a time as in `42 s`, `3 min` or `5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h"


def _bits(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_BITS):
        raise ArgumentTypeError(f"it must be a whole number from 1 to {MOST_BITS}")
    return int(text)
