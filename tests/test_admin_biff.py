"""postmanctl biff token: what it prints, for whom, and what it leaves behind."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from attrs import evolve

from postmand.config import Biff
from postmand.store.accounts import read_account
from postmand.store.nodekey import load
from postmand.store.tokens import Mint, read_token
from tests.test_admin import NOON, AdminCase

pytestmark = pytest.mark.long


class TokenTests(AdminCase):
    """biff token."""

    def setUp(self) -> None:
        """A node with a bot, and an account."""
        super().setUp()
        self.config = evolve(self.config, biff=Biff(nick="messenger"))
        self.add("jondoe")

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the database."""
        with closing(sqlite3.connect(self.config.database)) as connection:
            return connection.execute(sql).fetchall()

    def test_a_good_token_alone(self) -> None:
        """A script reads it from standard output; it is this account's."""
        self.assertEqual(self.ctl("biff", "token", "jondoe"), 0, self.err)
        token = read_token(self.out.removesuffix("\n").encode())
        assert token is not None
        with closing(sqlite3.connect(self.config.database)) as connection:
            known = read_account(connection, "jondoe")
        assert known is not None
        mint = Mint(load(self.config.node.key, self.state, None, make=False))
        self.assertTrue(mint.is_good(token, known.credential, NOON + 600))
        self.assertFalse(mint.is_good(token, known.credential, NOON + 660))

    def test_how_it_is_used(self) -> None:
        """The line to type is whole, with the bot's own nick and the address."""
        self.ctl("biff", "token", "jondoe")
        line = f"/msg messenger .register jondoe@mail.i2p {self.out}"
        self.assertIn(line, self.err)
        self.assertIn("10 minutes, once", self.err)

    def test_nothing_is_kept(self) -> None:
        """No table gets a row but that of the node's keys, which may be new."""
        self.ctl("biff", "token", "jondoe")
        for table in ("stamps", "watches", "standings"):
            self.assertEqual(self.rows(f"SELECT * FROM {table}"), [])
        before = self.rows("SELECT * FROM accounts")
        self.ctl("biff", "token", "jondoe")
        self.assertEqual(self.rows("SELECT * FROM accounts"), before)

    def test_refusals(self) -> None:
        """For nobody, for a closed account, and where no bot would take it."""
        self.refused("biff", "token", "nobody", says="there is no account nobody")
        self.ctl("account", "disable", "jondoe")
        self.refused("biff", "token", "jondoe", says="jondoe is disabled")
        self.ctl("account", "enable", "jondoe")
        self.config = evolve(self.config, biff=None)
        self.refused("biff", "token", "jondoe", says="has no [biff]")
        self.assertFalse((self.state / "node.key").exists())

    def test_the_doctor_looks_at_the_key(self) -> None:
        """The node's key matters without a gateway, too, where there is a bot."""
        self.ctl("doctor")
        self.assertIn("node's key", self.out)
        self.config = evolve(self.config, biff=None)
        self.ctl("doctor")
        self.assertNotIn("node's key", self.out)

    def test_the_doctor_looks_at_the_password(self) -> None:
        """It is there for the node alone, or the line says what to do; never shown."""
        bot = Biff(login="sasl", password="file:irc-password")
        self.config = evolve(self.config, biff=bot)
        self.ctl("doctor")
        self.assertRegex(self.out, "FAIL  biff: .*irc-password: No such file")
        path = self.state / "irc-password"
        path.write_text("hunter2\n")
        path.chmod(0o640)
        self.ctl("doctor")
        self.assertRegex(self.out, "FAIL  biff: others may use .*  - chmod 600")
        path.chmod(0o600)
        self.ctl("doctor")
        self.assertIn("ok    biff: its password is there", self.out)
        self.assertNotIn("hunter2", self.out + self.err)
        self.config = evolve(self.config, biff=evolve(bot, password="credential:irc"))
        self.ctl("doctor")
        self.assertIn("ok    biff: systemd's credential irc, seen from", self.out)
