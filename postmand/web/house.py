"""All the pages there are, as one factory to listen with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postmand.web.channel import PageSite
from postmand.web.pages import account, clients, keys, knows, quota, signup, visit, wkd
from postmand.web.site import Pages

if TYPE_CHECKING:
    from postmand.web.ask import Desk

ROOMS = (visit, signup, account, quota, knows, clients, keys, wkd)


def page_site(desk: Desk, reactor: Any) -> PageSite:
    """Return what listens for browsers. `reactor` is for timers only."""
    pages = Pages(desk)
    for room in ROOMS:
        room.add(pages)
    return PageSite(pages.resource(), pages.refusals(), desk.settings, reactor)
