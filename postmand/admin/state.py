"""The doctor's look at what is kept: directory, files, disk, database, bodies.

Nothing is made and nothing is changed, whether the node runs or not.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config
from postmand.store import queue_rows
from postmand.store.bodies import Bodies
from postmand.store.checkup import problems
from postmand.store.database import connect

MIB = 1024 * 1024
LEAST_FREE = 64 * MIB
GOOD_FREE = 1024 * MIB

# The octets 18 and 19 of an SQLite file are 2 in WAL mode (its file format, 1.3.3).
_MAGIC = b"SQLite format 3\0"
_WAL = b"\2\2"


def check_directory(config: Config) -> Iterator[Finding]:
    """Tell whether the state directory and all in it are the node's user's alone."""
    state = config.state
    if not state.exists():
        yield warn(
            f"state directory: {state} does not exist yet",
            "the first start makes it; if there should be one, check --config and "
            "the directory you are in",
        )
        return
    if not state.is_dir():
        yield fail(
            f"state directory: {state} is no directory",
            "name another one at [node] state",
        )
        return
    yield from _owners(state)
    wide = [path for path in _kept(config) if path.lstat().st_mode & 0o077]
    if not wide:
        yield ok(f"state directory: {state}, nothing in it is open to others")
    for path in wide[:5]:
        mode = "700" if path.is_dir() else "600"
        yield fail(f"modes: others may use {path}", f"chmod {mode} {path}")
    if wide[5:]:
        yield fail(
            f"modes: others may use {len(wide) - 5} more files",
            f"chmod -R go= {state}",
        )


def check_disk(config: Config) -> Iterator[Finding]:
    """Tell how much room there is where the state is, or will be."""
    place = config.state
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    what = f"disk: {free // MIB} MiB free at {place}"
    largest = config.submission.max_message_bytes if config.submission else 0
    mend = "make room, or move [node] state to a larger disk"
    if free < max(LEAST_FREE, 2 * largest):
        yield fail(what, mend)
    elif free < max(GOOD_FREE, 2 * config.mailboxes.max_bytes):
        yield warn(what, mend)
    else:
        yield ok(what)


def check_database(config: Config) -> Iterator[Finding]:
    """Tell whether the store opens, is whole, and has the program's schema."""
    path = config.database
    if not path.exists():
        yield warn(
            f"store: there is no database at {path} yet",
            'the first start makes it, or "postmanctl account add NAME"',
        )
        return
    with path.open("rb") as file:
        head = file.read(20)
    if not head.startswith(_MAGIC):
        yield fail(
            f"store: {path} is no SQLite database",
            "restore it from a backup, or name another file at [store] url",
        )
        return
    found = problems(f"sqlite:///{path}", config.state)
    # Modes were told of already, file by file.
    found = [line for line in found if "others may read it" not in line]
    if not found:
        yield ok(f"store: {path} opens, is whole and has the newest schema")
    for line in found:
        what, _, mend = line.partition("; ")
        yield fail(
            f"store: {what}",
            mend or "stop the node, keep a copy, and restore the store from a backup",
        )
    if head[18:20] == _WAL:
        yield ok("store: the write-ahead log is on")
    else:
        yield warn("store: the write-ahead log is off", "the next start turns it on")


def check_bodies(config: Config) -> Iterator[Finding]:
    """Count the files of bodies, and those that no row names."""
    directory = config.state / "bodies"
    if not directory.is_dir() or not config.database.exists():
        return
    # Names first: what is removed between the two looks must not count as an orphan.
    names = Bodies(directory).names()
    with closing(connect(config.database)) as connection:
        named = {name for (name,) in connection.execute(queue_rows.NAMED_FILES)}
    orphans = names - named
    if orphans:
        yield warn(
            f"bodies: {len(orphans)} of {len(names)} files belong to no message",
            "a message just arriving has one too; the next start sweeps the others",
        )
    else:
        yield ok(f"bodies: {len(names)} files, each belongs to a message")


def account_names(config: Config) -> dict[str, bool] | None:
    """Return {name: disabled} of all accounts; None where no store can tell."""
    if not config.database.exists():
        return None
    try:
        with closing(connect(config.database)) as connection:
            rows = connection.execute("SELECT name, disabled FROM accounts")
            return {name: bool(disabled) for name, disabled in rows}
    except sqlite3.Error:
        return None  # check_database has told


def check_queue(config: Config) -> Iterator[Finding]:
    """Tell of mail for the Internet that waits where no way there is named any more."""
    if config.gateways or not config.database.exists():
        return
    try:
        with closing(connect(config.database)) as connection:
            waiting = queue_rows.count(connection)
    except sqlite3.Error:
        return  # check_database has told
    if waiting:
        yield warn(
            f"queue: messages for the Internet that wait: {waiting}, and no gateway is "
            "named",
            "add [[gateways]], or look with postmanctl queue list and drop them",
        )


def _kept(config: Config) -> Iterator[Path]:
    """Yield the state directory, the database's files and all that lies in them."""
    state, database = config.state, config.database
    yield state
    for directory, names, files in os.walk(state):
        yield from (Path(directory, name) for name in sorted([*names, *files]))
    if not database.is_relative_to(state) and database.exists():
        yield from sorted(database.parent.glob(f"{database.name}*"))


def _owners(state: Path) -> Iterator[Finding]:
    """Tell of files that are another user's than the directory: root's, mostly."""
    owner = state.stat().st_uid
    name = _user(owner)
    if os.geteuid() not in (0, owner):
        yield fail(
            f"owner: {state} belongs to {name}",
            f"run postmanctl as that user: sudo -u {name} postmanctl doctor",
        )
    others = [
        path
        for directory, names, files in os.walk(state)
        for path in (Path(directory, one) for one in (*names, *files))
        if path.lstat().st_uid != owner
    ]
    if others:
        yield fail(
            f"owner: {len(others)} files in {state} are not {name}'s, as {others[0]}",
            f"chown -R {name} {state}",
        )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
