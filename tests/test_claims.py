"""Claims on an account: by password and by token, at the price of a login."""

from __future__ import annotations

import contextlib
import queue
import random
import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from postmand.claims import Claims
from postmand.config import Accounts, Config, Limits
from postmand.interfaces import NoSuchMailboxError, StoreBusyError
from postmand.notice import Claim, ClaimsBusyError, IClaims, TooManyWatchesError
from postmand.servers.cred import Checker
from postmand.store.tokens import Mint
from postmand.store.watches import Watches
from tests.contracts.queue_cases import NODE_KEY, RealQueueCase
from tests.contracts.stores import PATIENCE
from tests.sessions import Work

pytestmark = pytest.mark.long

PASSWORD = b"secret"


class CountedKeyring:
    """A keyring that counts what it is asked."""

    def __init__(self, keyring: Any) -> None:
        self._keyring = keyring
        self.tries = 0

    def unlock(self, credential: Any, password: bytes) -> Any:
        """Ask the real one."""
        self.tries += 1
        return self._keyring.unlock(credential, password)


class ClaimsCase(RealQueueCase):
    """A real store, behind a checker as the servers have it, and claims on it."""

    def setUp(self) -> None:
        """Make two accounts."""
        super().setUp()
        self.clock, self.argon2 = Clock(), Work()
        self.keyring = CountedKeyring(self.store.keyring)
        self.checker = self.make_checker(Limits())
        self.claims = self.made(self.checker)
        self.jondoe, self.alice = self.add("jondoe"), self.add("alice")

    def make_checker(self, limits: Limits) -> Checker:
        """Return a checker of these limits."""
        return Checker(
            self.store.accounts,
            self.keyring,
            self.argon2,
            self.clock,
            Accounts(),
            limits,
            random.Random(3),
        )

    def made(self, checker: Checker) -> Claims:
        """Return claims on the store that is open."""
        tokens, watches = self.store.tokens, self.store.watches
        assert tokens is not None
        assert watches is not None
        self.tag = watches.tag(b"jack")
        return Claims(checker, Config().domains, tokens, watches)

    def asked(
        self, address: bytes, secret: bytes, peer: str = "irc:jack"
    ) -> Deferred[Any]:
        """Claim for one nick."""
        return self.claims.watch(address, secret, peer, self.tag)

    def claim(
        self, address: bytes, secret: bytes, peer: str = "irc:jack"
    ) -> tuple[int, str] | None:
        """Claim and wait; a refusal's delay passes by itself."""
        found = self.wait(self.asked(address, secret, peer))
        return None if found is None else (found.account, found.name)

    def wait(self, claim: Deferred[Any]) -> Any:
        """Return what fires, moving the clock on while something waits for it."""
        fired: list[Any] = []
        claim.addBoth(fired.append)
        end = time.monotonic() + PATIENCE
        while not fired:
            self.clock.advance(10)
            with contextlib.suppress(queue.Empty):
                self.loop._waiting.get(timeout=0.01)()
            self.assertLess(time.monotonic(), end)
        if isinstance(fired[0], Failure):
            fired[0].raiseException()
        return fired[0]

    def token(self, name: str = "jondoe") -> bytes:
        """Return a new token."""
        credential = self.get(self.store.accounts.credential(name))
        return Mint(NODE_KEY).make(credential, self.loop.seconds()).encode()


class ClaimsTest(ClaimsCase):
    """What opens an account, and what does not."""

    def test_provides_its_interface(self) -> None:
        """The object has the methods that the seam names."""
        verifyObject(IClaims, self.claims)

    def test_by_password(self) -> None:
        """A login's names are this door's, too."""
        mine = self.jondoe.account, "jondoe"
        for address in (b"jondoe", b"JonDoe@mail.i2p", b"jondoe@i2pmail.org"):
            self.assertEqual(self.claim(address, PASSWORD), mine)
        for address in (b"jondoe@example.org", b"", b"@", b"\xff\n", b"nobody"):
            self.assertIsNone(self.claim(address, PASSWORD), address)

    def test_by_token(self) -> None:
        """Once, by any of the account's addresses, and at no Argon2id's cost."""
        token = self.token()
        self.assertEqual(
            self.claim(b"jondoe@mail.i2p", token), (self.jondoe.account, "jondoe")
        )
        self.assertEqual(self.keyring.tries, 0)
        self.assertIsNone(self.claim(b"jondoe@mail.i2p", token))

    def test_all_that_is_wrong_is_alike(self) -> None:
        """Each costs one Argon2id and is None: nothing tells which it was."""
        spent, foreign = self.token(), self.token("alice")
        self.claim(b"jondoe", spent)
        closed = self.token("alice")
        self.operator().disable("alice")
        for number, (address, secret) in enumerate(
            (
                (b"jondoe", b"wrong"),
                (b"nobody", b"wrong"),
                (b"alice", PASSWORD),
                (b"alice", closed),
                (b"jondoe", spent),
                (b"jondoe", foreign),
                (b"nobody", self.token()),
                (b"jondoe@example.org", self.token()),
                (b"jondoe", b"biff-00000-00000"),
            )
        ):
            tries = self.keyring.tries
            self.assertIsNone(self.claim(address, secret, f"irc:{number}"))
            self.assertEqual(self.keyring.tries, tries + 1, (address, secret))

    def test_a_password_that_looks_like_a_token(self) -> None:
        """It is still the password."""
        odd = self.token("alice")
        self.operator().set_password("jondoe", odd)
        mine = self.jondoe.account, "jondoe"
        self.assertEqual(self.claim(b"jondoe", odd), mine)
        self.assertEqual(self.claim(b"jondoe", odd), mine)

    def test_two_at_once(self) -> None:
        """Two nicks that bring one token at one moment: one gets the account."""
        token = self.token()
        racing = [self.asked(b"jondoe", token, f"irc:{nick}") for nick in "ab"]
        found = self.wait(gatherResults(racing))
        self.assertEqual(found.count(None), 1)
        self.assertEqual(found.count(Claim(self.jondoe.account, "jondoe", True)), 1)

    def test_watched_with_it(self) -> None:
        """The nick watches what was opened; twice is once."""
        for secret, added in ((self.token(), True), (PASSWORD, False)):
            claim = self.wait(self.asked(b"jondoe", secret))
            self.assertEqual(claim, Claim(self.jondoe.account, "jondoe", added))
        claim = self.wait(self.asked(b"alice", PASSWORD))
        self.assertEqual(claim, Claim(self.alice.account, "alice", True))
        watches = self.store.watches
        assert watches is not None
        names = [one.name for one in self.get(watches.of(self.tag))]
        self.assertEqual(names, ["alice", "jondoe"])

    def test_a_new_password_meanwhile(self) -> None:
        """What was shown before it opens nothing when the watch is written after it."""
        watches = self.store.watches
        assert watches is not None
        add = type(watches).add

        def late(one: Watches, *arguments: Any) -> Any:
            self.operator().set_password("jondoe", b"another one")
            return add(one, *arguments)

        self.patch(type(watches), "add", late)
        with self.assertRaises(NoSuchMailboxError):
            self.claim(b"jondoe", PASSWORD)
        self.assertEqual(self.get(watches.of(self.tag)), [])

    def test_no_room(self) -> None:
        """Where the account is watched by all it may be, the token stays good."""
        watches = self.store.watches
        assert watches is not None
        tags = [watches.tag(b"nick%d" % n) for n in range(5)]
        for tag in tags:
            self.get(watches.add(tag, self.jondoe.account))
        token = self.token()
        for secret in token, PASSWORD:
            with self.assertRaises(TooManyWatchesError):
                self.claim(b"jondoe", secret)
        self.get(watches.remove(tags[0], self.jondoe.account))
        mine = self.jondoe.account, "jondoe"
        self.assertEqual(self.claim(b"jondoe", token), mine)
        self.assertIsNone(self.claim(b"jondoe", token))

    def test_the_servers_budget(self) -> None:
        """Wrong tokens are paid for as wrong passwords are: the peer has to wait."""
        for _ in range(12):
            self.claim(b"jondoe", b"biff-wrong")
        claim = self.asked(b"jondoe", b"biff-wrong")
        fired: list[Any] = []
        claim.addBoth(fired.append)
        while not self.argon2.calls or self.keyring.tries < 13:
            self.loop._waiting.get(timeout=PATIENCE)()
        self.assertEqual(fired, [])
        self.clock.advance(10)
        self.assertEqual(fired, [None])

    def test_too_many_wait(self) -> None:
        """Where the queue is full it is said so, by a name of its own."""
        self.argon2.held = True
        self.claims = self.made(self.make_checker(Limits(logins_waiting=1)))
        ended = [
            self.claims.watch(
                b"jondoe", b"wrong%d" % n, f"irc:{n}", self.tag
            ).addErrback(lambda failure: failure.trap(ClaimsBusyError))
            for n in range(3)
        ]
        # One is worked on, one waits, and one is too many.
        first, at = self.wait(DeferredList(ended, fireOnOneCallback=True))
        self.assertIs(first, ClaimsBusyError)
        self.argon2.release()
        others = [one for number, one in enumerate(ended) if number != at]
        self.assertEqual(self.wait(gatherResults(others)), [None, None])

    def test_the_store_is_busy(self) -> None:
        """What may pass has that name, too, and the token is good later."""
        token = self.token()
        submit = self.store._writer.submit

        def full(job: Any) -> Any:
            raise StoreBusyError("SQLITE_FULL")

        self.patch(self.store._writer, "submit", full)
        with self.assertRaises(ClaimsBusyError):
            self.claim(b"jondoe", token)
        self.patch(self.store._writer, "submit", submit)
        self.assertIsNotNone(self.claim(b"jondoe", token))
