"""The bot's commands: what a member says in private, and what is answered.

Who says it is fixed when the line comes in, by its identity; what is done and answered
later is done for that identity and no other: an answer to a nick that has changed
hands is not sent. Nothing of what is said is logged or repeated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from postmand.biff import words
from postmand.biff.budget import Answer, Budget
from postmand.biff.casemap import is_nick
from postmand.biff.pace import LinkLostError
from postmand.biff.waiting import Talk, Waiting
from postmand.faults import log_fault
from postmand.interfaces import NoSuchMailboxError, StoreBusyError
from postmand.notice import ClaimsBusyError, TooManyWatchesError
from postmand.rules.penalty import Penalties

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IReactorTime

    from postmand.biff.asking import Asking
    from postmand.biff.events import ILine, Said
    from postmand.biff.notices import Notices
    from postmand.biff.pace import Pace
    from postmand.biff.roll import Identity, Roll
    from postmand.notice import IClaims, IWatches

log = Logger()

# So many are answered at a time, and so many wait, so many of them a nick's.
_AT_ONCE = 4
_MOST_WAITING = 32
_EACH_WAITING = 2
# All who are not on the roll together get so many lines at once, and one more every so
# many seconds: a nick outside of the channels costs nothing, and who has many is one.
_STRANGERS_AT_ONCE = 3
_STRANGERS_SECONDS = 20.0
# Wrong secrets a nick may show at once; they are forgotten by half in an hour.
_MOST_WRONG = 5
_WRONG_HALVED = 3_600.0
# A registration said to all, also where it begins with what was typed to reach us:
# "biff: .register", "/msg biff .register".
_SHOWN = re.compile(rb"\s*(?:\S+\s+){0,3}(?:\S*[^\w\s])?\.register\s+\S", re.IGNORECASE)
_NAME = re.compile(rb"[a-z0-9._-]{1,64}")


@frozen
class Doors:
    """What the commands are for: the seams behind them, and how addresses look.

    `domains` are ours, in lower case; `mail_domain` is the one that is shown.
    """

    watches: IWatches
    claims: IClaims
    domains: frozenset[bytes]
    mail_domain: bytes


class Commands:
    """Answers members. Everything in it is bounded: see `Budget` and the constants."""

    def __init__(
        self,
        doors: Doors,
        notices: Notices,
        asking: Asking,
        roll: Roll,
        pace: Pace,
        line: ILine,
        services: bytes,
        reactor: IReactorTime,
    ) -> None:
        self._doors = doors
        self._notices = notices
        self._asking = asking
        self._roll = roll
        self._pace = pace
        self._line = line
        self._services = services.partition(b"@")[0]
        self._reactor = reactor
        self._budget = Budget()
        self._strangers = Budget(_STRANGERS_AT_ONCE, _STRANGERS_SECONDS)
        self._wrong = Penalties(_WRONG_HALVED)
        self._waiting = Waiting(roll.holds, most=_MOST_WAITING, each=_EACH_WAITING)
        self._busy: set[bytes] = set()
        # Who is to be told one line that needs no thought; one such line a nick.
        self._soon: set[bytes] = set()
        self._commands = {
            b".help": self._help,
            b".register": self._register,
            b".cancel": self._cancel,
            b".show": self._show,
        }

    def said(self, said: Said) -> None:
        """Take a line that somebody said, after the roll knows of all before it."""
        nick = said.source.nick
        if not is_nick(nick) or self._roll.is_own(nick):
            return
        # Services answer what is said to them; two programs would talk for ever.
        if self._roll.same(nick, self._services):
            return
        if not self._addressed(said):
            return
        identity = self._roll.identity(nick)
        if identity is None:
            self._stranger(said)
        else:
            self._member(Talk(said, identity))

    def renamed(self, old: bytes, new: bytes) -> None:
        """Somebody on the roll has taken another nick: what is left goes along."""
        if self._roll.identity(new) is not None:
            old, new = self._roll.fold(old), self._roll.fold(new)
            self._budget.renamed(old, new, self._reactor.seconds())

    def forget(self) -> None:
        """The link is lost: who waits for an answer is not there any more."""
        self._waiting.clear()

    def _addressed(self, said: Said) -> bool:
        """Whether this is for us: all in private, in a channel our commands only."""
        command = _split(said.text)[0]
        shown = command in self._commands or _SHOWN.match(said.text)
        return self._private(said) or bool(shown)

    def _private(self, said: Said) -> bool:
        return self._roll.is_own(said.target)

    def _stranger(self, said: Said) -> None:
        """Take a line of somebody not on the roll."""
        if self._strangers.take(b"", self._reactor.seconds()) is Answer.TAKEN:
            text = words.NOT_HERE if self._private(said) else self._in_channel(said)
            self._answer_soon(said, None, text)

    def _member(self, talk: Talk) -> None:
        """Take a line of somebody on the roll."""
        now, private = self._reactor.seconds(), self._private(talk.said)
        if private and not self._waiting.has_room(talk.nick):
            answer = self._budget.refuse(talk.nick, now)
        else:
            answer = self._budget.take(talk.nick, now)
        if answer is Answer.TOO_FAST:
            self._answer_soon(talk.said, talk.identity, words.TOO_FAST)
        elif answer is Answer.TAKEN and private:
            self._waiting.put(talk)
            self._work()
        elif answer is Answer.TAKEN:
            text = self._in_channel(talk.said)
            self._answer_soon(talk.said, talk.identity, text)

    def _in_channel(self, said: Said) -> bytes:
        if _SHOWN.match(said.text):
            return words.shown_to_all(self._line.nick)
        return words.in_private(self._line.nick)

    def _work(self) -> None:
        """Answer who waits, each nick's commands one after the other."""
        while len(self._busy) < _AT_ONCE and (talk := self._waiting.take(self._busy)):
            self._busy.add(talk.nick)
            done = Deferred.fromCoroutine(self._answer(talk))
            done.addBoth(self._answered, talk.nick)

    def _answered(self, _: object, nick: bytes) -> None:
        self._busy.discard(nick)
        if self._waiting:
            # Not from within: a long queue must not be a deep stack.
            self._reactor.callLater(0, self._work)

    async def _answer(self, talk: Talk) -> None:
        command, arguments = _split(talk.said.text)
        try:
            try:
                answer = self._commands.get(command, self._unknown)
                lines = await answer(talk, arguments)
            except (StoreBusyError, ClaimsBusyError):
                lines = [words.LATER]
            except LinkLostError:
                raise
            except Exception as fault:
                log_fault(log, "a command failed", fault)
                lines = [words.LATER]
            for line in lines:
                await self._say(talk.said, talk.identity, line)
        except LinkLostError:
            pass  # nobody is there to be answered
        except Exception as fault:
            log_fault(log, "an answer failed", fault)

    def _answer_soon(self, said: Said, identity: Identity | None, text: bytes) -> None:
        nick = self._roll.fold(said.source.nick)
        if len(self._soon) < _MOST_WAITING and nick not in self._soon:
            self._soon.add(nick)
            done = Deferred.fromCoroutine(self._say(said, identity, text))
            done.addErrback(_unsaid).addBoth(self._said_soon, nick)

    def _said_soon(self, _: object, nick: bytes) -> None:
        self._soon.discard(nick)

    async def _say(self, said: Said, identity: Identity | None, text: bytes) -> None:
        """Say it to who has asked; if the nick may have changed hands, to nobody."""
        await self._pace.turn(reply=True)
        if identity is not None and not self._roll.holds(identity):
            self._pace.give_back(1)
            return
        self._line.send(b"NOTICE", said.source.nick, text)

    async def _unknown(self, _talk: Talk, _arguments: bytes) -> Sequence[bytes]:
        return [words.UNKNOWN]

    async def _help(self, _talk: Talk, _arguments: bytes) -> Sequence[bytes]:
        return words.HELP

    async def _register(self, talk: Talk, arguments: bytes) -> Sequence[bytes]:
        # One space; what is behind it is the secret as it was typed, spaces and all.
        address, _, secret = arguments.partition(b" ")
        name = self._name(address)
        if not (name and secret):
            return [words.USAGE_REGISTER]
        refused = await self._refused(talk)
        if refused:
            return refused
        now = self._reactor.seconds()
        if self._wrong.of(talk.identity.name, now) > _MOST_WRONG - 1:
            return [words.TOO_MANY_WRONG]
        peer = "irc:" + talk.identity.name.decode("latin-1")
        tag = self._tag(talk)
        try:
            claim = await self._doors.claims.watch(name, secret, peer, tag)
        except TooManyWatchesError:
            return [words.TOO_MANY_WATCHES]
        except NoSuchMailboxError:
            claim = None
        if claim is None:
            self._wrong.add(talk.identity.name, self._reactor.seconds())
            return [words.WRONG]
        self._notices.watched(tag, claim.account)
        return [words.registered(self._address(claim.name), added=claim.added)]

    async def _cancel(self, talk: Talk, arguments: bytes) -> Sequence[bytes]:
        name = self._name(arguments.strip(b" "))
        if not name:
            return [words.USAGE_CANCEL]
        refused = await self._refused(talk)
        if refused:
            return refused
        tag = self._tag(talk)
        for watch in await self._doors.watches.of(tag):
            if watch.name.encode() == name:
                await self._doors.watches.remove(tag, watch.account)
                self._notices.unwatched(tag, watch.account)
                return [words.cancelled(self._address(watch.name))]
        return [words.NOT_WATCHED]

    async def _show(self, talk: Talk, _arguments: bytes) -> Sequence[bytes]:
        refused = await self._refused(talk)
        if refused:
            return refused
        watched = await self._doors.watches.of(self._tag(talk))
        lines = [words.shown(one, self._address(one.name)) for one in watched]
        return lines or [words.NOTHING_WATCHED]

    def _tag(self, talk: Talk) -> bytes:
        return self._doors.watches.tag(talk.identity.name)

    async def _refused(self, talk: Talk) -> Sequence[bytes]:
        """Return what is said to who is not the nick's owner; nothing to the owner."""
        if await self._asking.vouch(talk.identity, talk.said, reply=True):
            return []
        return [words.NOT_IDENTIFIED]

    def _name(self, address: bytes) -> bytes:
        """Return the account's name in an address of ours, b"" for no such address."""
        local, at, domain = address.lower().rpartition(b"@")
        if not at:
            local = domain
        elif domain.removesuffix(b".") not in self._doors.domains:
            return b""
        return local if _NAME.fullmatch(local) else b""

    def _address(self, name: str) -> bytes:
        return name.encode() + b"@" + self._doors.mail_domain


def _unsaid(failure: Failure) -> None:
    """A lost link is no fault; what else may go wrong is logged without its words."""
    if not failure.check(LinkLostError):
        log_fault(log, "an answer failed", failure)


def _split(text: bytes) -> tuple[bytes, bytes]:
    """Return the command, in lower case, and what is behind it, to its last space."""
    command, _, arguments = text.lstrip(b" ").partition(b" ")
    return command.lower(), arguments.lstrip(b" ")
