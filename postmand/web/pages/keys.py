"""Public keys: the members' directory, and publishing one's own."""

from __future__ import annotations

from attrs import frozen

from postmand.membership import MembershipError, PublishedKey
from postmand.rules.names import BadNameError, check_spelling
from postmand.web.armor import armored
from postmand.web.ask import Ask, Desk
from postmand.web.forms import Field
from postmand.web.refusals import PageError, refusal
from postmand.web.site import Pages

_PAGE = 50
_SECRET = "PRIVATE KEY"  # noqa: S105 (what stands above one)

_NONE = PageError(404, "No keys here", "This node does not keep members' public keys.")
_DONE = {
    "published": "Your key is published.",
    "withdrawn": "Your key is taken back. Copies that others have are theirs.",
}


@frozen(eq=False)
class _Keys:
    desk: Desk

    async def directory(self, ask: Ask) -> bytes:
        start = ask.query("from") if ask.visitor else ""
        self._open()
        found = await self.desk.membership.published(_asked(start), _PAGE + 1)
        after = found[_PAGE].name if len(found) > _PAGE else ""
        rows = [(one.name, grouped(one.fingerprint)) for one in found[:_PAGE]]
        return ask.render("keys.html", rows=rows, after=after, start=start)

    async def one(self, ask: Ask) -> bytes:
        """Give a member's key as a file; to members only, as the directory."""
        key = await self._published(ask, _asked(ask.path["name"]))
        if key is None:
            raise refusal(404)
        disposition = f'attachment; filename="{key.name}.asc"'
        ask.request.setHeader(b"Content-Disposition", disposition.encode("ascii"))
        return ask.give(armored(key.octets), b"application/pgp-keys")

    async def own(self, ask: Ask) -> bytes:
        return await self._show(ask, done=_DONE.get(ask.query("done"), ""))

    async def publish(self, ask: Ask) -> bytes:
        visitor = ask.visitor
        self._open()
        # No form is longer; what is said of a key that is too long, says who reads it.
        most = self.desk.settings.max_form_bytes
        sent = ask.form(Field("key", most, lines=True))
        try:
            await self.desk.membership.publish(visitor, sent["key"])
        except MembershipError as error:
            # Of a secret key that was pasted by mistake no page holds a copy.
            typed = "" if _SECRET in sent["key"] else sent["key"]
            return await self._show(ask, typed=typed, error=str(error))
        return ask.go("/account/key?done=published")

    async def withdraw(self, ask: Ask) -> bytes:
        visitor = ask.visitor
        self._open()
        ask.form()
        await self.desk.membership.withdraw(visitor)
        return ask.go("/account/key?done=withdrawn")

    async def _show(
        self, ask: Ask, *, done: str = "", typed: str = "", error: str = ""
    ) -> bytes:
        key = await self._published(ask, ask.visitor.name)
        return ask.render(
            "own_key.html",
            422 if error else 200,
            fingerprint=grouped(key.fingerprint) if key else "",
            most=self.desk.settings.max_key_bytes,
            typed=typed,
            error=error,
            done=done,
        )

    async def _published(self, ask: Ask, name: str) -> PublishedKey | None:
        _ = ask.visitor  # members only
        self._open()
        return await self.desk.membership.published_by(name) if name else None

    def _open(self) -> None:
        if not self.desk.settings.keys:
            raise _NONE


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _Keys(pages.desk)
    pages.page("/keys")(room.directory)
    pages.page("/keys/<string:name>")(room.one)
    pages.page("/account/key")(room.own)
    pages.form("/account/key")(room.publish)
    pages.form("/account/key/withdraw")(room.withdraw)


def grouped(fingerprint: str) -> str:
    """Return a fingerprint as people compare it: in groups of four, in capitals."""
    text = fingerprint.upper()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _asked(name: str) -> str:
    """Return a name that an account may have, "" for any other."""
    try:
        return check_spelling(name)
    except BadNameError:
        return ""
