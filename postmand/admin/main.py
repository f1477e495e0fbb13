"""`postmanctl`: what an operator does beside the node, running or not."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from postmand import __version__
from postmand.admin import (
    accounts,
    biff,
    dkim,
    doctor,
    export,
    gateway,
    keys,
    queue,
    quota,
    stamp,
)
from postmand.admin.call import Call, Command
from postmand.admin.faults import EXPECTED, explain
from postmand.admin.terminal import Terminal, printable, standard
from postmand.config import DELAYS

FAILED = 1
USAGE = 2
INTERRUPTED = 130

_FIRST_LINE = "read the password from standard input, its first line"
_OLD_AND_NEW = "read from standard input: the old password, then the new one"
_CODE_AND_NEW = "read from standard input: the recovery code, then the new password"

# name, what runs, what it says of itself, and its options beside NAME.
_Option = tuple[str, dict[str, Any]]
_FLAG = {"action": "store_true"}
_JSON = {**_FLAG, "help": "as JSON, for programs"}
_ACCOUNT: tuple[tuple[str, Command, str, tuple[_Option, ...]], ...] = (
    (
        "add",
        accounts.add,
        "make an account; prints its recovery code, once",
        (
            ("--password-stdin", {**_FLAG, "help": _FIRST_LINE}),
            (
                "--reopen",
                {**_FLAG, "help": "give a name that was an account's to somebody new"},
            ),
            (
                "--display-name",
                {
                    "metavar": "TEXT",
                    "default": "",
                    "help": "the name beside the address (default: none)",
                },
            ),
        ),
    ),
    ("show", accounts.show, "show one account", (("--json", _JSON),)),
    (
        "passwd",
        accounts.passwd,
        "change the password of an account",
        (("--password-stdin", {**_FLAG, "help": _OLD_AND_NEW}),),
    ),
    (
        "recover",
        accounts.recover,
        "set a new password with the recovery code; prints the next code, once",
        (("--password-stdin", {**_FLAG, "help": _CODE_AND_NEW}),),
    ),
    (
        "display-name",
        accounts.set_display_name,
        "set the name that stands beside the address",
        (("text", {"metavar": "TEXT", "help": 'the name; "" removes it'}),),
    ),
    (
        "delay",
        accounts.set_delay,
        "set when an account's mail for the Internet leaves",
        (
            (
                "delay",
                {
                    "metavar": "DELAY",
                    "choices": (*DELAYS, accounts.DEFAULT),
                    "help": f"one of {', '.join(DELAYS)}; {accounts.DEFAULT} leaves it "
                    "to the node's configuration",
                },
            ),
        ),
    ),
    ("disable", accounts.disable, "close an account; its mailbox stays", ()),
    ("enable", accounts.enable, "open a disabled account again", ()),
    (
        "remove",
        accounts.remove,
        "remove an account and its mailbox for good",
        (("--yes", {**_FLAG, "help": "do not ask"}),),
    ),
)


class UsageError(Exception):
    """A command line that is none of ours; one line that says what to do."""


class _Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f'{message}; see "{self.prog} --help"')


def main(
    arguments: Sequence[str] | None = None,
    terminal: Terminal | None = None,
    seconds: Callable[[], float] = time.time,
) -> int:
    """Run one command and return its exit status: 0, 1 for a failure, 2 for usage."""
    terminal = terminal or standard()
    try:
        options = parser().parse_args(arguments)
        status: int = options.run(Call(options, terminal, seconds))
        terminal.out.flush()
    except UsageError as error:
        return _fail(terminal, printable(str(error)), USAGE)
    except BrokenPipeError:
        _let_go_of_output()
        return FAILED
    except EXPECTED as error:
        return _fail(terminal, explain(error), FAILED)
    except EOFError:
        return _fail(terminal, "the input ended; nothing was changed", FAILED)
    except KeyboardInterrupt:
        return _fail(terminal, "interrupted", INTERRUPTED)
    return status


def parser() -> ArgumentParser:
    """Return the parser of the whole command line."""
    top = _Parser(
        prog="postmanctl",
        description="Look after a postmand node, running or not.",
    )
    top.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="the node's configuration file (default: a built-in mail host)",
    )
    top.add_argument("--version", action="version", version=f"postmanctl {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    account = commands.add_parser("account", help="make, see and change accounts")
    _add_account(account.add_subparsers(metavar="COMMAND", required=True))
    _add_export(commands)
    for room in (queue, quota, stamp, keys, dkim, gateway, biff):
        room.add_parser(commands)
    checkup = commands.add_parser(
        "doctor", help="check config, store, files, clock, ports; changes nothing"
    )
    checkup.set_defaults(run=doctor.run)
    return top


def _add_account(commands: Any) -> None:
    listing = commands.add_parser("list", help="list all accounts")
    listing.add_argument("--json", **_JSON)
    listing.set_defaults(run=accounts.list_all)
    for name, run, what, options in _ACCOUNT:
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("name", metavar="NAME", help="the account, as in jondoe")
        for flag, settings in options:
            command.add_argument(flag, **settings)
        command.set_defaults(run=run)


def _add_export(commands: Any) -> None:
    command = commands.add_parser(
        "export",
        help="write a mailbox, opened, to a Maildir or an mbox file",
        description=export.__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", help="the account, as in jondoe")
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--maildir", metavar="DIR", help="a new or existing Maildir")
    where.add_argument("--mbox", metavar="FILE", help="a new mbox file")
    secret = command.add_mutually_exclusive_group()
    secret.add_argument("--password-stdin", **_FLAG, help=_FIRST_LINE)
    secret.add_argument(
        "--recovery-code-stdin",
        **_FLAG,
        help="read the recovery code from standard input instead of the password",
    )
    command.set_defaults(run=export.run)


def _fail(terminal: Terminal, line: str, status: int) -> int:
    terminal.note(f"postmanctl: {line}")
    return status


def _let_go_of_output() -> None:
    """Have the last flush go nowhere, as in `postmanctl account list | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
