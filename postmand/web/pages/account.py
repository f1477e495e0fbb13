"""Manage Account: password, name, delay, recovery, biff, and the end of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postmand.config import DELAYS
from postmand.membership import MembershipError, WrongLoginError
from postmand.web.delays import CHOICES
from postmand.web.forms import Field
from postmand.web.pages.visit import AGAIN, NEW, NOT_THE_SAME, PASSWORD
from postmand.web.site import Ask, PageError, Pages

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


def add(pages: Pages) -> None:
    """Add the room's pages."""
    membership = pages.desk.membership

    async def show(ask: Ask, status: int = 200, **more: Any) -> bytes:
        details = await membership.details(ask.visitor)
        return ask.render(
            "account.html",
            status,
            **{
                "details": details,
                "choices": CHOICES,
                "errors": {},
                "done": "",
                "biff_token": "",
            }
            | more,
        )

    @pages.page("/account")
    async def account(ask: Ask) -> bytes:
        return await show(ask, done=_DONE.get(ask.query("done"), ""))

    @pages.form("/account/password")
    async def password(ask: Ask) -> bytes:
        sent = ask.form(_OLD, NEW, AGAIN)
        if sent["new"] != sent["again"]:
            return await show(ask, 422, errors={"again": NOT_THE_SAME})
        try:
            visitor = await membership.set_password(
                ask.visitor, sent["old"], sent["new"]
            )
        except WrongLoginError:
            return await show(ask, 403, errors={"old": _WRONG})
        except MembershipError as error:
            return await show(ask, 422, errors={error.field or "new": str(error)})
        ask.enter(visitor)
        return ask.go("/account?done=password")

    @pages.form("/account/display-name")
    async def display_name(ask: Ask) -> bytes:
        sent = ask.form(_DISPLAY_NAME)
        try:
            visitor = await membership.set_display_name(
                ask.visitor, sent["display_name"]
            )
        except MembershipError as error:
            return await show(ask, 422, errors={"display_name": str(error)})
        ask.enter(visitor)
        return ask.go("/account?done=name")

    @pages.form("/account/delay")
    async def delay(ask: Ask) -> bytes:
        sent = ask.form(_DELAY)
        if sent["delay"] not in ("", *DELAYS):
            raise PageError(400, "This form can not be read", "There is no such delay.")
        await membership.set_delay(ask.visitor, sent["delay"])
        return ask.go("/account?done=delay")

    @pages.form("/account/recovery")
    async def recovery(ask: Ask) -> bytes:
        sent = ask.form(PASSWORD)
        try:
            code = await membership.new_recovery(ask.visitor, sent["password"])
        except WrongLoginError:
            return await show(ask, 403, errors={"recovery": _WRONG})
        return ask.render(
            "recovery_code.html", code=code, after="/account", fresh=False
        )

    @pages.form("/account/biff-token")
    async def biff(ask: Ask) -> bytes:
        ask.form()
        made = await membership.biff_token(ask.visitor)
        if made is None:
            raise PageError(404, "There is no biff here", "This node has no IRC bot.")
        return await show(ask, biff_token=made)

    @pages.form("/account/delete")
    async def delete(ask: Ask) -> bytes:
        sent = ask.form(PASSWORD, _TYPED)
        if sent["typed"] != ask.visitor.name:
            errors = {"typed": "Type the account's name exactly."}
            return await show(ask, 422, errors=errors)
        try:
            await membership.remove(ask.visitor, sent["password"])
        except WrongLoginError:
            return await show(ask, 403, errors={"delete": _WRONG})
        ask.enter(None)
        return ask.render("deleted.html")
