"""What all parts of the membership stand on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from postmand.config import Config, Web
from postmand.interfaces import (
    Credential,
    Member,
    NoSuchMailboxError,
    StoreBusyError,
)
from postmand.members.turnstile import Turnstile
from postmand.membership import (
    BusyError,
    MembershipError,
    Visitor,
    WrongLoginError,
)
from postmand.servers import cred
from postmand.servers.sasl import Login
from postmand.store.passwords import BadPasswordError, check_password
from postmand.store.refusals import ChangedMeanwhileError, NoSuchAccountError
from postmand.store.registry import visitor_of

if TYPE_CHECKING:
    from postmand.postoffice import StampCounter
    from postmand.store.opening import Store
    from postmand.store.quotas import Ledger, Quotas
    from postmand.store.tokens import Mint

T = TypeVar("T")

CHANGED = "The account was changed elsewhere in the meantime. Log in again."

_DAY = 86_400


class IMember(Interface):
    """The account itself, without a session on anything."""


@frozen(eq=False)
class Book:
    """What only the node's key opens; a node with pages has one. See `Site` for wall.

    `counter` is None on a node without a way out, `mint` on one without biff.
    """

    quotas: Quotas
    ledger: Ledger
    counter: StampCounter | None
    mint: Mint | None


@frozen(eq=False)
class Ground:
    """`gate` knows passwords, `codes` recovery codes; `wall` is the wall's clock."""

    config: Config
    store: Store
    book: Book
    gate: cred.Gate
    codes: cred.Gate
    turns: Turnstile
    wall: Callable[[], float]

    @property
    def web(self) -> Web:
        """The pages' section."""
        return self.config.web or Web()

    async def at(self, visitor: Visitor) -> Credential:
        """Return the visitor's account, unchanged since the session began."""
        credential = await self.store.accounts.credential(visitor.name)
        if credential is None or not is_at(credential, visitor):
            raise MembershipError(CHANGED)
        return credential

    async def opened(self, visitor: Visitor, password: str) -> Member:
        """Return the visitor's account, opened with its password."""
        await self.at(visitor)
        login = Login(octets_of(visitor.name), octets_of(password))
        # No peer is known here; all of one account's stand in one another's way.
        peer = f"session of {visitor.account}"
        member: Member = await self.gate.enter(login, peer, IMember)
        if visitor_of(member) != visitor:
            raise MembershipError(CHANGED)
        return member

    def new_password(self, text: str, field: str) -> bytes:
        """Return a password that is being chosen, in octets; its length is all."""
        least = self.config.accounts.min_password_length
        if len(text) < least:
            told = f"The password has fewer than {least} characters."
            raise MembershipError(told, field)
        try:
            return check_password(octets_of(text))
        except BadPasswordError as error:
            raise MembershipError(sentence(error), field) from None

    def today(self) -> int:
        """Return the day, counted from 1970-01-01 UTC."""
        return int(self.wall() // _DAY)


def named(work: Awaitable[T]) -> Deferred[T]:
    """Run it; what others call by their names fails by the seam's."""

    async def run() -> T:
        try:
            return await work
        except (cred.LoginBusyError, StoreBusyError):
            raise BusyError from None
        except cred.WrongLoginError:
            raise WrongLoginError from None
        except (ChangedMeanwhileError, NoSuchAccountError, NoSuchMailboxError):
            raise MembershipError(CHANGED) from None

    return Deferred.fromCoroutine(run())


def is_at(credential: Credential | None, visitor: Visitor) -> bool:
    """Tell whether the account is as it was when the session began."""
    if credential is None or credential.disabled:
        return False
    return visitor == Visitor(credential.account, credential.name, credential.version)


def sentence(error: Exception) -> str:
    """Return an error's text as a sentence of its own."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def octets_of(text: str) -> bytes:
    """Return a form's text as octets, whatever is in it."""
    return text.encode(errors="surrogatepass")
