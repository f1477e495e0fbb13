"""Rules over a pool that the node does not have, to compare its own with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from postmand.internet import Pooled

Judge = Callable[[Sequence[Pooled], int, Random], list[int]]
"""All that waits, the time and chance: what leaves."""


def by_class(waiting: Sequence[Pooled]) -> Iterator[Mapping[bytes, list[Pooled]]]:
    """Yield for each size class the accounts with their mails, the first due first."""
    classes: dict[int, dict[bytes, list[Pooled]]] = {}
    for mail in sorted(waiting, key=lambda mail: mail.due):
        accounts = classes.setdefault(mail.size_class, {})
        accounts.setdefault(mail.owner, []).append(mail)
    yield from classes.values()


def one_of_each(least: int) -> Judge:
    """Rule: one mail of each of `least` accounts; what is due calls one of each."""

    def judge(waiting: Sequence[Pooled], now: int, _: Random) -> list[int]:
        gone: list[int] = []
        for accounts in by_class(waiting):
            called = any(mails[0].due <= now for mails in accounts.values())
            if called or len(accounts) >= least:
                gone += (mails[0].item for mails in accounts.values())
                gone += (
                    mail.item
                    for mails in accounts.values()
                    for mail in mails[1:]
                    if mail.due <= now
                )
        return gone

    return judge


def threshold(least: int, keep: int = 0) -> Judge:
    """Rule: of `least` + `keep` mails (of whoever) so many leave that `keep` stay."""

    def judge(waiting: Sequence[Pooled], _: int, lots: Random) -> list[int]:
        gone: list[int] = []
        for accounts in by_class(waiting):
            mails = [mail.item for mails in accounts.values() for mail in mails]
            if len(mails) >= least + keep:
                gone += lots.sample(mails, len(mails) - keep)
        return gone

    return judge


def timed(hours: int) -> Judge:
    """Rule: every so many hours all leave."""

    def judge(waiting: Sequence[Pooled], now: int, _: Random) -> list[int]:
        if now % (hours * 3_600):
            return []
        return [mail.item for mail in waiting]

    return judge


def mixmaster(hours: int, keep: int, share: float) -> Judge:
    """Rule of Mixmaster: every so many hours a share leaves, and `keep` mails stay."""

    def judge(waiting: Sequence[Pooled], now: int, lots: Random) -> list[int]:
        if now % (hours * 3_600):
            return []
        leave = min(len(waiting) - keep, round(share * len(waiting)))
        return lots.sample([mail.item for mail in waiting], max(leave, 0))

    return judge
