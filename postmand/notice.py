"""The seams of new mail's news, and the values that cross them.

The mail's side tells that something came; who watches for an account is told so by
nick, and nothing more. Like `interfaces`: a docstring states the promises of its seam.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen
from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

# zope.interface's idiom leaves out `self`.


@frozen
class Watch:
    """One registration as its owner sees it.

    `account` is the account's number, `name` its local part in lower case. `waiting`
    tells that mail came and the nick was not told yet; `changed_day` is the day mail
    last came while somebody watched, in days since 1970-01-01 UTC, or None;
    `used_bytes` is the mailbox's padded size in octets.
    """

    account: int
    name: str = field(repr=False)
    waiting: bool
    changed_day: int | None
    used_bytes: int


class TooManyWatchesError(Exception):
    """The nick watches as many accounts as it may, or the account is watched by all."""


class ClaimsBusyError(Exception):
    """More claims wait than are taken; try again later."""


class INotice(Interface):
    """Who wants to know that mail came."""

    def arrived(accounts: Iterable[int]) -> None:
        """Take note that mail for these accounts is on disk.

        Called after the commit, in the reactor's thread. Returns at once, never raises,
        and keeps nothing of the time finer than a day.
        """


class IWatches(Interface):
    """Who wants to be told of whose mail.

    A nick is kept as a keyed hash only, never in clear, and nothing is kept of when it
    was seen or from where. Every Deferred fails with StoreBusyError where the disk
    can not be written or read now; nothing is changed then.
    """

    def tag(nick: bytes) -> bytes:
        """Return the nick's keyed hash: computes, does not read.

        The caller has made the nick's ASCII letters small, and nothing else.
        """

    def all() -> Deferred[Sequence[tuple[bytes, int, bool]]]:
        """Fire with (nick's tag, account, waiting) of every row; read at the start.

        Those of disabled accounts are there, too: they may be enabled again.
        """

    def add(tag: bytes, account: int) -> Deferred[bool]:
        """Let a nick watch an account; fire with False if it did already.

        Fails with TooManyWatchesError beyond what a nick or an account may have, and
        with NoSuchMailboxError when the account went away meanwhile or is disabled.
        """

    def remove(tag: bytes, account: int) -> Deferred[bool]:
        """End it; fire with False if there was none."""

    def of(tag: bytes) -> Deferred[Sequence[Watch]]:
        """Fire with what the nick watches, by name.

        Accounts that are gone or disabled are not shown.
        """

    def waits(tag: bytes) -> Deferred[bool]:
        """Fire with whether anything waits for the nick, of a disabled account or not.

        `of` does not show what is closed; when it is open again the nick is to be told.
        """

    def mark(accounts: Iterable[int], day: int) -> Deferred[None]:
        """Note for all who watch these accounts that mail came on `day`.

        In one transaction. Rows of disabled accounts stay as they are.
        """

    def told(tag: bytes) -> Deferred[None]:
        """Note that the nick was told: nothing waits for it any more."""


@frozen
class Claim:
    """What an address and a secret opened; `added`: it was not watched before."""

    account: int
    name: str = field(repr=False)
    added: bool


class IClaims(Interface):
    """Whose account an address and a secret open, so that a nick may watch it."""

    def watch(
        address: bytes, secret: bytes, peer: str, tag: bytes
    ) -> Deferred[Claim | None]:
        """Let a nick watch the account that is opened; fire with None if none is.

        `address` is bare or in one of our domains; `secret` is the account's password
        or a one-time token, which is spent by it. None alike, and as slowly, for an
        unknown address, a wrong secret, a disabled account and a spent token. `peer`
        is whom wrong secrets are counted against; `tag` is the nick's (see IWatches).
        Fails with TooManyWatchesError or NoSuchMailboxError as IWatches.add does, and
        with ClaimsBusyError where too many wait, or the store can not be asked now. A
        token is spent only where the nick watches then: one transaction does both.
        """
