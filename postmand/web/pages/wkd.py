"""The Web Key Directory: members' keys, for members and their mail programs alone.

draft-koch-openpgp-webkey-service, both its ways to ask. A mail program has no session:
it shows name and password instead (RFC 7617). A stranger is told the same of every
name, and a member is answered for an account without a key as for none.
"""

from __future__ import annotations

import base64
import binascii
import re

from attrs import frozen

from postmand.membership import WrongLoginError
from postmand.web.ask import Ask, Desk
from postmand.web.refusals import refusal
from postmand.web.site import Pages

_ROOT = "/.well-known/openpgpkey"
_OCTETS = b"application/octet-stream"
# Its realm names no software; UTF-8 is what passwords are in.
_CHALLENGE = b'Basic realm="mail", charset="UTF-8"'
_HASH = re.compile(r"[ybndrfg8ejkmcpqxot1uwisza345h769]{32}")


_NAME = 100


@frozen(eq=False)
class _Directory:
    desk: Desk

    async def key(self, ask: Ask) -> bytes:
        await self._here(ask)
        digest = ask.path["digest"]
        if not _HASH.fullmatch(digest):
            raise refusal(404)
        key = await self.desk.membership.published_hash(digest)
        # Newer programs name the local part, too (3.1): it has to be the key's.
        local = ask.query("l")
        if key is None or (local and local.lower() != key.name):
            raise refusal(404)
        return ask.give(key.octets, _OCTETS)

    async def policy(self, ask: Ask) -> bytes:
        """Give the policy file: it has to be there, and may be empty (4.5)."""
        await self._here(ask)
        return ask.give(b"", b"text/plain; charset=utf-8")

    async def _here(self, ask: Ask) -> None:
        if not self.desk.settings.keys:
            raise refusal(404)
        if not await self._is_member(ask):
            ask.request.setHeader(b"WWW-Authenticate", _CHALLENGE)
            raise refusal(401)
        node = self.desk.node
        domain = ask.path.get("domain", node.mail_domain).lower()
        domains = {node.mail_domain, node.internet_domain}
        if domain not in domains:
            raise refusal(404)

    async def _is_member(self, ask: Ask) -> bool:
        if ask.session.visitor is not None:
            return True
        shown = _basic(ask.authorization)
        if shown is None:
            return False
        try:
            await self.desk.membership.login(*shown, ask.peer)
        except WrongLoginError:
            return False
        return True


def _basic(value: bytes) -> tuple[str, str] | None:
    """Return the name and the password in an Authorization field (RFC 7617 2)."""
    scheme, _, credentials = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        pair = base64.b64decode(credentials.strip(b" "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = pair.partition(":")
    return (name, password) if colon and len(name) <= _NAME else None


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _Directory(pages.desk)
    for root in (_ROOT, f"{_ROOT}/<string:domain>"):
        pages.page(f"{root}/hu/<string:digest>")(room.key)
        pages.page(f"{root}/policy")(room.policy)
