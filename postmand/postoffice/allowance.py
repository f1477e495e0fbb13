"""What members may still send to the Internet, while their sessions go on."""

from __future__ import annotations

from collections.abc import Callable

from postmand.internet import IQuotas, Standing
from postmand.rules import quota
from postmand.rules.verdict import Verdict

_DAY = 86_400


class Allowance:
    """Reservations in memory over the standings in the store.

    A recipient is reserved at RCPT, spent in the transaction that accepts the message
    (which has the last word: other nodes may share the store), or given back.
    """

    def __init__(
        self, quotas: IQuotas, rules: quota.Rules, seconds: Callable[[], float]
    ) -> None:
        self._quotas = quotas
        self._rules = rules
        self._seconds = seconds
        self._reserved = quota.Reservations()

    async def reserve(self, account: int, created_day: int) -> int | Verdict:
        """Reserve one recipient; return how many are left then, or a refusal."""
        mark, read = -1, Standing()
        while mark != self._reserved.mark(account):
            mark, now = self._reserved.mark(account), self._seconds()
            read = await self._quotas.standing(account, int(now))
        left = quota.left(read, self._rules, created_day, now)
        if not self._reserved.reserve(account, left):
            return quota.quota_spent(read, self._rules, now)
        return left - self._reserved.held(account)

    def spent(self, account: int, recipients: int) -> None:
        """Let go of what the store has taken from the account's standing."""
        self._reserved.spent(account, recipients)

    def give_back(self, account: int, recipients: int) -> None:
        """Let go of what was not spent."""
        self._reserved.give_back(account, recipients)

    def refusal(self) -> Verdict:
        """Return what is said where another node spent what was reserved here."""
        now = self._seconds()
        return quota.quota_spent(Standing(day=int(now // _DAY)), self._rules, now)
