"""Registrations made as the bot makes them, but at once and without the bot."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from postmand.config import load
from postmand.store.nodekey import operator
from postmand.store.nodekeys import open_node_keys
from postmand.store.watches import PLACES, Roll
from tests.flow.house import House


def watch(house: House, nicks: Mapping[str, Sequence[str]]) -> None:
    """Let nicks, in lower case, watch a member each; the node must not run."""
    config = load(str(house.config))
    keys = open_node_keys(config.database, config.node.key, config.state, operator())
    most = max(len(members) for members in nicks.values())
    roll = Roll(keys.key, PLACES, most)
    with sqlite3.connect(house.state / "postmand.sqlite") as connection:
        for member, watchers in nicks.items():
            (account,) = connection.execute(
                "SELECT id FROM accounts WHERE name = ?", (member,)
            ).fetchone()
            for nick in watchers:
                assert roll.add(connection, roll.tag(nick.encode()), account)
    connection.close()
