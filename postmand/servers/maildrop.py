"""A mailbox as a POP3 session sees it, and which session has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import Attribute, Interface

from postmand.interfaces import Stored


class IMaildrop(Interface):
    """A member's mailbox as one session sees it (an avatar): a snapshot.

    What reads or removes raises LoginOverError once the login does not hold any more.
    """

    account = Attribute("int: whose mailbox it is; one session at a time")
    sizes = Attribute("Sequence[int]: exact octets of each message, oldest first")

    async def open() -> None:
        """Take the snapshot. Before this `sizes` is empty."""

    def uid(index: int) -> bytes:
        """Return the message's unique-id: printable, stable for ever."""

    async def message(index: int) -> Stored:
        """Return the whole message. LookupError: another hand removed it."""

    async def header(index: int) -> Stored:
        """Return the message with an empty body, at the price of its card."""

    async def remove(indexes: Sequence[int]) -> None:
        """Remove these messages, on disk when it returns."""

    def close() -> None:
        """Let go of what was read ahead; the session is over."""


class Holders:
    """Which session holds a mailbox: one at a time, a silent one gives way.

    A session is known by its `gives_way`, which ends it and returns True if its peer
    was silent for too long.
    """

    def __init__(self) -> None:
        self._holders: dict[int, Callable[[], bool]] = {}

    def take(self, account: int, gives_way: Callable[[], bool]) -> bool:
        """Give the mailbox to a session; False while a live one holds it."""
        holder = self._holders.get(account)
        if holder is not None and not holder():
            return False
        self._holders[account] = gives_way
        return True

    def give(self, account: int, gives_way: Callable[[], bool]) -> None:
        """Take the mailbox back from a session, if it is still the one that has it."""
        if self._holders.get(account) == gives_way:
            del self._holders[account]
