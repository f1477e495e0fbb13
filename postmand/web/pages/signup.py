"""Creating an account: a name, a password, a stamp; the recovery code, shown once."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from postmand.membership import BusyError, MembershipError, WrongLoginError
from postmand.rules.names import BadNameError, check_display_name, check_spelling
from postmand.web.ask import Ask, Desk
from postmand.web.forms import Field
from postmand.web.pages.visit import AGAIN, NAME, NOT_THE_SAME, PASSWORD
from postmand.web.refusals import BUSY, PageError
from postmand.web.site import Pages

_DISPLAY_NAME = Field("display_name", 200, required=False)
_STAMP = Field("stamp", 600, required=False)
_FIELDS = (NAME, _DISPLAY_NAME, PASSWORD, AGAIN, _STAMP)
# What a form that was sent shows again; no password is ever in a page.
_SHOWN = ("name", "display_name", "stamp")

_BUSY = (
    "The node has more to do than it can. The account is not made yet, and the stamp "
    "not used. Wait for a minute, type the password again, and send this once more."
)
_CLOSED = PageError(
    403,
    "No accounts are made here",
    "The operator of this node makes accounts by hand. Ask the operator for one.",
)


@frozen(eq=False)
class _SignUp:
    desk: Desk

    async def create(self, ask: Ask) -> bytes:
        if ask.session.visitor is not None:
            return ask.go("/account")
        if not self.desk.settings.signup:
            raise _CLOSED
        return self._form(ask, 200, dict.fromkeys(_SHOWN, ""), {})

    async def created(self, ask: Ask) -> bytes:
        # Sent again, by a reload perhaps: there is an account, and this is its owner.
        if ask.session.visitor is not None:
            return ask.go("/account")
        if not self.desk.settings.signup:
            raise _CLOSED
        sent = ask.form(*_FIELDS)
        errors = _faults(sent, self.desk.settings.signup_bits)
        code = ""
        if not errors:
            try:
                code = await self.desk.membership.sign_up(
                    sent["name"], sent["password"], sent["display_name"], sent["stamp"]
                )
            except MembershipError as error:
                errors[error.field or "name"] = str(error)
            except BusyError:
                return self._form(ask, BUSY.status, sent, {}, busy=_BUSY)
        if errors:
            return self._form(ask, 422, sent, errors)
        return await self._made(ask, sent, code)

    async def _made(self, ask: Ask, sent: Mapping[str, str], code: str) -> bytes:
        """Log the new member in, and show the code, which is kept nowhere."""
        try:
            visitor = await self.desk.membership.login(
                sent["name"], sent["password"], ask.peer
            )
        except (BusyError, WrongLoginError):
            visitor = None
        return ask.enter(visitor).render(
            "recovery_code.html",
            code=code,
            after="/account" if visitor else "/login",
            fresh=True,
        )

    def _form(
        self,
        ask: Ask,
        status: int,
        sent: Mapping[str, str],
        errors: Mapping[str, str],
        *,
        busy: str = "",
    ) -> bytes:
        return ask.render(
            "create.html",
            status,
            bits=self.desk.settings.signup_bits,
            sent={name: sent[name] for name in _SHOWN},
            errors=errors,
            busy=busy,
        )


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _SignUp(pages.desk)
    pages.page("/create")(room.create)
    pages.form("/create")(room.created)


def _faults(sent: Mapping[str, str], bits: int) -> dict[str, str]:
    """Return what is wrong with a form before the node is asked, by field.

    That a name is not to be had is no such fault: that costs a stamp to learn.
    """
    errors: dict[str, str] = {}
    checks = {"name": check_spelling, "display_name": check_display_name}
    for field, check in checks.items():
        try:
            check(sent[field])
        except BadNameError as error:
            text = str(error)
            errors[field] = f"{text[:1].upper()}{text[1:]}."
    if sent["password"] != sent["again"]:
        errors["again"] = NOT_THE_SAME
    if bits:
        stamp = _stamp_fault(sent["stamp"], sent["name"])
        if stamp:
            errors["stamp"] = stamp
    return errors


def _stamp_fault(stamp: str, name: str) -> str:
    """Return what is plainly wrong with a stamp: the node weighs it, not the page."""
    if not stamp:
        return "The stamp is missing; make one for this name."
    parts = stamp.split(":")
    use, slash, address = (parts[3] if len(parts) > 3 else "").partition("/")
    made_for = address.rpartition("@")[0]
    if slash and use == "signup" and made_for != name:
        return f"This stamp is for the name {made_for}; make one for this name."
    return ""
