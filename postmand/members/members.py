"""IMembership, put together of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from zope.interface import implementer

from postmand.members.directory import Directory
from postmand.members.entrance import Entrance
from postmand.members.ground import Book, Ground, IMember, is_at, named
from postmand.members.means import Means
from postmand.members.turnstile import Turnstile
from postmand.members.upkeep import Upkeep
from postmand.membership import (
    Details,
    Fact,
    IMembership,
    PublishedKey,
    Quota,
    Visitor,
)
from postmand.servers import cred

if TYPE_CHECKING:
    from postmand.postoffice import StampCounter
    from postmand.site import Site
    from postmand.store.opening import Store


def membership(
    site: Site,
    store: Store,
    checker: cred.Checker,
    argon2: Callable[..., Deferred[Any]],
    counter: StampCounter | None,
) -> Members:
    """Wire it. `checker` and `argon2` are the servers', `counter` that of the way out.

    The store was opened with the node's key.
    """
    config = site.config
    if store.quotas is None or store.tokens is None:
        raise RuntimeError("the store was opened without the node's key")
    codes = cred.Checker(
        store.accounts,
        store.recovery,
        argon2,
        site.reactor,
        evolve(config.accounts, remember_seconds=0.0),
        config.limits,
        site.random,
    )
    mint = store.tokens.mint if config.biff else None
    realm = cred.Realm({IMember: lambda member: member})
    by_password, by_code = (
        cred.Gate(Portal(realm, [one]), config.domains) for one in (checker, codes)
    )
    return Members(
        Ground(
            config,
            store,
            Book(store.quotas, store.quotas.ledger, counter, mint),
            by_password,
            by_code,
            Turnstile(argon2),
            site.clocks.wall,
        )
    )


@implementer(IMembership)
class Members:
    """See IMembership."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._entrance = Entrance(ground)
        self._upkeep = Upkeep(ground)
        self._means = Means(ground)
        self._directory = Directory(ground)

    def sign_up(
        self, name: str, password: str, display_name: str, stamp: str
    ) -> Deferred[str]:
        """Make an account; fire with its recovery code (see IMembership)."""
        return named(self._entrance.sign_up(name, password, display_name, stamp))

    def login(self, name: str, password: str, peer: str) -> Deferred[Visitor]:
        """Check a password, on the budget that SMTP and POP3 have, too."""
        return named(self._entrance.login(name, password, peer))

    def visitor(self, visitor: Visitor) -> Deferred[bool]:
        """Fire with whether the session still holds: nothing was changed since."""
        return named(self._holds(visitor))

    def details(self, visitor: Visitor) -> Deferred[Details]:
        """Fire with the account as it is now."""
        return named(self._upkeep.details(visitor))

    def set_password(self, visitor: Visitor, old: str, new: str) -> Deferred[Visitor]:
        """Change the password; every other session of the account ends."""
        return named(self._upkeep.set_password(visitor, old, new))

    def recover(self, name: str, code: str, new: str, peer: str) -> Deferred[str]:
        """Set a password with the recovery code; fire with the next code."""
        return named(self._entrance.recover(name, code, new, peer))

    def new_recovery(
        self, visitor: Visitor, password: str
    ) -> Deferred[tuple[Visitor, str]]:
        """Make a new recovery code, and fire with it; the old one is worth nothing."""
        return named(self._upkeep.new_recovery(visitor, password))

    def set_display_name(self, visitor: Visitor, text: str) -> Deferred[Visitor]:
        """Set the name that stands beside the address."""
        return named(self._upkeep.set_display_name(visitor, text))

    def set_delay(self, visitor: Visitor, delay: str) -> Deferred[None]:
        """Set when mail for the Internet leaves; "" leaves it to the node."""
        return named(self._upkeep.set_delay(visitor, delay))

    def remove(self, visitor: Visitor, password: str) -> Deferred[None]:
        """Remove the account with its mailbox for good; its name stays closed."""
        return named(self._upkeep.remove(visitor, password))

    def quota(self, visitor: Visitor) -> Deferred[Quota | None]:
        """Fire with what is left today; None where the node has no way out."""
        return named(self._means.quota(visitor))

    def buy(self, visitor: Visitor, stamp: str) -> Deferred[Quota]:
        """Credit what a stamp buys; fire with what is left then."""
        return named(self._means.buy(visitor, stamp))

    def biff_token(self, visitor: Visitor) -> Deferred[str | None]:
        """Fire with a new one-time token for biff; None where the node has no biff."""
        return named(self._means.biff_token(visitor))

    def facts(self, visitor: Visitor) -> Deferred[Sequence[Fact]]:
        """Fire with every stored field that is about the account."""
        return named(self._upkeep.facts(visitor))

    def publish(self, visitor: Visitor, key: str) -> Deferred[PublishedKey]:
        """Publish an OpenPGP certificate, stripped to what is the account's own."""
        return named(self._directory.publish(visitor, key))

    def withdraw(self, visitor: Visitor) -> Deferred[None]:
        """Take the published key back."""
        return named(self._directory.withdraw(visitor))

    def published(self, start: str, most: int) -> Deferred[Sequence[PublishedKey]]:
        """Fire with the published keys of names from `start` on, by name."""
        return named(self._directory.some(start, most))

    def published_by(self, name: str) -> Deferred[PublishedKey | None]:
        """Fire with one member's published key, or None."""
        return named(self._directory.by_name(name))

    def published_hash(self, digest: str) -> Deferred[PublishedKey | None]:
        """Fire with the key whose name has this WKD hash, or None."""
        return named(self._directory.by_hash(digest))

    async def _holds(self, visitor: Visitor) -> bool:
        found = await self._ground.store.accounts.credential(visitor.name)
        return is_at(found, visitor)
