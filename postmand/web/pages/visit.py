"""The first page, logging in and out, and a lost password."""

from __future__ import annotations

from attrs import frozen

from postmand.membership import MembershipError, WrongLoginError
from postmand.web.ask import Ask, Desk
from postmand.web.forms import Field
from postmand.web.site import Pages

NAME = Field("name", 100)
PASSWORD = Field("password", 1_024, secret=True)
NEW = Field("new", 1_024, secret=True)
AGAIN = Field("again", 1_024, secret=True)
_CODE = Field("code", 200)

NOT_THE_SAME = "The two are not the same; type the password again in both."

# For crawlers that find a way in all the same.
_ROBOTS = b"User-agent: *\nDisallow: /\n"


@frozen(eq=False)
class _Visit:
    desk: Desk

    async def home(self, ask: Ask) -> bytes:
        if ask.session.visitor is not None:
            return ask.go("/account")
        return ask.render("home.html", signup=self.desk.settings.signup)

    async def robots(self, ask: Ask) -> bytes:
        return ask.give(_ROBOTS, b"text/plain; charset=utf-8")

    async def login(self, ask: Ask) -> bytes:
        if ask.session.visitor is not None:
            return ask.go("/account")
        first = bool(ask.query("first"))
        return ask.render("login.html", name="", error="", first=first)

    async def logged_in(self, ask: Ask) -> bytes:
        sent = ask.form(NAME, PASSWORD)
        try:
            visitor = await self.desk.membership.login(
                sent["name"], sent["password"], ask.peer
            )
        except WrongLoginError:
            error = "The name and the password do not go together."
            return ask.render(
                "login.html", 403, name=sent["name"], error=error, first=False
            )
        return ask.enter(visitor).go("/account")

    async def logged_out(self, ask: Ask) -> bytes:
        ask.form()
        return ask.enter(None).go("/")

    async def lost(self, ask: Ask) -> bytes:
        return ask.render("recover.html", name="", errors={})

    async def recovered(self, ask: Ask) -> bytes:
        sent = ask.form(NAME, _CODE, NEW, AGAIN)
        errors = {}
        code = ""
        try:
            if sent["new"] != sent["again"]:
                raise MembershipError(NOT_THE_SAME, "again")
            code = await self.desk.membership.recover(
                sent["name"], sent["code"], sent["new"], ask.peer
            )
        except MembershipError as error:
            errors[error.field or "code"] = str(error)
        except WrongLoginError:
            errors["code"] = "The name and the code do not go together."
        if errors:
            return ask.render("recover.html", 422, name=sent["name"], errors=errors)
        return ask.enter(None).render(
            "recovery_code.html", code=code, after="/login", fresh=False
        )


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _Visit(pages.desk)
    pages.page("/")(room.home)
    pages.page("/robots.txt")(room.robots)
    pages.page("/login")(room.login)
    pages.form("/login")(room.logged_in)
    pages.form("/logout")(room.logged_out)
    pages.page("/recover")(room.lost)
    pages.form("/recover")(room.recovered)
