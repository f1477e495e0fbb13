"""What became of the messages that a mail host handed over, by transaction.

In memory alone, and for an hour: a mail host that lost an answer asks for it, instead
of having a message sent twice.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from postmand.faults import log_fault
from postmand.internet import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime

    from postmand.inbound import IExit, Outward

UNDERWAY = Reply(459, "4.4.0", "under way; ask for it later")
"""There is no verdict yet. The code is a gateway's own and of nobody beyond it."""
NO_ROOM = Reply(452, "4.3.1", "too much is under way; try again later")
_FAULT = Reply(451, "4.3.0", "a fault of the gateway")

_HOUR = 3_600.0
_MOST = 10_000


@define(eq=False)
class _Entry:
    """One transaction: who is being tried, and what was said of the others."""

    name: bytes
    changed: float
    trying: set[bytes] = field(factory=set)
    replies: dict[bytes, Reply] = field(factory=dict)
    waiting: list[Deferred[None]] = field(factory=list)


class Ledger:
    """Hands messages to the exit, once, and keeps its verdicts.

    Of what is under way no more than `octets` are held in memory, but for a single
    message that is longer.
    """

    log = Logger()

    def __init__(
        self,
        exit_: IExit,
        octets: int,
        reactor: IReactorTime,
        most: int = _MOST,
    ) -> None:
        self._exit = exit_
        self._octets = octets
        self._reactor = reactor
        self._most = most
        self._held = 0
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._nameless = 0

    async def send(self, outward: Outward, seconds: float) -> Mapping[bytes, Reply]:
        """Send a message, and return what is known of it after at most so long.

        Who has a final reply under the same transaction, or is being tried, is not
        tried again. Without a transaction nothing is known of earlier tries.
        """
        self._forget()
        if not outward.transaction:
            self._nameless += 1  # no such name can be asked for
            outward = evolve(outward, transaction=b"#%d" % self._nameless)
        entry = self._entry(outward.transaction)
        open_ = [one for one in outward.recipients if _is_open(entry, one)]
        if open_:
            octets = len(outward.header) + sum(map(len, outward.body))
            if self._held and self._held + octets > self._octets:
                entry.replies.update(dict.fromkeys(open_, NO_ROOM))
            else:
                self._begin(entry, evolve(outward, recipients=tuple(open_)), octets)
        return await self._told(entry, outward.recipients, seconds)

    async def ask(
        self, transaction: bytes, seconds: float
    ) -> Mapping[bytes, Reply] | None:
        """Return what is known of a transaction after at most so long, or None."""
        self._forget()
        entry = self._entries.get(transaction)
        if entry is None:
            return None
        everybody = sorted(entry.trying | set(entry.replies))
        return await self._told(entry, everybody, seconds)

    def _entry(self, name: bytes) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            # As if it had changed: it is not older than what was there before.
            entry = _Entry(name, self._reactor.seconds())
            self._entries[name] = entry
        return entry

    def _begin(self, entry: _Entry, outward: Outward, octets: int) -> None:
        self._held += octets
        entry.trying.update(outward.recipients)
        for recipient in outward.recipients:
            entry.replies.pop(recipient, None)
        sending = self._exit.send(outward)
        sending.addErrback(self._failed)
        sending.addCallback(self._settle, entry, outward.recipients, octets)

    def _failed(self, failure: object) -> Mapping[bytes, Reply]:
        log_fault(self.log, "the exit failed", failure)  # type: ignore[arg-type]
        return {}

    def _settle(
        self,
        told: Mapping[bytes, Reply],
        entry: _Entry,
        recipients: Sequence[bytes],
        octets: int,
    ) -> None:
        self._held -= octets
        entry.changed = self._reactor.seconds()
        self._entries.move_to_end(entry.name)
        for recipient in recipients:
            entry.trying.discard(recipient)
            entry.replies[recipient] = told.get(recipient, _FAULT)
        waiting, entry.waiting = entry.waiting, []
        for one in waiting:
            one.callback(None)

    async def _told(
        self, entry: _Entry, recipients: Sequence[bytes], seconds: float
    ) -> Mapping[bytes, Reply]:
        deadline = self._reactor.seconds() + seconds
        while entry.trying.intersection(recipients):
            left = deadline - self._reactor.seconds()
            if left <= 0:
                break
            waiting: Deferred[None] = Deferred()
            entry.waiting.append(waiting)
            timer = self._reactor.callLater(left, self._give_up, entry, waiting)
            await waiting
            if timer.active():
                timer.cancel()
        return {one: entry.replies.get(one, UNDERWAY) for one in recipients}

    def _give_up(self, entry: _Entry, waiting: Deferred[None]) -> None:
        entry.waiting.remove(waiting)
        waiting.callback(None)

    def _forget(self) -> None:
        """Let go of what is older than an hour, and of the oldest of too many."""
        since = self._reactor.seconds() - _HOUR
        over = len(self._entries) - self._most + 1
        old: list[_Entry] = []
        for entry in self._entries.values():
            if over <= len(old) and entry.changed > since:
                break
            if not (entry.trying or entry.waiting):
                old.append(entry)
        for entry in old:
            del self._entries[entry.name]


def _is_open(entry: _Entry, recipient: bytes) -> bool:
    if recipient in entry.trying:
        return False
    reply = entry.replies.get(recipient)
    return reply is None or not (reply.delivered or reply.permanent)
