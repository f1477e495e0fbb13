"""postmanctl's commands on the node's key and on DKIM's, and the doctor's look."""

from __future__ import annotations

import os
import re
from pathlib import Path
from unittest import mock

import pytest
from attrs import evolve

from postmand.admin import dkim as dkim_commands
from postmand.admin.finding import FAIL, OK, WARN, Finding
from postmand.admin.keys import check_node_key
from postmand.config import Gateway
from postmand.message.dkim import SigningKey, new_key
from postmand.store import keyfile
from postmand.store.nodekey import load
from postmand.store.nodekeys import DKIM, open_node_keys
from postmand.store.passwords import Cost
from tests.test_admin import AdminCase

pytestmark = pytest.mark.long

PASSPHRASE = "correct horse battery"
# Making one takes a moment.
PEM = new_key()


class KeyCase(AdminCase):
    """A node whose passphrase costs nothing."""

    def setUp(self) -> None:
        """Make Argon2id cheap."""
        super().setUp()
        self.patch(keyfile, "MASTER_COST", Cost(1, 8))
        self.patch(dkim_commands, "new_key", lambda: PEM)
        without = mock.patch.dict(os.environ)
        without.start()
        self.addCleanup(without.stop)
        os.environ.pop("CREDENTIALS_DIRECTORY", None)

    def source(self, source: str) -> None:
        """Set [node] key."""
        self.config = evolve(self.config, node=evolve(self.config.node, key=source))

    def run_well(self, *arguments: str, told: str = "") -> str:
        """Run a command that succeeds; return its answer, in which no secret is."""
        self.assertEqual(self.ctl(*arguments, told=told), 0, self.err)
        said = self.out + self.err
        self.assertNotIn("PRIVATE", said)
        self.assertNotIn(PASSPHRASE, said)
        for path in self.state.glob("node.key*"):
            octets = path.read_bytes()
            self.assertNotIn(octets.hex(), said)
            self.assertNotIn(octets, said.encode())
        return self.out


class Init(KeyCase):
    """keys init and keys show."""

    def test_a_file(self) -> None:
        """It is made, told with a warning, and kept the next time."""
        answer = self.run_well("keys", "init")
        key = load("file:node.key", self.state, None, make=False)
        self.assertIn("is made", answer)
        self.assertIn(str(self.state / "node.key"), answer)
        self.assertIn(key.fingerprint, answer)
        self.assertIn("development", self.err)
        again = self.run_well("keys", "init")
        self.assertIn("was there already", again)
        self.assertIn(key.fingerprint, again)

    def test_it_makes_no_store(self) -> None:
        """The key alone is made; where there is a store, it is the store's from now."""
        self.run_well("keys", "init")
        self.assertFalse(self.config.database.exists())
        self.assertIn("knows none yet", self.run_well("keys", "show"))
        self.add("alice")
        self.assertIn("knows none yet", self.run_well("keys", "show"))
        self.run_well("keys", "init")
        self.assertIn("was made with it", self.run_well("keys", "show"))

    def test_show_makes_nothing(self) -> None:
        """A look at a node without a key tells how to make one."""
        self.refused("keys", "show", says="postmanctl keys init")
        self.assertFalse(self.state.exists())
        self.add("alice")
        self.refused("keys", "show", says="postmanctl keys init")
        self.assertFalse((self.state / "node.key").exists())

    def test_show(self) -> None:
        """Where it is, and its fingerprint."""
        self.run_well("keys", "init")
        key = load("file:node.key", self.state, None, make=False)
        rows = dict(
            re.split(r":\s+", line, maxsplit=1)
            for line in self.run_well("keys", "show").splitlines()
        )
        self.assertEqual(rows["fingerprint"], key.fingerprint)
        self.assertEqual(rows["key"], f"{self.state / 'node.key'} (a plain file)")

    def test_a_passphrase(self) -> None:
        """Typed twice when it is new, once later."""
        self.source("passphrase")
        typed = PASSPHRASE, PASSPHRASE
        self.assertEqual(self.ctl("keys", "init", typed=typed), 0, self.err)
        self.assertIn("is made", self.out)
        self.assertEqual(len(self.asked), 2)
        self.assertTrue((self.state / "node.key.wrapped").exists())
        self.assertEqual(self.ctl("keys", "show", typed=typed[:1]), 0, self.err)
        self.assertIn("wrapped under a passphrase", self.out)
        self.assertEqual(self.ctl("keys", "show", typed=("wrong",)), 1)
        self.assertIn("not its passphrase", self.err)
        self.assertNotIn("wrong", self.err)

    def test_a_passphrase_of_standard_input(self) -> None:
        """One line is enough for a new one, too."""
        self.source("passphrase")
        told = PASSPHRASE + "\n"
        self.run_well("keys", "init", "--password-stdin", told=told)
        self.run_well("keys", "show", "--password-stdin", told=told)
        self.assertEqual(self.asked, [])
        self.refused("keys", "show", "--password-stdin", says="standard input ended")

    def test_a_credential(self) -> None:
        """It is systemd's: init prints the commands and the unit's line."""
        self.source("credential:postmand.key")
        answer = self.run_well("keys", "init")
        self.assertIn("systemd-creds encrypt --name=postmand.key", answer)
        self.assertIn("LoadCredentialEncrypted=postmand.key:/etc/", answer)
        self.assertFalse(self.state.exists())
        self.refused("keys", "show", says="LoadCredentialEncrypted=postmand.key:")

    def test_a_credential_within_the_service(self) -> None:
        """Where systemd handed it over it is read, and becomes the store's."""
        directory = self.base / "credentials"
        directory.mkdir()
        (directory / "postmand.key").write_bytes(bytes(range(32)))
        self.source("credential:postmand.key")
        self.add("alice")
        os.environ["CREDENTIALS_DIRECTORY"] = str(directory)
        self.assertIn("was there already", self.run_well("keys", "init"))
        shown = self.run_well("keys", "show")
        self.assertIn("the credential postmand.key of systemd", shown)
        self.assertIn("was made with it", shown)

    def test_another_key_than_the_stores(self) -> None:
        """Neither a changed [node] key nor a lost file gets the store a second key."""
        self.add("alice")
        self.run_well("keys", "init")
        (self.state / "node.key").rename(self.base / "kept")
        self.refused("keys", "init", says="restore it from a backup")
        self.assertFalse((self.state / "node.key").exists())
        (self.state / "node.key").write_bytes(bytes(32))
        (self.state / "node.key").chmod(0o600)
        for command in ("init", "show"):
            self.refused("keys", command, says="not the one this store was made with")


class Dkim(KeyCase):
    """dkim make and dkim show."""

    def kept(self) -> SigningKey:
        """Return the key as the node finds it at its start."""
        keys = open_node_keys(
            self.config.database, self.config.node.key, self.state, None
        )
        octets = keys.get(DKIM)
        assert octets is not None
        return SigningKey.from_octets(octets)

    def test_make(self) -> None:
        """The record is a line for a zone file; the key is kept sealed."""
        answer = self.run_well("dkim", "make")
        key = self.kept()
        self.assertEqual(key, SigningKey("s2026", PEM))
        name, value = key.record("i2pmail.org")
        self.assertEqual(answer, f"{name} IN TXT ( {value} )\n")
        self.assertTrue(name.startswith("s2026._domainkey.i2pmail.org"))
        self.assertIn("restart the node", self.err)
        for path in self.state.rglob("*"):
            if path.is_file():
                octets = path.read_bytes()
                self.assertNotIn(b"PRIVATE", octets, path)
                self.assertNotIn(PEM.splitlines()[1], octets, path)

    def test_show(self) -> None:
        """The same record again; without a key, how to make one."""
        self.refused("dkim", "show", says="postmanctl dkim make")
        made = self.run_well("dkim", "make", "--selector", "mail-1")
        self.assertEqual(self.run_well("dkim", "show"), made)
        self.assertTrue(made.startswith("mail-1._domainkey."))

    def test_none_is_overwritten(self) -> None:
        """A second one needs --replace and a name of its own: the first is known."""
        self.run_well("dkim", "make")
        self.refused("dkim", "make", says="there is a DKIM key already, s2026")
        self.refused("dkim", "make", "--replace", says="choose another with --selector")
        self.assertEqual(self.kept().selector, "s2026")
        self.run_well("dkim", "make", "--replace", "--selector", "next")
        self.assertIn("leave the old record", self.err)
        self.assertEqual(self.kept().selector, "next")

    def test_a_bad_selector(self) -> None:
        """It is refused before anything is made."""
        self.refused("dkim", "make", "--selector", "a.b", says="at most 63 letters")
        self.assertFalse(self.state.exists())

    def test_under_a_passphrase(self) -> None:
        """The commands ask for it as the node's start does."""
        self.source("passphrase")
        told = PASSPHRASE + "\n"
        made = self.run_well("dkim", "make", "--password-stdin", told=told)
        shown = self.run_well("dkim", "show", "--password-stdin", told=told)
        self.assertEqual(shown, made)
        self.refused(
            *("dkim", "show", "--password-stdin"), told="wrong one\n", says="passphrase"
        )


class Checkup(KeyCase):
    """The doctor's look at the node's key."""

    def found(self) -> list[Finding]:
        """Return the findings; looking changes and asks nothing."""
        before = sorted(self.state.glob("**/*"))
        gateway = Gateway("tcp:127.0.0.1:2526")
        with_gateway = evolve(self.config, gateways=(gateway,))
        findings = list(check_node_key(with_gateway))
        self.assertEqual(sorted(self.state.glob("**/*")), before)
        return findings

    def levels(self) -> list[str]:
        """Return how grave the findings are."""
        return [finding.level for finding in self.found()]

    def test_a_file(self) -> None:
        """There is none, it is for development, it is open to others, it is gone."""
        self.assertEqual(self.levels(), [WARN])
        self.add("alice")
        self.assertEqual(self.levels(), [WARN])
        self.run_well("keys", "init")
        (found,) = self.found()
        self.assertEqual(found.level, WARN)
        self.assertIn("development", found.what)
        self.assertIn("credential", found.mend)
        path = self.state / "node.key"
        path.chmod(0o644)
        wide, _plain = self.found()
        self.assertEqual((wide.level, wide.mend), (FAIL, f"chmod 600 {path}"))
        path.unlink()
        (gone,) = self.found()
        self.assertEqual(gone.level, FAIL)
        self.assertIn("backup", gone.mend)

    def test_a_passphrase(self) -> None:
        """A wrapped key is as it should be, and is not asked for."""
        self.source("passphrase")
        self.assertEqual(self.levels(), [WARN])
        self.run_well("keys", "init", "--password-stdin", told=PASSPHRASE + "\n")
        self.assertEqual(self.levels(), [OK])
        self.assertEqual(self.asked, [])

    def test_a_credential(self) -> None:
        """Outside of the service nothing is to be seen; inside it must be there."""
        self.source("credential:postmand.key")
        self.assertEqual(self.levels(), [OK])
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        os.environ["CREDENTIALS_DIRECTORY"] = str(directory)
        self.assertEqual(self.levels(), [FAIL])
        (directory / "postmand.key").write_bytes(b"x" * 32)
        self.assertEqual(self.levels(), [OK])
