"""The configuration: TOML into frozen classes.

A fault names the file, the section, the key and the mend in one line, and nothing is
started. Every bound the program keeps stands in `sections`, a gateway's in `outpost`,
with its default.
"""

from postmand.config.checks import DELAYS
from postmand.config.errors import ConfigError
from postmand.config.loading import from_table, load, mail_host
from postmand.config.outpost import Exchange, Exit, Link
from postmand.config.sections import (
    BUILT_IN,
    Accounts,
    Biff,
    Config,
    Delays,
    Gateway,
    Inbound,
    Limits,
    Mailboxes,
    Metrics,
    Node,
    Pop3,
    Quota,
    Relay,
    Store,
    Submission,
    Web,
)

__all__ = [
    "BUILT_IN",
    "DELAYS",
    "Accounts",
    "Biff",
    "Config",
    "ConfigError",
    "Delays",
    "Exchange",
    "Exit",
    "Gateway",
    "Inbound",
    "Limits",
    "Link",
    "Mailboxes",
    "Metrics",
    "Node",
    "Pop3",
    "Quota",
    "Relay",
    "Store",
    "Submission",
    "Web",
    "from_table",
    "load",
    "mail_host",
]
