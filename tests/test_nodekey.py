"""The node's key: derived, kept in each of its places, and missed where it lacks."""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path
from unittest import mock

import pytest
from twisted.trial.unittest import SynchronousTestCase

from postmand.store import keyfile, nodekey
from postmand.store.nodekey import NodeKey, NodeKeyError, NoNodeKeyError, load
from postmand.store.passwords import Cost
from postmand.store.seal import SealError, new_key, open_key, seal_key

MASTER = bytes(range(32))
PASSPHRASE = b"correct horse battery"


class Keys(SynchronousTestCase):
    """What is derived of the master."""

    def setUp(self) -> None:
        """Derive two nodes' keys."""
        self.key = NodeKey.from_master(MASTER)
        self.other = NodeKey.from_master(bytes(32))

    def test_the_same_master_gives_the_same_keys(self) -> None:
        """A node that starts again opens what it sealed; another one does not."""
        again = NodeKey.from_master(MASTER)
        self.assertEqual(again, self.key)
        self.assertEqual(
            again.open(self.key.seal(b"plain", b"data"), b"data"), b"plain"
        )
        sealed = self.other.seal(b"plain", b"data")
        self.assertRaises(SealError, self.key.open, sealed, b"data")
        self.assertNotEqual(self.other.fingerprint, self.key.fingerprint)

    def test_the_keys_differ_from_each_other_and_from_the_master(self) -> None:
        """No key in use is another's, whole or reversed, and none is the master."""
        parts = {
            MASTER,
            self.key.public_key,
            self.key.secret_key,
            self.key._tag_key,
            self.key._seal_key,
        }
        self.assertEqual(len(parts), 5)
        self.assertEqual({len(part) for part in parts}, {32})

    def test_derivation_does_not_change(self) -> None:
        """These octets are on disks: a change of the derivation must not pass."""
        self.assertEqual(self.key.fingerprint, "266a0985a4c3c37a")
        tag = self.key.tag(b"account", b"\1")
        self.assertEqual(tag.hex(), "bf6c2526d64cb8d10fbcc822c478b9aa")

    def test_length(self) -> None:
        """A short master is a fault, never a weak key."""
        self.assertRaises(ValueError, NodeKey.from_master, MASTER[:31])
        self.assertRaises(ValueError, NodeKey.from_master, b"")

    def test_anybody_seals_to_it(self) -> None:
        """A card's key sealed to the public key opens with the secret one alone."""
        key = new_key()
        sealed = seal_key(key, self.key.public_key)
        self.assertEqual(
            open_key(sealed, self.key.public_key, self.key.secret_key), key
        )
        with self.assertRaises(SealError):
            open_key(sealed, self.other.public_key, self.other.secret_key)

    def test_seal_is_bound_and_random(self) -> None:
        """What is sealed twice differs; other data or a changed octet do not open."""
        sealed = self.key.seal(b"plain", b"data")
        self.assertNotEqual(sealed, self.key.seal(b"plain", b"data"))
        self.assertEqual(len(sealed), len(b"plain") + 40)
        self.assertRaises(SealError, self.key.open, sealed, b"other")
        for place in range(len(sealed)):
            changed = bytearray(sealed)
            changed[place] ^= 1
            self.assertRaises(SealError, self.key.open, bytes(changed), b"data")
        for length in (0, 1, 23, 24, 39, len(sealed) - 1):
            self.assertRaises(SealError, self.key.open, sealed[:length], b"data")

    def test_tags_are_unambiguous(self) -> None:
        """No purpose and data run into each other, whatever they hold."""
        tags = [
            self.key.tag(b"ab", b"c"),
            self.key.tag(b"a", b"bc"),
            self.key.tag(b"abc"),
            self.key.tag(b"abc", b""),
            self.key.tag(b"abc", b"", b""),
            self.key.tag(b"ab", b"c", b""),
            self.key.tag(b"", b"ab", b"c"),
            self.key.tag(b"a", b"b", b"c"),
            self.other.tag(b"ab", b"c"),
        ]
        self.assertEqual(len(set(tags)), len(tags))
        self.assertEqual({len(tag) for tag in tags}, {16})
        self.assertEqual(tags[0], self.key.tag(b"ab", b"c"))

    def test_repr_shows_no_secret(self) -> None:
        """A key that ends in a log tells nothing."""
        shown = repr(self.key)
        for part in (self.key.secret_key, self.key._tag_key, self.key._seal_key):
            self.assertNotIn(repr(part), shown)
            self.assertNotIn(part.hex(), shown)


class Places(SynchronousTestCase):
    """load(): where the key comes from."""

    def setUp(self) -> None:
        """Give each test a state directory that is not there yet, and cheap Argon2."""
        self.state = Path(self.mktemp()).absolute() / "state"
        self.patch(keyfile, "MASTER_COST", Cost(1, 8))
        self.asked: list[str] = []

    def ask(self, *answers: bytes) -> nodekey.Ask:
        """Return an Ask that gives these answers and then fails."""
        left = iter(answers)

        def ask(question: str) -> bytes:
            self.asked.append(question)
            return next(left)

        return ask

    def refused(self, source: str, *says: str, ask: nodekey.Ask | None = None) -> str:
        """Loading fails with one line that says all this."""
        with self.assertRaises(NodeKeyError) as raised:
            load(source, self.state, ask)
        line = str(raised.exception)
        for words in says:
            self.assertIn(words, line)
        self.assertNotIn("\n", line)
        self.assertIn("; ", line)
        return line

    def test_a_file_is_made_once(self) -> None:
        """The first start makes it, its owner's alone, timeless; later it is read."""
        made = load("file:node.key", self.state, None)
        path = self.state / "node.key"
        found = path.stat()
        self.assertEqual(found.st_mode & 0o7777, 0o600)
        self.assertEqual((found.st_size, found.st_mtime_ns), (32, 0))
        self.assertEqual(os.listdir(self.state), ["node.key"])
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o700)
        self.assertEqual(load("file:node.key", self.state, None), made)
        self.assertEqual(NodeKey.from_master(path.read_bytes()), made)

    def test_a_file_elsewhere(self) -> None:
        """An absolute path is taken as it is."""
        path = self.state.parent / "stick" / "key"
        made = load(f"file:{path}", self.state, None)
        self.assertEqual(NodeKey.from_master(path.read_bytes()), made)
        self.assertFalse(self.state.exists())

    def test_two_starts_at_once(self) -> None:
        """Who comes second takes the first one's key: nothing is overwritten."""
        first = load("file:node.key", self.state, None)
        with mock.patch.object(Path, "exists", return_value=False):
            self.assertEqual(load("file:node.key", self.state, None), first)
        self.assertEqual(os.listdir(self.state), ["node.key"])

    def test_a_crash_leaves_no_part_of_a_key(self) -> None:
        """Where the disk fails there is no file afterwards, and the error names it."""
        with mock.patch.object(os, "fsync", side_effect=OSError(5, "bad disk")):
            self.refused("file:node.key", "bad disk")
        self.assertEqual(os.listdir(self.state), [])

    def test_it_is_durable_before_it_is_used(self) -> None:
        """File, then name: both are synced in that order."""
        synced: list[str] = []
        real = os.fsync

        def fsync(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            real(descriptor)

        with mock.patch.object(os, "fsync", fsync):
            load("file:node.key", self.state, None)
        self.assertEqual(len(synced), 2)
        self.assertTrue(synced[0].startswith(f"{self.state}/.node.key."))
        self.assertEqual(synced[1], str(self.state))

    def test_a_file_open_to_others(self) -> None:
        """It is not used, and the mend is a command."""
        load("file:node.key", self.state, None)
        path = self.state / "node.key"
        for mode in (0o640, 0o604, 0o620):
            path.chmod(mode)
            self.refused("file:node.key", f"chmod 600 {path}")

    def test_ways_to_write_it_down(self) -> None:
        """Plain, hex and base64 are the same key; all else is refused, unquoted."""
        self.state.mkdir(parents=True)
        path = self.state / "node.key"
        for octets in (
            MASTER,
            MASTER.hex().encode(),
            MASTER.hex().upper().encode() + b"\n",
            base64.b64encode(MASTER) + b"\n",
            base64.b64encode(MASTER) + b"\r\n",
        ):
            path.write_bytes(octets)
            path.chmod(0o600)
            key = load("file:node.key", self.state, None)
            self.assertEqual(key, NodeKey.from_master(MASTER), octets)
        secret = "abcdefgh"
        for octets in (b"", MASTER + b"x", MASTER[:31], secret.encode() * 4096):
            path.write_bytes(octets)
            line = self.refused("file:node.key", str(path), "32 octets")
            self.assertNotIn(secret, line)

    def test_not_to_be_made(self) -> None:
        """A tool that only looks makes nothing."""
        for source in ("file:node.key", "passphrase"):
            with self.assertRaises(NoNodeKeyError):
                load(source, self.state, self.ask(), make=False)
        self.assertFalse(self.state.exists())

    def test_an_unreadable_place(self) -> None:
        """The system's error is told with the path, as one line."""
        self.state.mkdir(parents=True)
        (self.state / "node.key").mkdir()
        self.refused("file:node.key", "node.key", "[node] key")
        self.refused("nonsense", "nonsense", "passphrase")

    def test_a_credential(self) -> None:
        """It is read from systemd's directory, whose modes show an access list."""
        directory = self.state / "credentials"
        directory.mkdir(parents=True)
        path = directory / "mail.key"
        path.write_bytes(MASTER.hex().encode() + b"\n")
        path.chmod(0o440)
        there = {"CREDENTIALS_DIRECTORY": str(directory)}
        with mock.patch.dict(os.environ, there):
            key = load("credential:mail.key", self.state, None)
            self.refused("credential:other", "LoadCredentialEncrypted=other:")
            for name in ("../credentials/mail.key", "..", "a/b"):
                self.refused(f"credential:{name}", "no name of a credential")
            path.write_bytes(b"short")
            self.refused("credential:mail.key", "32 octets")
        self.assertEqual(key, NodeKey.from_master(MASTER))

    def test_a_credential_outside_of_systemd(self) -> None:
        """The error tells how it is handed over, to a service and to one command."""
        with mock.patch.dict(os.environ):
            os.environ.pop("CREDENTIALS_DIRECTORY", None)
            self.refused(
                "credential:mail.key",
                "LoadCredentialEncrypted=mail.key:",
                "systemd-run",
                "keys init",
            )

    def test_a_passphrase(self) -> None:
        """Asked twice at the first start, once later; the same key each time."""
        made = load("passphrase", self.state, self.ask(PASSPHRASE, PASSPHRASE))
        self.assertEqual(len(self.asked), 2)
        path = self.state / nodekey.WRAPPED_NAME
        self.assertEqual(path.stat().st_mode & 0o7777, 0o600)
        self.assertEqual(path.stat().st_mtime_ns, 0)
        for part in (made.secret_key, PASSPHRASE):
            self.assertNotIn(part, path.read_bytes())
        self.assertEqual(load("passphrase", self.state, self.ask(PASSPHRASE)), made)
        self.assertEqual(len(self.asked), 3)

    def test_a_wrong_passphrase(self) -> None:
        """It is told as that, without what was typed."""
        load("passphrase", self.state, self.ask(PASSPHRASE, PASSPHRASE))
        line = self.refused("passphrase", "not its passphrase", ask=self.ask(b"wrong"))
        self.assertNotIn("wrong", line)

    def test_a_new_passphrase_that_will_not_do(self) -> None:
        """Short, empty or typed differently: refused, and nothing is made."""
        for answers, says in (
            ((b"one long passphrase", b"another passphrase"), "differ"),
            ((b"", b""), "the passphrase is empty"),
            ((b"too short", b"too short"), "fewer than 12"),
            ((b"with a NUL\0 in it", b"with a NUL\0 in it"), "NUL"),
        ):
            self.refused("passphrase", says, ask=self.ask(*answers))
        self.refused("passphrase", "nobody to ask", ask=None)
        self.assertFalse(self.state.exists())

    def test_two_first_starts_at_once(self) -> None:
        """Who comes second with a new passphrase is asked for the first one's."""
        first = load("passphrase", self.state, self.ask(PASSPHRASE, PASSPHRASE))
        answers = b"another passphrase", b"another passphrase", PASSPHRASE
        with mock.patch.object(Path, "exists", return_value=False):
            second = load("passphrase", self.state, self.ask(*answers))
        self.assertEqual(second, first)
        self.assertEqual(os.listdir(self.state), [nodekey.WRAPPED_NAME])

    @pytest.mark.long
    def test_a_damaged_wrapped_key(self) -> None:
        """Each octet changed is noticed, and none makes it ask for all memory."""
        load("passphrase", self.state, self.ask(PASSPHRASE, PASSPHRASE))
        path = self.state / nodekey.WRAPPED_NAME
        whole = path.read_bytes()
        for place in range(len(whole)):
            # Some passes or some memory more only make it a wrong passphrase.
            changed = bytearray(whole)
            changed[place] ^= 0x80
            path.write_bytes(changed)
            self.refused("passphrase", ask=self.ask(PASSPHRASE))
        for octets in (b"", whole[:-1], whole + b"x"):
            path.write_bytes(octets)
            self.refused("passphrase", "damaged", "backup", ask=self.ask(PASSPHRASE))


class Asking(SynchronousTestCase):
    """operator(): the terminal, or the first line of standard input."""

    def stdin(self, told: bytes, terminal: bool = False) -> None:
        """Replace standard input."""
        stream = io.TextIOWrapper(io.BytesIO(told))
        self.patch(stream, "isatty", lambda: terminal)
        self.patch(sys, "stdin", stream)

    def test_first_line(self) -> None:
        """One line answers all questions, so that a first start needs no other one."""
        self.stdin(b"first line\r\nsecond line\n")
        ask = nodekey.operator()
        self.assertEqual([ask("New: "), ask("Again: ")], [b"first line", b"first line"])

    def test_no_line(self) -> None:
        """An input that is at its end, or closed, is told."""
        self.stdin(b"")
        with self.assertRaisesRegex(NodeKeyError, "standard input ended"):
            nodekey.operator()("Passphrase: ")
        self.patch(sys, "stdin", None)
        with self.assertRaisesRegex(NodeKeyError, "standard input ended"):
            nodekey.operator()("Passphrase: ")

    def test_terminal(self) -> None:
        """At a terminal each question is put, without echo; octets come unchanged."""
        self.stdin(b"not read", terminal=True)
        asked: list[str] = []

        def getpass(question: str) -> str:
            asked.append(question)
            return "gr\u00fcn\udcff"

        self.patch(nodekey.getpass, "getpass", getpass)
        self.assertEqual(nodekey.operator()("Passphrase: "), b"gr\xc3\xbcn\xff")
        self.assertEqual(asked, ["Passphrase: "])

    def test_end_of_typing(self) -> None:
        """Control-D at the prompt is told."""
        self.stdin(b"", terminal=True)
        self.patch(nodekey.getpass, "getpass", mock.Mock(side_effect=EOFError))
        with self.assertRaisesRegex(NodeKeyError, "typed"):
            nodekey.operator()("Passphrase: ")
