"""postmanctl's commands on the key that signs mail for the Internet (DKIM)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from postmand.admin.call import Call
from postmand.admin.keys import add_passphrase, node_keys
from postmand.admin.terminal import CommandError
from postmand.message.dkim import SigningKey, check_selector, new_key
from postmand.store.nodekeys import DKIM, FORMER_DKIM


def add_parser(commands: Any) -> None:
    """Add `dkim` and what it does to the command line."""
    dkim = commands.add_parser("dkim", help="make and publish the key that signs mail")
    inner = dkim.add_subparsers(metavar="COMMAND", required=True)
    what = "make the key and print the DNS record that publishes it"
    command = inner.add_parser("make", help=what, description=what)
    command.add_argument(
        "--selector",
        metavar="NAME",
        help="the record's name (default: from the year, as in s2026)",
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="make another one, under another name, in place of the one there is",
    )
    add_passphrase(command)
    command.set_defaults(run=make)
    what = "print the DNS record again"
    command = inner.add_parser("show", help=what, description=what)
    add_passphrase(command)
    command.set_defaults(run=show)


def make(call: Call) -> int:
    """Make a key, keep it sealed, and print the record of its public half."""
    year = datetime.fromtimestamp(call.seconds(), UTC).year
    selector = check_selector(call.options.selector or f"s{year}")
    kept = node_keys(call)
    octets = kept.get(DKIM)
    if octets is not None:
        _see_replaceable(call, SigningKey.from_octets(octets).selector, selector)
        kept.put(FORMER_DKIM, octets)
    key = SigningKey(selector, new_key())
    kept.put(DKIM, key.to_octets())
    _print(call, key)
    call.terminal.note(
        "publish this record, and restart the node when the DNS shows it: from then on "
        "its mail is signed with this key"
    )
    if octets is not None:
        call.terminal.note(
            "leave the old record where it is for a week: mail signed with the old key "
            "is still on its way"
        )
    return 0


def show(call: Call) -> int:
    """Print the record of the key in use."""
    octets = node_keys(call).get(DKIM)
    if octets is None:
        raise CommandError('there is no DKIM key yet; make one: "postmanctl dkim make"')
    _print(call, SigningKey.from_octets(octets))
    return 0


def _see_replaceable(call: Call, old: str, new: str) -> None:
    if not call.options.replace:
        raise CommandError(
            f"there is a DKIM key already, {old}; see it with postmanctl dkim show, or "
            "make another one with --replace"
        )
    if new == old:
        # Receivers would look for the new key under the name of the old one.
        raise CommandError(
            f"the key there is has that name, {old}; choose another with --selector"
        )


def _print(call: Call, key: SigningKey) -> None:
    name, value = key.record(call.config.node.internet_domain)
    call.terminal.say(f"{name} IN TXT ( {value} )")
