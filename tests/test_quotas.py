"""The standings and the spent stamps, in the store and in memory."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from postmand.interfaces import QuotaSpentError, Spending
from postmand.internet import IQuotas, PurchaseError, StampSpentError, Standing
from postmand.rules.hashcash import Prices
from postmand.rules.quota import DAY, Rules
from postmand.store.bodies import Bodies
from postmand.store.crew import Crew
from postmand.store.database import connect
from postmand.store.inbox import start_thread
from postmand.store.nodekey import NodeKey
from postmand.store.quotas import Ledger, Quotas
from postmand.store.rows import Changes
from postmand.store.seal import SealError
from postmand.store.upgrade import upgrade
from postmand.store.writer import Job, Writer
from tests.contracts.memory_quotas import MemoryQuotas
from tests.contracts.stores import Loop

RULES = Rules(per_day=20, first_day=20, bought_per_day=160, bought_hours=24)
PRICES = Prices({26: 20, 27: 40, 28: 80})
TODAY = 20_779
NOON = TODAY * DAY + 43_200
JONDOE, ALICE = 2**63 - 1, 1
STAMP = b"1:26:261122:quota/jondoe@mail.i2p::salt:1f"
KEPT_UNTIL = TODAY + 2
SEALED = 40 + 40


def key(seed: bytes = b"k") -> NodeKey:
    """Return a node's key."""
    return NodeKey.from_master(seed * 32)


class QuotasPromises:
    """What IQuotas promises, and charging, which is a part of IMailboxes.deliver.

    Mixed into a case that gives `quotas`, `get` and `charge`.
    """

    quotas: Any
    get: Callable[[Deferred[Any]], Any]
    charge: Callable[[Spending], Deferred[Any]]

    def spend(self, recipients: int, account: int = JONDOE, now: int = NOON) -> None:
        """Charge and wait."""
        self.get(self.charge(Spending(account, 0, recipients, now)))

    def standing(self, account: int = JONDOE, now: int = NOON) -> Standing:
        """Return the standing."""
        found: Standing = self.get(self.quotas.standing(account, now))
        return found

    def buy(
        self,
        bits: int = 26,
        stamp: bytes = STAMP,
        account: int = JONDOE,
        now: int = NOON,
    ) -> Standing:
        """Buy and wait."""
        day = now // DAY + 2
        bought: Standing = self.get(self.quotas.buy(account, stamp, bits, day, now))
        return bought

    def test_provides_its_interface(self) -> None:
        """The object has the methods that the seam names."""
        verifyObject(IQuotas, self.quotas)

    def test_nothing_known(self) -> None:
        """Who never wrote has spent nothing today."""
        self.assertEqual(self.standing(), Standing(day=TODAY))

    def test_charged(self) -> None:
        """What is spent is spent for this account, on this day."""
        self.spend(3)
        self.spend(4)
        self.assertEqual(self.standing(), Standing(day=TODAY, spent=7))
        self.assertEqual(self.standing(ALICE), Standing(day=TODAY))
        self.assertEqual(self.standing(now=NOON + DAY), Standing(day=TODAY + 1))

    def test_not_enough(self) -> None:
        """Refused as a whole, and nothing is charged."""
        self.spend(18)
        with self.assertRaises(QuotaSpentError):
            self.spend(3)
        self.assertEqual(self.standing().spent, 18)
        self.spend(2)
        with self.assertRaises(QuotaSpentError):
            self.spend(1)

    def test_the_first_day(self) -> None:
        """The account's first day is the one that is charged for."""
        self.quotas_with(Rules(per_day=20, first_day=1))
        self.get(self.charge(Spending(JONDOE, TODAY, 1, NOON)))
        with self.assertRaises(QuotaSpentError):
            self.get(self.charge(Spending(JONDOE, TODAY, 1, NOON)))
        self.get(self.charge(Spending(JONDOE, TODAY, 20, NOON + DAY)))

    def test_bought(self) -> None:
        """The answer to a purchase is the standing from then on."""
        self.spend(20)
        bought = self.buy()
        self.assertEqual((bought.bought, bought.bought_today), (20, 20))
        self.assertEqual(self.standing(), bought)
        self.spend(20)
        self.assertEqual(self.standing().bought, 0)

    def test_bits_buy(self) -> None:
        """Each by its bits; what is too few leaves the stamp unspent."""
        with self.assertRaisesRegex(PurchaseError, "has 25 bits"):
            self.buy(25)
        self.assertEqual(self.buy(27).bought, 40)
        self.assertEqual(self.buy(28, STAMP + b"0").bought, 80)

    def test_a_stamp_buys_once(self) -> None:
        """Not again, not for another account, not when all of it is used."""
        self.buy()
        before = self.standing()
        for account in (JONDOE, ALICE):
            with self.assertRaises(StampSpentError):
                self.buy(account=account)
        self.assertEqual(self.standing(), before)
        self.assertEqual(self.standing(ALICE), Standing(day=TODAY))
        self.spend(40)
        with self.assertRaises(StampSpentError):
            self.buy()
        with self.assertRaises(StampSpentError):
            self.buy(now=NOON + DAY)

    def test_a_refused_stamp_is_unspent(self) -> None:
        """A purchase that may not be is no purchase: the stamp is good later."""
        self.buy(27, STAMP + b"0")
        before = self.standing()
        with self.assertRaises(PurchaseError):
            self.buy()
        self.assertEqual(self.standing(), before)
        self.spend(41)
        self.assertEqual(self.buy().bought, 20)

    def test_no_more_than_the_cap(self) -> None:
        """Two purchases of 80 are a day's; the third is refused with its stamp good."""
        for number in (b"1", b"2"):
            self.buy(28, STAMP + number)
            self.spend(self.standing().bought + 20 - self.standing().spent)
        with self.assertRaisesRegex(PurchaseError, "at most 160"):
            self.buy(28, STAMP + b"3")
        self.assertEqual(self.buy(28, STAMP + b"3", now=NOON + DAY).bought, 80)

    def test_granted(self) -> None:
        """The operator's gift adds up."""
        self.buy()
        granted = self.get(self.quotas.grant(JONDOE, 5, NOON))
        self.assertEqual((granted.bought, granted.bought_today), (25, 20))
        self.assertEqual(self.standing(), granted)
        with self.assertRaises(PurchaseError):
            self.get(self.quotas.grant(JONDOE, 1_000_000, NOON))
        self.assertEqual(self.standing(), granted)

    def test_racing_for_the_last(self) -> None:
        """Eight messages at a time for the last recipient: one is paid for."""
        self.spend(19)
        racing = [
            self.charge(Spending(JONDOE, 0, 1, NOON)).addBoth(
                lambda result: getattr(result, "type", None)
            )
            for _ in range(8)
        ]
        ends = self.get(gatherResults(racing))
        self.assertEqual(ends.count(None), 1)
        self.assertEqual(ends.count(QuotaSpentError), 7)
        self.assertEqual(self.standing().spent, 20)

    def test_racing_with_one_stamp(self) -> None:
        """Eight purchases at a time with one stamp: one buys."""
        racing = [
            self.quotas.buy(account, STAMP, 26, KEPT_UNTIL, NOON).addBoth(
                lambda result: getattr(result, "type", None)
            )
            for account in range(8)
        ]
        ends = self.get(gatherResults(racing))
        self.assertEqual(ends.count(StampSpentError), 7)
        credited = [self.standing(account).bought for account in range(8)]
        self.assertEqual(sorted(credited), [0] * 7 + [20])

    def test_forgetting(self) -> None:
        """A mark stays all of its last day; standings that matter stay, too."""
        self.spend(20)
        self.buy()
        for today in (TODAY, KEPT_UNTIL):
            self.get(self.quotas.forget(today))
            with self.assertRaises(StampSpentError):
                self.buy(account=ALICE)
        self.get(self.quotas.forget(TODAY + 1))
        kept = self.standing(now=NOON + DAY - 60)
        self.assertEqual(kept.bought, 20)
        self.get(self.quotas.forget(KEPT_UNTIL + 1))
        self.buy(account=ALICE)


class MemoryQuotasTests(QuotasPromises, SynchronousTestCase):
    """Quotas in memory."""

    def setUp(self) -> None:
        """Start with nothing known."""
        self.quotas_with(RULES)

    def quotas_with(self, rules: Rules) -> None:
        """Begin anew by other rules."""
        self.quotas = MemoryQuotas(rules, PRICES)
        self.charge = self.quotas.charge

    def get(self, deferred: Deferred[Any]) -> Any:
        """Return what has fired, or raise it."""
        fired: list[Any] = []
        deferred.addBoth(fired.append)
        if hasattr(fired[0], "raiseException"):
            fired[0].raiseException()
        return fired[0]

    def test_errors_on_demand(self) -> None:
        """A test may have the store fail."""
        self.quotas.error = OSError("disk")
        with self.assertRaises(OSError):
            self.standing()


class RealCase(SynchronousTestCase):
    """Quotas on SQLite, with the writer's thread and a reader's."""

    def setUp(self) -> None:
        """Make a database and start the threads."""
        self.directory = Path(tempfile.mkdtemp(prefix="postmand-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.path = self.directory / "postmand.db"
        upgrade(f"sqlite:///{self.path}")
        self.loop = Loop()
        self.get = self.loop.get
        bodies = Bodies(self.directory / "bodies")
        bodies.make()
        dispatch = self.loop.callFromThread
        self.writer = Writer(
            self.connection, bodies, dispatch, limit=1_000, waiting=100
        )
        self.writer.start(start_thread, "writer")
        self.addCleanup(self.writer.close)
        self.readers = Crew(self.connection, dispatch, waiting=100, most=10)
        self.readers.start(start_thread, "lookup", 1)
        self.addCleanup(self.readers.close)
        self.quotas_with(RULES)

    def connection(self) -> closing[sqlite3.Connection]:
        """Open the database."""
        return closing(connect(self.path))

    def quotas_with(self, rules: Rules, node_key: NodeKey | None = None) -> None:
        """Go on by other rules, or with another key."""
        ledger = Ledger(node_key or key(), rules, PRICES)
        self.quotas = Quotas(self.writer, self.readers, ledger)

    def charge(self, spending: Spending) -> Deferred[None]:
        """Charge as the delivery of a message does."""
        step = self.quotas.charge_step(spending)
        return self.writer.submit(Job(lambda: Changes(steps=[step])))

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return what lies in a table."""
        with self.connection() as connection:
            return connection.execute(f"SELECT * FROM {table}").fetchall()


@pytest.mark.long
class RealQuotasTests(QuotasPromises, RealCase):
    """Quotas on SQLite."""

    def test_other_steps_are_undone_with_it(self) -> None:
        """A message that can not be paid for leaves nothing; its neighbours stay."""
        other = "INSERT INTO node_keys VALUES (?, x'')"

        def message(name: str, recipients: int) -> Deferred[None]:
            def row(connection: sqlite3.Connection) -> tuple[str, ...]:
                connection.execute(other, (name,))
                return ()

            spending = Spending(JONDOE, 0, recipients, NOON)
            steps = [row, self.quotas.charge_step(spending)]
            return self.writer.submit(Job(lambda: Changes(steps=steps)))

        sent = [message("a", 12), message("b", 12), message("c", 8), message("d", 1)]
        for deferred in (sent[1], sent[3]):
            with self.assertRaises(QuotaSpentError):
                self.get(deferred)
        self.get(gatherResults([sent[0], sent[2]]))
        self.assertEqual([name for name, _ in self.rows("node_keys")], ["a", "c"])
        self.assertEqual(self.standing().spent, 20)

    def test_rows_tell_nothing(self) -> None:
        """Of one length and one day, whatever was used; no account and no stamp."""
        self.spend(1)
        self.spend(20, ALICE)
        self.buy(account=ALICE)
        rows = self.rows("standings")
        self.assertEqual({len(tag) for tag, _, _ in rows}, {16})
        self.assertEqual({len(sealed) for _, sealed, _ in rows}, {SEALED})
        self.assertEqual({day for _, _, day in rows}, {TODAY + 2})
        ((tag, _),) = self.rows("stamps")
        self.assertEqual(len(tag), 16)
        written = self.path.read_bytes()
        written += self.path.with_name("postmand.db-wal").read_bytes()
        for trace in (STAMP, JONDOE.to_bytes(8, "big"), b"jondoe"):
            self.assertNotIn(trace, written)

    def test_each_writing_is_sealed_anew(self) -> None:
        """Who sees the row twice does not see whether it is the same."""
        self.spend(1)
        ((tag, first, _),) = self.rows("standings")
        self.get(self.quotas.grant(JONDOE, 1, NOON))
        ((again, second, _),) = self.rows("standings")
        self.assertEqual(tag, again)
        self.assertNotEqual(first[:24], second[:24])

    def test_a_swapped_row_does_not_open(self) -> None:
        """A standing is bound to its account: nobody gets another one's."""
        self.spend(20)
        self.spend(1, ALICE)
        with self.connection() as connection:
            connection.execute(
                "UPDATE standings SET sealed = (SELECT max(sealed) FROM standings)"
            )
        failed = 0
        for account in (JONDOE, ALICE):
            try:
                self.standing(account)
            except SealError:
                failed += 1
        self.assertEqual(failed, 1)

    def test_a_damaged_row_is_not_charged(self) -> None:
        """What does not open is an error, not a new day."""
        self.spend(20)
        with self.connection() as connection:
            connection.execute("UPDATE standings SET sealed = zeroblob(80)")
        with self.assertRaises(SealError):
            self.spend(1)

    def test_another_key_finds_nothing(self) -> None:
        """The tags are the node's own."""
        self.spend(20)
        self.quotas_with(RULES, key(b"x"))
        self.assertEqual(self.standing(), Standing(day=TODAY))

    def test_longer_purchases_are_kept_longer(self) -> None:
        """A row stays while it holds what was bought, and a day for a wrong clock."""
        self.quotas_with(Rules(bought_hours=72))
        standing = self.buy()
        self.get(self.quotas.forget(standing.until // DAY + 1))
        self.assertEqual(self.standing(now=standing.until - 1).bought, 20)
        self.get(self.quotas.forget(standing.until // DAY + 2))
        self.assertEqual(self.rows("standings"), [])

    def test_fewer_hours_do_not_cut_what_was_bought(self) -> None:
        """The config says less now: the row of an older purchase stays as long."""
        self.quotas_with(Rules(bought_hours=240))
        standing = self.buy()
        self.quotas_with(RULES)
        self.spend(1)
        self.get(self.quotas.forget(standing.until // DAY))
        self.assertEqual(self.standing(now=standing.until - 1).bought, 20)

    def test_forgetting_uses_the_index(self) -> None:
        """No day's end walks through all rows."""
        with self.connection() as connection:
            for table in ("standings", "stamps"):
                plan = connection.execute(
                    f"EXPLAIN QUERY PLAN DELETE FROM {table} WHERE expires_day < 1"
                ).fetchall()
                self.assertIn(f"{table}_by_day", str(plan))

    def test_survives(self) -> None:
        """What is charged and bought is there for the next who opens the database."""
        self.spend(2)
        self.buy()
        with self.connection() as connection:
            ledger = Ledger(key(), RULES, PRICES)
            found = ledger.standing(connection, JONDOE, NOON)
            self.assertTrue(ledger.is_spent(connection, STAMP))
        self.assertEqual((found.spent, found.bought), (2, 20))
