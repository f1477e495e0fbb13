"""postmanctl's accounts: what it asks, answers and refuses."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from postmand.admin import call
from postmand.admin.main import main
from postmand.admin.terminal import CommandError, Terminal, standard
from postmand.config import Accounts, Config, Node, Pop3, Submission, Web
from postmand.store import database

pytestmark = pytest.mark.long

NOON = 20_779 * 86_400.0 + 43_200
PASSWORD = "first password"
ADD = "account", "add", "--password-stdin"


class Answer(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Tell what it was made as."""
        return self._terminal


class AdminCase(SynchronousTestCase):
    """postmanctl on a state directory of its own: `ctl`, then `out` and `err`."""

    config: Config

    def setUp(self) -> None:
        """Configure a node with cheap passwords and no port."""
        self.base = Path(tempfile.mkdtemp(prefix="postmanctl-"))
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        self.state = self.base / "state"
        self.config = Config(
            node=Node(state=str(self.state)),
            submission=Submission(listen=("unix:smtp",)),
            pop3=Pop3(listen=("unix:pop3",)),
            accounts=Accounts(argon2_passes=1, argon2_memory_kib=8),
            source="node.toml",
        )
        self.out = self.err = ""
        self.asked: list[str] = []

    def ctl(
        self,
        *arguments: str,
        told: str = "",
        typed: tuple[str, ...] = (),
        terminal: bool = False,
    ) -> int:
        """Run a command; `told` is its standard input, `typed` what is typed unseen."""
        out, err = Answer(), Answer(terminal)
        answers = iter(typed)
        stdin = io.BytesIO(told.encode())
        with mock.patch.object(call, "load", return_value=self.config):
            status = main(
                arguments,
                Terminal(stdin, out, err, lambda what: self._type(what, answers)),
                lambda: NOON,
            )
        self.out, self.err = out.getvalue(), err.getvalue()
        return status

    def _type(self, what: str, answers: Iterator[str]) -> str:
        self.asked.append(what)
        return next(answers)

    def add(self, name: str, password: str = PASSWORD) -> str:
        """Make an account; return its recovery code."""
        status = self.ctl(
            "account", "add", name, "--password-stdin", told=password + "\n"
        )
        self.assertEqual(status, 0, self.err)
        return self.out.strip()

    def refused(self, *arguments: str, told: str = "", says: str) -> None:
        """A command fails with one line that holds `says`, and answers nothing."""
        self.assertEqual(self.ctl(*arguments, told=told), 1)
        self.assertIn(says, self.err)
        self.assertEqual(self.err.count("\n"), 1, self.err)
        self.assertTrue(self.err.startswith("postmanctl: "))
        self.assertEqual(self.out, "")

    def opens(self, name: str, password: str) -> bool:
        """Tell whether the password is the account's, by setting it anew."""
        told = f"{password}\n{password}\n"
        return self.ctl("account", "passwd", name, "--password-stdin", told=told) == 0


class Adding(AdminCase):
    """account add."""

    def test_makes_the_store_and_prints_the_code_alone(self) -> None:
        """A script reads the code from standard output, which holds nothing else."""
        self.assertFalse(self.state.exists())
        code = self.add("alice")
        self.assertRegex(code, r"\A[0-9A-Z]{5}(-[0-9A-Z]{5}){7}\Z")
        self.assertEqual(self.out, code + "\n")
        self.assertIn("Write it down", self.err)
        self.assertNotIn(code, self.err)
        self.assertTrue(self.opens("alice", PASSWORD))

    def test_asks_twice(self) -> None:
        """A password typed at a prompt is typed twice, and both must agree."""
        add = "account", "add", "alice"
        self.assertEqual(self.ctl(*add, typed=("one password", "another")), 1)
        self.assertIn("differ", self.err)
        self.assertEqual(self.ctl(*add, typed=("one password", "one password")), 0)
        self.assertEqual(self.asked[-2:], ["Password: ", "Password again: "])
        self.assertTrue(self.opens("alice", "one password"))

    def test_takes_the_first_line_only(self) -> None:
        """Neither a line end of any system nor what follows is part of a password."""
        told = "with  blanks \r\nsecond line\n"
        add = "account", "add", "alice", "--password-stdin"
        self.assertEqual(self.ctl(*add, told=told), 0)
        self.assertTrue(self.opens("alice", "with  blanks "))

    def test_a_line_without_its_end(self) -> None:
        """`printf secret | postmanctl …` works; no input at all is told."""
        add = "account", "add", "alice", "--password-stdin"
        self.refused(*add, says="standard input ended before the password")
        self.assertEqual(self.ctl(*add, told="no line end"), 0)
        self.assertTrue(self.opens("alice", "no line end"))

    def test_refusals(self) -> None:
        """Names, passwords and display names that cannot be are told with the mend."""
        add = "account", "add"
        stdin = "--password-stdin"
        long = PASSWORD + "\n"
        self.refused(*add, "Alice", stdin, told=long, says="choose another")
        self.refused(*add, "postmaster", stdin, told=long, says="the operator")
        self.refused(*add, "alice", stdin, told="short\n", says="fewer than 8")
        self.refused(*add, "alice", stdin, told="a\0bcdefgh\n", says="NUL")
        named = ("--display-name", "a\x1b[2Jb")
        self.refused(*add, "alice", stdin, *named, told=long, says="does not print")
        self.ctl("account", "list")
        self.assertNotIn("alice", self.out)

    def test_a_name_is_taken_once(self) -> None:
        """The second is refused before a password is asked for; nothing changes."""
        self.add("alice")
        self.refused("account", "add", "alice", says="already; choose another name")
        self.assertEqual(self.asked, [])
        self.assertTrue(self.opens("alice", PASSWORD))

    def test_an_alias_is_no_name(self) -> None:
        """Mail for an alias goes elsewhere: an account of that name would get none."""
        self.config.aliases["info"] = "alice"
        add = "account", "add", "info", "--password-stdin"
        self.refused(*add, told=PASSWORD, says="[aliases] info: mail for info goes to")

    def test_the_password_is_shown_nowhere(self) -> None:
        """Not in an answer, not in an error, not in a file."""
        self.add("alice", "Zebra-Kangaroo")
        seen = self.out + self.err
        self.ctl(
            *("account", "passwd", "alice", "--password-stdin"),
            told="Zebra-Kangaroo-wrong\nZebra-Kangaroo\n",
        )
        self.assertNotIn("Zebra", seen + self.out + self.err)
        kept = b"".join(p.read_bytes() for p in self.state.rglob("*") if p.is_file())
        self.assertNotIn(b"Zebra", kept)


class Seeing(AdminCase):
    """account list and show."""

    def test_list(self) -> None:
        """A line each, by name: state, size and display name."""
        self.add("bob")
        self.add("alice")
        self.ctl("account", "display-name", "alice", "Älice Liddell")
        self.ctl("account", "disable", "bob")
        self.assertEqual(self.ctl("account", "list"), 0)
        self.assertEqual(
            [line.split(maxsplit=4) for line in self.out.splitlines()],
            [
                ["alice", "open", "0", "B", "Älice Liddell"],
                ["bob", "disabled", "0", "B"],
            ],
        )

    def test_list_for_programs(self) -> None:
        """--json gives the same as a list of objects."""
        self.add("alice")
        self.ctl("account", "list", "--json")
        expected = {
            "name": "alice",
            "state": "open",
            "used_bytes": 0,
            "messages": 0,
            "made": "2026-11-22",
            "delay": "default",
            "display_name": "",
        }
        self.assertEqual(json.loads(self.out), [expected])

    def test_show(self) -> None:
        """All there is to know of one account, a line each."""
        self.add("alice")
        self.ctl("account", "show", "alice")
        shown = dict(line.split(":", 1) for line in self.out.splitlines())
        self.assertEqual(shown["address"].strip(), "alice@mail.i2p")
        self.assertEqual(shown["made"].strip(), "2026-11-22")
        self.assertEqual(shown["used"].strip(), "0 B of 50.0 MiB")

    def test_nothing_is_made_by_looking(self) -> None:
        """Without a store every command but `add` says what to do and makes none."""
        for command in ("show", "passwd", "recover", "disable", "enable", "remove"):
            self.refused("account", command, "alice", says="account add NAME")
        self.refused("account", "list", says="there is no store at")
        self.refused("export", "alice", "--mbox", "x", says="there is no store at")
        self.assertFalse(self.state.exists())

    def test_an_unknown_name(self) -> None:
        """Told before a secret is asked for; the name cannot steer a terminal."""
        self.add("alice")
        for command in ("show", "passwd", "recover", "disable", "enable", "remove"):
            self.refused("account", command, "bo\x1b\nb", says="no account bo? b; ")
        self.assertEqual(self.asked, [])


class Changing(AdminCase):
    """passwd, recover, disable, enable, display-name, remove."""

    def test_passwd(self) -> None:
        """The old password is worth nothing afterwards; a wrong one changes nothing."""
        self.add("alice")
        passwd = "account", "passwd", "alice", "--password-stdin"
        self.refused(*passwd, told="wrong\nsecond password\n", says="not the password")
        self.refused(*passwd, told=f"{PASSWORD}\nshort\n", says="fewer than 8")
        self.assertEqual(self.ctl(*passwd, told=f"{PASSWORD}\nsecond password\n"), 0)
        self.assertFalse(self.opens("alice", PASSWORD))
        self.assertTrue(self.opens("alice", "second password"))

    def test_passwd_at_a_prompt(self) -> None:
        """The old one is typed once, the new one twice."""
        self.add("alice")
        typed = PASSWORD, "second password", "second password"
        self.assertEqual(self.ctl("account", "passwd", "alice", typed=typed), 0)
        self.assertEqual(
            self.asked, ["Old password: ", "New password: ", "New password again: "]
        )

    def test_recover(self) -> None:
        """A code works once, however it is written, and gives the next one."""
        code = self.add("alice")
        recover = "account", "recover", "alice", "--password-stdin"
        written = code.lower().replace("-", " ")
        self.assertEqual(self.ctl(*recover, told=f"{written}\nsecond password\n"), 0)
        next_code = self.out.strip()
        self.assertNotEqual(next_code, code)
        self.assertTrue(self.opens("alice", "second password"))
        self.refused(
            *recover, told=f"{code}\nthird password\n", says="not the recovery"
        )
        self.assertEqual(self.ctl(*recover, told=f"{next_code}\nthird password\n"), 0)
        self.assertTrue(self.opens("alice", "third password"))

    def test_a_mistyped_code(self) -> None:
        """The group with the mistake is named, the code is not repeated."""
        code = self.add("alice")
        wrong = ("1" if code[0] == "0" else "0") + code[1:]
        recover = "account", "recover", "alice", "--password-stdin"
        told = f"{wrong}\nsecond password\n"
        self.refused(*recover, told=told, says="group 1 of the code is mistyped")
        self.assertNotIn(wrong[6:], self.err)

    def test_disable_and_enable(self) -> None:
        """The state goes there and back."""
        self.add("alice")
        for command, state in (("disable", "disabled"), ("enable", "open")):
            self.assertEqual(self.ctl("account", command, "alice"), 0)
            self.ctl("account", "list", "--json")
            self.assertEqual(json.loads(self.out)[0]["state"], state)

    def test_display_name(self) -> None:
        """It is set, refused where it breaks a rule, and removed."""
        self.add("alice")
        name = "account", "display-name", "alice"
        self.assertEqual(self.ctl(*name, "Alice"), 0)
        self.refused(*name, " Alice", says="a space; choose another")
        self.ctl("account", "list", "--json")
        self.assertEqual(json.loads(self.out)[0]["display_name"], "Alice")
        self.assertEqual(self.ctl(*name, ""), 0)
        self.ctl("account", "list", "--json")
        self.assertEqual(json.loads(self.out)[0]["display_name"], "")

    def test_remove_asks_for_the_name(self) -> None:
        """Anything but the name, and the end of the input, keep the account."""
        self.add("alice")
        for told in ("", "yes\n", "alic\n"):
            self.assertEqual(self.ctl("account", "remove", "alice", told=told), 1)
            self.assertIn("for good", self.err)
            self.assertIn("not removed", self.err)
        self.assertEqual(self.ctl("account", "remove", "alice", told="alice\n"), 0)
        self.assertIn("gone for good", self.out)
        self.refused("account", "show", "alice", says="no account alice")

    def test_remove_without_asking(self) -> None:
        """--yes is for scripts; the name stays closed, unless it is said otherwise."""
        self.add("alice")
        self.assertEqual(self.ctl("account", "remove", "alice", "--yes"), 0)
        self.assertIn("closed for 365 days", self.err)
        self.refused(*ADD, "alice", says="--reopen")
        code = self.ctl(*ADD, "alice", "--reopen", told="another password\n")
        self.assertEqual(code, 0)
        self.ctl("account", "remove", "alice", "--yes")
        self.refused(*ADD, "alice", says="was removed")

    def test_remove_where_names_are_free_at_once(self) -> None:
        """closed_name_days = 0 closes nothing."""
        self.config = evolve(self.config, web=Web(closed_name_days=0))
        self.add("alice")
        self.assertEqual(self.ctl("account", "remove", "alice", "--yes"), 0)
        self.assertEqual(self.err, "")
        self.add("alice", "another password")


class CommandLine(AdminCase):
    """What holds for every command."""

    def test_usage(self) -> None:
        """A command line that is none is one line and status 2."""
        for arguments in (
            (),
            ("account",),
            ("account", "add"),
            ("account", "rename", "a", "b"),
            ("account", "list", "--js"),
            ("export", "alice"),
            ("export", "alice", "--mbox", "x", "--maildir", "y"),
            ("nonsense\n",),
        ):
            self.assertEqual(self.ctl(*arguments), 2, arguments)
            self.assertEqual(self.err.count("\n"), 1, self.err)
            self.assertIn("--help", self.err)

    def test_no_password_on_the_command_line(self) -> None:
        """Other users of the machine read command lines: there is no such option."""
        for option in ("--password=secret", "--password"):
            self.assertEqual(self.ctl("account", "add", "alice", option), 2)

    def test_version(self) -> None:
        """--version ends well."""
        with self.assertRaises(SystemExit) as ended, mock.patch("sys.stdout", Answer()):
            main(["--version"])
        self.assertEqual(ended.exception.code, 0)

    def test_a_config_that_is_not_there(self) -> None:
        """The file is named, in one line."""
        err = Answer()
        terminal = Terminal(io.BytesIO(), Answer(), err, str)
        missing = str(self.base / "missing.toml")
        status = main(["--config", missing, "account", "list"], terminal)
        self.assertEqual(status, 1)
        self.assertIn("missing.toml: No such file", err.getvalue())

    def test_the_config_file_is_heeded(self) -> None:
        """--config leads to the node's own state directory."""
        file = self.base / "node.toml"
        cheap = "[accounts]\nargon2_passes = 1\nargon2_memory_kib = 8\n"
        file.write_text(f'[node]\nstate = "{self.state}"\n{cheap}')
        told = io.BytesIO(PASSWORD.encode())
        add = "account", "add", "alice", "--password-stdin"
        terminal = Terminal(told, Answer(), Answer(), str)
        self.assertEqual(main(["--config", str(file), *add], terminal), 0)
        self.ctl("account", "list")
        self.assertIn("alice", self.out)

    def test_a_damaged_store(self) -> None:
        """What SQLite says of it is one line, and leads to the doctor."""
        self.add("alice")
        self.config.database.write_bytes(b"nothing of SQLite's" * 1000)
        self.refused("account", "list", says="see postmanctl doctor")

    def test_a_locked_store(self) -> None:
        """Another program that writes for long: nothing is done, and that is told."""
        self.add("alice")
        self.patch(database, "BUSY_SECONDS", 0.0)
        with closing(sqlite3.connect(self.config.database)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.refused("account", "disable", "alice", says="not be used now (SQLITE_")
        self.ctl("account", "list")
        self.assertIn("open", self.out)

    def test_a_newer_store(self) -> None:
        """It is left alone."""
        self.add("alice")
        with closing(sqlite3.connect(self.config.database)) as other:
            other.execute("UPDATE alembic_version SET version_num = '9999'")
            other.commit()
        self.refused("account", "list", says="a newer postmand; upgrade this one")

    def test_a_state_directory_nobody_may_make(self) -> None:
        """The place is named."""
        self.state.write_bytes(b"a file")
        add = "account", "add", "alice", "--password-stdin"
        self.refused(*add, told=PASSWORD, says=f"{self.state}: ")

    def test_interrupted(self) -> None:
        """Ctrl-C and the end of the input at a prompt end a command in one line."""
        for error, status in ((KeyboardInterrupt, 130), (EOFError, 1)):
            with mock.patch.object(self, "_type", side_effect=error):
                self.assertEqual(self.ctl("account", "add", "alice"), status)
            self.assertEqual(self.err.count("\n"), 1)
        self.ctl("account", "list")
        self.assertEqual(self.out, "")

    def test_no_terminal(self) -> None:
        """A prompt that nobody can answer, or see, is not shown."""
        with (
            mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed\n"))),
            self.assertRaisesRegex(CommandError, "--password-stdin"),
        ):
            standard().ask("Password: ")

    def test_a_fault_of_ours_is_not_hidden(self) -> None:
        """An error nobody expects is raised whole."""
        with (
            mock.patch("postmand.admin.call.Call.registry", side_effect=KeyError),
            self.assertRaises(KeyError),
        ):
            self.ctl("account", "list")
