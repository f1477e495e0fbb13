"""Manage Account: password, name, delay, recovery, biff, and the end of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from postmand.config import DELAYS
from postmand.membership import IMembership, MembershipError, WrongLoginError
from postmand.web.ask import Ask
from postmand.web.delays import CHOICES
from postmand.web.forms import Field
from postmand.web.pages.visit import AGAIN, NEW, NOT_THE_SAME, PASSWORD
from postmand.web.refusals import PageError
from postmand.web.site import Pages

_OLD = Field("old", 1_024, secret=True)
_DISPLAY_NAME = Field("display_name", 200)
_DELAY = Field("delay", 20)
_TYPED = Field("typed", 100)
_WRONG = "This is not the password of the account."

# What the page says after a change; its key stands in the path, never the words.
_DONE: Mapping[str, str] = {
    "password": "The password is changed. Other sessions of this account are over.",
    "name": "The name beside your address is set.",
    "delay": "The delay is set. Mail that waits already leaves as it was to.",
}


@frozen(eq=False)
class _Account:
    membership: IMembership

    async def account(self, ask: Ask) -> bytes:
        return await self._show(ask, done=_DONE.get(ask.query("done"), ""))

    async def _show(
        self,
        ask: Ask,
        errors: Mapping[str, str] | None = None,
        *,
        done: str = "",
        biff_token: str = "",
        name: str | None = None,
    ) -> bytes:
        """Show the page; with `errors` by field, and the display name typed with it."""
        details = await self.membership.details(ask.visitor)
        more: dict[str, Any] = {"done": done, "biff_token": biff_token}
        return ask.render(
            "account.html",
            422 if errors else 200,
            details=details,
            display_name=details.display_name if name is None else name,
            choices=CHOICES,
            errors=errors or {},
            **more,
        )

    async def password(self, ask: Ask) -> bytes:
        visitor, sent = ask.visitor, ask.form(_OLD, NEW, AGAIN)
        if sent["new"] != sent["again"]:
            return await self._show(ask, {"again": NOT_THE_SAME})
        try:
            visitor = await self.membership.set_password(
                visitor, sent["old"], sent["new"]
            )
        except WrongLoginError:
            return await self._show(ask, {"old": _WRONG})
        except MembershipError as error:
            return await self._show(ask, {error.field or "new": str(error)})
        return ask.enter(visitor).go("/account?done=password")

    async def display_name(self, ask: Ask) -> bytes:
        visitor, sent = ask.visitor, ask.form(_DISPLAY_NAME)
        name = sent["display_name"]
        try:
            visitor = await self.membership.set_display_name(visitor, name)
        except MembershipError as error:
            return await self._show(ask, {"display_name": str(error)}, name=name)
        return ask.enter(visitor).go("/account?done=name")

    async def delay(self, ask: Ask) -> bytes:
        visitor, sent = ask.visitor, ask.form(_DELAY)
        if sent["delay"] not in ("", *DELAYS):
            raise PageError(400, "This form can not be read", "There is no such delay.")
        await self.membership.set_delay(visitor, sent["delay"])
        return ask.go("/account?done=delay")

    async def recovery(self, ask: Ask) -> bytes:
        visitor, sent = ask.visitor, ask.form(PASSWORD)
        try:
            visitor, code = await self.membership.new_recovery(
                visitor, sent["password"]
            )
        except WrongLoginError:
            return await self._show(ask, {"recovery": _WRONG})
        # In a new session the form can not be sent again, which would void this code.
        return ask.enter(visitor).render(
            "recovery_code.html", code=code, after="/account", fresh=False
        )

    async def biff(self, ask: Ask) -> bytes:
        visitor, _ = ask.visitor, ask.form()
        made = await self.membership.biff_token(visitor)
        if made is None:
            raise PageError(404, "There is no biff here", "This node has no IRC bot.")
        return await self._show(ask, biff_token=made)

    async def delete(self, ask: Ask) -> bytes:
        visitor, sent = ask.visitor, ask.form(PASSWORD, _TYPED)
        if sent["typed"] != visitor.name:
            return await self._show(
                ask, {"typed": "Type the account's name exactly; nothing is deleted."}
            )
        try:
            await self.membership.remove(visitor, sent["password"])
        except WrongLoginError:
            return await self._show(ask, {"delete": _WRONG})
        return ask.enter(None).render("deleted.html")


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _Account(pages.desk.membership)
    pages.page("/account")(room.account)
    pages.form("/account/password")(room.password)
    pages.form("/account/display-name")(room.display_name)
    pages.form("/account/delay")(room.delay)
    pages.form("/account/recovery")(room.recovery)
    pages.form("/account/biff-token")(room.biff)
    pages.form("/account/delete")(room.delete)
