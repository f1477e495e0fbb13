"""postmanctl doctor: what it finds, and that it touches nothing."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sqlite3
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from attrs import evolve

from postmand.admin.finding import fail, ok
from postmand.admin.main import main
from postmand.admin.terminal import Terminal
from postmand.config import Accounts, Pop3, Submission
from postmand.store.opening import open_store
from postmand.store.settings import Settings
from tests.contracts.stores import Loop
from tests.test_admin import AdminCase, Answer

pytestmark = pytest.mark.long

GIB = 1024**3
Usage = namedtuple("Usage", "total used free")


class DoctorCase(AdminCase):
    """A node that has never run, on a machine with room."""

    def setUp(self) -> None:
        """Give the machine a large disk and a postmaster."""
        super().setUp()
        self.disk(100 * GIB)
        self.config.aliases["postmaster"] = "alice"

    def disk(self, free: int) -> None:
        """Set the free octets of the disk."""
        self.patch(shutil, "disk_usage", lambda _: Usage(0, 0, free))

    def doctor(self, status: int = 0) -> str:
        """Run the doctor; return what is not in order, a line each."""
        self.assertEqual(self.ctl("doctor"), status, self.out + self.err)
        for line in self.out.splitlines():
            self.assertRegex(line, r"\A(ok    [^-]|(warn|FAIL)  \S.*  - \S)")
        self.assertEqual(bool(self.err), bool(status))
        return "\n".join(
            line
            for line in self.out.splitlines()
            if not line.startswith("ok") and "argon2" not in line
        )

    def kept(self) -> dict[str, tuple[int, int, int]]:
        """Return mode, size and mtime of all there is, by name.

        A directory's own time is left out: SQLite's log comes and goes in it.
        """
        found = {}
        for path in self.base.rglob("*"):
            status = path.stat()
            when = 0 if path.is_dir() else status.st_mtime_ns
            found[str(path)] = status.st_mode, status.st_size, when
        return found


class Store(DoctorCase):
    """What is kept."""

    def test_before_the_first_start(self) -> None:
        """No store is a warning; none is made."""
        found = self.doctor()
        self.assertIn("does not exist yet  - the first start makes it", found)
        self.assertIn("there is no database", found)
        self.assertFalse(self.state.exists())

    def test_in_order(self) -> None:
        """A node at rest: nothing is wrong, nothing is changed, nothing is left."""
        self.add("alice")
        before = self.kept()
        self.assertEqual(self.doctor(), "")
        self.assertIn("ok    alias: postmaster leads to alice", self.out)
        self.assertEqual(self.kept(), before)

    def test_beside_a_running_node(self) -> None:
        """The same while another process has the store open."""
        self.add("alice")
        url = f"sqlite:///{self.config.database}"
        settings = Settings.from_config(self.config)
        store = open_store(url, self.state, settings, Loop())
        self.addCleanup(store.close)
        self.assertEqual(self.doctor(), "")

    def test_modes(self) -> None:
        """Whatever others may read is named with the command that closes it."""
        self.add("alice")
        body = self.state / "bodies" / "0123"
        body.touch(0o600)
        for path, mode in (
            (self.state, 0o755),
            (self.config.database, 0o644),
            (self.state / "bodies", 0o750),
            (body, 0o604),
        ):
            with self.subTest(path=path.name):
                good = path.stat().st_mode & 0o700
                path.chmod(mode)
                found = self.doctor(status=1)
                self.assertIn(f"others may use {path}  - chmod {good:o} {path}", found)
                self.assertEqual(found.count("FAIL"), 1)
                path.chmod(good)

    def test_another_owner(self) -> None:
        """A file that root left behind stops the node later: it is told now."""
        self.add("alice")
        real = Path.lstat

        def lstat(path: Path) -> Any:
            status = real(path)
            if path.name == "postman.db":
                return mock.Mock(st_mode=status.st_mode, st_uid=status.st_uid + 1)
            return status

        self.patch(Path, "lstat", lstat)
        found = self.doctor(status=1)
        self.assertIn("owner: 1 files in", found)
        self.assertIn("chown -R", found)

    def test_run_by_another_user(self) -> None:
        """Who does not own the state is told to be somebody else."""
        self.add("alice")
        self.patch(os, "geteuid", lambda: self.state.stat().st_uid + 4711)
        self.assertIn("run postmanctl as that user", self.doctor(status=1))

    def test_a_state_directory_that_is_a_file(self) -> None:
        """Named, not raised."""
        self.state.write_bytes(b"")
        self.assertIn("is no directory", self.doctor(status=1))

    def test_free_disk(self) -> None:
        """Little room is a warning, none a failure."""
        self.add("alice")
        self.disk(GIB // 2)
        self.assertIn("warn  disk: 512 MiB free", self.doctor())
        self.disk(GIB // 64)
        self.assertIn("FAIL  disk: 16 MiB free", self.doctor(status=1))

    def test_no_database(self) -> None:
        """A file that is something else."""
        self.add("alice")
        self.config.database.write_bytes(b"something else" * 500)
        self.assertIn("is no SQLite database", self.doctor(status=1))

    def test_a_damaged_database(self) -> None:
        """Found by SQLite's own check."""
        self.add("alice")
        with self.config.database.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xff" * 8192 * 3)
        found = self.doctor(status=1)
        self.assertIn("FAIL  store: ", found)
        self.assertIn("restore the store from a backup", found)

    def test_another_schema(self) -> None:
        """A store of another program's version."""
        self.add("alice")
        self.change("UPDATE alembic_version SET version_num = '9999'")
        self.assertIn("the schema is 9999", self.doctor(status=1))

    def test_the_log_is_off(self) -> None:
        """Without WAL nobody reads while somebody writes."""
        self.add("alice")
        self.change("PRAGMA journal_mode=DELETE")
        self.assertIn("the write-ahead log is off", self.doctor())

    def test_orphans(self) -> None:
        """Files of bodies that belong to no message are counted and left."""
        self.add("alice")
        orphan = self.state / "bodies" / "0123"
        orphan.touch(0o600)
        self.assertIn("1 of 1 files belong to no message", self.doctor())
        self.assertTrue(orphan.exists())

    def test_a_missing_body(self) -> None:
        """A message without its file is a failure."""
        self.add("alice")
        self.change(
            "INSERT INTO messages (account, uid, padded_bytes, file, sealed_key, card)"
            " SELECT id, x'00', 0, 'gone', x'00', x'00' FROM accounts"
        )
        self.assertIn("bodies/gone", self.doctor(status=1))

    def test_mail_without_a_way(self) -> None:
        """Mail that waits after the last gateway was taken out of the file is told of.

        The node runs none of it then, and says nothing.
        """
        self.add("alice")
        self.change("INSERT INTO queue_bodies (id, body) VALUES (7, x'00')")
        self.change(
            "INSERT INTO queue_items"
            " (id, body_id, stage, held, trying, due, sealed_key, card)"
            " VALUES (1, 7, 2, 0, 0, 0, x'00', x'00'), (2, 7, 2, 1, 0, 0, x'00', x'00')"
        )
        self.assertIn("wait: 1, and no gateway is named  - add", self.doctor())

    def change(self, statement: str) -> None:
        """Change the database behind the node's back."""
        with closing(sqlite3.connect(self.config.database)) as connection:
            connection.execute(statement)
            connection.commit()


class Around(DoctorCase):
    """Configuration, clock, aliases and passwords."""

    def test_a_bad_config(self) -> None:
        """The fault is the one line there is."""
        file = self.base / "node.toml"
        file.write_text("[node\n")
        out, err = Answer(), Answer()
        arguments = ["--config", str(file), "doctor"]
        self.assertEqual(main(arguments, Terminal(io.BytesIO(), out, err, str)), 1)
        self.assertIn("FAIL  config: ", out.getvalue())
        self.assertEqual(out.getvalue().count("\n"), 1)

    def test_the_clock(self) -> None:
        """A machine that woke up in 1970 would date every message so."""
        self.add("alice")
        with mock.patch("tests.test_admin.NOON", 86_400.0):
            found = self.doctor(status=1)
        self.assertIn("FAIL  clock: 1970-01-02 00:00 UTC  - set", found)

    def test_aliases(self) -> None:
        """Each must lead to an account that takes mail."""
        self.add("alice")
        self.add("bob")
        self.ctl("account", "disable", "bob")
        self.config.aliases.update(abuse="carol", info="bob", bob="alice")
        found = self.doctor(status=1)
        self.assertIn("FAIL  alias: abuse leads to carol, which is no account", found)
        self.assertIn("warn  alias: info leads to bob, which is disabled", found)
        self.assertIn("warn  alias: bob is an account too", found)

    def test_no_postmaster(self) -> None:
        """RFC 5321 4.5.1 wants one: a warning."""
        self.add("alice")
        del self.config.aliases["postmaster"]
        found = self.doctor()
        self.assertIn("warn  alias: nobody reads postmaster@mail.i2p", found)

    def test_argon2(self) -> None:
        """Its time is told; what is too cheap to stop anybody is a warning."""
        self.add("alice")
        self.doctor()
        self.assertRegex(self.out, r"warn  argon2: \d+ ms a login .*too cheap")
        self.config = evolve(self.config, accounts=Accounts())
        self.doctor()
        self.assertRegex(self.out, r"ok    argon2: \d+ ms a login")

    def test_a_line_cannot_steer_a_terminal(self) -> None:
        """What a file or a peer is called is shown without its control octets."""
        self.assertEqual(fail("a\x1b[2J\nb", "c\rd").line(), "FAIL  a?[2J b  - c d")
        self.assertEqual(ok("fine").line(), "ok    fine")


class Peer:
    """A connected socket whose other end says `pieces`, then nothing."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.said = b""

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def recv(self, _: int) -> bytes:
        """Return the next piece."""
        if not self._pieces:
            raise TimeoutError
        return self._pieces.pop(0)

    def sendall(self, data: bytes) -> None:
        """Note what is said."""
        self.said += data


class Ports(DoctorCase):
    """Who answers where the node listens."""

    def setUp(self) -> None:
        """Listen on two TCP ports, with an account made."""
        super().setUp()
        self.add("alice")
        self.config = evolve(
            self.config,
            submission=Submission(listen=("tcp:2525:interface=127.0.0.1",)),
            pop3=Pop3(listen=("tcp:1110:interface=127.0.0.1",)),
        )
        self.answers: dict[int, Peer | OSError] = {}
        self.bound: list[Any] = []
        self.refuse: OSError | None = None
        self.patch(socket, "create_connection", self._connect)
        self.patch(socket.socket, "bind", self._bind)

    def _connect(self, address: tuple[str, int], timeout: float) -> Peer:
        self.assertLessEqual(timeout, 10)
        answer = self.answers.get(address[1], ConnectionRefusedError(111, "refused"))
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _bind(self, address: Any) -> None:
        self.bound.append(address)
        if self.refuse is not None:
            raise self.refuse

    def test_free(self) -> None:
        """Nobody answers and both can be had."""
        self.assertEqual(self.doctor(), "")
        self.assertEqual(self.bound, [("127.0.0.1", 2525), ("127.0.0.1", 1110)])

    def test_answered_by_postmand(self) -> None:
        """Known by its greeting, in pieces too; it is left politely."""
        smtp = Peer(b"220 smtp.postman.i2p ESMTP", b" I2PNet Mailservice\r\n")
        self.answers = {2525: smtp, 1110: Peer(b"+OK ready\r\n")}
        self.assertEqual(self.doctor(), "")
        self.assertEqual(self.out.count("is answered by a postmand"), 2)
        self.assertEqual(self.bound, [])
        self.assertEqual(smtp.said, b"QUIT\r\n")

    def test_another_program(self) -> None:
        """Another mail server, and one that says nothing."""
        self.answers = {2525: Peer(b"220 box ESMTP Postfix\r\n"), 1110: Peer()}
        found = self.doctor(status=1)
        self.assertEqual(found.count("is another program's"), 2)

    def test_a_port_of_roots(self) -> None:
        """Not to be had: the mend is said."""
        self.refuse = PermissionError(13, "Permission denied")
        self.assertIn("name a port from 1024 up", self.doctor(status=1))

    def test_an_address_of_another_machine(self) -> None:
        """Not to be had either."""
        self.answers = {2525: OSError(101, "Network is unreachable")}
        self.assertIn("Network is unreachable  - name", self.doctor(status=1))

    def test_open_to_the_world(self) -> None:
        """A hidden service that listens on every network is not hidden: a warning."""
        self.config = evolve(self.config, pop3=Pop3(listen=("tcp:1110",)))
        self.assertIn("open to every network", self.doctor())

    def test_no_endpoint(self) -> None:
        """A string that names none."""
        self.config = evolve(self.config, pop3=Pop3(listen=("telegraph:1110",)))
        self.assertIn("is no endpoint", self.doctor(status=1))

    def test_ipv6(self) -> None:
        """An address with colons is asked as it is."""
        listen = (r"tcp6:1110:interface=\:\:1",)
        self.config = evolve(self.config, pop3=Pop3(listen=listen))
        self.assertEqual(self.doctor(), "")
        self.assertIn(("::1", 1110), self.bound)
