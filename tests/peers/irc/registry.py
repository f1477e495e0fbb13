"""Members and registrations made as postmanctl and the bot make them, but at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from postmand.config import load
from postmand.store.nodekey import operator
from postmand.store.nodekeys import open_node_keys
from postmand.store.opening import open_registry
from postmand.store.settings import Settings
from postmand.store.watches import PLACES, Roll
from tests.flow.house import House, password

_DAY = 20_000


def add_members(house: House, *names: str) -> None:
    """Make accounts; the node must not run."""
    config = load(str(house.config))
    url, settings = f"sqlite:///{config.database}", Settings.from_config(config)
    registry = open_registry(url, config.state, settings)
    for name in names:
        registry.add(name, password(name).encode(), day=_DAY)


def watch(house: House, nicks: Mapping[str, Sequence[str]]) -> None:
    """Let nicks, in lower case, watch a member each; the node must not run."""
    config = load(str(house.config))
    keys = open_node_keys(config.database, config.node.key, config.state, operator())
    most = max(len(members) for members in nicks.values())
    roll = Roll(keys.key, PLACES, most)
    with sqlite3.connect(config.database) as connection:
        for member, watchers in nicks.items():
            (account,) = connection.execute(
                "SELECT id FROM accounts WHERE name = ?", (member,)
            ).fetchone()
            for nick in watchers:
                assert roll.add(connection, roll.tag(nick.encode()), account)
    connection.close()
