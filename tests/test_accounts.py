"""The register of accounts, recovery codes, and the keyring's own promises."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from unittest import mock

import pytest
from attrs import evolve

from postmand.interfaces import StoreBusyError
from postmand.rules.names import BadNameError
from postmand.store import database, passwords
from postmand.store.accounts import unlock_by_recovery
from postmand.store.opening import open_registry
from postmand.store.passwords import BadPasswordError
from postmand.store.recovery import BadCodeError, new_code, print_code, read_code
from postmand.store.refusals import (
    AccountExistsError,
    ChangedMeanwhileError,
    NoSuchAccountError,
    WrongSecretError,
)
from postmand.store.seal import SealError
from postmand.store.settings import Settings
from tests.contracts.stores import CHEAP, DAY, LIMIT, RealStoreCase

pytestmark = pytest.mark.long

HEADER = b"Subject: hello\r\n\r\n"


class RegistryTests(RealStoreCase):
    """What an operator does to accounts."""

    def setUp(self):
        """One account, and its first recovery code."""
        super().setUp()
        self.registry = self.store.registry
        self.code = self.registry.add("jondoe", b"secret", day=DAY, display_name="Jon")

    def credential(self, name="jondoe"):
        """Return an account's credential."""
        return self.get(self.store.accounts.credential(name))

    def query(self, sql):
        """Ask the database."""
        with closing(sqlite3.connect(self.state / "postmand.db")) as connection:
            return connection.execute(sql).fetchall()

    def watch(self, tag):
        """Put in a row of somebody who watches jondoe's mail."""
        with closing(sqlite3.connect(self.state / "postmand.db")) as connection:
            connection.execute(
                "INSERT INTO watches (tag, account, sealed)"
                " SELECT ?, id, ? FROM accounts WHERE name = 'jondoe'",
                (tag, b"x" * 64),
            )
            connection.commit()

    def test_show(self):
        """What is shown of a new account."""
        shown = self.registry.show("jondoe")
        self.assertEqual(
            (shown.name, shown.display_name, shown.disabled, shown.created_day),
            ("jondoe", "Jon", False, DAY),
        )
        self.assertEqual((shown.version, shown.used_bytes, shown.messages), (1, 0, 0))

    def test_list(self):
        """All accounts by name, with what each holds."""
        self.registry.add("alice", b"secret", day=DAY)
        self.get(self.store.mailboxes.deliver([self.copy("jondoe", HEADER)], {}))
        listed = [(a.name, a.messages) for a in self.registry.accounts()]
        self.assertEqual(listed, [("alice", 0), ("jondoe", 1)])
        self.assertGreater(self.registry.show("jondoe").used_bytes, 2000)

    def test_numbers_are_random(self):
        """An account's number tells nothing of when it was made."""
        for n in range(8):
            self.registry.add(f"a{n}", b"secret", day=DAY)
        numbers = [n for (n,) in self.query("SELECT id FROM accounts ORDER BY name")]
        self.assertNotEqual(numbers, sorted(numbers))
        self.assertTrue(all(0 <= n < 2**63 for n in numbers))
        self.assertGreater(max(numbers), 2**40)

    def test_refusals_of_add(self):
        """A name taken, a bad name, a bad password: nothing is made."""
        for error, name, password in (
            (AccountExistsError, "jondoe", b"x"),
            (BadNameError, "Jondoe", b"x"),
            (BadNameError, "postmaster", b"x"),
            (BadPasswordError, "alice", b""),
            (BadPasswordError, "alice", b"a\nb"),
        ):
            with self.assertRaises(error):
                self.registry.add(name, password, day=DAY)
        with self.assertRaises(BadNameError):
            self.registry.add("alice", b"x", day=DAY, display_name="a\nb")
        self.assertEqual([a.name for a in self.registry.accounts()], ["jondoe"])

    def test_unknown_account(self):
        """Every change of an account that is not there says so."""
        registry = self.registry
        for change in (
            lambda: registry.show("nobody"),
            lambda: registry.set_password("nobody", b"a", b"b"),
            lambda: registry.recover("nobody", self.code, b"b"),
            lambda: registry.set_display_name("nobody", ""),
            lambda: registry.disable("nobody"),
            lambda: registry.enable("nobody"),
            lambda: registry.remove("nobody"),
        ):
            with self.assertRaises(NoSuchAccountError):
                change()

    def test_password_needs_the_old_one(self):
        """Without the old password nothing is changed."""
        before = self.credential()
        with self.assertRaises(WrongSecretError):
            self.registry.set_password("jondoe", b"wrong", b"new")
        with self.assertRaises(BadPasswordError):
            self.registry.set_password("jondoe", b"secret", b"")
        self.assertEqual(self.credential(), before)

    def test_recovery_opens_the_same_mailbox(self):
        """With the code alone: a new password, the old mail, and the old threads."""
        before = self.unlock("jondoe")
        self.get(self.store.mailboxes.deliver([self.copy("jondoe", HEADER, b"t")], {}))
        self.registry.recover("jondoe", self.code.lower().replace("-", " "), b"new")
        after = self.unlock("jondoe", b"new")
        self.assertEqual(before.secret_key, after.secret_key)
        self.assertGreater(after.version, before.version)
        (entry,) = self.get(self.store.mailboxes.entries(after))
        (stored,) = self.get(self.store.mailboxes.read(after, [entry]))
        self.assertEqual(stored.body, b"t")
        self.assertIsNone(self.store.keyring.unlock(self.credential(), b"secret"))

    def test_recovery_code_is_good_once(self):
        """Each recovery gives the next code, and ends the last."""
        code = self.registry.recover("jondoe", self.code, b"new")
        self.assertNotEqual(code, self.code)
        with self.assertRaises(WrongSecretError):
            self.registry.recover("jondoe", self.code, b"newer")
        self.registry.recover("jondoe", code, b"newest")
        self.unlock("jondoe", b"newest")

    def test_password_change_keeps_the_recovery_code(self):
        """What was written down at the beginning stays good."""
        self.registry.set_password("jondoe", b"secret", b"new")
        self.registry.recover("jondoe", self.code, b"newest")
        self.unlock("jondoe", b"newest")

    def test_every_new_password_ends_watches(self):
        """By the old one, by a code, or by the pages; another code alone does not."""
        registry, code = self.registry, self.code
        registry.set_password("jondoe", b"secret", b"1")

        def by_code(now):
            registry.recover("jondoe", code, b"3")

        def by_page(now):
            registry.change_password(self.unlock("jondoe", now), b"4")

        def by_recovery_page(now):
            registry.recovered(self.unlock("jondoe", now), b"5")

        ways = (
            lambda now: registry.set_password("jondoe", now, b"2"),
            by_code,
            by_page,
            by_recovery_page,
        )
        for number, way in enumerate(ways, 1):
            self.watch(b"%016d" % number)
            code = registry.new_recovery(self.unlock("jondoe", b"%d" % number))[1]
            self.assertEqual(self.query("SELECT count(*) FROM watches"), [(1,)])
            way(b"%d" % number)
            self.assertEqual(self.query("SELECT count(*) FROM watches"), [(0,)])

    def test_a_password_that_is_refused_ends_no_watch(self):
        """Nor does one that comes too late."""
        self.watch(b"x" * 16)
        member = self.unlock("jondoe")
        self.registry.set_display_name("jondoe", "J")
        with self.assertRaises(WrongSecretError):
            self.registry.set_password("jondoe", b"wrong", b"new")
        with self.assertRaises(ChangedMeanwhileError):
            self.registry.change_password(member, b"new")
        self.assertEqual(self.query("SELECT count(*) FROM watches"), [(1,)])

    def test_wrong_codes(self):
        """A typo is named; a code of another account opens nothing."""
        other = self.registry.add("alice", b"secret", day=DAY)
        wrong = "Z" if self.code[0] != "Z" else "Y"
        with self.assertRaisesRegex(BadCodeError, "group 1 "):
            self.registry.recover("jondoe", wrong + self.code[1:], b"new")
        for code in (other, print_code(new_code())):
            with self.assertRaises(WrongSecretError):
                self.registry.recover("jondoe", code, b"new")
        self.unlock("jondoe")

    def test_neither_password_nor_code_is_kept(self):
        """No file of the store holds them, nor the secret key, in the clear."""
        member = self.unlock("jondoe")
        code = print_code(new_code())
        self.assertTrue(re.fullmatch(r"([0-9A-Z]{5}-){7}[0-9A-Z]{5}", code))
        kept = b"".join(
            path.read_bytes() for path in self.state.iterdir() if path.is_file()
        )
        self.assertIn(b"jondoe", kept)
        for secret in (
            b"secret",
            self.code.encode(),
            self.code.replace("-", "").encode(),
            member.secret_key,
            member.thread_key,
        ):
            self.assertNotIn(secret, kept)

    def test_changed_meanwhile(self):
        """A change made while a password was stretched is not overwritten."""
        stretch = passwords.stretch

        def slow(*values):
            with mock.patch.object(passwords, "stretch", stretch):
                self.registry.disable("jondoe")
            return stretch(*values)

        with (
            mock.patch.object(passwords, "stretch", slow),
            self.assertRaises(ChangedMeanwhileError),
        ):
            self.registry.set_password("jondoe", b"secret", b"new")
        self.assertTrue(self.registry.show("jondoe").disabled)
        self.registry.enable("jondoe")
        self.unlock("jondoe")

    def test_remove_leaves_nothing(self):
        """Row, messages and files go; other accounts keep theirs."""
        self.registry.add("alice", b"secret", day=DAY)
        for name in ("jondoe", "alice"):
            for body in (b"short", bytes(90_000)):
                copies = [self.copy(name, HEADER, body)]
                self.get(self.store.mailboxes.deliver(copies, {}))
        self.registry.remove("jondoe")
        self.assertEqual([a.name for a in self.registry.accounts()], ["alice"])
        self.assertEqual(self.query("SELECT count(*) FROM messages"), [(2,)])
        self.assertEqual(len(list((self.state / "bodies").iterdir())), 1)

    def test_beside_a_running_node(self):
        """A second process's register works while the store is open."""
        registry = open_registry(self.url, self.state, Settings(**CHEAP))
        registry.add("alice", b"secret", day=DAY)
        self.assertIsNotNone(self.get(self.store.accounts.recipient("alice")))
        registry.disable("alice")
        self.assertIsNone(self.get(self.store.accounts.recipient("alice")))

    def test_locked_database(self):
        """A lock that does not go is StoreBusyError; reading needs none."""
        with (
            mock.patch.object(database, "BUSY_SECONDS", 0.0),
            closing(database.connect(self.state / "postmand.db")) as other,
        ):
            other.execute("BEGIN IMMEDIATE")
            self.assertEqual(self.registry.show("jondoe").version, 1)
            with self.assertRaises(StoreBusyError):
                self.registry.disable("jondoe")

    def test_recipient_free_never_below_nothing(self):
        """A limit lowered under what is used leaves no room, not less than none."""
        copies = [self.copy("jondoe", HEADER, bytes(50_000))]
        self.get(self.store.mailboxes.deliver(copies, {}))
        self.reopened(Settings(max_bytes=10_000, **CHEAP))
        self.assertEqual(self.get(self.store.accounts.recipient("jondoe")).free, 0)

    def test_free_counts_padded_octets(self):
        """What RCPT is told is the limit less what the messages take on the disk."""
        copies = [self.copy("jondoe", HEADER, b"x")]
        self.get(self.store.mailboxes.deliver(copies, {}))
        free = self.get(self.store.accounts.recipient("jondoe")).free
        self.assertEqual(LIMIT - free, self.registry.show("jondoe").used_bytes)


class KeyringTests(RealStoreCase):
    """Unlocking: costs, tampering, raising the cost."""

    def credential_of(self, name):
        """Make an account and return its credential."""
        self.add(name)
        return self.get(self.store.accounts.credential(name))

    def test_unknown_name_costs_as_much(self):
        """None, a wrong and a right password: one Argon2id of the same cost each."""
        credential = self.credential_of("jondoe")
        costs = []
        kdf = passwords.argon2id.kdf

        def count(*values, opslimit, memlimit):
            costs.append((opslimit, memlimit))
            return kdf(*values, opslimit=opslimit, memlimit=memlimit)

        with mock.patch.object(passwords.argon2id, "kdf", count):
            for known, password in (
                (None, b"x"),
                (credential, b"x"),
                (credential, b"secret"),
                (evolve(credential, disabled=True), b"secret"),
            ):
                self.store.keyring.unlock(known, password)
        self.assertEqual(costs, [(1, 8 * 1024)] * 4)

    def test_default_cost(self):
        """The row of OWASP's list that needs the least memory."""
        settings = Settings()
        self.assertEqual((settings.passes, settings.memory_kib), (5, 7_168))

    def test_exchanged_public_key_is_noticed(self):
        """Who put his own key into the row does not stay unseen."""
        jondoe, alice = self.credential_of("jondoe"), self.credential_of("alice")
        forged = evolve(jondoe, public_key=alice.public_key)
        with self.assertRaises(SealError):
            self.store.keyring.unlock(forged, b"secret")

    def test_recovery_code_opens_for_its_owner(self):
        """The code opens a disabled account, too, and stays good; others open none."""
        code = self.store.registry.add("jondoe", b"secret", day=DAY)
        before = self.unlock("jondoe")
        self.store.registry.disable("jondoe")
        with closing(database.connect(self.state / "postmand.db")) as connection:
            for _ in range(2):
                member = unlock_by_recovery(connection, "jondoe", read_code(code))
                self.assertEqual(member.secret_key, before.secret_key)
                self.assertEqual(member.thread_key, before.thread_key)
            for name, wrong in (("jondoe", new_code()), ("nobody", read_code(code))):
                self.assertIsNone(unlock_by_recovery(connection, name, wrong))
            connection.execute("UPDATE accounts SET public_key = zeroblob(32)")
            with self.assertRaises(SealError):
                unlock_by_recovery(connection, "jondoe", read_code(code))

    def test_wrapped_key_of_another_row(self):
        """Alice's password does not open jondoe's row with her key put into it."""
        jondoe, alice = self.credential_of("jondoe"), self.credential_of("alice")
        forged = evolve(
            jondoe,
            salt=alice.salt,
            verifier=alice.verifier,
            wrapped_key=alice.wrapped_key,
        )
        with self.assertRaises(SealError):
            self.store.keyring.unlock(forged, b"secret")

    def test_raising_the_cost(self):
        """Old rows open as before, and a change of password wraps them anew."""
        self.credential_of("jondoe")
        dearer = Settings(max_bytes=LIMIT, passes=2, memory_kib=16)
        store = self.reopened(dearer)
        credential = self.get(store.accounts.credential("jondoe"))
        self.assertEqual((credential.passes, credential.memory_kib), (1, 8))
        self.unlock("jondoe")
        store.registry.set_password("jondoe", b"secret", b"secret")
        again = self.get(store.accounts.credential("jondoe"))
        self.assertEqual((again.passes, again.memory_kib), (2, 16))
        self.unlock("jondoe")
