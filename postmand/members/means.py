"""What members may send and have sent to them: quota, stamps, tokens for biff."""

from __future__ import annotations

from attrs import frozen

from postmand.interfaces import Credential
from postmand.internet import PurchaseError, StampSpentError
from postmand.members.ground import Ground, octets_of, sentence
from postmand.membership import MembershipError, Quota, Visitor
from postmand.rules import hashcash, quota

_NO_WAY_OUT = "This node has no way to the Internet, so there is nothing to buy."


@frozen(eq=False)
class Means:
    """See IMembership for what the methods promise."""

    _ground: Ground

    async def quota(self, visitor: Visitor) -> Quota | None:
        """Return what is left today; None where the node has no way out."""
        if self._ground.book.counter is None:
            return None
        return await self._left(await self._ground.at(visitor))

    async def buy(self, visitor: Visitor, stamp: str) -> Quota:
        """Credit what a stamp buys; return what is left then."""
        if self._ground.book.counter is None:
            raise MembershipError(_NO_WAY_OUT, "stamp")
        account = await self._ground.at(visitor)
        try:
            await self._ground.book.counter.buy(
                account.account, account.name, octets_of(stamp.strip())
            )
        except (hashcash.StampError, PurchaseError) as error:
            raise MembershipError(sentence(error), "stamp") from None
        except StampSpentError:
            text = "This stamp has bought something already."
            raise MembershipError(text, "stamp") from None
        return await self._left(account)

    async def biff_token(self, visitor: Visitor) -> str | None:
        """Return a new token for biff; None where the node has none."""
        if self._ground.book.mint is None:
            return None
        return self._ground.book.mint.make(
            await self._ground.at(visitor), self._ground.wall()
        )

    async def _left(self, account: Credential) -> Quota:
        rules, now = self._ground.book.ledger.rules, int(self._ground.wall())
        standing = await self._ground.book.quotas.standing(account.account, now)
        domain = self._ground.config.node.mail_domain
        return Quota(
            own=quota.own_left(standing, rules, account.created_day, now),
            per_day=rules.per_day,
            bought=standing.bought,
            until=standing.until if standing.bought else 0,
            bought_today=standing.bought_today,
            bought_per_day=rules.bought_per_day,
            prices=sorted(self._ground.book.ledger.prices.recipients_by_bits.items()),
            resource=hashcash.resource(account.name, domain).decode(),
        )
