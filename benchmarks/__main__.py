"""`python -m benchmarks`: measure beside what is installed, and print the tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks import drain, idle, intake, pages, peers, turns
from benchmarks.dovecot import Dovecot, HashedLogins
from benchmarks.loads import LoadError
from benchmarks.ours import Ours
from benchmarks.postfix import DeliveringPostfix, HashedPostfix, HeldPostfix, Postfix
from benchmarks.processes import StartError
from benchmarks.server import Server, account_names
from benchmarks.table import Row
from postmand.config import Accounts

MEASURES = ("intake", "drain", "idle", "turns", "pages")
ACCOUNTS = 1_000
NOTES = """\
Everything runs over loopback and answers 250 when it is on the disk. Clients log in;
with postmand every tenth login is cold (Argon2id is paid), and each message is washed
and sealed. The first ratio is to Postfix taking mail into its queue, in the same run,
its logins checked by Dovecot, whose CPU is counted, with one password for all. The
second is to the same Postfix where every tenth login costs Dovecot the same Argon2id.
"""


@frozen
class Servers:
    """What runs; None is what is not installed."""

    ours: Ours
    dovecot: Dovecot | None
    postfix: Postfix | None

    def intake(self) -> list[Server]:
        """Return the servers that take mail in, the one compared with first."""
        if self.postfix is None:
            return [self.ours]
        doors = HeldPostfix, HashedPostfix, DeliveringPostfix
        held, hashed, delivering = (door(self.postfix) for door in doors)
        return [held, hashed, self.ours, delivering]

    def pop3(self) -> Dovecot | None:
        """Return the server that hands mail out beside ours."""
        return self.dovecot if self.dovecot is not None and self.dovecot.pop3 else None


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="a taste of everything, in 3 minutes (all: 16)",
    )
    add("--only", choices=MEASURES, help="one measure alone")
    add("--repeat", type=int, help="how often (default: 3, quick: 1)")
    add("--json", type=Path, metavar="FILE", help="write every single figure")
    add(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),
        help="where to work, on a disk and not in memory (default: /var/tmp)",
    )
    chosen = parser.parse_args()
    chosen.repeat = chosen.repeat or (1 if chosen.quick else 3)
    return chosen


@contextmanager
def running(directory: Path) -> Iterator[Servers]:
    """Start what there is to compare with, and make ours ready to be started."""
    names = account_names(ACCOUNTS)
    with ExitStack() as ending:
        dovecot = postfix = None
        if peers.has_dovecot():
            dovecot = Dovecot(directory, names)
            ending.callback(dovecot.stop)
            dovecot.start()
            if peers.has_postfix():
                hot, cold = names[: intake.HOT], names[intake.HOT :]
                hashed = HashedLogins(directory, hot, cold, Accounts())
                ending.callback(hashed.stop)
                hashed.start()
                postfix = Postfix(directory, dovecot, hashed)
                ending.callback(postfix.stop)
                postfix.start()
        ours = Ours(directory)
        ending.callback(ours.stop)
        ours.add_accounts(names)
        yield Servers(ours, dovecot, postfix)


def measure(servers: Servers, chosen: argparse.Namespace) -> Iterator[Row]:
    """Measure what was chosen."""
    quick, names = chosen.quick, account_names(ACCOUNTS)
    held = None if servers.postfix is None else HeldPostfix(servers.postfix)
    if chosen.only in (None, "intake"):
        extent = intake.Extent(
            accounts=names,
            repeat=chosen.repeat,
            seconds=1.0 if quick else 2.0,
            sizes=(2**11, 2**20) if quick else (2**11, 20 * 2**10, 2**20),
            connections=(10, 50) if quick else (1, 10, 50),
        )
        yield from intake.measure(servers.intake(), extent)
    if chosen.only in (None, "drain"):
        messages = 200 if quick else 1_000
        yield from drain.measure(servers.ours, servers.pop3(), messages, chosen.repeat)
    if chosen.only in (None, "turns"):
        yield from turns.measure(servers.ours, held, servers.pop3())
    if chosen.only in (None, "idle"):
        sessions = account_names((500 if quick else 5_000) + idle.WARMING)
        servers.ours.add_accounts(sessions[ACCOUNTS:])
        yield from idle.measure(servers.ours, sessions)
    if chosen.only in (None, "pages"):
        seconds = 2.0 if quick else 5.0
        yield from pages.measure(servers.ours, seconds, chosen.repeat, names)


def tables(rows: list[Row]) -> Iterator[str]:
    """Yield the tables of what was measured."""
    of = {name: [row for row in rows if row["measure"] == name] for name in MEASURES}
    if of["intake"]:
        yield from intake.tables(of["intake"], (HeldPostfix.name, HashedPostfix.name))
    if of["drain"]:
        yield from drain.tables(of["drain"])
    if of["idle"]:
        yield from idle.tables(of["idle"])
    if of["turns"]:
        yield from turns.tables(of["turns"])
    if of["pages"]:
        yield from pages.tables(of["pages"])


def machine(directory: Path) -> str:
    """Say when and on what this was measured; nothing that names the machine."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{today}; {cores} cores ({processor()}) shared by servers and clients, "
        f"{filesystem(directory)}, Python {platform.python_version()}, "
        f"load before {os.getloadavg()[0]:.1f}"
    )


def processor() -> str:
    """Return what the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def filesystem(directory: Path) -> str:
    """Return the type of the file system that a directory lies on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [directory, *directory.parents]
    on = [(len(m[1]), m[2]) for m in mounts if Path(m[1]) in above]
    return max(on)[1]


def progress(rows: Iterable[Row], total: list[Row]) -> None:
    """Collect the rows, showing on a terminal how far it is."""
    for row in rows:
        total.append(row)
        if sys.stderr.isatty():
            print(
                f"\r{len(total)} measured ({row['measure']})", end="", file=sys.stderr
            )
    if sys.stderr.isatty():
        print(file=sys.stderr)


def main() -> None:
    """Measure, print, clean up."""
    chosen = options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="postmand-bench-", dir=chosen.directory))
    rows: list[Row] = []
    try:
        # Postfix and Dovecot work there as users of their own.
        directory.chmod(0o755)
        print(f"## Measured side by side: {machine(directory)}\n")
        print(NOTES)
        for line in peers.missing():
            print(line + "\n")
        with running(directory) as servers:
            progress(measure(servers, chosen), rows)
    except (StartError, LoadError) as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\n".join(tables(rows)))
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
