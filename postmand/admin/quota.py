"""`postmanctl quota …`: what an account may still send to the Internet."""

from __future__ import annotations

import json
import sqlite3
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from postmand.admin.call import Call
from postmand.admin.keys import add_passphrase, node_keys
from postmand.admin.terminal import CommandError
from postmand.config import Quota
from postmand.interfaces import Credential
from postmand.internet import PurchaseError, StampSpentError, Standing
from postmand.rules import quota
from postmand.rules.hashcash import Prices, Stamp, StampError, resource, weigh
from postmand.rules.quota import MOST_BOUGHT, Rules
from postmand.store.accounts import read_account
from postmand.store.database import connect
from postmand.store.nodekey import NodeKey
from postmand.store.quotas import Ledger
from postmand.store.refusals import NoSuchAccountError


@frozen(eq=False)
class Book:
    """An account and the ledger, opened for one command at the time `now`."""

    credential: Credential
    connection: sqlite3.Connection
    ledger: Ledger
    now: float

    def standing(self) -> Standing:
        """Return the account's standing."""
        return self.ledger.standing(self.connection, self.credential.account, self.now)

    def left(self, standing: Standing) -> int:
        """Return how many recipients are left of a standing."""
        created_day = self.credential.created_day
        return quota.left(standing, self.ledger.rules, created_day, self.now)


def add_parser(commands: Any) -> None:
    """Add `quota` and what it does to the command line."""
    parser = commands.add_parser(
        "quota", help="see and change what accounts may send to the Internet"
    )
    inner = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, what in (
        ("show", show, "show what an account has left"),
        ("grant", grant, "give an account recipients beyond its own"),
        ("buy", buy, "buy recipients for an account with a stamp"),
    ):
        command = inner.add_parser(name, help=what, description=what)
        command.add_argument("name", metavar="NAME", help="the account, as in jondoe")
        if name == "show":
            command.add_argument(
                "--json", action="store_true", help="as JSON, for programs"
            )
        if name == "grant":
            command.add_argument(
                "recipients", metavar="N", type=_many, help="how many recipients"
            )
        if name == "buy":
            add_stamp(command)
        add_passphrase(command)
        command.set_defaults(run=run)


def add_stamp(command: Any) -> None:
    """Add a stamp to what a command takes."""
    command.add_argument(
        "stamp", metavar="STAMP", help="a hashcash stamp, as in 1:26:…"
    )


def show(call: Call) -> int:
    """Print what an account used today, and what is left of it and of the bought."""
    with opened(call) as book:
        standing = book.standing()
        own = book.ledger.rules.own(book.credential.created_day, standing.day)
        left = book.left(standing)
    if call.options.json:
        table = {
            "left": left,
            "own": own,
            "spent": standing.spent,
            "bought_left": standing.bought,
            "bought_until": _moment(standing.until) if standing.bought else None,
            "bought_today": standing.bought_today,
        }
        call.terminal.say(json.dumps(table, indent=2))
        return 0
    for key, value in _rows(standing, own, left, call.config.quota).items():
        call.terminal.say(f"{key + ':':<13} {value}")
    return 0


def grant(call: Call) -> int:
    """Add recipients to what an account has left; they last as bought ones do."""
    with opened(call, writing=True) as book:
        try:
            standing = book.ledger.grant(
                book.connection,
                book.credential.account,
                call.options.recipients,
                book.now,
            )
        except PurchaseError as error:
            raise CommandError(str(error)) from error
        left = book.left(standing)
    _tell(call, standing, left)
    return 0


def buy(call: Call) -> int:
    """Buy recipients with a stamp, which is spent then; tell why it buys nothing."""
    stamp = weighed(call)
    with opened(call, writing=True) as book:
        try:
            standing = book.ledger.buy(
                book.connection,
                book.credential.account,
                stamp.octets,
                stamp.bits,
                stamp.expires_day,
                book.now,
            )
        except StampSpentError as error:
            raise CommandError(f"{error}; make a new one") from error
        except PurchaseError as error:
            raise CommandError(f"{error}; the stamp is not spent") from error
        left = book.left(standing)
    _tell(call, standing, left)
    return 0


def weighed(call: Call) -> Stamp:
    """Return the call's stamp, of bits that buy something; CommandError if it is not.

    The last words of the error are its named reason.
    """
    config = call.config
    octets = call.options.stamp.strip().encode(errors="replace")
    wanted = resource(call.options.name, config.node.mail_domain)
    try:
        stamp = weigh(octets, wanted, call.seconds(), config.quota.stamp_days)
        Prices.from_config(config.quota).recipients(stamp.bits)
    except StampError as error:
        raise CommandError(f"{error.text} ({error.reason})") from error
    return stamp


@contextmanager
def opened(call: Call, *, writing: bool = False) -> Iterator[Book]:
    """Open the ledger at the call's account, for one transaction.

    The node may run meanwhile. Nothing is kept if an error leaves the block. Raises
    NoSuchAccountError.
    """
    config, name = call.config, call.options.name
    call.registry().show(name)
    ledger = Ledger(
        _node_key(call),
        Rules.from_config(config.quota),
        Prices.from_config(config.quota),
    )
    with closing(connect(config.database)) as connection:
        connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        known = read_account(connection, name)
        if known is None:  # removed since the first look
            raise NoSuchAccountError(f"there is no account {name}")
        yield Book(known.credential, connection, ledger, call.seconds())
        # Closing without it, after an error, is a rollback.
        connection.execute("COMMIT")


def _node_key(call: Call) -> NodeKey:
    return node_keys(call).key


def _rows(standing: Standing, own: int, left: int, limits: Quota) -> dict[str, str]:
    until = f", good until {_moment(standing.until)}" if standing.bought else ""
    return {
        "left": str(left),
        "today": f"{standing.spent} of {own} spent",
        "bought": f"{standing.bought} left{until}",
        "bought today": f"{standing.bought_today} of {limits.bought_per_day}",
    }


def _tell(call: Call, standing: Standing, left: int) -> None:
    call.terminal.say(
        f"{call.options.name} may write to {left} more recipients; "
        f"{standing.bought} of them are good until {_moment(standing.until)}"
    )


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _many(text: str) -> int:
    """Read a number of recipients."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MOST_BOUGHT):
        raise ArgumentTypeError(f"it must be a whole number from 1 to {MOST_BOUGHT}")
    return int(text)
