"""Watches in memory: IWatches without a store. It fires at once, and keeps nothing.

For tests of biff; the contract suite holds it to what IWatches promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from attrs import Factory, define, evolve, frozen
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from postmand.interfaces import NoSuchMailboxError
from postmand.notice import IWatches, TooManyWatchesError, Watch
from tests.contracts.memory import MemoryStore

T = TypeVar("T")


@frozen
class Seen:
    """What watches need of an account."""

    name: str
    used: int = 0
    disabled: bool = False
    password: bytes = b""


def seen_in(store: MemoryStore) -> Callable[[int], Seen | None]:
    """Return what looks for an account in a store in memory."""

    def look(account: int) -> Seen | None:
        one = store._kept.by_number(account)
        return one and Seen(one.member.name, one.used, one.disabled, one.password)

    return look


@frozen
class _Row:
    # The password in whose time it was made.
    password: bytes = b""
    waiting: bool = False
    day: int | None = None


@implementer(IWatches)
@define
class MemoryWatches:
    """Rows by (nick's tag, account). While `error` is set, all but `tag` fails."""

    look: Callable[[int], Seen | None]
    accounts_per_nick: int = 10
    nicks_per_account: int = 5
    kept: dict[tuple[bytes, int], _Row] = Factory(dict)
    error: Exception | None = None

    def tag(self, nick: bytes) -> bytes:
        """Return the nick's keyed hash."""
        return hashlib.blake2b(nick, key=b"memory", digest_size=16).digest()

    def all(self) -> Deferred[Sequence[tuple[bytes, int, bool]]]:
        """Fire with (nick's tag, account, waiting) of every row."""
        return self._settled(
            lambda: [
                (tag, account, row.waiting) for (tag, account), row in self.kept.items()
            ]
        )

    def add(self, tag: bytes, account: int) -> Deferred[bool]:
        """Let a nick watch an account; fire with False if it did already."""

        def added() -> bool:
            seen = self._open(account)
            if seen is None:
                raise NoSuchMailboxError(str(account))
            if (tag, account) in self.kept:
                return False
            accounts = sum(nick == tag for nick, _ in self.kept)
            nicks = sum(one == account for _, one in self.kept)
            if accounts >= self.accounts_per_nick or nicks >= self.nicks_per_account:
                raise TooManyWatchesError
            self.kept[tag, account] = _Row(seen.password)
            return True

        return self._settled(added)

    def remove(self, tag: bytes, account: int) -> Deferred[bool]:
        """End it; fire with False if there was none."""
        return self._settled(lambda: self.kept.pop((tag, account), None) is not None)

    def of(self, tag: bytes) -> Deferred[Sequence[Watch]]:
        """Fire with what the nick watches, by name."""

        def watched() -> list[Watch]:
            found = [
                Watch(account, seen.name, row.waiting, row.day, seen.used)
                for (nick, account), row in self.kept.items()
                if nick == tag and (seen := self._open(account)) is not None
            ]
            return sorted(found, key=lambda one: one.name)

        return self._settled(watched)

    def waits(self, tag: bytes) -> Deferred[bool]:
        """Fire with whether anything waits for the nick, of whatever account."""
        return self._settled(
            lambda: any(
                row.waiting for (one, _), row in self.kept.items() if one == tag
            )
        )

    def mark(self, accounts: Iterable[int], day: int) -> Deferred[None]:
        """Note that mail came on `day` for all who watch these accounts."""

        def marked() -> None:
            wanted = {one for one in accounts if self._open(one) is not None}
            for (tag, account), row in self.kept.items():
                if account in wanted:
                    self.kept[tag, account] = evolve(row, waiting=True, day=day)

        return self._settled(marked)

    def told(self, tag: bytes) -> Deferred[None]:
        """Note that nothing waits for this nick any more."""

        def calm() -> None:
            for (nick, account), row in self.kept.items():
                if nick == tag:
                    self.kept[nick, account] = evolve(row, waiting=False)

        return self._settled(calm)

    def _open(self, account: int) -> Seen | None:
        seen = self.look(account)
        return None if seen is None or seen.disabled else seen

    def _settled(self, work: Callable[[], T]) -> Deferred[T]:
        """Do it on what is left of the accounts, as a Deferred."""
        if self.error is not None:
            return fail(self.error)
        for (tag, account), row in list(self.kept.items()):
            seen = self.look(account)
            if seen is None or seen.password != row.password:
                del self.kept[tag, account]
        try:
            return succeed(work())
        except (NoSuchMailboxError, TooManyWatchesError) as error:
            return fail(error)
