"""What each account may still send to the Internet, and which stamps are spent.

A row is found by a hash keyed with the node's key and sealed with it, and all rows are
of one length: the disk alone tells neither whose it is nor what was used or bought.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from struct import Struct

from attrs import field, frozen
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.interfaces import QuotaSpentError, Spending
from postmand.internet import IQuotas, PurchaseError, StampSpentError, Standing
from postmand.rules import quota
from postmand.rules.hashcash import Prices, StampError
from postmand.rules.quota import Rules
from postmand.store.crew import Crew
from postmand.store.database import prepare
from postmand.store.nodekey import NodeKey
from postmand.store.rows import Step
from postmand.store.schema import stamps, standings
from postmand.store.writer import Writer

# Standing's fields in their order: day, spent, bought, until, bought_today.
_STANDING = Struct(">QQQQQ")
_HOURS = 24

_READ = prepare(
    select(standings.c.sealed).where(standings.c.tag == bindparam("tag")), "tag"
)
_keep = upsert(standings).values(
    tag=bindparam("tag"), sealed=bindparam("sealed"), expires_day=bindparam("day")
)
_KEEP = prepare(
    _keep.on_conflict_do_update(
        index_elements=[standings.c.tag],
        set_={
            "sealed": _keep.excluded.sealed,
            "expires_day": _keep.excluded.expires_day,
        },
    ),
    *("tag", "sealed", "day"),
)
_FORGET = prepare(
    delete(standings).where(standings.c.expires_day < bindparam("day")), "day"
)
_IS_SPENT = prepare(select(stamps.c.tag).where(stamps.c.tag == bindparam("tag")), "tag")
_MARK = prepare(
    insert(stamps).inline().values(tag=bindparam("tag"), expires_day=bindparam("day")),
    *("tag", "day"),
)
_FORGET_STAMPS = prepare(
    delete(stamps).where(stamps.c.expires_day < bindparam("day")), "day"
)


@frozen
class Ledger:
    """The rows themselves. Whoever changes some does so in a transaction that writes.

    For the node behind `Quotas`, for a tool beside it directly. What does not open
    raises SealError.
    """

    _key: NodeKey = field(repr=False)
    rules: Rules
    prices: Prices

    def standing(
        self, connection: sqlite3.Connection, account: int, now: float
    ) -> Standing:
        """Return the account's standing as it is on the day of `now`."""
        return quota.on_day(self.read(connection, account), now)

    def charge(self, connection: sqlite3.Connection, spending: Spending) -> Standing:
        """Take what a message costs; QuotaSpentError if that is not left."""
        standing = quota.charge(
            self.read(connection, spending.account),
            self.rules,
            spending.created_day,
            spending.recipients,
            spending.now,
        )
        if standing is None:
            raise QuotaSpentError
        return self._keep(connection, spending.account, standing)

    def buy(
        self,
        connection: sqlite3.Connection,
        account: int,
        stamp: bytes,
        bits: int,
        expires_day: int,
        now: float,
    ) -> Standing:
        """Mark the stamp and credit it (see IQuotas); nothing is changed on an error.

        A stamp is marked for the whole node: it buys once, whoever brings it.
        """
        if self.is_spent(connection, stamp):
            raise StampSpentError("this stamp has bought something already")
        standing = self.offer(connection, account, bits, now)
        connection.execute(_MARK, (self.stamp_tag(stamp), expires_day))
        return self._keep(connection, account, standing)

    def is_spent(self, connection: sqlite3.Connection, stamp: bytes) -> bool:
        """Tell whether the stamp has bought something."""
        found = connection.execute(_IS_SPENT, (self.stamp_tag(stamp),))
        return found.fetchone() is not None

    def offer(
        self, connection: sqlite3.Connection, account: int, bits: int, now: float
    ) -> Standing:
        """Return what the standing would be after a purchase; or raise PurchaseError.

        Nothing is changed.
        """
        try:
            recipients = self.prices.recipients(bits)
        except StampError as error:
            raise PurchaseError(error.text) from error
        return quota.buy(self.read(connection, account), self.rules, recipients, now)

    def grant(
        self, connection: sqlite3.Connection, account: int, recipients: int, now: float
    ) -> Standing:
        """Add recipients to what is left (see rules.quota.grant)."""
        standing = self.read(connection, account)
        return self._keep(
            connection, account, quota.grant(standing, self.rules, recipients, now)
        )

    def stamp_tag(self, stamp: bytes) -> bytes:
        """Return what a stamp is marked by once it is spent."""
        return self._key.tag(b"stamp", stamp)

    def tag(self, account: int) -> bytes:
        """Return what an account's row is found by."""
        return self._key.tag(b"standing", account.to_bytes(8, "big"))

    def read(self, connection: sqlite3.Connection, account: int) -> Standing:
        """Return the standing as its row has it, whatever the day is."""
        tag = self.tag(account)
        row = connection.execute(_READ, (tag,)).fetchone()
        if row is None:
            return Standing()
        return Standing(*_STANDING.unpack(self._key.open(row[0], tag)))

    def _keep(
        self, connection: sqlite3.Connection, account: int, standing: Standing
    ) -> Standing:
        tag = self.tag(account)
        sealed = self._key.seal(
            _STANDING.pack(
                standing.day,
                standing.spent,
                standing.bought,
                standing.until,
                standing.bought_today,
            ),
            tag,
        )
        connection.execute(_KEEP, (tag, sealed, self._expires_day(standing)))
        return standing

    def _expires_day(self, standing: Standing) -> int:
        """Return the day after which the row says nothing any more.

        One day later than need be, should the clock be set back; and as late without a
        purchase as with one, so that the day does not tell of it.
        """
        days = -(-self.rules.bought_hours // _HOURS)
        return max(standing.day + days, standing.until // quota.DAY) + 1


@implementer(IQuotas)
@frozen(eq=False)
class Quotas:
    """The ledger behind the writer and a crew of readers."""

    _writer: Writer
    _readers: Crew[sqlite3.Connection]
    ledger: Ledger

    def standing(self, account: int, now: int) -> Deferred[Standing]:
        """Fire with the account's standing as it is on the day of `now`."""
        return self._readers.call(
            partial(self.ledger.standing, account=account, now=now)
        )

    def buy(
        self, account: int, stamp: bytes, bits: int, expires_day: int, now: int
    ) -> Deferred[Standing]:
        """Credit what a stamp of so many bits buys (see IQuotas)."""
        return self._writer.change(
            partial(
                self.ledger.buy,
                account=account,
                stamp=stamp,
                bits=bits,
                expires_day=expires_day,
                now=now,
            )
        )

    def grant(self, account: int, recipients: int, now: int) -> Deferred[Standing]:
        """Add recipients to what is left, as the operator may; synced when it fires.

        Fails with PurchaseError for more than an account may have.
        """
        return self._writer.change(
            partial(self.ledger.grant, account=account, recipients=recipients, now=now)
        )

    def charge_step(self, spending: Spending) -> Step:
        """Return what charges the account in the transaction of a message.

        It raises QuotaSpentError when not enough is left.
        """

        def charge(connection: sqlite3.Connection) -> tuple[str, ...]:
            self.ledger.charge(connection, spending)
            return ()

        return charge

    def forget(self, today: int) -> Deferred[None]:
        """Forget the standings and stamps of days gone by: to be called each day."""
        return self._writer.change(partial(forget, today=today))


def forget(connection: sqlite3.Connection, today: int) -> None:
    """Remove the rows whose last day is before `today`."""
    connection.execute(_FORGET, (today,))
    connection.execute(_FORGET_STAMPS, (today,))
