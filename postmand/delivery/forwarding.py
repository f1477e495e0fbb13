"""What lies in the sealed spool is brought to the mail host, until it has been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from attrs import define
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from zope.interface import implementer

from postmand.faults import log_fault
from postmand.interfaces import IChunks

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from postmand.delivery.host import Host

# What the host has put off for five days, nobody waits for any more; nor is it let go
# for a few bad turns of the link on either side of an absence.
_KEEP = 5 * 86_400.0
_ENOUGH = 24
# Between tries of one crate: seconds, doubled with each. It was the host's word, or
# the link went: then what comes next is soon known.
_GAP = 60.0
_SHORT_GAP = 4.0
_LONGEST_GAP = 3_600.0
# The host may have taken what the link went with, and knows it again for an hour: in
# that time it has to be there once more, whole.
_LONGEST_SHORT_GAP = 1_200.0
# How often it is looked what there is to do, in seconds.
_LOOK = 5.0
_PIECE = 65_536

InThread = Callable[..., "Deferred[Any]"]


class Lying(Protocol):
    """A crate in the spool, and its size."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def octets(self) -> int: ...  # noqa: D102


class Spool(Protocol):
    """Sealed crates on disk. Its methods may block, `waiting` alone does not."""

    def waiting(self) -> Sequence[Lying]:
        """Return what lies there, the oldest first."""

    def read(self, name: str) -> BinaryIO:
        """Open a crate for reading."""

    def remove(self, name: str) -> None:
        """Remove a crate."""


@define
class _Tries:
    """How a crate fared so far: the tries that failed, and when the first did."""

    since: float
    count: int = 0
    next: float = float("-inf")


class Forwarding:
    """Brings the crates of a spool to the host, the oldest first.

    A crate goes when the host has taken it, or never will (5xx), or when tries have
    failed for five days; what it held nobody here knows. Until then it is tried, after
    growing gaps. Those days are the reactor's, from the first try that failed in this
    process: no clock that is set, no date on the disk, no absence of the host counts.
    `count` is told of "forwarded", "crate-refused", "crate-expired", "crate-unread".
    """

    log = Logger()

    def __init__(
        self,
        spool: Spool,
        host: Host,
        *,
        reactor: IReactorTime,
        rng: Random,
        in_thread: InThread,
        count: Callable[[str], None],
    ) -> None:
        self._spool = spool
        self._host = host
        self._reactor = reactor
        self._rng = rng
        self._in_thread = in_thread
        self._count = count
        self._tries: dict[str, _Tries] = {}
        self._underway: dict[str, Deferred[None]] = {}
        self._timer: IDelayedCall | None = None
        self._running = False

    def start(self) -> None:
        """Begin to look for crates."""
        self._running = True
        self.wake()

    def stop(self) -> Deferred[None]:
        """Begin with no crate any more; fire when those underway are settled.

        Stop the host beside it: that ends what would take long.
        """
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return gatherResults(list(self._underway.values())).addBoth(lambda _: None)

    def wake(self) -> None:
        """Look now: a crate was put there, or one has been settled."""
        if not self._running:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        look = _LOOK * self._rng.uniform(0.5, 1.5)
        self._timer = self._reactor.callLater(look, self.wake)
        waiting = self._spool.waiting()
        if len(self._tries) > len(waiting):
            self._forget({one.name for one in waiting})
        for crate in waiting:
            if len(self._underway) >= self._host.carries:
                return
            if self._due(crate):
                self._begin(crate)

    def _forget(self, names: set[str]) -> None:
        for name in self._tries.keys() - names:
            del self._tries[name]

    def _due(self, crate: Lying) -> bool:
        """Tell whether a crate is to be tried now."""
        if crate.name in self._underway or self._host.away:
            return False
        tries = self._tries.get(crate.name)
        return tries is None or self._reactor.seconds() >= tries.next

    def _expired(self, crate: Lying) -> bool:
        """Tell whether a crate that was put off again is to go."""
        tries = self._tries[crate.name]
        return tries.count >= _ENOUGH and self._reactor.seconds() - tries.since > _KEEP

    def _begin(self, crate: Lying) -> None:
        done: Deferred[None] = Deferred()
        self._underway[crate.name] = done
        going = Deferred.fromCoroutine(self._settle(crate))
        going.addErrback(partial(self._broken, crate))
        going.addBoth(self._settled, crate, done)

    async def _settle(self, crate: Lying) -> None:
        """Try once, and do what follows from the answer."""
        begin = partial(_FromDisk, self._spool, crate.name, self._in_thread)
        reply = await self._host.carry(crate.octets, begin)
        if reply.delivered or reply.permanent:
            word = "forwarded" if reply.delivered else "crate-refused"
            await self._let_go(crate, word)
            return
        if reply.enhanced.startswith("4.4."):
            # The network's trouble (RFC 3463 3.5).
            self._later(crate, _SHORT_GAP, _LONGEST_SHORT_GAP)
        else:
            self._later(crate)
        if self._expired(crate):
            await self._let_go(crate, "crate-expired")

    async def _let_go(self, crate: Lying, why: str) -> None:
        self._count(why)
        await self._in_thread(self._spool.remove, crate.name)

    def _later(
        self, crate: Lying, gap: float = _GAP, longest: float = _LONGEST_GAP
    ) -> None:
        now = self._reactor.seconds()
        tries = self._tries.setdefault(crate.name, _Tries(now))
        gap = min(gap * 2 ** min(tries.count, 16), longest)
        tries.count += 1
        tries.next = now + gap * self._rng.uniform(0.5, 1.5)

    def _broken(self, crate: Lying, fault: Failure) -> None:
        """The disk failed, or the fault is ours: the others go on."""
        if fault.check(FileNotFoundError):
            return  # another took it there, and removed it
        log_fault(self.log, "a sealed crate could not be forwarded", fault)
        self._count("crate-unread")
        self._later(crate)

    def _settled(self, _: object, crate: Lying, done: Deferred[None]) -> None:
        del self._underway[crate.name]
        done.callback(None)
        # Not from within: of many that are refused at once each would go deeper.
        if self._timer is not None and self._timer.active():
            self._timer.reset(0)


@implementer(IChunks)
class _FromDisk:
    """A crate read piece by piece, in threads."""

    def __init__(self, spool: Spool, name: str, in_thread: InThread) -> None:
        self._spool = spool
        self._name = name
        self._in_thread = in_thread
        self._file: BinaryIO | None = None
        self._reading = False
        self._closed = False

    def next(self) -> Deferred[bytes]:
        """Fire with the next piece, b"" at the end and after close()."""
        if self._closed:
            return succeed(b"")
        self._reading = True
        return self._in_thread(self._read).addBoth(self._done)

    def close(self) -> None:
        """Let go of the file; a piece that is being read comes to its end first."""
        self._closed = True
        if not self._reading and self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _read(self) -> bytes:
        if self._file is None:
            self._file = self._spool.read(self._name)
        return self._file.read(_PIECE)

    def _done(self, piece: Any) -> Any:
        self._reading = False
        if self._closed:
            self.close()
        return piece
