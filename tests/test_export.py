"""A mailbox written to a Maildir or an mbox file, beside a store that is open."""

from __future__ import annotations

import mailbox
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from postmand.admin.letters import Letter
from postmand.admin.lines import local_lines, quoted
from postmand.admin.mbox import Mbox, from_line
from postmand.interfaces import Copy, Member
from postmand.postoffice import Maildrop
from postmand.store.opening import open_store
from postmand.store.settings import Settings
from tests.contracts.stores import Loop
from tests.test_admin import PASSWORD, AdminCase

pytestmark = pytest.mark.long

HEADER = (
    b"Return-Path: <bob@mail.i2p>\r\n"
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"Subject: %s\r\n\r\n"
)
TEXT = b"Hello,\r\nFrom here\r\n>From there\r\n.\r\n"
LONG = b"0123456789abcdef\r\n" * 20_000  # several sealed pieces in a file


class ExportCase(AdminCase):
    """A node's store, open, with the mailbox of alice."""

    def setUp(self) -> None:
        """Make the account, then open the store as the node does."""
        super().setUp()
        self.code = self.add("alice")
        self.loop = Loop()
        url = f"sqlite:///{self.config.database}"
        settings = Settings.from_config(self.config)
        self.store = open_store(url, self.state, settings, self.loop)
        self.addCleanup(self.store.close)
        self.member = self.unlock()

    def unlock(self) -> Member:
        """Return alice, opened."""
        credential = self.loop.get(self.store.accounts.credential("alice"))
        member = self.store.keyring.unlock(credential, PASSWORD.encode())
        assert member is not None
        return member

    def deliver(self, header: bytes, body: bytes, **remember: Any) -> None:
        """Put a message into the mailbox."""
        recipient = self.loop.get(self.store.accounts.recipient("alice"))
        copies = [Copy(recipient, header, [body])]
        rows = remember.get("rows", {})
        self.loop.get(self.store.mailboxes.deliver(copies, rows))

    def export(self, *arguments: str, told: str = PASSWORD, **more: Any) -> int:
        """Run the command."""
        secret = () if "--recovery-code-stdin" in arguments else ("--password-stdin",)
        return self.ctl("export", "alice", *arguments, *secret, told=told, **more)

    def drop(self) -> list[bytes]:
        """Return the messages as POP3 gives them."""
        office: Any = SimpleNamespace(
            mailboxes=self.store.mailboxes,
            threads=self.store.threads,
            credential=_always,
        )
        return self.loop.get(Deferred.fromCoroutine(_all(office, self.member)))


async def _always(_: Member) -> bool:
    return True


async def _all(office: Any, member: Member) -> list[bytes]:
    drop = Maildrop(office, member)
    await drop.open()
    messages = []
    for index in range(len(drop.sizes)):
        stored = await drop.message(index)
        pieces = [stored.header, stored.body]
        while stored.more is not None and (piece := await stored.more.next()):
            pieces.append(piece)
        messages.append(b"".join(pieces))
    return messages


def files(directory: Path) -> list[Path]:
    """Return the letters of a Maildir."""
    return sorted([*(directory / "new").iterdir(), *(directory / "cur").iterdir()])


class ToMaildir(ExportCase):
    """--maildir."""

    def setUp(self) -> None:
        """Name the directory."""
        super().setUp()
        self.maildir = self.base / "mail"

    def export_there(self, **more: Any) -> int:
        """Export into it."""
        return self.export("--maildir", str(self.maildir), **more)

    def test_as_pop3_gives_it(self) -> None:
        """The same messages octet for octet, but for the line ends; long ones too."""
        for body in (TEXT, LONG, b"", b"no line end"):
            self.deliver(HEADER % b"one", body)
        self.assertEqual(self.export_there(), 0, self.err)
        self.assertIn("4 messages written", self.out)
        written = sorted(path.read_bytes() for path in files(self.maildir))
        expected = [message.replace(b"\r\n", b"\n") for message in self.drop()]
        self.assertEqual(written, sorted(expected))
        read = mailbox.Maildir(self.maildir, create=False)
        self.assertEqual({one["subject"] for one in read}, {"one"})

    def test_thread_ids_are_the_clients_again(self) -> None:
        """A reply to the member's own message names it as the member's client does."""
        own = b"<mine@laptop.example>"
        given = self.store.threads.give_out(self.member, own)
        rows = dict([self.store.threads.row(self.member, own)])
        references = b"In-Reply-To: " + given + b"\r\nReferences: " + given + b"\r\n"
        self.deliver(references + HEADER % b"Re: one", TEXT, rows=rows)
        self.export_there()
        (path,) = files(self.maildir)
        self.assertEqual(path.read_bytes().count(own), 2)
        self.assertNotIn(given, path.read_bytes())
        (expected,) = self.drop()
        self.assertEqual(path.read_bytes(), expected.replace(b"\r\n", b"\n"))

    def test_for_the_owner_alone(self) -> None:
        """Directories 0700 and files 0600; names tell no host, process or time."""
        self.deliver(HEADER % b"one", TEXT)
        self.export_there()
        for path in (self.maildir, *(self.maildir / n for n in ("tmp", "new", "cur"))):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700)
        (path,) = files(self.maildir)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertRegex(path.name, r"\A[0-9a-f]{32}\.postmand\Z")
        self.assertEqual(os.listdir(self.maildir / "tmp"), [])

    def test_again(self) -> None:
        """What is there, read and moved by a mail program or not, is left alone."""
        self.deliver(HEADER % b"one", TEXT)
        self.export_there()
        (path,) = files(self.maildir)
        path.rename(self.maildir / "cur" / (path.name + ":2,S"))
        (path,) = files(self.maildir)
        path.write_bytes(b"edited")
        self.deliver(HEADER % b"two", TEXT)
        self.assertEqual(self.export_there(), 0)
        self.assertIn("1 messages written", self.out)
        self.assertIn("1 were there already", self.out)
        self.assertEqual(path.read_bytes(), b"edited")
        self.assertEqual(len(files(self.maildir)), 2)

    def test_into_a_maildir_in_use(self) -> None:
        """Other letters of an existing Maildir stay as they are."""
        mailbox.Maildir(self.maildir).add(b"Subject: older\n\nold\n")
        self.deliver(HEADER % b"one", TEXT)
        self.assertEqual(self.export_there(), 0, self.err)
        subjects = {one["subject"] for one in mailbox.Maildir(self.maildir)}
        self.assertEqual(subjects, {"older", "one"})

    def test_no_maildir(self) -> None:
        """A file, and a directory with other things, are refused untouched."""
        self.maildir.mkdir()
        (self.maildir / "thesis.txt").write_bytes(b"mine")
        for path in (self.maildir, self.maildir / "thesis.txt"):
            self.refused(
                *("export", "alice", "--maildir", str(path), "--password-stdin"),
                told=PASSWORD,
                says="is no Maildir; name a new directory",
            )
        self.assertEqual(os.listdir(self.maildir), ["thesis.txt"])

    def test_synced(self) -> None:
        """A letter is on the disk before it has its name, and its name at the end."""
        self.deliver(HEADER % b"one", TEXT)
        calls: list[str] = []
        for name in ("fsync", "link"):
            patched = mock.patch.object(os, name, _noting(calls, name))
            patched.start()
            self.addCleanup(patched.stop)
        self.export_there()
        named = calls.index("link")
        self.assertEqual(calls[named - 1], "fsync of a file")
        self.assertIn("fsync of a directory", calls[named + 1 :])

    def test_a_full_disk(self) -> None:
        """One line, and no half letter under any name."""
        self.deliver(HEADER % b"one", TEXT)
        full = OSError(28, "No space left on device")
        with mock.patch("postmand.admin.maildir.local_lines", side_effect=full):
            self.assertEqual(self.export_there(), 1)
        self.assertIn("No space left on device", self.err)
        self.assertEqual(files(self.maildir), [])
        self.assertEqual(os.listdir(self.maildir / "tmp"), [])

    def test_without_hard_links(self) -> None:
        """A file system that has none (FAT) serves as well."""
        self.deliver(HEADER % b"one", TEXT)
        refusal = PermissionError(1, "Operation not permitted")
        with mock.patch.object(os, "link", side_effect=refusal):
            self.assertEqual(self.export_there(), 0, self.err)
        self.assertEqual(len(files(self.maildir)), 1)


class ToMbox(ExportCase):
    """--mbox."""

    def setUp(self) -> None:
        """Name the file."""
        super().setUp()
        self.mbox = self.base / "mail.mbox"

    def export_there(self, **more: Any) -> int:
        """Export into it."""
        return self.export("--mbox", str(self.mbox), **more)

    def test_nothing_is_lost(self) -> None:
        """With one ">" less before each "From " the messages are what POP3 gives."""
        for body in (TEXT, LONG, b"", b"From no line end"):
            self.deliver(HEADER % b"one", body)
        self.assertEqual(self.export_there(), 0, self.err)
        expected = [message.replace(b"\r\n", b"\n") for message in self.drop()]
        read = split(self.mbox.read_bytes())
        self.assertEqual([one for _, one in read], expected)
        line = b"From bob@mail.i2p Sun Nov 22 15:21:00 2026"
        self.assertEqual({first for first, _ in read}, {line})
        self.assertEqual(len(mailbox.mbox(self.mbox, create=False)), 4)

    def test_for_the_owner_alone(self) -> None:
        """Mode 0600, and nothing else is left beside it."""
        self.export_there()
        self.assertEqual(self.mbox.stat().st_mode & 0o777, 0o600)
        self.assertEqual(sorted(os.listdir(self.base)), ["mail.mbox", "state"])

    def test_what_exists_stays(self) -> None:
        """An existing file, and a link that leads nowhere, are refused."""
        self.mbox.write_bytes(b"older")
        dangling = self.base / "dangling"
        dangling.symlink_to("nowhere")
        for path in (self.mbox, dangling):
            self.refused(
                *("export", "alice", "--mbox", str(path), "--password-stdin"),
                told=PASSWORD,
                says="is there already; name a new file",
            )
        self.assertEqual(self.mbox.read_bytes(), b"older")

    def test_made_by_another_meanwhile(self) -> None:
        """A file that came while the export ran is not overwritten."""

        def put(*_: object) -> bool:
            self.mbox.write_bytes(b"another's")
            return True

        self.deliver(HEADER % b"one", TEXT)
        with mock.patch.object(Mbox, "put", put):
            self.assertEqual(self.export_there(), 1)
        self.assertIn("made by another program meanwhile", self.err)
        self.assertEqual(self.mbox.read_bytes(), b"another's")
        self.assertEqual(len(os.listdir(self.base)), 2)

    def test_a_full_disk(self) -> None:
        """One line, and no half file under any name."""
        self.deliver(HEADER % b"one", TEXT)
        full = OSError(28, "No space left on device")
        with mock.patch("postmand.admin.mbox.os.fsync", side_effect=full):
            self.assertEqual(self.export_there(), 1)
        self.assertIn("No space left on device", self.err)
        self.assertEqual(os.listdir(self.base), ["state"])

    def test_a_damaged_message_costs_no_other(self) -> None:
        """What does not open is left out whole, counted, and the exit status is 1."""
        self.deliver(HEADER % b"one", TEXT)
        self.deliver(HEADER % b"two", LONG)
        self.deliver(HEADER % b"three", TEXT)
        (file,) = (self.state / "bodies").iterdir()
        sealed = bytearray(file.read_bytes())
        sealed[200_000] ^= 1  # in the fourth piece: the first ones are written by then
        file.write_bytes(sealed)
        self.assertEqual(self.export_there(), 1)
        self.assertIn("2 messages written", self.out)
        self.assertIn("1 messages do not open", self.err)
        subjects = [one["subject"] for one in mailbox.mbox(self.mbox)]
        self.assertEqual(subjects, ["one", "three"])
        self.assertNotIn(b"0123456789abcdef", self.mbox.read_bytes())


class Opening(ExportCase):
    """Who may export, and what is told meanwhile."""

    def setUp(self) -> None:
        """Have a letter in the mailbox."""
        super().setUp()
        self.deliver(HEADER % b"one", TEXT)
        self.to = "--mbox", str(self.base / "mail.mbox")

    def test_a_wrong_secret(self) -> None:
        """Nothing is written without the password or the code."""
        self.assertEqual(self.export(*self.to, told="wrong password"), 1)
        self.assertIn("not the password of alice", self.err)
        self.add("bob")
        other = self.out
        code = "--recovery-code-stdin"
        self.assertEqual(self.export(*self.to, code, told=other), 1)
        self.assertIn("not the recovery code of alice", self.err)
        self.assertEqual(os.listdir(self.base), ["state"])

    def test_the_recovery_code(self) -> None:
        """It opens the mailbox, and is good for a recovery still."""
        code = "--recovery-code-stdin"
        self.assertEqual(self.export(*self.to, code, told=self.code), 0, self.err)
        self.assertIn("1 messages written", self.out)
        self.assertEqual(
            self.ctl(
                *("account", "recover", "alice", "--password-stdin"),
                told=f"{self.code}\nsecond password\n",
            ),
            0,
        )

    def test_at_a_prompt(self) -> None:
        """The password is asked for once, unseen."""
        status = self.ctl("export", "alice", *self.to, typed=(PASSWORD,))
        self.assertEqual(status, 0, self.err)
        self.assertEqual(self.asked, ["Password: "])

    def test_a_disabled_account(self) -> None:
        """Its mail is its owner's still."""
        self.ctl("account", "disable", "alice")
        self.assertEqual(self.export(*self.to), 0, self.err)

    def test_the_mailbox_stays(self) -> None:
        """Nothing is removed, and another session is not disturbed."""
        self.export(*self.to)
        self.assertEqual(len(self.drop()), 1)

    def test_removed_meanwhile(self) -> None:
        """A message collected and deleted while the export runs is no error."""
        numbers = "postmand.admin.letters.reading.numbers"
        with mock.patch(numbers, return_value=[1, 99]):
            self.assertEqual(self.export(*self.to), 0, self.err)
        self.assertIn("1 messages written", self.out)
        self.assertIn("1 were removed from the mailbox meanwhile", self.out)

    def test_progress(self) -> None:
        """Shown where a person looks, never in a log."""
        self.export(*self.to, terminal=True)
        self.assertTrue(self.err.endswith("\r1 of 1 messages\n"))
        self.export("--maildir", str(self.base / "mail"))
        self.assertEqual(self.err, "")


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut octets at places given in any order, beyond the end too."""
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    starts = [0, *ends[:-1]]
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]


def split(mbox: bytes) -> list[tuple[bytes, bytes]]:
    """Read an mbox as RFC 4155 has it: (separator line, message) each."""
    parts = re.split(rb"(?m)^(From .*)\n", mbox)
    messages = [re.sub(rb"(?m)^>(>*From )", rb"\1", part[:-1]) for part in parts[2::2]]
    # A message without a last line end was given one.
    whole = [one[:-1] if one.endswith(b"no line end\n") else one for one in messages]
    return list(zip(parts[1::2], whole, strict=True))


class Lines(SynchronousTestCase):
    """Line ends and quoting, however a message is cut into pieces."""

    pieces = st.lists(
        st.sampled_from(
            [b"From ", b"From", b"F", b"rom ", b">", b"\n", b"\r\n", b"\r", b" ", b"x"]
        ),
        max_size=40,
    ).map(b"".join)
    places = st.lists(st.integers(0, 120), max_size=20) | st.just(range(400))

    @given(pieces, places)
    def test_quoting_does_not_depend_on_the_cuts(
        self, data: bytes, places: Iterable[int]
    ) -> None:
        """Every line of mboxrd's form has one mark more, and no other line."""
        expected = re.sub(rb"(?m)^(>*From )", rb">\1", data)
        self.assertEqual(b"".join(quoted(cut(data, places))), expected)

    @given(pieces, places)
    def test_line_ends_do_not_depend_on_the_cuts(
        self, data: bytes, places: Iterable[int]
    ) -> None:
        """CRLF becomes LF, nothing else changes."""
        expected = data.replace(b"\r\n", b"\n")
        self.assertEqual(b"".join(local_lines(cut(data, places))), expected)

    def test_bounded(self) -> None:
        """A line of quoting marks without end is passed on as it comes."""
        pieces = quoted(b">" * 65_536 for _ in range(3))
        self.assertEqual([len(piece) for piece in pieces], [65_536] * 3)

    def test_from_line(self) -> None:
        """RFC 4155: sender and UTC; what the header does not tell has a stand-in."""
        self.assertEqual(
            from_line(b"Return-Path: <>\r\nDate: Sun,  1 Nov 2026 01:02:03 +0200\r\n"),
            b"From MAILER-DAEMON Sat Oct 31 23:02:03 2026\n",
        )
        self.assertEqual(
            from_line(b"Return-Path: <a b@c>\r\nDate: never\r\n\r\n"),
            b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n",
        )

    def test_a_letter_shows_no_content(self) -> None:
        """What is logged of a letter is its uid alone."""
        letter = Letter("00ff", b"Subject: secret\r\n\r\n", iter([b"secret"]))
        self.assertNotIn("secret", repr(letter))


def _noting(calls: list[str], name: str) -> Any:
    real = getattr(os, name)

    def note(*arguments: Any, **named: Any) -> Any:
        told = name
        if name == "fsync":
            mode = os.fstat(arguments[0]).st_mode
            told += " of a directory" if stat.S_ISDIR(mode) else " of a file"
        calls.append(told)
        return real(*arguments, **named)

    return note
