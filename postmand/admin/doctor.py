"""`postmanctl doctor`: whether configuration, store and machine are in order."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from postmand.admin.biff import check_biff
from postmand.admin.call import Call
from postmand.admin.faults import explain
from postmand.admin.finding import FAIL, Finding, fail, ok, warn
from postmand.admin.gateway_checkup import check_certificate, check_sealed
from postmand.admin.keys import check_node_key
from postmand.admin.link_checkup import check_link
from postmand.admin.ports import check_ports
from postmand.admin.state import (
    account_names,
    check_bodies,
    check_database,
    check_directory,
    check_disk,
    check_queue,
)
from postmand.admin.zone_checkup import check_zone
from postmand.config import Config, ConfigError
from postmand.store.passwords import SALT_BYTES, Cost, stretch

YEARS = range(2026, 2100)
POSTMASTER = "postmaster"

# The cheapest of OWASP's equal choices for Argon2id: 7 MiB and five passes.
LEAST_WORK_KIB = 5 * 7 * 1024
SLOW_SECONDS = 1.0


def run(call: Call) -> int:
    """Print a line for each thing looked at; 1 where something is broken."""
    broken = 0
    for finding in findings(call):
        call.terminal.say(finding.line())
        broken += finding.level == FAIL
    if broken:
        call.terminal.note(f"postmanctl: FAIL lines: {broken}; mend them as they say")
    return 1 if broken else 0


def findings(call: Call) -> Iterator[Finding]:
    """Yield what is found, check by check."""
    try:
        config = call.config
    except ConfigError as error:
        yield fail(f"config: {error}", "mend that line; nothing else was looked at")
        return
    yield ok(f"config: {config.source}")
    yield clock(call.seconds())
    gateway = config.exchange is not None or config.link is not None
    for check in GATEWAY_CHECKS if gateway else CHECKS:
        yield from _guarded(check, config)


def clock(now: float) -> Finding:
    """Judge the time, in seconds since 1970: every message's Date is made from it."""
    moment = datetime.fromtimestamp(now, UTC)
    what = f"clock: {moment:%Y-%m-%d %H:%M} UTC"
    if moment.year in YEARS:
        return ok(what)
    return fail(what, "set this machine's clock, and keep it with NTP")


def check_aliases(config: Config) -> Iterator[Finding]:
    """Tell whether each alias leads to an account that takes mail."""
    names = account_names(config)
    for alias, target in sorted(config.aliases.items()):
        what = f"alias: {alias} leads to {target}"
        if names is None:
            yield warn(f"{what}, and there is no store yet", "make that account")
        elif target not in names:
            yield fail(
                f"{what}, which is no account",
                f"postmanctl account add {target}, or change [aliases]",
            )
        elif names[target]:
            yield warn(
                f"{what}, which is disabled", f"postmanctl account enable {target}"
            )
        else:
            yield ok(what)
        if names and alias in names and alias != target:
            yield warn(
                f"alias: {alias} is an account too, whose mail goes to {target}",
                f"remove the alias or the account {alias}",
            )
    if POSTMASTER not in config.aliases:
        # RFC 5321 4.5.1: every mail domain has a postmaster.
        yield warn(
            f"alias: nobody reads {POSTMASTER}@{config.node.mail_domain}",
            f'add {POSTMASTER} = "NAME" to [aliases] (RFC 5321 4.5.1)',
        )


def check_argon2(config: Config) -> Iterator[Finding]:
    """Measure what a try of a password costs on this machine."""
    accounts = config.accounts
    cost = Cost(accounts.argon2_passes, accounts.argon2_memory_kib)
    started = time.perf_counter()
    stretch(b"a password", os.urandom(SALT_BYTES), cost)
    spent = time.perf_counter() - started
    what = (
        f"argon2: {spent * 1000:.0f} ms a login "
        f"(passes: {cost.passes}, memory: {cost.memory_kib} KiB)"
    )
    if cost.passes * cost.memory_kib < LEAST_WORK_KIB:
        yield warn(
            f"{what}, too cheap to try passwords",
            "leave out argon2_passes and argon2_memory_kib at [accounts]",
        )
    elif spent > SLOW_SECONDS:
        yield warn(f"{what}, slow to log in", "lower [accounts] argon2_passes")
    else:
        yield ok(what)


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    check_directory,
    check_disk,
    check_database,
    check_bodies,
    check_queue,
    check_node_key,
    check_biff,
    check_aliases,
    check_ports,
    check_argon2,
)

GATEWAY_CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    check_directory,
    check_disk,
    check_sealed,
    check_certificate,
    check_ports,
    check_link,
    check_zone,
)


def _guarded(
    check: Callable[[Config], Iterator[Finding]], config: Config
) -> Iterator[Finding]:
    """Run a check; what the disk does to it is a finding too."""
    try:
        yield from check(config)
    except (OSError, sqlite3.Error) as error:
        what, _, mend = explain(error).partition("; ")
        yield fail(what, mend)
