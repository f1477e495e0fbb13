"""Who may speak for an account outside SMTP and POP3: by its password, or by a token.

Both cost what a login costs: a token that is good is spent at once, and everything else
goes through the same gate as passwords, with the same queue, work and delays. So what
is wrong is answered alike and as slowly, whatever is wrong with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from postmand.interfaces import StoreBusyError
from postmand.notice import Claim, ClaimsBusyError, IClaims
from postmand.servers.cred import Gate, LoginBusyError, Realm, WrongLoginError
from postmand.servers.sasl import Login
from postmand.store.tokens import Tokens
from postmand.store.watches import Watches

if TYPE_CHECKING:
    from postmand.servers.cred import Checker


class _IMember(Interface):
    """The account itself, without a session on anything."""


@implementer(IClaims)
class Claims:
    """See IClaims. `checker` is the one that the servers ask."""

    def __init__(
        self,
        checker: Checker,
        domains: Iterable[bytes],
        tokens: Tokens,
        watches: Watches,
    ) -> None:
        realm = Realm({_IMember: lambda member: member})
        self._gate = Gate(Portal(realm, [checker]), frozenset(domains))
        self._tokens = tokens
        self._watches = watches

    def watch(
        self, address: bytes, secret: bytes, peer: str, tag: bytes
    ) -> Deferred[Claim | None]:
        """See IClaims."""
        return Deferred.fromCoroutine(self._watch(address, secret, peer, tag))

    async def _watch(
        self, address: bytes, secret: bytes, peer: str, tag: bytes
    ) -> Claim | None:
        added = False

        def add(connection: sqlite3.Connection, account: int) -> None:
            nonlocal added
            added = self._watches.roll.add(connection, tag, account)

        try:
            name = self._gate.account_name(address)
            spent = await self._tokens.spend(name, secret, add)
            if spent is not None:
                return Claim(spent.account, spent.name, added)
            member = await self._gate.enter(Login(address, secret), peer, _IMember)
            if member is None:
                return None
            added = await self._watches.add(tag, member.account, member.version)
            return Claim(member.account, member.name, added)
        except WrongLoginError:
            return None
        except (LoginBusyError, StoreBusyError) as error:
            raise ClaimsBusyError from error
