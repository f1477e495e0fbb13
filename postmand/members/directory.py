"""Members' public keys: published, taken back, found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.defer import Deferred

from postmand.members.ground import Ground, sentence
from postmand.membership import MembershipError, PublishedKey, Visitor
from postmand.store import openpgp

_MOST_SHOWN = 1_000


@frozen(eq=False)
class Directory:
    """See IMembership for what the methods promise. Closed, it shows nothing."""

    _ground: Ground

    async def publish(self, visitor: Visitor, key: str) -> PublishedKey:
        """Publish a certificate, stripped to the account's own."""
        if not self._ground.web.keys:
            raise MembershipError("This node publishes no keys.", "key")
        await self._ground.at(visitor)
        names = self._ground.config.node
        addresses = {
            f"{visitor.name}@{domain}"
            for domain in (names.mail_domain, names.internet_domain)
        }
        most = self._ground.web.max_key_bytes
        try:
            cleaned = await self._ground.turns.take(
                *(visitor.name, openpgp.clean, key, addresses),
                *(self._ground.wall(), most),
            )
        except openpgp.KeyRefusedError as error:
            raise MembershipError(sentence(error), "key") from None
        return await self._ground.store.published.put(
            visitor, cleaned.fingerprint, cleaned.octets
        )

    async def withdraw(self, visitor: Visitor) -> None:
        """Take the published key back."""
        await self._ground.at(visitor)
        await self._ground.store.published.remove(visitor)

    async def some(self, start: str, most: int) -> Sequence[PublishedKey]:
        """Return the published keys of names from `start` on, by name."""
        if not self._ground.web.keys:
            return ()
        shown = max(0, min(most, _MOST_SHOWN))
        return await self._ground.store.published.names(_asked(start), shown)

    async def by_name(self, name: str) -> PublishedKey | None:
        """Return one member's published key."""
        return await self._found(self._ground.store.published.by_name, name)

    async def by_hash(self, digest: str) -> PublishedKey | None:
        """Return the key whose name has this WKD hash."""
        return await self._found(self._ground.store.published.by_hash, digest)

    async def _found(
        self, find: Callable[[str], Deferred[PublishedKey | None]], what: str
    ) -> PublishedKey | None:
        return await find(_asked(what)) if self._ground.web.keys else None


def _asked(text: str) -> str:
    """Return what is looked for as it stands in the store, if it does."""
    return text.lower().encode(errors="replace").decode()
