"""The first page, logging in and out, and a lost password."""

from __future__ import annotations

from postmand.membership import MembershipError, WrongLoginError
from postmand.web.forms import Field
from postmand.web.site import Ask, Pages

NAME = Field("name", 100)
PASSWORD = Field("password", 1_024, secret=True)
NEW = Field("new", 1_024, secret=True)
AGAIN = Field("again", 1_024, secret=True)
_CODE = Field("code", 200)

NOT_THE_SAME = "The two are not the same; type the password again in both."


def add(pages: Pages) -> None:
    """Add the room's pages."""

    @pages.page("/")
    async def home(ask: Ask) -> bytes:
        if ask.session.visitor is not None:
            return ask.go("/account")
        return ask.render("home.html", signup=pages.desk.settings.signup)

    @pages.page("/login")
    async def login(ask: Ask) -> bytes:
        if ask.session.visitor is not None:
            return ask.go("/account")
        return ask.render("login.html", name="", error="")

    @pages.form("/login")
    async def logged_in(ask: Ask) -> bytes:
        sent = ask.form(NAME, PASSWORD)
        try:
            visitor = await pages.desk.membership.login(
                sent["name"], sent["password"], ask.peer
            )
        except WrongLoginError:
            return ask.render(
                "login.html",
                403,
                name=sent["name"],
                error="The name and the password do not go together.",
            )
        ask.enter(visitor)
        return ask.go("/account")

    @pages.form("/logout")
    async def logged_out(ask: Ask) -> bytes:
        ask.form()
        ask.enter(None)
        return ask.go("/")

    @pages.page("/recover")
    async def lost(ask: Ask) -> bytes:
        return ask.render("recover.html", name="", errors={})

    @pages.form("/recover")
    async def recovered(ask: Ask) -> bytes:
        sent = ask.form(NAME, _CODE, NEW, AGAIN)
        errors = {}
        code = ""
        if sent["new"] != sent["again"]:
            errors["again"] = NOT_THE_SAME
        else:
            try:
                code = await pages.desk.membership.recover(
                    sent["name"], sent["code"], sent["new"], ask.peer
                )
            except MembershipError as error:
                errors[error.field or "code"] = str(error)
        if errors:
            return ask.render("recover.html", 422, name=sent["name"], errors=errors)
        ask.enter(None)
        return ask.render("recovery_code.html", code=code, after="/login", fresh=False)
