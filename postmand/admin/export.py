"""Write a mailbox, opened with its owner's secret, to a Maildir or an mbox file.

The letters are those POP3 would give, with LF line ends. Nothing that is there is
overwritten; the mailbox itself stays as it is, and the node may run.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Protocol

from attrs import define, evolve

from postmand.admin.call import Call
from postmand.admin.letters import Letter, Mailbox
from postmand.admin.maildir import to_maildir
from postmand.admin.mbox import to_mbox
from postmand.admin.terminal import CommandError, Terminal
from postmand.interfaces import Member
from postmand.store.accounts import read_account, unlock_by_recovery
from postmand.store.bodies import Bodies
from postmand.store.database import connect
from postmand.store.keyring import Keyring
from postmand.store.recovery import read_code
from postmand.store.refusals import WrongSecretError
from postmand.store.registry import Registry
from postmand.store.seal import SealError


class Target(Protocol):
    """Where letters go."""

    def put(self, letter: Letter) -> bool:
        """Write a letter whole or not at all; False if it was there already."""


@define(eq=False)
class Tally:
    """What became of the letters."""

    written: int = 0
    there: int = 0
    removed: int = 0
    damaged: int = 0


def run(call: Call) -> int:
    """Export a mailbox; 1 if a message of it did not open."""
    registry = call.registry()
    name = registry.show(call.options.name).name
    target, path = _target(call)
    with closing(connect(call.config.database)) as connection:
        member = _member(call, registry, connection, name)
        mailbox = Mailbox(
            connection,
            Bodies(call.config.state / "bodies"),
            member,
            call.config.node.mail_domain,
        )
        with target as opened:
            tally = copy(mailbox, opened, call.terminal)
    call.terminal.say(_summary(tally, path))
    if tally.damaged:
        raise CommandError(
            f"{tally.damaged} messages do not open and were left out; look with "
            "postmanctl doctor, and export a backup"
        )
    return 0


def copy(mailbox: Mailbox, target: Target, terminal: Terminal) -> Tally:
    """Put every letter into `target`, oldest first.

    One that does not open is counted and left out: it must not cost the owner the
    others.
    """
    tally = Tally()
    numbers = mailbox.numbers()
    for done, number in enumerate(numbers):
        _progress(terminal, done, len(numbers))
        try:
            with mailbox.letter(number) as letter:
                if target.put(letter):
                    tally.written += 1
                else:
                    tally.there += 1
        except SealError:
            tally.damaged += 1
        except LookupError:
            tally.removed += 1
    _progress(terminal, len(numbers), len(numbers))
    return tally


def _target(call: Call) -> tuple[AbstractContextManager[Target], Path]:
    if call.options.maildir is not None:
        path = Path(call.options.maildir)
        return to_maildir(path), path
    path = Path(call.options.mbox)
    return to_mbox(path), path


def _member(
    call: Call, registry: Registry, connection: sqlite3.Connection, name: str
) -> Member:
    """Open the account; a disabled one too, for its mail is its owner's still."""
    if call.options.recovery_code_stdin:
        what = "recovery code"
        typed = call.secrets.known("Recovery code").decode("ascii", "replace")
        member = unlock_by_recovery(connection, name, read_code(typed))
    else:
        what = "password"
        known = read_account(connection, name)
        credential = evolve(known.credential, disabled=False) if known else None
        password = call.secrets.known("Password")
        member = Keyring(registry.cost).unlock(credential, password)
    if member is None:
        raise WrongSecretError(f"this is not the {what} of {name}")
    return member


def _progress(terminal: Terminal, done: int, total: int) -> None:
    """Tell how far it is, on a terminal only; the line is left at the end."""
    if not terminal.err.isatty():
        return
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} messages", end=end, file=terminal.err, flush=True)


def _summary(tally: Tally, path: Path) -> str:
    """Return what was done, as in `12 messages written to /mail; 3 were there`."""
    parts = [f"{tally.written} messages written to {path}"]
    if tally.there:
        parts.append(f"{tally.there} were there already")
    if tally.removed:
        parts.append(f"{tally.removed} were removed from the mailbox meanwhile")
    return "; ".join(parts)
