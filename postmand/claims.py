"""Who may speak for an account outside SMTP and POP3: by its password, or by a token.

Both cost what a login costs: a token that is good is spent at once, and everything else
goes through the same gate as passwords, with the same queue, work and delays. So what
is wrong is answered alike and as slowly, whatever is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from postmand.interfaces import Credential, Member, StoreBusyError
from postmand.notice import ClaimsBusyError, IClaims
from postmand.servers.cred import Gate, LoginBusyError, Realm, WrongLoginError
from postmand.servers.sasl import Login
from postmand.store.tokens import Tokens

if TYPE_CHECKING:
    from postmand.servers.cred import Checker


class _IMember(Interface):
    """The account itself, without a session on anything."""


@implementer(IClaims)
class Claims:
    """See IClaims. `checker` is the one that the servers ask."""

    def __init__(
        self, checker: Checker, domains: Iterable[bytes], tokens: Tokens
    ) -> None:
        realm = Realm({_IMember: lambda member: member})
        self._gate = Gate(Portal(realm, [checker]), frozenset(domains))
        self._tokens = tokens

    def account(
        self, address: bytes, secret: bytes, peer: str
    ) -> Deferred[tuple[int, str] | None]:
        """Fire with (account, its name), or None; may fail with ClaimsBusyError."""
        return Deferred.fromCoroutine(self._account(address, secret, peer))

    async def _account(
        self, address: bytes, secret: bytes, peer: str
    ) -> tuple[int, str] | None:
        try:
            name = self._gate.account_name(address)
            found: Credential | Member | None = await self._tokens.spend(name, secret)
            if found is None:
                found = await self._gate.enter(Login(address, secret), peer, _IMember)
        except WrongLoginError:
            return None
        except (LoginBusyError, StoreBusyError) as error:
            raise ClaimsBusyError from error
        return None if found is None else (found.account, found.name)
