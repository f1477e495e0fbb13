"""A member's choice of delay: set and seen at once, and no login is over for it."""

from __future__ import annotations

import json
from unittest import mock

import attrs
import pytest

from postmand.config import DELAYS, Delays
from postmand.interfaces import Copy
from postmand.store import passwords
from postmand.store.opening import open_registry
from postmand.store.refusals import NoSuchAccountError
from tests.contracts.stores import MailboxCase
from tests.sessions import HouseCase
from tests.test_admin import AdminCase

pytestmark = pytest.mark.long

HEADER = b"Subject: x\r\n\r\n"


class RegistryTest(MailboxCase):
    """jondoe and alice in a store, and the register as another process has it."""

    def setUp(self) -> None:
        """Open the store with nothing remembered."""
        super().setUp()
        self.store = self.reopened()
        self.registry = open_registry(self.url, self.state, self.settings)

    def delay(self, name: str) -> str:
        """Return the choice as the servers are told it."""
        return self.get(self.store.accounts.credential(name)).delay

    def test_nothing_chosen(self) -> None:
        """A new account has no choice of its own."""
        self.assertEqual(self.registry.show("jondoe").delay, "")
        self.assertEqual(self.delay("jondoe"), "")

    def test_seen_at_once(self) -> None:
        """What was remembered of the account is read anew, in every process."""
        for delay in (*DELAYS, ""):
            self.delay("jondoe")
            self.registry.set_delay("jondoe", delay)
            self.assertEqual(self.delay("jondoe"), delay)
            self.assertEqual(self.registry.show("jondoe").delay, delay)
        self.assertEqual(self.delay("alice"), "")

    def test_listed(self) -> None:
        """Each account is listed with its own choice."""
        self.registry.set_delay("alice", "pool")
        listed = {one.name: one.delay for one in self.registry.accounts()}
        self.assertEqual(listed, {"alice": "pool", "jondoe": ""})

    def test_logins_go_on(self) -> None:
        """Nothing but the choice changes; who is logged in reads and is written to."""
        before = self.get(self.store.accounts.credential("jondoe"))
        copy = Copy(self.get(self.store.accounts.recipient("jondoe")), HEADER, [b"x"])
        self.registry.set_delay("jondoe", "batch")
        after = self.get(self.store.accounts.credential("jondoe"))
        self.assertEqual(after, attrs.evolve(before, delay="batch"))
        self.get(self.store.mailboxes.deliver([copy], {}))
        self.assertEqual(len(self.get(self.store.mailboxes.entries(self.jondoe))), 1)

    def test_does_not_disturb_other_changes(self) -> None:
        """A password set at the same time is set, and the choice stays."""
        stretch = passwords.stretch

        def slow(*values):
            with mock.patch.object(passwords, "stretch", stretch):
                self.registry.set_delay("alice", "none")
            return stretch(*values)

        self.registry.add("carol", b"a password", day=20_000)
        with mock.patch.object(passwords, "stretch", slow):
            self.registry.set_password("carol", b"a password", b"another one")
        self.registry.set_delay("carol", "batch")
        with mock.patch.object(passwords, "stretch", slow):
            self.registry.set_password("carol", b"another one", b"a third one")
        self.assertEqual(self.delay("carol"), "batch")
        self.assertEqual(self.registry.show("carol").version, 3)

    def test_no_such_account(self) -> None:
        """An unknown name is told, and what is remembered stays good afterwards."""
        with self.assertRaises(NoSuchAccountError):
            self.registry.set_delay("nobody", "none")
        self.assertEqual(self.delay("jondoe"), "")
        self.assertIsNotNone(self.store.accounts._stamp.read())

    def test_no_such_delay(self) -> None:
        """What is no delay is never written."""
        for delay in ("later", "None", " none", "default", "none\n"):
            with self.assertRaises(ValueError):
                self.registry.set_delay("jondoe", delay)
        self.assertEqual(self.delay("jondoe"), "")

    def test_gone_with_the_account(self) -> None:
        """Who has the name afterwards begins without a choice."""
        self.registry.set_delay("alice", "none")
        self.registry.remove("alice")
        self.registry.add("alice", b"a password", day=20_000)
        self.assertEqual(self.delay("alice"), "")


class SessionTest(HouseCase):
    """An open session of a member who chooses."""

    def test_session_goes_on(self) -> None:
        """What was begun before the choice is sent after it."""
        session = self.house.submitting()
        self.house.store.set_delay("jondoe", "none")
        session.send(
            b"MAIL FROM:<jondoe@mail.i2p>\r\nRCPT TO:<alice@mail.i2p>\r\nDATA\r\n"
        )
        self.assertTrue(session.send(HEADER + b"x\r\n.\r\n").startswith(b"250 "))
        self.assertEqual(len(self.house.mailbox("alice")), 1)


class CommandTest(AdminCase):
    """postmanctl account delay, and where it is shown."""

    def shown(self) -> str:
        """Return what `account show` says of alice's delay."""
        self.assertEqual(self.ctl("account", "show", "alice"), 0, self.err)
        rows = dict(line.split(":", 1) for line in self.out.splitlines())
        return rows["delay"].strip()

    def test_there_and_back(self) -> None:
        """Each delay is set and shown; `default` gives the choice back."""
        self.add("alice")
        self.assertEqual(self.shown(), "default (defer)")
        for delay in DELAYS:
            self.assertEqual(self.ctl("account", "delay", "alice", delay), 0)
            self.assertEqual(self.out, f"the delay of alice is set: {delay}\n")
            self.assertEqual(self.shown(), delay)
        self.assertEqual(self.ctl("account", "delay", "alice", "default"), 0)
        self.assertEqual(self.out, "the delay of alice is set: default (defer)\n")
        self.assertEqual(self.shown(), "default (defer)")

    def test_default_is_the_nodes(self) -> None:
        """What the default stands for is read from the configuration."""
        self.add("alice")
        self.config = attrs.evolve(self.config, delays=Delays(default="pool"))
        self.assertEqual(self.shown(), "default (pool)")

    def test_for_programs(self) -> None:
        """--json has the word that the command takes, in both places."""
        self.add("alice")
        for delay in ("default", "batch"):
            self.ctl("account", "delay", "alice", delay)
            self.assertEqual(self.ctl("account", "show", "alice", "--json"), 0)
            one = json.loads(self.out)
            self.assertEqual(one["delay"], delay)
            self.ctl("account", "list", "--json")
            self.assertEqual(json.loads(self.out), [one])

    def test_what_is_no_delay(self) -> None:
        """It is one line and status 2, and nothing changes."""
        self.add("alice")
        self.ctl("account", "delay", "alice", "batch")
        for words in (("later",), (), ("none", "none"), ("",)):
            self.assertEqual(self.ctl("account", "delay", "alice", *words), 2)
            self.assertEqual(self.err.count("\n"), 1)
        self.assertEqual(self.shown(), "batch")

    def test_nobody(self) -> None:
        """Without a store none is made; an unknown name is told."""
        delay = "account", "delay", "bob", "none"
        self.refused(*delay, says="there is no store at")
        self.assertFalse(self.state.exists())
        self.add("alice")
        self.refused(*delay, says="there is no account bob; ")
