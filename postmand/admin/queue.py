"""`postmanctl queue …`: the mail that waits to leave for the Internet.

No names, addresses or subjects: an item is a random number, which changes when the
message is released; sizes are padded and times rounded.
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from postmand.admin.call import Call
from postmand.admin.keys import add_passphrase, node_keys
from postmand.admin.terminal import CommandError, printable
from postmand.internet import Listed
from postmand.rules.sizes import octets
from postmand.store.bodies import Bodies
from postmand.store.database import connect
from postmand.store.nodekey import NodeKey
from postmand.store.postmaster import Listing, Postmaster
from postmand.store.upgrade import upgrade

# Items read and opened at a time.
PAGE = 200
_COARSE = 10
_DIGITS = 16
_MOST = 2**63 - 1
_NUMBER = re.compile(r"[0-9a-fA-F]{1,16}")
_HEAD = ("item", "stage", "state", "due", "size", "tries", "to", "domain")
_LINE = "{:<16}  {:<7}  {:<5}  {:<20}  {:>9}  {:>5}  {:>4}  {}"

_LIST = (
    "List what waits, a line each: its number, where it stands, when it is due, its "
    "size (padded), tries made, recipients, and a short tag for the domain it goes to."
)


def add_parser(commands: Any) -> None:
    """Add `queue` and what it does to the command line."""
    parser = commands.add_parser(
        "queue", help="see and change the mail that waits for the Internet"
    )
    inner = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = inner.add_parser("list", help="list what waits", description=_LIST)
    listing.add_argument("--json", action="store_true", help="as JSON, for programs")
    listing.set_defaults(run=list_all)
    for name, run, what in (
        ("show", show, "show one item"),
        ("hold", hold, "hold an item back; it leaves the pool"),
        ("release", release, "let an item go at the next tick, held or not"),
        ("retry", retry, "have the next try made at the next tick"),
        ("drop", drop, "remove an item for good; nobody is told"),
    ):
        command = inner.add_parser(name, help=what, description=what)
        command.set_defaults(run=run)
        if name == "retry":
            _add_which(command)
        else:
            _add_item(command)
        if name == "drop":
            command.add_argument("--yes", action="store_true", help="do not ask")
        if name == "show":
            _add_sight(command)
    _add_sight(listing)


def list_all(call: Call) -> int:
    """Print a line for each item, page by page."""
    with _listing(call) as listing:
        items = _pages(listing, domains=call.options.domains)
        if call.options.json:
            _say_json(call, items)
        else:
            _say_lines(call, items)
    return 0


def show(call: Call) -> int:
    """Print all that may be told of one item."""
    with _listing(call) as listing, _known(call):
        shown = listing.show(call.options.item, domains=call.options.domains)
    listed = shown.listed
    due = coarse(listed.due, call.seconds())
    rows = {
        "item": _name(listed.item),
        "stage": listed.stage,
        "held": "yes" if listed.held else "no",
        "due": "being tried now" if shown.trying else due,
        "size": f"{octets(listed.octets)}, padded",
        "tries": str(listed.attempts),
        "recipients": str(listed.recipients),
        "domain": _domain(listed) or "(told at release)",
    }
    for key, value in rows.items():
        call.terminal.say(f"{key + ':':<13} {value}")
    return 0


def hold(call: Call) -> int:
    """Hold an item back."""
    with _postmaster(call) as postmaster, _known(call):
        postmaster.hold(call.options.item)
    call.terminal.say(f"{_name(call.options.item)} is held back")
    return 0


def release(call: Call) -> int:
    """Let an item go at the next tick."""
    with _postmaster(call) as postmaster, _known(call):
        postmaster.let_go(call.options.item)
    call.terminal.say(f"{_name(call.options.item)} goes at the node's next tick")
    return 0


def retry(call: Call) -> int:
    """Have one leg, or all of them, tried at the next tick."""
    with _postmaster(call) as postmaster:
        if call.options.all:
            changed = postmaster.retry_all()
            call.terminal.say(f"to be tried at the node's next tick: {changed} more")
            return 0
        with _known(call, "on its way to a gateway"):
            postmaster.retry(call.options.item)
    call.terminal.say(f"{_name(call.options.item)} is tried at the node's next tick")
    return 0


def drop(call: Call) -> int:
    """Remove an item for good, once it was confirmed or --yes given."""
    item = call.options.item
    with _postmaster(call) as postmaster:
        if not call.options.yes:
            typed = call.terminal.prompt(
                f"{_name(item)} will be gone for good, and its sender is not told. "
                "Type drop to go on: "
            )
            if typed != "drop":
                raise CommandError(
                    f'{_name(item)} was not dropped; type "drop" exactly, or use --yes'
                )
        with _known(call):
            postmaster.drop(item)
    call.terminal.say(f"{_name(item)} is gone for good")
    return 0


def coarse(due: int, now: float) -> str:
    """Return when something is due, as in `in about 40 min`: never finer."""
    if due <= now:
        return "now"
    hours, minutes = divmod(_minutes(due, now), 60)
    told = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0)
    return "in about " + " ".join(told)


def _add_item(command: Any, **settings: Any) -> None:
    what = f"the item's number, {_DIGITS} hex digits"
    command.add_argument("item", metavar="ITEM", type=_item, help=what, **settings)


def _add_which(command: Any) -> None:
    which = command.add_mutually_exclusive_group(required=True)
    _add_item(which, nargs="?")
    which.add_argument(
        "--all", action="store_true", help="everything on its way that is not held"
    )


def _add_sight(command: Any) -> None:
    """Add the options of what opens cards."""
    command.add_argument(
        "--domains", action="store_true", help="show the domains mail goes to"
    )
    add_passphrase(command)


def _item(text: str) -> int:
    number = int(text, 16) if _NUMBER.fullmatch(text) else _MOST + 1
    if number > _MOST:
        raise ArgumentTypeError(
            f'an item is {_DIGITS} hex digits, as "postmanctl queue list" shows it'
        )
    return number


def _name(item: int) -> str:
    return f"{item:0{_DIGITS}x}"


def _node_key(call: Call) -> NodeKey:
    return node_keys(call).key


@contextmanager
def _listing(call: Call) -> Iterator[Listing]:
    """Open the queue to look at it; the node may run meanwhile."""
    path = _database(call)
    key = _node_key(call)
    with closing(connect(path)) as connection:
        yield Listing(connection, key)


@contextmanager
def _postmaster(call: Call) -> Iterator[Postmaster]:
    """Open the queue to change it; the node may run meanwhile."""
    with closing(connect(_database(call))) as connection:
        yield Postmaster(connection, Bodies(call.config.state / "bodies"))


def _database(call: Call) -> Path:
    """Return the database's path; raises CommandError where there is none."""
    config = call.config
    if not config.database.exists():
        raise CommandError(
            f"{config.source}: there is no store at {config.database}; name the "
            "node's file with --config"
        )
    upgrade(f"sqlite:///{config.database}")
    return config.database


@contextmanager
def _known(call: Call, where: str = "in the queue") -> Iterator[None]:
    """Tell an unknown item in words."""
    try:
        yield
    except LookupError as error:
        raise CommandError(
            f"{_name(call.options.item)} is not {where}; a message gets another "
            'number at its release, "postmanctl queue list" shows them'
        ) from error


def _pages(listing: Listing, *, domains: bool) -> Iterator[Listed]:
    """Yield all items; no more than a page of them is in memory."""
    after = -1
    while page := listing.page(after, PAGE, domains=domains):
        yield from page
        after = page[-1].item


def _say_json(call: Call, items: Iterator[Listed]) -> None:
    """Print an array, an object a line."""
    before = "["
    for listed in items:
        call.terminal.say(before + json.dumps(_table(listed, call.seconds())))
        before = ","
    call.terminal.say("[]" if before == "[" else "]")


def _say_lines(call: Call, items: Iterator[Listed]) -> None:
    number = 0
    for number, listed in enumerate(items, 1):
        if number == 1:
            call.terminal.say(_LINE.format(*_HEAD))
        line = _LINE.format(
            _name(listed.item),
            listed.stage,
            "held" if listed.held else "",
            coarse(listed.due, call.seconds()),
            octets(listed.octets),
            listed.attempts,
            listed.recipients,
            _domain(listed),
        )
        call.terminal.say(line.rstrip())
    if not number:
        call.terminal.note("the queue is empty")


def _table(listed: Listed, now: float) -> dict[str, str | int | bool]:
    return {
        "item": _name(listed.item),
        "stage": listed.stage,
        "held": listed.held,
        "due_in_minutes": _minutes(listed.due, now),
        "octets": listed.octets,
        "attempts": listed.attempts,
        "recipients": listed.recipients,
        "domain": _domain(listed),
    }


def _minutes(due: int, now: float) -> int:
    """Return in how many minutes something is due, in steps of ten, 0 if it is."""
    if due <= now:
        return 0
    return max(_COARSE, round((due - now) / 60 / _COARSE) * _COARSE)


def _domain(listed: Listed) -> str:
    return printable(listed.domain.decode("ascii", "replace"))
