"""postmanctl's commands on the node's key, and the doctor's look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from postmand.abroad import link_identity
from postmand.admin.call import Call
from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config
from postmand.link import pin_of
from postmand.store.database import make_directory
from postmand.store.nodekey import Ask, NodeKey, key_path, load, one_line
from postmand.store.nodekeys import NodeKeys, has_key, open_node_keys
from postmand.store.upgrade import upgrade

_FIRST_LINE = "read the passphrase of the node's key from standard input, if it has one"
_LINE_OCTETS = 4096
_PASSPHRASE, _CREDENTIAL = "passphrase", "credential"
_STORE = "/etc/credstore.encrypted"
_MAKE_CREDENTIAL = """\
systemd keeps the key, and none is made here. As root, once:

  mkdir -p -m 700 {store}
  head -c 32 /dev/urandom | systemd-creds encrypt --name={name} - {store}/{name}

and in the [Service] section of the node's unit:

  LoadCredentialEncrypted={name}:{store}/{name}
"""


def add_parser(commands: Any) -> None:
    """Add `keys` and what it does to the command line."""
    keys = commands.add_parser("keys", help="make and see the node's own key")
    inner = keys.add_subparsers(metavar="COMMAND", required=True)
    for name, run, what in (
        ("init", init, "make the node's key where [node] key says; keeps one there is"),
        ("show", show, "tell where the node's key is, and whether it is the right one"),
    ):
        command = inner.add_parser(name, help=what, description=what)
        add_passphrase(command)
        command.set_defaults(run=run)


def add_passphrase(command: Any) -> None:
    """Add the option that every command has that needs the node's key."""
    command.add_argument("--password-stdin", action="store_true", help=_FIRST_LINE)


def init(call: Call) -> int:
    """Make the node's key, or tell how; one that is there is kept."""
    config, terminal = call.config, call.terminal
    kind, _colon, name = config.node.key.partition(":")
    if kind == _CREDENTIAL and "CREDENTIALS_DIRECTORY" not in os.environ:
        terminal.say(_MAKE_CREDENTIAL.format(name=name, store=_STORE).rstrip())
        return 0
    there = kind == _CREDENTIAL or _path(config).exists()
    key = _key(call, make=True)
    told = "was there already" if there else "is made"
    terminal.say(f"the node's key {told}: {_where(config)}")
    terminal.say(f"fingerprint: {key.fingerprint}")
    if kind == "file":
        terminal.note(
            "a key in a plain file is for development, for who takes the disk has it; "
            'write "credential:NAME" or "passphrase" at [node] key instead'
        )
    return 0


def show(call: Call) -> int:
    """Tell where the key is, and its fingerprint; never the key.

    The pin is what a gateway's operator needs to know this node by.
    """
    config = call.config
    keys = node_keys(call) if has_key(config.database) else None
    rows = {
        "key": _where(config),
        "fingerprint": (keys.key if keys else _key(call, make=False)).fingerprint,
        "store": "was made with it" if keys else "knows none yet",
    }
    if keys:
        rows["link pin"] = pin_of(link_identity(keys))
    for name, value in rows.items():
        call.terminal.say(f"{name + ':':<13} {value}")
    return 0


def node_keys(call: Call) -> NodeKeys:
    """Return the node's secrets; store and key are made if they are not there.

    Raises NodeKeyError.
    """
    config = call.config
    make_directory(config.state)
    upgrade(f"sqlite:///{config.database}")
    return open_node_keys(config.database, config.node.key, config.state, _ask(call))


def check_node_key(config: Config) -> Iterator[Finding]:
    """Tell whether the node's key is there and safe; asks for no passphrase."""
    if not config.needs_node_key:
        return  # nothing is sealed with it
    kind, _colon, name = config.node.key.partition(":")
    if kind == _CREDENTIAL:
        yield _credential(name)
        return
    path = _path(config)
    if not path.exists():
        yield _none_at(path, known=has_key(config.database))
        return
    if path.stat().st_mode & 0o077:
        yield fail(f"node's key: others may use {path}", f"chmod 600 {path}")
    if kind == _PASSPHRASE:
        yield ok(f"node's key: wrapped under a passphrase, {path}")
        return
    yield warn(
        f"node's key: it lies in the open, {path}; that is for development",
        'write "credential:NAME" or "passphrase" at [node] key',
    )


def _credential(name: str) -> Finding:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        return ok(
            f"node's key: systemd's credential {name}, seen from the service only"
        )
    if Path(directory, name).exists():
        return ok(f"node's key: systemd hands over the credential {name}")
    return fail(
        f"node's key: systemd hands over no credential {name}",
        '"postmanctl keys init" tells how it is made and named in the unit',
    )


def _none_at(path: Path, *, known: bool) -> Finding:
    if known:
        return fail(
            f"node's key: it is gone from {path}, and the store was made with it",
            "restore it from a backup",
        )
    return warn(
        f"node's key: there is none at {path} yet",
        'the first start makes it, or "postmanctl keys init"',
    )


def _key(call: Call, *, make: bool) -> NodeKey:
    """Return the key, seen to be the store's where there is a store."""
    config = call.config
    place = config.node.key, config.state, _ask(call)
    if not (has_key(config.database) or (make and config.database.exists())):
        return load(*place, make=make)
    upgrade(f"sqlite:///{config.database}")
    return open_node_keys(config.database, *place).key


def _ask(call: Call) -> Ask:
    """Return how this call asks for the passphrase."""
    terminal = call.terminal
    if call.options.password_stdin:
        return one_line(lambda: terminal.stdin.readline(_LINE_OCTETS))
    return lambda question: terminal.ask(question).encode(errors="surrogateescape")


def _path(config: Config) -> Path:
    return key_path(config.node.key, config.state)


def _where(config: Config) -> str:
    kind, _colon, name = config.node.key.partition(":")
    if kind == _CREDENTIAL:
        return f"the credential {name} of systemd"
    what = "wrapped under a passphrase" if kind == _PASSPHRASE else "a plain file"
    return f"{_path(config)} ({what})"
