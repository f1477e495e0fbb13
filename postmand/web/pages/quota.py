"""Manage Quota: what is left today, and buying more with a stamp."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen

from postmand.membership import BusyError, IMembership, MembershipError, Quota
from postmand.web.ask import Ask
from postmand.web.forms import Field
from postmand.web.refusals import BUSY, PageError
from postmand.web.site import Pages

_STAMP = Field("stamp", 600)
_BUSY = (
    "The node has more to do than it can. Nothing was bought, and the stamp is not "
    "used. Wait for a minute, and send it once more."
)
_THANKS = "The stamp was accepted. Thank you."


@frozen(eq=False)
class _Quota:
    membership: IMembership

    async def quota(self, ask: Ask) -> bytes:
        done = _THANKS if ask.query("done") else ""
        return _show(ask, await self.membership.quota(ask.visitor), done=done)

    async def buy(self, ask: Ask) -> bytes:
        visitor, sent = ask.visitor, ask.form(_STAMP)
        now = await self.membership.quota(visitor)
        if now is None:
            raise PageError(
                404, "There is nothing to buy", "This node has no way to the Internet."
            )
        try:
            await self.membership.buy(visitor, sent["stamp"])
        except MembershipError as error:
            return _show(ask, now, 422, str(error), stamp=sent["stamp"])
        except BusyError:
            return _show(ask, now, BUSY.status, busy=_BUSY, stamp=sent["stamp"])
        return ask.go("/quota?done=bought")


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _Quota(pages.desk.membership)
    pages.page("/quota")(room.quota)
    pages.form("/quota/buy")(room.buy)


def _show(
    ask: Ask,
    quota: Quota | None,
    status: int = 200,
    error: str = "",
    *,
    done: str = "",
    busy: str = "",
    stamp: str = "",
) -> bytes:
    until = quota.until if quota else 0
    return ask.render(
        "quota.html",
        status,
        quota=quota,
        until=_moment(until) if until else "",
        error=error,
        done=done,
        busy=busy,
        stamp=stamp,
    )


def _moment(seconds: int) -> str:
    """Return a time as in `22 November, 17:40 UTC`, in English whatever the locale."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at.day} {_MONTHS[at.month - 1]}, {at:%H:%M} UTC"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
