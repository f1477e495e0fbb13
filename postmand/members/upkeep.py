"""What members change of their account, and what they are told of it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from postmand.config import DELAYS
from postmand.members.ground import CHANGED, Ground, sentence
from postmand.membership import Details, Fact, MembershipError, Visitor
from postmand.rules.names import BadNameError


@frozen(eq=False)
class Upkeep:
    """See IMembership for what the methods promise."""

    _ground: Ground

    async def details(self, visitor: Visitor) -> Details:
        """Return the account as it is now."""
        await self._ground.at(visitor)
        details = await self._ground.store.dossier.details(visitor)
        if details is None:
            raise MembershipError(CHANGED)
        return details

    async def facts(self, visitor: Visitor) -> Sequence[Fact]:
        """Return every stored field about the account."""
        await self._ground.at(visitor)
        return await self._ground.store.dossier.facts(visitor.account)

    async def set_password(self, visitor: Visitor, old: str, new: str) -> Visitor:
        """Wrap the key under a new password; return the new version."""
        octets = self._ground.new_password(new, "new")
        member = await self._ground.opened(visitor, old)
        change = self._ground.store.registry.change_password
        return await self._ground.turns.take(visitor.name, change, member, octets)

    async def new_recovery(
        self, visitor: Visitor, password: str
    ) -> tuple[Visitor, str]:
        """Return the new version, and a new recovery code."""
        member = await self._ground.opened(visitor, password)
        return await self._ground.turns.take(
            visitor.name, self._ground.store.registry.new_recovery, member
        )

    async def set_display_name(self, visitor: Visitor, text: str) -> Visitor:
        """Set the name beside the address; return the new version."""
        name, change = visitor.name, self._ground.store.registry.set_display_name
        try:
            return await self._ground.turns.take(name, change, name, text, visitor)
        except BadNameError as error:
            raise MembershipError(sentence(error), "display_name") from None

    async def set_delay(self, visitor: Visitor, delay: str) -> None:
        """Set when mail for the Internet leaves."""
        if delay not in ("", *DELAYS):
            raise MembershipError("There is no such delay.", "delay")
        name, change = visitor.name, self._ground.store.registry.set_delay
        await self._ground.turns.take(name, change, name, delay, visitor)

    async def remove(self, visitor: Visitor, password: str) -> None:
        """Remove the account, and close its name."""
        await self._ground.opened(visitor, password)
        days = self._ground.web.closed_name_days
        until = self._ground.today() + days if days else None
        name, change = visitor.name, self._ground.store.registry.remove
        await self._ground.turns.take(name, change, name, visitor, until)
