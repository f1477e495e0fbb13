"""The notices: who has new mail is told so, and nothing more, in fixed ticks.

What came between two ticks is one notice a nick, whenever in the tick it came, so the
notice's time tells little of the mail's. A nick that is away or not identified is told
when it comes in or logs in; where nothing tells of a login (a filtered link) those who
are present are checked again at ticks, ever more rarely.

A nick is told at least once. Nothing on IRC says that a NOTICE arrived, so a nick
counts as told when the link has stood for `settle_seconds` after it, or when the bot
was stopped in order. A link lost before, a crash, or a nick that is seen to leave right
after it, or a server that did not pass it on, and it waits on (and may be told twice
within a tick). A second "You have new mail" is a small nuisance; one that never came is
a failure. What came since the last tick is lost with a crash, not with a stop.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from postmand.biff.casemap import plain
from postmand.biff.events import (
    Account,
    Down,
    Event,
    Joined,
    Kicked,
    Numeric,
    Parted,
    Quit,
    Renamed,
)
from postmand.biff.pace import LinkLostError
from postmand.biff.words import NEW_MAIL
from postmand.faults import log_fault
from postmand.interfaces import StoreBusyError
from postmand.notice import INotice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random

    from twisted.internet.interfaces import IReactorTime

    from postmand.biff.asking import Asking
    from postmand.biff.events import ILine
    from postmand.biff.pace import Pace
    from postmand.biff.roll import Identity, Roll
    from postmand.notice import IWatches

log = Logger()

_END_OF_NAMES = 366
# The server did not pass a line on: the nick is gone, or takes none from us: who is not
# logged in (477, 486), is no friend (716), or by a mode of its own (531).
_NOT_PASSED = frozenset((401, 477, 486, 531, 716))
# Nor does it while we speak to too many: UnrealIRCd and others let a user speak to so
# many nicks and to a new one every so many seconds, and who goes on waits for longer.
_TOO_MANY = frozenset((439, 707))
_DAY = 86_400
# So many are checked at a time. Each has a notice that may be written at any moment:
# more of them, let loose by a link that had stalled, would look like a flood.
_AT_ONCE = 2
# Whoever was checked so many seconds ago is not checked again for coming in.
_AGAIN = 15.0
# Who is there and is not identified is looked at again after so many seconds at most.
_LONGEST_PAUSE = 600.0
# A nick that is seen to leave so soon after its notice may have left before it came.
_IN_FLIGHT = 30.0
# Before the store has told who watches what, so many accounts are kept in mind.
_UNSORTED = 10_000


@define(eq=False)
class _Waiting:
    """A nick to be told: when it was (seconds), or when it was tried and may be again.

    `marks` counts what came; `queued` until a try is over.
    """

    marks: int = 1
    told_at: float | None = None
    queued: bool = False
    tried_at: float = float("-inf")
    pause: float = 0.0


@implementer(INotice)
class Notices:
    """Tells nicks of new mail. Started once, stopped once.

    In memory are the registered accounts, with the nicks' tags; nothing of any other
    account is kept.
    """

    def __init__(
        self,
        watches: IWatches,
        asking: Asking,
        roll: Roll,
        pace: Pace,
        line: ILine,
        *,
        reactor: IReactorTime,
        random: Random,
        wall: Callable[[], float],
        notice_seconds: float,
        settle_seconds: float = 300.0,
    ) -> None:
        self._watches = watches
        self._asking = asking
        self._roll = roll
        self._pace = pace
        self._line = line
        self._reactor = reactor
        self._random = random
        self._wall = wall
        self._notice_seconds = notice_seconds
        self._settle_seconds = settle_seconds
        self._watchers: dict[int, set[bytes]] = {}
        self._waiting: dict[bytes, _Waiting] = {}
        self._fresh: set[int] = set()
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self._working = 0
        self._loaded = self._stopped = False
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._ticking: Deferred[None] | None = None

    def start(self) -> None:
        """Read who watches what, and tick from now on."""
        self._loop.start(self._notice_seconds).addErrback(
            lambda failure: log_fault(log, "the notices ended", failure)
        )

    async def stop(self) -> None:
        """Begin nothing more, and write down what came and who was told."""
        self._stopped = True
        self._queue.clear()
        if self._loop.running:
            self._loop.stop()
        if self._ticking is not None:
            await self._ticking
        if not self._line.is_up:
            self._link_lost()
        for written in self._settle(float("inf")), self._mark():
            try:
                await written
            except Exception as fault:
                log_fault(log, "the last news of mail is not written down", fault)

    def arrived(self, accounts: Iterable[int]) -> None:
        """See INotice. They are told at the next tick."""
        for account in accounts:
            unsorted = not self._loaded and len(self._fresh) < _UNSORTED
            if unsorted or account in self._watchers:
                self._fresh.add(account)

    def watched(self, tag: bytes, account: int) -> None:
        """A nick watches an account from now on; the store knows."""
        self._watchers.setdefault(account, set()).add(tag)

    def unwatched(self, tag: bytes, account: int) -> None:
        """A nick watches an account no more; the store knows."""
        tags = self._watchers.get(account, set())
        tags.discard(tag)
        if not tags:
            self._watchers.pop(account, None)

    def happened(self, event: Event) -> None:
        """Take the next event, after the roll did."""
        match event:
            case Down():
                self._link_lost()
            case Joined(_, nick):
                self._came(nick)
            case Renamed(old, new):
                self._left(old)
                self._came(new)
            case Parted(_, nick) | Kicked(_, nick) | Quit(nick):
                self._left(nick)
            case Account(nick, account) if account:
                self._came(nick)
            case Numeric(code) if code == _END_OF_NAMES:
                self._look_round()
            case Numeric(code, (_, nick, *_)) if code in _NOT_PASSED:
                self._untold(nick, self._settle_seconds)
            case Numeric(code, (_, nick, *_)) if code in _TOO_MANY:
                self._untold(nick, self._settle_seconds, again=True)
                self._put_off()

    def _link_lost(self) -> None:
        self._queue.clear()
        for waiting in self._waiting.values():
            # Whether the last lines arrived nobody knows.
            waiting.told_at = None
            waiting.queued = False
            waiting.pause = 0.0

    def _left(self, nick: bytes) -> None:
        """Somebody left a channel or a nick, perhaps before the notice came."""
        self._untold(nick, _IN_FLIGHT)

    def _untold(self, nick: bytes, seconds: float, *, again: bool = False) -> None:
        """Take back that a nick was told, if that was within so many seconds.

        With `again` it is not to blame, and is told at the next tick.
        """
        if not self._waiting:
            return
        waiting = self._waiting.get(self._watches.tag(plain(nick)))
        if waiting is None or waiting.told_at is None:
            return
        if self._reactor.seconds() < waiting.told_at + seconds:
            waiting.told_at = None
            waiting.pause = 0.0 if again else waiting.pause

    def _put_off(self) -> None:
        """Leave all who are not yet tried to the next tick."""
        while self._queue:
            tag, _ = self._queue.popleft()
            if tag in self._waiting:
                self._waiting[tag].queued = False

    def _came(self, nick: bytes) -> None:
        """Somebody came in, took a nick or logged in: check at once who waits."""
        identity = self._roll.identity(nick) if self._waiting else None
        if identity is None:
            return
        tag = self._watches.tag(identity.name)
        waiting = self._waiting.get(tag)
        if waiting is not None:
            waiting.pause = min(waiting.pause, _AGAIN)
            self._enqueue([(tag, identity.nick)])

    def _look_round(self) -> None:
        """Check all who are present and wait, and whose pause is over."""
        if self._waiting:
            tagged = [(self._watches.tag(one.name), one.nick) for one in self._roll]
            due = [place for place in tagged if place[0] in self._waiting]
            # Nobody is always the last of a long queue.
            self._random.shuffle(due)
            self._enqueue(due)

    def _enqueue(self, due: Sequence[tuple[bytes, bytes]]) -> None:
        now = self._reactor.seconds()
        for tag, nick in due:
            waiting = self._waiting[tag]
            idle = waiting.told_at is None and not waiting.queued
            if idle and now >= waiting.tried_at + waiting.pause:
                waiting.queued = True
                self._queue.append((tag, nick))
        while self._queue and self._working < _AT_ONCE:
            self._working += 1
            done = Deferred.fromCoroutine(self._work())
            done.addErrback(lambda one: log_fault(log, "a notice failed", one))

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._try(*self._queue.popleft())
        finally:
            self._working -= 1

    async def _try(self, tag: bytes, nick: bytes) -> None:
        waiting = self._waiting.get(tag)
        identity = self._roll.identity(nick)
        if waiting is None:
            return
        try:
            if identity is not None and self._watches.tag(identity.name) == tag:
                await self._tell(tag, identity, waiting)
        except (StoreBusyError, LinkLostError):
            pass  # it waits on
        except Exception as fault:
            log_fault(log, "a notice failed", fault)
        finally:
            waiting.queued = False

    async def _tell(self, tag: bytes, identity: Identity, waiting: _Waiting) -> None:
        waiting.tried_at = self._reactor.seconds()
        waiting.pause = min(
            _LONGEST_PAUSE, max(self._notice_seconds, 2 * waiting.pause)
        )
        marks = waiting.marks
        # An account may have been disabled, deleted or left alone by another process.
        rows = await self._watches.of(tag)
        if not any(row.waiting for row in rows):
            # Of a disabled account it waits on: that may be enabled again.
            if not await self._watches.waits(tag) and marks == waiting.marks:
                self._waiting.pop(tag, None)
            return
        # The notice's own turn comes first, so that nothing is between yes and notice.
        await self._pace.turn()
        vouched = await self._asking.vouch(identity, reply=False)
        if not vouched or self._stopped:
            self._pace.give_back(1)
            return
        self._line.send(b"NOTICE", self._roll.spelled(identity), NEW_MAIL)
        waiting.told_at = self._reactor.seconds()

    def _tick(self) -> Deferred[None]:
        self._ticking = Deferred.fromCoroutine(self._run())
        return self._ticking

    async def _run(self) -> None:
        try:
            if not self._loaded:
                await self._load()
            await self._settle(self._reactor.seconds() - self._settle_seconds)
            await self._mark()
        except StoreBusyError:
            pass  # nothing is lost: the next tick does it
        except Exception as fault:
            log_fault(log, "a tick of the notices failed", fault)
        if not self._stopped:
            self._look_round()

    async def _load(self) -> None:
        for tag, account, waits in await self._watches.all():
            self.watched(tag, account)
            if waits:
                self._waiting.setdefault(tag, _Waiting())
        self._loaded = True
        self._fresh.intersection_update(self._watchers)

    async def _settle(self, until: float) -> None:
        """Write down who was told before `until`."""
        told = [
            tag
            for tag, waiting in self._waiting.items()
            if waiting.told_at is not None and waiting.told_at <= until
        ]
        for tag in told:
            await self._watches.told(tag)
            self._waiting.pop(tag, None)

    async def _mark(self) -> None:
        """Write down for whom mail came; from then on they wait."""
        fresh, self._fresh = self._fresh, set()
        if not fresh:
            return
        try:
            await self._watches.mark(sorted(fresh), int(self._wall() // _DAY))
        except Exception:
            self._fresh |= fresh
            raise
        for tag in {tag for one in fresh for tag in self._watchers.get(one, ())}:
            waiting = self._waiting.setdefault(tag, _Waiting())
            waiting.marks += 1
            if waiting.told_at is not None:
                waiting.told_at, waiting.pause = None, 0.0
