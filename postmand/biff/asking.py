"""Asks what checks ask, line by line, and waits for their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from postmand.biff.events import Answered, Down, Event, Joined, Said, Up
from postmand.biff.identity import Check, Checks, Terms
from postmand.biff.pace import LinkLostError, Pace
from postmand.biff.roll import WHOX_TOKEN, Identity, Roll
from postmand.faults import log_fault

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from twisted.internet.interfaces import IReactorTime

    from postmand.biff.events import ILine

log = Logger()

# What servers take a WHO for.
_WHO_LINES = 3
# What was written to open the session, and may still count: the first NAMES waits.
_OPENING_LINES = 3


class Asking:
    """Keeps the roll, and vouches for identities on it."""

    def __init__(
        self,
        terms: Terms,
        roll: Roll,
        pace: Pace,
        line: ILine,
        *,
        reactor: IReactorTime,
        random: Random,
    ) -> None:
        self._checks = Checks(terms, roll, random)
        self._check_seconds = terms.check_seconds
        self._roll = roll
        self._pace = pace
        self._line = line
        self._reactor = reactor
        # Checks under way, and who waits for the next thing to happen to one.
        self._waiting: dict[Check, list[Deferred[None]]] = {}

    def happened(self, event: Event) -> None:
        """Take the next event: first of all who learn of it, before it is acted on."""
        self._roll.happened(event)
        match event:
            case Answered():
                self._pace.answered()
            case Down():
                self._pace.clear()
        self._wake(self._checks.happened(event, self._reactor.seconds()))
        if isinstance(event, Up):
            for number, channel in enumerate(event.channels):
                self._who_is_there(channel, 0 if number else _OPENING_LINES)
        elif isinstance(event, Joined) and self._roll.is_own(event.nick):
            self._who_is_there(event.channel)

    async def vouch(
        self, identity: Identity, said: Said | None = None, *, reply: bool
    ) -> bool:
        """Tell whether the connection behind this identity is its nick's owner.

        True only while the identity holds, so whoever acts at once acts on a fact.
        `said` is the line that wants it, `reply` whether somebody waits for an answer.
        A lost link is a no, like any other doubt.
        """
        check = self._checks.begin(identity, self._reactor.seconds(), said)
        if check.verdict is None and check not in self._waiting:
            self._waiting[check] = []
            try:
                await self._see_through(check, reply=reply)
            except LinkLostError:
                pass
            except Exception:
                self._end(check)
                raise
            # Not as `finally`: a bot that is let go in midst of this wakes nobody.
            self._end(check)
        while check.verdict is None:
            await self._news(check)
        return check.verdict and self._roll.holds(identity)

    def _end(self, check: Check) -> None:
        self._checks.give_up(check)
        _release(self._waiting.pop(check))

    async def _see_through(self, check: Check, *, reply: bool) -> None:
        while check.asks:
            cost = check.cost
            await self._pace.turn(cost, reply=reply)
            lines = self._checks.ask(check, self._reactor.seconds())
            for command, *params in lines:
                self._line.send(command, *params)
            if lines:
                await self._answer(check)
            else:
                self._pace.give_back(cost)  # the epoch ended meanwhile

    async def _answer(self, check: Check) -> None:
        """Wait until the check has a verdict or asks anew, with an end in any case."""
        expiry = self._reactor.callLater(self._check_seconds, self._expire)
        try:
            while check.verdict is None and not check.asks:
                await self._news(check)
        finally:
            if expiry.active():
                expiry.cancel()

    def _news(self, check: Check) -> Deferred[None]:
        news: Deferred[None] = Deferred()
        self._waiting[check].append(news)
        return news

    def _expire(self) -> None:
        self._wake(self._checks.expired(self._reactor.seconds()))

    def _wake(self, checks: Iterable[Check]) -> None:
        for check in checks:
            waiting = self._waiting.get(check)
            if waiting:
                self._waiting[check] = []
                _release(waiting)

    def _who_is_there(self, channel: bytes, besides: int = 0) -> None:
        if self._roll.is_channel(channel):
            asked = Deferred.fromCoroutine(self._ask_channel(channel, besides))
            asked.addErrback(_unasked)

    async def _ask_channel(self, channel: bytes, besides: int) -> None:
        if besides:
            await self._pace.turn(besides, reply=True)
        # RFC 2812 3.2.5; what was joined, left and renamed meanwhile comes in order.
        await self._pace.turn(reply=True)
        self._line.send(b"NAMES", channel)
        if self._roll.knows_accounts:
            await self._pace.turn(_WHO_LINES, reply=True)
            self._line.send(b"WHO", channel, b"%tna," + WHOX_TOKEN)


def _unasked(failure: Failure) -> None:
    if not failure.check(LinkLostError):
        log_fault(log, "who is there can not be asked", failure)


def _release(waiting: Iterable[Deferred[None]]) -> None:
    for one in waiting:
        one.callback(None)
