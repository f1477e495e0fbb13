"""Who is in the bot's channels: the roll, kept by the server's ordered lines.

A nick is not a person: it may change hands between a question and its answer. So an
identity is a nick and an epoch, and whatever could put another connection behind the
nick ends the epoch: NICK from it or to it, QUIT, the last PART or KICK from a channel
of ours, the first JOIN, a lost link. All of these come on one ordered stream, before
any line that could speak of the new holder; so as long as an identity holds, one and
the same connection is behind it. Pure: events in, answers out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import define, field, frozen

from postmand.biff.casemap import CaseMapping, fold, is_nick, plain
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
    Up,
)

# What a server may write before a nick in a 353: the usual PREFIX of 005. No nick
# begins with one of them (RFC 2812 2.3.1).
_RANKS = b"~&!@%+"
_NAMES = 353
_WHOX = 354
# Marks our WHOX questions, so that no other's answer is read as one.
WHOX_TOKEN = b"77"


@frozen
class Identity:
    """A nick, folded, for as long as one connection is surely behind it.

    `name` is the nick as its holder spells it, but for capitals: whose it is and what
    is kept for it goes by that, for the server's mapping may be coarser than that of
    its services.
    """

    nick: bytes = field(repr=False)
    epoch: int
    name: bytes = field(repr=False)


@define(eq=False)
class _Person:
    identity: Identity
    spelled: bytes
    # None: not known. b"": not logged in.
    account: bytes | None
    channels: set[bytes] = field(factory=set)


class Roll:
    """Who is there, each with an epoch; nobody while the link is down.

    Only `channels` count. No more than `users` are kept: who comes beyond is not on
    the roll, and nobody to us. `filtered` says that a filter drops ACCOUNT lines.
    """

    def __init__(
        self, channels: Sequence[bytes], users: int, *, filtered: bool
    ) -> None:
        self._wanted = channels
        self._users = users
        self._filtered = filtered
        self._epoch = 0
        self._people: dict[bytes, _Person] = {}
        self._forget()

    def _forget(self) -> None:
        self.is_up = False
        self.knows_accounts = False
        self._own = b""
        self._mapping = CaseMapping.RFC1459
        self._channels: frozenset[bytes] = frozenset()
        self._people.clear()

    def fold(self, name: bytes) -> bytes:
        """Return the spelling that the server's case mapping compares."""
        return fold(name, self._mapping)

    def same(self, name: bytes, other: bytes) -> bool:
        """Tell whether two spellings are one name on this server."""
        return self.fold(name) == self.fold(other)

    def is_own(self, nick: bytes) -> bool:
        """Tell whether this is the bot's own nick."""
        return self.fold(nick) == self._own

    def is_channel(self, name: bytes) -> bool:
        """Tell whether this is one of the channels that count."""
        return self.fold(name) in self._channels

    def identity(self, nick: bytes) -> Identity | None:
        """Return who is behind a nick now, None for somebody not on the roll."""
        person = self._people.get(self.fold(nick))
        return None if person is None else person.identity

    def holds(self, identity: Identity) -> bool:
        """Tell whether the same connection has been behind the nick ever since."""
        person = self._people.get(identity.nick)
        return person is not None and person.identity.epoch == identity.epoch

    def spelled(self, identity: Identity) -> bytes:
        """Return the nick as its holder writes it."""
        person = self._people.get(identity.nick)
        return identity.nick if person is None else person.spelled

    def account(self, identity: Identity) -> bytes | None:
        """Return what the holder is logged in to, b"" for nothing, None if unknown.

        It is known only where joins, changes and those who were there before all tell
        their account (`knows_accounts`).
        """
        person = self._people.get(identity.nick) if self.holds(identity) else None
        return person.account if person is not None and self.knows_accounts else None

    def __iter__(self) -> Iterator[Identity]:
        return iter([person.identity for person in self._people.values()])

    def __len__(self) -> int:
        return len(self._people)

    def happened(self, event: Event) -> None:
        """Take the next event of the stream; all of them, in order."""
        match event:
            case Up():
                self._up(event)
            case Down():
                self._forget()
            case Joined():
                self._joined(event)
            case Parted(channel, nick) | Kicked(channel, nick):
                self._left(self.fold(channel), self.fold(nick))
            case Quit(nick):
                self._people.pop(self.fold(nick), None)
            case Renamed(old, new):
                self._renamed(old, new)
            case Account(nick, account):
                self._logged(nick, account)
            case Numeric(code, params) if code == _NAMES and len(params) >= 4:
                for nick in params[3].split():
                    self._seen(params[2], nick.lstrip(_RANKS))
            case Numeric(code, params) if code == _WHOX and len(params) == 4:
                if params[1] == WHOX_TOKEN:
                    self._logged(params[2], params[3] if params[3] != b"0" else b"")

    def _up(self, event: Up) -> None:
        self._forget()
        self.is_up = True
        self._mapping = event.casemapping
        self._own = self.fold(event.nick)
        self._channels = frozenset(map(self.fold, self._wanted))
        self.knows_accounts = (
            event.extended_join
            and event.account_notify
            and event.whox
            and not self._filtered
        )

    def _joined(self, event: Joined) -> None:
        person = self._people.get(self.fold(event.nick))
        if person is not None and self.fold(event.channel) in person.channels:
            # Nobody comes in twice: a line that told of the first's leaving is lost.
            del self._people[person.identity.nick]
        person = self._seen(event.channel, event.nick)
        if person is not None and event.account is not None:
            person.account = event.account

    def _seen(self, channel: bytes, nick: bytes) -> _Person | None:
        """Put somebody on the roll, or note another channel of somebody on it."""
        channel, folded = self.fold(channel), self.fold(nick)
        if folded == self._own or channel not in self._channels or not is_nick(nick):
            return None
        person = self._people.get(folded)
        if person is None:
            if len(self._people) >= self._users:
                return None
            person = self._people[folded] = _Person(self._begun(nick), nick, None)
        person.channels.add(channel)
        return person

    def _begun(self, nick: bytes) -> Identity:
        # Never used twice, not even after a lost link: an old identity never holds.
        self._epoch += 1
        return Identity(self.fold(nick), self._epoch, plain(nick))

    def _left(self, channel: bytes, nick: bytes) -> None:
        leaving = list(self._people) if nick == self._own else [nick]
        for one in leaving:
            person = self._people.get(one)
            if person is not None:
                person.channels.discard(channel)
                if not person.channels:
                    del self._people[one]

    def _renamed(self, old: bytes, new: bytes) -> None:
        before, after = self.fold(old), self.fold(new)
        person = self._people.pop(before, None)
        # Who stood here under this name is gone, or the server's lines make no sense.
        self._people.pop(after, None)
        if before == self._own:
            self._own = after if is_nick(new) else before
        elif person is not None and is_nick(new):
            person.identity, person.spelled = self._begun(new), new
            self._people[after] = person

    def _logged(self, nick: bytes, account: bytes) -> None:
        person = self._people.get(self.fold(nick))
        if person is not None:
            person.account = b"" if account == b"*" else account
