"""The Web Key Directory: members' keys for mail programs, which have no session.

draft-koch-openpgp-webkey-service, both its ways to ask. An account without a key is
answered as no account is.
"""

from __future__ import annotations

import re

from attrs import frozen

from postmand.web.ask import Ask, Desk
from postmand.web.refusals import refusal
from postmand.web.site import Pages

_ROOT = "/.well-known/openpgpkey"
_OCTETS = b"application/octet-stream"
_HASH = re.compile(r"[ybndrfg8ejkmcpqxot1uwisza345h769]{32}")


@frozen(eq=False)
class _Directory:
    desk: Desk

    async def key(self, ask: Ask) -> bytes:
        self._here(ask)
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
        self._here(ask)
        return ask.give(b"", b"text/plain; charset=utf-8")

    def _here(self, ask: Ask) -> None:
        node = self.desk.node
        domain = ask.path.get("domain", node.mail_domain).lower()
        domains = {node.mail_domain, node.internet_domain}
        if not self.desk.settings.keys or domain not in domains:
            raise refusal(404)


def add(pages: Pages) -> None:
    """Add the room's pages."""
    room = _Directory(pages.desk)
    for root in (_ROOT, f"{_ROOT}/<string:domain>"):
        pages.page(f"{root}/hu/<string:digest>")(room.key)
        pages.page(f"{root}/policy")(room.policy)
