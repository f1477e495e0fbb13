"""What this node knows about you: every stored field, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from postmand.membership import Fact
from postmand.web.ask import Ask
from postmand.web.knowledge import ABOUT, ROOMS, Meaning, Room
from postmand.web.site import Pages


def add(pages: Pages) -> None:
    """Add the room's page."""

    @pages.page("/knows")
    async def knows(ask: Ask) -> bytes:
        facts = await pages.desk.membership.facts(ask.visitor)
        return ask.render("knows.html", rooms=_rooms(facts))


def _rooms(facts: Sequence[Fact]) -> list[tuple[Room, list[tuple[Meaning, str]]]]:
    """Return each table's words with its facts'; one not told of is shown all the same.

    A test keeps the words complete. But a fact must not vanish for want of words.
    """
    return [
        (
            ROOMS.get(table, Room(table, "")),
            [
                (ABOUT.get((table, one.column), Meaning(one.column, "", "")), one.value)
                for one in found
            ],
        )
        for table, found in groupby(facts, key=lambda fact: fact.table)
    ]
