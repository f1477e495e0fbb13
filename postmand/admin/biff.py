"""postmanctl's commands for the IRC bot that tells members that mail has come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from postmand.admin.call import Call
from postmand.admin.finding import Finding, fail, ok
from postmand.admin.keys import add_passphrase, node_keys
from postmand.admin.terminal import CommandError
from postmand.config import Config
from postmand.interfaces import Credential
from postmand.store.accounts import read_account
from postmand.store.database import connect
from postmand.store.passwordfile import PasswordPlaceError, read_password
from postmand.store.refusals import NoSuchAccountError
from postmand.store.tokens import GOOD_SECONDS, Mint


def add_parser(commands: Any) -> None:
    """Add `biff` and what it does to the command line."""
    parser = commands.add_parser("biff", help="help members to biff, the bot on IRC")
    inner = parser.add_subparsers(metavar="COMMAND", required=True)
    what = "print a token that registers an account with biff, once, in place of its "
    command = inner.add_parser(
        "token", help=f"{what}password", description=f"{what}password"
    )
    command.add_argument("name", metavar="NAME", help="the account, as in jondoe")
    add_passphrase(command)
    command.set_defaults(run=token)


def token(call: Call) -> int:
    """Print a token for an account, and how its owner uses it; nothing is stored."""
    config = call.config
    if config.biff is None:
        raise CommandError(
            f"{config.source}: has no [biff], so nobody would take a token; add it"
        )
    credential = _credential(call)
    made = Mint(node_keys(call).key).make(credential, call.seconds())
    address = f"{credential.name}@{config.node.mail_domain}"
    call.terminal.say(made)
    call.terminal.note(
        f"good for {GOOD_SECONDS // 60} minutes, once; its owner writes on IRC:\n"
        f"/msg {config.biff.nick} .register {address} {made}"
    )
    return 0


def _credential(call: Call) -> Credential:
    name = call.options.name
    call.registry().show(name)
    with closing(connect(call.config.database)) as connection:
        known = read_account(connection, name)
    if known is None:  # removed since the first look
        raise NoSuchAccountError(f"there is no account {name}")
    if known.credential.disabled:
        raise CommandError(
            f"{name} is disabled, and would not be told; postmanctl account enable "
            f"{name} opens it again"
        )
    return known.credential


def check_biff(config: Config) -> Iterator[Finding]:
    """Tell whether the bot's password is where the configuration says."""
    if config.biff is None or not config.biff.password:
        return
    kind, _colon, name = config.biff.password.partition(":")
    if kind == "credential" and "CREDENTIALS_DIRECTORY" not in os.environ:
        yield ok(f"biff: systemd's credential {name}, seen from the service only")
        return
    try:
        read_password(config.biff.password, config.state)
    except PasswordPlaceError as error:
        what, _, mend = str(error).partition("; ")
        yield fail(f"biff: {what}", mend)
    else:
        yield ok("biff: its password is there, for the node's user alone")
