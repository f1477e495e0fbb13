"""What this node knows about you: every stored field, in plain words."""

from __future__ import annotations

from itertools import groupby

from postmand.web.knowledge import ABOUT, ROOMS
from postmand.web.site import Ask, Pages


def add(pages: Pages) -> None:
    """Add the room's page."""

    @pages.page("/knows")
    async def knows(ask: Ask) -> bytes:
        facts = await pages.desk.membership.facts(ask.visitor)
        rooms = [
            (
                ROOMS[table],
                [(ABOUT[(one.table, one.column)], one.value) for one in found],
            )
            for table, found in groupby(facts, key=lambda fact: fact.table)
        ]
        return ask.render("knows.html", rooms=rooms)
