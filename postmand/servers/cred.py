"""Who is let in: the gate both servers ask, its checker and its realm (Twisted cred).

Argon2 at anybody's asking is an attack on the CPU. So logins that have to be computed
wait in a bounded queue in which those who failed of late stand behind the others, and
none is shut out: the owner's right password comes through an attack on the account,
at once where it is remembered, a little later where it is not.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import itertools
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from zope.interface import Interface, implementer

from postmand.interfaces import Credential, IAccounts, IKeyring, Member
from postmand.rules.penalty import Penalties
from postmand.servers.sasl import Login

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.interfaces import IReactorTime

    from postmand.config import Accounts, Limits

# A refusal waits this long at the most, however often its sender failed before.
_LONGEST_DELAY = 8.0
# So many failures are free of delay: people mistype.
_FREE = 2.0

WrongLoginError = UnauthorizedLogin


class LoginBusyError(Exception):
    """More logins wait than the queue takes; try again later."""


class ILogin(ICredentials):
    """A name, a password and the peer that sent them."""


@implementer(ILogin)
@frozen
class PeerLogin:
    """See ILogin."""

    name: str
    password: bytes = field(repr=False)
    peer: str = field(repr=False)


class Gate:
    """Turns a SASL login into an avatar."""

    def __init__(self, portal: Portal, domains: frozenset[bytes]) -> None:
        self._portal = portal
        self._domains = domains

    async def enter(self, login: Login, peer: str, avatar: type[Interface]) -> Any:
        """Return the member's avatar of that interface.

        Raises WrongLoginError (alike for unknown names, wrong passwords and disabled
        accounts) or LoginBusyError. An authzid must name the login itself.
        """
        name = self.account_name(login.name)
        if login.authzid and self.account_name(login.authzid) != name:
            name = ""  # nobody's: refused like any other, and as slowly
        asked = PeerLogin(name, login.password, peer)
        _, member, _ = await self._portal.login(asked, None, avatar)
        return member

    def account_name(self, name: bytes) -> str:
        """Return the account's name for a login, bare or in one of our domains."""
        local, at, domain = name.lower().rpartition(b"@")
        if not at:
            local = domain
        elif domain.rstrip(b".") not in self._domains:
            return ""
        return local.decode("ascii", "replace")


@implementer(IRealm)
class Realm:
    """Makes avatars; a logged-in Member is the avatar id."""

    def __init__(self, avatars: Mapping[type[Interface], Callable[[Member], Any]]):
        self._avatars = avatars

    def requestAvatar(
        self,
        avatarId: Any,
        mind: object,  # noqa: ARG002 (cred's; we have no use for one)
        *interfaces: type[Interface],
    ) -> Deferred[Any]:
        """Return (interface, avatar, logout) for the first interface known."""
        for interface in interfaces:
            if interface in self._avatars:
                avatar = self._avatars[interface](avatarId)
                return succeed((interface, avatar, _no_logout))
        raise NotImplementedError("no avatar of that kind")


def _no_logout() -> None:
    """Nothing to do: an avatar holds nothing beyond its session."""


@frozen(order=False)
class _Attempt:
    peer: str = field(repr=False)
    credential: Credential | None
    password: bytes = field(repr=False)
    done: Deferred[Member | None] = field(factory=Deferred)


@implementer(ICredentialsChecker)
class Checker:
    """Checks passwords: remembered ones at once, others in the queue."""

    credentialInterfaces = (ILogin,)

    def __init__(
        self,
        accounts: IAccounts,
        keyring: IKeyring,
        in_thread: Callable[..., Deferred[Any]],
        reactor: IReactorTime,
        settings: Accounts,
        limits: Limits,
        random: Random,
    ) -> None:
        self._random = random
        self._accounts = accounts
        self._keyring = keyring
        self._in_thread = in_thread
        self._reactor = reactor
        self._limits = limits
        self._remembered = Remembered(
            settings.remember_seconds, limits.logins_remembered
        )
        self._penalties = Penalties()
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, _Attempt]] = []
        self._working = 0
        self._asking: Counter[str] = Counter()

    def forget(self) -> None:
        """Drop remembered logins whose time is over; called now and then."""
        self._remembered.expire(self._reactor.seconds())

    def requestAvatarId(self, credentials: PeerLogin) -> Deferred[Any]:
        """Fire with the Member, or fail with WrongLoginError or LoginBusyError."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, login: PeerLogin) -> Member:
        credential = await self._accounts.credential(login.name)
        now = self._reactor.seconds()
        member = self._remembered.recall(credential, login.password, now)
        if member is not None:
            return member
        keys = login.peer, (login.peer, login.name), (login.name,)
        penalty = sum(self._penalties.of(key, now) for key in keys)
        self._asking[login.peer] += 1
        try:
            # Who asks much at once stands behind who asks once.
            member = await self._queue(
                penalty + self._asking[login.peer],
                _Attempt(login.peer, credential, login.password),
            )
        finally:
            self._asking[login.peer] -= 1
            if not self._asking[login.peer]:
                del self._asking[login.peer]
        if member is not None:
            self._remembered.keep(member, login.password, self._reactor.seconds())
            return member
        for key in keys:
            self._penalties.add(key, now)
        delay = min(_LONGEST_DELAY, max(0.0, penalty / len(keys) - _FREE))
        if delay:
            await deferLater(self._reactor, delay)
        raise WrongLoginError

    def _queue(self, penalty: float, attempt: _Attempt) -> Deferred[Member | None]:
        heapq.heappush(self._waiting, (penalty, next(self._order), attempt))
        if len(self._waiting) > self._limits.logins_waiting:
            self._drop_one()
        self._work()
        return attempt.done

    def _drop_one(self) -> None:
        """Turn one away: of the peer that asks most, who failed most, by lot."""
        peers = Counter(attempt.peer for _, _, attempt in self._waiting)
        dropped = max(
            self._waiting,
            key=lambda one: (peers[one[2].peer], one[0], self._random.random()),
        )
        self._waiting.remove(dropped)
        heapq.heapify(self._waiting)
        dropped[2].done.errback(LoginBusyError())

    def _work(self) -> None:
        while self._waiting and self._working < self._limits.argon2_threads:
            self._working += 1
            attempt = heapq.heappop(self._waiting)[2]
            done = self._in_thread(
                self._keyring.unlock, attempt.credential, attempt.password
            )
            done.addBoth(self._worked).chainDeferred(attempt.done)

    def _worked(self, result: Any) -> Any:
        self._working -= 1
        self._work()
        return result


class Remembered:
    """Logins that succeeded of late, with their opened keys, in memory only.

    The password is kept as a hash keyed for this process. An entry is worth nothing
    once the account's credential has another version.
    """

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._size = size
        self._key = os.urandom(32)
        self._entries: OrderedDict[str, tuple[float, bytes, Member]] = OrderedDict()

    def recall(
        self, credential: Credential | None, password: bytes, now: float
    ) -> Member | None:
        """Return the member where this password opened this version before."""
        if credential is None or credential.name not in self._entries:
            return None
        until, digest, member = self._entries[credential.name]
        # A name may have become another account's.
        stale = credential.disabled or (member.account, member.version) != (
            credential.account,
            credential.version,
        )
        if stale or not now < until:
            del self._entries[credential.name]
            return None
        right = hmac.compare_digest(digest, self._digest(member, password))
        return member if right else None

    def keep(self, member: Member, password: bytes, now: float) -> None:
        """Remember a login that succeeded."""
        if not self._seconds:
            return
        digest = self._digest(member, password)
        self._entries[member.name] = (now + self._seconds, digest, member)
        self._entries.move_to_end(member.name)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def expire(self, now: float) -> None:
        """Forget what is over. Entries stand in the order in which they end."""
        while self._entries and next(iter(self._entries.values()))[0] <= now:
            self._entries.popitem(last=False)

    def _digest(self, member: Member, password: bytes) -> bytes:
        salt = member.account.to_bytes(16, "little")
        return hashlib.blake2b(password, key=self._key, salt=salt).digest()
