"""Quotas in memory: IQuotas without a store. It fires at once, and keeps nothing.

For tests of the post office; the contract suite holds it to what IQuotas promises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import Factory, define
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from postmand.interfaces import QuotaSpentError, Spending
from postmand.internet import IQuotas, PurchaseError, StampSpentError, Standing
from postmand.rules import quota
from postmand.rules.hashcash import Prices, StampError
from postmand.rules.quota import Rules

T = TypeVar("T")

PRICES = Prices({26: 20, 27: 40, 28: 80})


@implementer(IQuotas)
@define
class MemoryQuotas:
    """Standings by account. While `error` is set, everything fails with it."""

    rules: Rules = Factory(Rules)
    prices: Prices = PRICES
    kept: dict[int, Standing] = Factory(dict)
    stamps: dict[bytes, int] = Factory(dict)
    error: Exception | None = None

    def standing(self, account: int, now: int) -> Deferred[Standing]:
        """Fire with the account's standing as it is on the day of `now`."""
        return self._settled(lambda: quota.on_day(self._of(account), now))

    def buy(
        self, account: int, stamp: bytes, bits: int, expires_day: int, now: int
    ) -> Deferred[Standing]:
        """Credit what a stamp of so many bits buys."""

        def bought() -> Standing:
            if stamp in self.stamps:
                raise StampSpentError
            try:
                recipients = self.prices.recipients(bits)
            except StampError as error:
                raise PurchaseError(error.text) from error
            standing = quota.buy(self._of(account), self.rules, recipients, now)
            self.stamps[stamp] = expires_day
            self.kept[account] = standing
            return standing

        return self._settled(bought)

    def grant(self, account: int, recipients: int, now: int) -> Deferred[Standing]:
        """Add recipients to what is left."""

        def granted() -> Standing:
            standing = quota.grant(self._of(account), self.rules, recipients, now)
            self.kept[account] = standing
            return standing

        return self._settled(granted)

    def charge(self, spending: Spending) -> Deferred[None]:
        """Take what a message costs, as IMailboxes.deliver does; or QuotaSpentError."""

        def charged() -> None:
            standing = quota.charge(
                self._of(spending.account),
                self.rules,
                spending.created_day,
                spending.recipients,
                spending.now,
            )
            if standing is None:
                raise QuotaSpentError
            self.kept[spending.account] = standing

        return self._settled(charged)

    def forget(self, today: int) -> Deferred[None]:
        """Forget the stamps of days gone by."""

        def forgotten() -> None:
            self.stamps = {
                stamp: day for stamp, day in self.stamps.items() if day >= today
            }

        return self._settled(forgotten)

    def _of(self, account: int) -> Standing:
        return self.kept.get(account, Standing())

    def _settled(self, act: Callable[[], T]) -> Deferred[T]:
        if self.error is not None:
            return fail(self.error)
        try:
            return succeed(act())
        except (StampSpentError, PurchaseError, QuotaSpentError) as error:
            return fail(error)
