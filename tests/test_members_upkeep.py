"""What members change, buy, publish and lose; on a real store."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from attrs import evolve
from pysequoia import Cert
from twisted.internet.defer import Deferred

from postmand.config import Web
from postmand.members.turnstile import Turnstile
from postmand.membership import (
    BusyError,
    Visitor,
    WrongLoginError,
)
from postmand.store.closed_names import tag
from postmand.store.published import wkd_hash
from tests.contracts.stores import DAY
from tests.members_world import (
    BITS,
    CONFIG,
    PASSWORD,
    MembersCase,
    armored_key,
)
from tests.sessions import Work
from tests.test_claims import ClaimsCase

pytestmark = pytest.mark.long


class UpkeepTest(MembersCase):
    """What members change."""

    def test_password(self) -> None:
        """Asks for the old one; mail and recovery stay."""
        with self.assertRaises(WrongLoginError):
            self.wait(self.members.set_password(self.me, "wrong", PASSWORD))
        field, _ = self.refusal(self.members.set_password(self.me, "secret", "short"))
        self.assertEqual(field, "new")
        new = self.wait(self.members.set_password(self.me, "secret", PASSWORD))
        self.assertEqual(new, evolve(self.me, version=2))
        self.assertEqual(
            self.unlock("jondoe", PASSWORD.encode()).secret_key, self.jondoe.secret_key
        )

    def test_password_once_stretched_is_not_stretched_again(self) -> None:
        """One Argon2id for the old one, none where the login is remembered."""
        self.login()
        tries = self.keyring.tries
        self.wait(self.members.set_password(self.me, "secret", PASSWORD))
        self.assertEqual(self.keyring.tries, tries)

    def test_new_recovery(self) -> None:
        """The old code is void, the new one good; it takes the password."""
        old = self.sign_up("carol")
        carol = self.login("carol", PASSWORD)
        with self.assertRaises(WrongLoginError):
            self.wait(self.members.new_recovery(carol, "wrong"))
        after, code = self.wait(self.members.new_recovery(carol, PASSWORD))
        self.assertTrue(self.wait(self.members.visitor(after)))
        self.refusal(self.members.recover("carol", old, "another one", "p"))
        self.wait(self.members.recover("carol", code, "another one", "p"))

    def test_display_name_and_delay(self) -> None:
        """They are set, and a name that breaks a rule is refused by its field."""
        after = self.wait(self.members.set_display_name(self.me, "Jon Doe"))
        self.wait(self.members.set_delay(after, "batch"))
        details = self.wait(self.members.details(after))
        self.assertEqual((details.display_name, details.delay), ("Jon Doe", "batch"))
        field, _ = self.refusal(self.members.set_display_name(after, "a\x00b"))
        self.assertEqual(field, "display_name")
        self.assertEqual(
            self.refusal(self.members.set_delay(after, "later"))[0], "delay"
        )

    def test_remove(self) -> None:
        """Mailbox, watches and key are gone, and the name is closed, at once."""
        watches = self.store.watches
        assert watches is not None
        self.get(watches.add(watches.tag(b"jack"), self.me.account))
        self.wait(self.members.publish(self.me, armored_key()))
        copy = self.copy("jondoe", b"Subject: x\r\n\r\n", b"x" * 100_000)
        self.get(self.store.mailboxes.deliver([copy], {}))
        with self.assertRaises(WrongLoginError):
            self.wait(self.members.remove(self.me, "wrong"))
        self.wait(self.members.remove(self.me, "secret"))
        for table in ("messages", "watches", "public_keys"):
            self.assertEqual(self.rows(f"SELECT * FROM {table}"), [], table)
        self.assertEqual(list((self.state / "bodies").iterdir()), [])
        self.assertEqual(
            self.rows("SELECT * FROM closed_names"), [(tag("jondoe"), DAY + 365)]
        )
        self.assertEqual(self.refused_name("jondoe")[0], "name")

    def test_closed_names_are_forgotten(self) -> None:
        """After so many days the name is to be had, and the row is gone."""
        self.wait(self.members.remove(self.me, "secret"))
        self.loop.day = DAY + 365
        self.get(self.store.forget())
        self.assertEqual(self.refused_name("jondoe")[0], "name")
        self.loop.day += 1
        self.get(self.store.forget())
        self.assertEqual(self.rows("SELECT * FROM closed_names"), [])
        self.sign_up("jondoe")

    def test_names_free_at_once(self) -> None:
        """closed_name_days = 0."""
        web = Web(signup_bits=BITS, closed_name_days=0)
        self.members = self.on_node(evolve(CONFIG, web=web))
        self.wait(self.members.remove(self.me, "secret"))
        self.sign_up("jondoe")
        self.assertEqual(self.rows("SELECT * FROM closed_names"), [])


class MeansTest(MembersCase):
    """Quota, stamps, tokens."""

    def test_quota(self) -> None:
        """What is left, what was bought, what it costs."""
        told = self.wait(self.members.quota(self.me))
        self.assertEqual(
            (told.own, told.per_day, told.bought, told.until), (20, 20, 0, 0)
        )
        self.assertEqual(list(told.prices), [(5, 20), (6, 40)])
        self.assertEqual(told.resource, "quota/jondoe@mail.i2p")

    def test_buy(self) -> None:
        """Once for a stamp; each refusal says why, at the stamp's field."""
        stamp = self.minted("jondoe", 6, "quota")
        told = self.wait(self.members.buy(self.me, stamp))
        self.assertEqual((told.bought, told.bought_today), (40, 40))
        self.assertGreater(told.until, self.loop.seconds())
        for bad, says in (
            (stamp, "already"),
            ("x", "no stamp"),
            (self.minted("jondoe", 4, "quota"), "bits"),
            (self.minted("alice", 6, "quota"), "made out"),
            (self.minted("jondoe", 6, "quota"), "left"),
        ):
            field, text = self.refusal(self.members.buy(self.me, bad))
            self.assertEqual(field, "stamp")
            self.assertIn(says, text)

    def test_no_way_out(self) -> None:
        """Nothing is counted, and nothing sold."""
        self.members = self.on_node(evolve(CONFIG, gateways=()))
        self.assertIsNone(self.wait(self.members.quota(self.me)))
        stamp = self.minted("jondoe", 6, "quota")
        self.assertEqual(self.refusal(self.members.buy(self.me, stamp))[0], "stamp")

    def test_biff_token(self) -> None:
        """It speaks for the account, where there is biff."""
        token = self.wait(self.members.biff_token(self.me))
        mine = self.me.account, "jondoe"
        self.assertEqual(self.claim(b"jondoe", token.encode()), mine)
        self.members = self.on_node(evolve(CONFIG, biff=None))
        self.assertIsNone(self.wait(self.members.biff_token(self.me)))


class DirectoryTest(MembersCase):
    """Public keys."""

    def test_published(self) -> None:
        """Stripped, found by name, by list and by hash; replaced by the next."""
        first = self.wait(self.members.publish(self.me, armored_key()))
        second = self.wait(self.members.publish(self.me, armored_key()))
        self.assertNotEqual(first.fingerprint, second.fingerprint)
        self.assertNotIn(b"example.org", second.octets)
        self.assertEqual(Cert.from_bytes(second.octets).fingerprint, second.fingerprint)
        for found in (
            self.members.published_by("JonDoe"),
            self.members.published_hash(wkd_hash("JONDOE")),
        ):
            self.assertEqual(self.wait(found), second)
        self.assertEqual(self.wait(self.members.published("", 10)), [second])

    def test_listed_by_name(self) -> None:
        """From a name on, so many, in order; those of closed accounts are not."""
        alice = Visitor(self.alice.account, "alice", 1)
        self.wait(self.members.publish(self.me, armored_key()))
        self.wait(self.members.publish(alice, armored_key("alice")))

        def names(start: str, most: int) -> list[str]:
            return [one.name for one in self.wait(self.members.published(start, most))]

        self.assertEqual(names("", 10), ["alice", "jondoe"])
        self.assertEqual(names("", 1), ["alice"])
        self.assertEqual(names("B", 10), ["jondoe"])
        self.assertEqual(names("", 0), [])
        self.assertEqual(names("", -1), [])
        self.operator().disable("alice")
        self.assertEqual(names("", 10), ["jondoe"])
        self.assertIsNone(self.wait(self.members.published_by("alice")))

    def test_withdrawn(self) -> None:
        """It is gone; twice does no harm."""
        self.wait(self.members.publish(self.me, armored_key()))
        for _ in range(2):
            self.wait(self.members.withdraw(self.me))
            self.assertIsNone(self.wait(self.members.published_by("jondoe")))

    def test_refused(self) -> None:
        """Another's, and garbage; nothing of the library's words."""
        for key in (armored_key("alice"), "x", armored_key()[:300]):
            field, text = self.refusal(self.members.publish(self.me, key))
            self.assertEqual(field, "key")
            self.assertNotIn("sequoia", text)

    def test_without_keys(self) -> None:
        """Keys = false: none is taken, and none is shown any more."""
        self.wait(self.members.publish(self.me, armored_key()))
        self.members = self.on_node(evolve(CONFIG, web=Web(keys=False)))
        self.assertEqual(
            self.refusal(self.members.publish(self.me, armored_key()))[0], "key"
        )
        self.assertIsNone(self.wait(self.members.published_by("jondoe")))
        self.assertEqual(list(self.wait(self.members.published("", 9))), [])
        self.wait(self.members.withdraw(self.me))
        self.assertEqual(self.rows("SELECT * FROM public_keys"), [])

    def test_wkd_hash(self) -> None:
        """The draft's own example."""
        self.assertEqual(wkd_hash("Joe.Doe"), "iy9q119eutrkn8s1mk4r39qejnbu3n5q")


class TurnsTest(ClaimsCase):
    """One at a time, and so many."""

    def test_in_order(self) -> None:
        """The next begins when the one before has ended, however it ended."""
        done: list[Any] = []
        self.argon2.held = True
        turns = Turnstile(self.argon2, 2)

        def fail() -> None:
            raise ValueError

        def take(name: str, function: Any) -> Deferred[Any]:
            return Deferred.fromCoroutine(turns.take(name, function))

        first = take("alice", fail)
        take("bob", threading.get_ident).addBoth(done.append)
        self.failureResultOf(take("carol", fail), BusyError)
        self.assertEqual(self.argon2.calls, 1)
        self.argon2.step()
        self.failureResultOf(first, ValueError)
        self.assertEqual((self.argon2.calls, done), (2, []))
        self.argon2.step()
        self.assertEqual(len(done), 1)

    def test_of_one_account(self) -> None:
        """Who sends many at once does not fill the queue for others."""
        self.argon2.held = True
        turns = Turnstile(self.argon2)

        def take(name: str) -> Deferred[int]:
            return Deferred.fromCoroutine(turns.take(name, threading.get_ident))

        many = [take("alice") for _ in range(40)]
        for one in many[2:]:
            self.failureResultOf(one, BusyError)
        other = take("bob")
        for _ in range(3):
            self.argon2.step()
        for one in (*many[:2], other):
            self.successResultOf(one)
        again = take("alice")
        self.assertNoResult(again)
        self.argon2.step()
        self.successResultOf(again)


def test_work_is_bounded() -> None:
    """What a queue of changes may hold is a number, not the visitors'."""
    assert Turnstile(Work())._most == 32
