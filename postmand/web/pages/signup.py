"""Creating an account: a name, a password, a stamp; the recovery code, shown once."""

from __future__ import annotations

from collections.abc import Mapping

from postmand.membership import MembershipError
from postmand.rules.names import BadNameError, check_display_name, check_name
from postmand.web.forms import Field
from postmand.web.pages.visit import AGAIN, NAME, NOT_THE_SAME, PASSWORD
from postmand.web.site import Ask, PageError, Pages

_DISPLAY_NAME = Field("display_name", 200, required=False)
_STAMP = Field("stamp", 600, required=False)

_CLOSED = PageError(
    403,
    "No accounts are made here",
    "The operator of this node makes accounts by hand. Ask the operator for one.",
)


def add(pages: Pages) -> None:
    """Add the room's pages."""
    settings = pages.desk.settings

    def form(
        ask: Ask, status: int, sent: Mapping[str, str], errors: Mapping[str, str]
    ) -> bytes:
        return ask.render(
            "create.html",
            status,
            bits=settings.signup_bits,
            sent=sent,
            errors=errors,
            script=True,
        )

    @pages.page("/create")
    async def create(ask: Ask) -> bytes:
        if not settings.signup:
            raise _CLOSED
        return form(ask, 200, dict.fromkeys(("name", "display_name", "stamp"), ""), {})

    @pages.form("/create")
    async def created(ask: Ask) -> bytes:
        if not settings.signup:
            raise _CLOSED
        sent = ask.form(NAME, _DISPLAY_NAME, PASSWORD, AGAIN, _STAMP)
        errors = _faults(sent, settings.signup_bits)
        code = ""
        if not errors:
            try:
                code = await pages.desk.membership.sign_up(
                    sent["name"], sent["password"], sent["display_name"], sent["stamp"]
                )
            except MembershipError as error:
                errors[error.field or "name"] = str(error)
        if errors:
            return form(ask, 422, sent, errors)
        visitor = await pages.desk.membership.login(
            sent["name"], sent["password"], ask.peer
        )
        ask.enter(visitor)
        return ask.render("recovery_code.html", code=code, after="/account", fresh=True)


def _faults(sent: Mapping[str, str], bits: int) -> dict[str, str]:
    """Return what is wrong with a form before the node is asked, by field."""
    errors: dict[str, str] = {}
    for field, check in (("name", check_name), ("display_name", check_display_name)):
        try:
            check(sent[field])
        except BadNameError as error:
            errors[field] = f"{str(error).capitalize()}."
    if sent["password"] != sent["again"]:
        errors["again"] = NOT_THE_SAME
    if bits and not sent["stamp"]:
        errors["stamp"] = "The stamp is missing; make one for this name."
    return errors
