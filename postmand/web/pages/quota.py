"""Manage Quota: what is left today, and buying more with a stamp."""

from __future__ import annotations

from datetime import UTC, datetime

from postmand.membership import MembershipError, Quota
from postmand.web.forms import Field
from postmand.web.site import Ask, PageError, Pages

_STAMP = Field("stamp", 600)


def add(pages: Pages) -> None:
    """Add the room's pages."""
    membership = pages.desk.membership

    def show(
        ask: Ask,
        quota: Quota | None,
        status: int = 200,
        error: str = "",
        done: str = "",
    ) -> bytes:
        until = quota and quota.until and datetime.fromtimestamp(quota.until, UTC)
        return ask.render(
            "quota.html",
            status,
            quota=quota,
            until=until.strftime("%d %B, %H:%M UTC") if until else "",
            error=error,
            done=done,
        )

    @pages.page("/quota")
    async def quota(ask: Ask) -> bytes:
        done = "Thank you. The stamp was accepted." if ask.query("done") else ""
        return show(ask, await membership.quota(ask.visitor), done=done)

    @pages.form("/quota/buy")
    async def buy(ask: Ask) -> bytes:
        sent = ask.form(_STAMP)
        now = await membership.quota(ask.visitor)
        if now is None:
            raise PageError(
                404, "There is nothing to buy", "This node has no way to the Internet."
            )
        try:
            await membership.buy(ask.visitor, sent["stamp"])
        except MembershipError as error:
            return show(ask, now, 422, error=str(error))
        return ask.go("/quota?done=bought")
