"""Who is let in, in what order, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from postmand.config import Accounts
from postmand.rules.peers import peer_key
from postmand.servers.cred import LoginBusyError, PeerLogin
from postmand.servers.maildrop import IMaildrop
from postmand.servers.sasl import Login
from postmand.servers.submission import ISubmitter
from tests.sessions import PASSWORD, Destination, Held, HouseCase

pytestmark = pytest.mark.long


def _turned_away(failure: Failure) -> None:
    failure.trap(UnauthorizedLogin, LoginBusyError)


class Case(HouseCase):
    """Logins, asked of the gate."""

    def enter(
        self,
        name: bytes = b"jondoe",
        password: bytes = PASSWORD,
        peer: str = "p",
        authzid: bytes = b"",
    ) -> Deferred[Any]:
        """Ask for a login."""
        login = Login(name, password, authzid)
        return Deferred.fromCoroutine(self.house.gate.enter(login, peer, ISubmitter))

    def flood(self, count: int, names: str, peer: str, **more: Any) -> list[Any]:
        """Ask for `count` wrong logins at once; `names` may hold {}."""
        found = []
        for number in range(count):
            asked = self.enter(
                names.format(number).encode(), b"wrong", peer.format(number), **more
            )
            found.append(asked)
            asked.addErrback(
                lambda failure: failure.trap(UnauthorizedLogin, LoginBusyError)
            )
        return found


class GateTest(Case):
    """Names and identities."""

    def test_names(self) -> None:
        """A login is the bare name or the address in either domain, in any case."""
        for name in (
            b"jondoe",
            b"JonDoe",
            b"jondoe@mail.i2p",
            b"jondoe@I2PMAIL.org",
            b"jondoe@mail.i2p.",
        ):
            self.assertTrue(self.successResultOf(self.enter(name)), name)

    def test_strange_names(self) -> None:
        """Others are nobody's: refused like a wrong password, at the same price."""
        for name in (
            b"jondoe@example.org",
            b"jondoe@",
            b"@mail.i2p",
            b"",
            b"jondoe@mail.i2p@mail.i2p",
            b"\xff\xfe",
            b"jondoe\0",
            b" jondoe",
            b"jondoe%mail.i2p",
            b"a" * 4_000,
        ):
            tries = self.house.store.keyring.tries
            asked = self.enter(name)
            self.house.clock.advance(10)
            self.failureResultOf(asked, UnauthorizedLogin)
            self.assertEqual(self.house.store.keyring.tries, tries + 1, name)

    def test_authzid(self) -> None:
        """An authzid is taken when it is the login's own, in either domain."""
        for authzid in (b"jondoe", b"JONDOE@mail.i2p", b"jondoe@i2pmail.org"):
            self.successResultOf(self.enter(b"jondoe@mail.i2p", authzid=authzid))
        for authzid in (b"alice", b"alice@mail.i2p", b"jondoe@example.org", b"@"):
            asked = self.enter(authzid=authzid)
            self.house.clock.advance(10)
            self.failureResultOf(asked, UnauthorizedLogin)

    def test_avatars(self) -> None:
        """Each server gets its own kind of avatar; another kind is a fault of ours."""
        login = Login(b"jondoe", PASSWORD)
        for kind in (ISubmitter, IMaildrop):
            asked = Deferred.fromCoroutine(self.house.gate.enter(login, "p", kind))
            self.assertIn(kind.__name__[1:], repr(self.successResultOf(asked)))

    def test_peers(self) -> None:
        """A peer is its destination, else its host; never its port."""
        self.assertEqual(peer_key(Destination("abc.b32.i2p")), "abc.b32.i2p")
        self.assertEqual(peer_key(IPv4Address("TCP", "127.1.2.3", 9)), "127.1.2.3")
        self.assertEqual(peer_key(UNIXAddress(b"/x")), "")
        self.assertEqual(peer_key(None), "")

    def test_nothing_is_shown(self) -> None:
        """A password, a peer and the keys are in no repr."""
        login = PeerLogin("jondoe", b"secret-word", "127.9.9.9")
        self.assertNotIn("secret", repr(login))
        self.assertNotIn("127.", repr(login))
        member = self.house.member("jondoe")
        self.assertNotIn(repr(member.secret_key), repr(member))
        self.assertNotIn(repr(member.thread_key), repr(member))


class CheckerTest(Case):
    """Passwords, what is remembered of them, and the queue."""

    def test_enumeration(self) -> None:
        """Unknown, known and disabled accounts cost and answer the same."""
        self.house.store.disable("bob")
        told = set()
        for name in (b"nobody", b"alice", b"bob"):
            tries = self.house.store.keyring.tries
            asked = self.enter(name, b"wrong", peer=name.decode())
            failure = self.failureResultOf(asked, UnauthorizedLogin)
            told.add((type(failure.value), str(failure.value)))
            self.assertEqual(self.house.store.keyring.tries, tries + 1, name)
        self.assertEqual(len(told), 1)

    def test_remembered(self) -> None:
        """The second login with the right password costs nothing, for some minutes."""
        self.successResultOf(self.enter())
        tries = self.house.store.keyring.tries
        self.house.argon2.held = True
        self.successResultOf(self.enter())
        self.house.clock.advance(599)
        self.successResultOf(self.enter())
        self.assertEqual(self.house.store.keyring.tries, tries)
        self.house.clock.advance(2)
        asked = self.enter()
        self.assertNoResult(asked)
        self.house.argon2.release()
        self.successResultOf(asked)

    def test_remembered_is_no_shortcut_for_others(self) -> None:
        """With a login remembered, a wrong password costs as much as ever."""
        self.successResultOf(self.enter())
        tries = self.house.store.keyring.tries
        for word in (b"wrong", b"", PASSWORD + b"x", PASSWORD.upper()):
            self.failureResultOf(self.enter(password=word, peer="x"), UnauthorizedLogin)
            self.house.clock.advance(100)
        self.assertEqual(self.house.store.keyring.tries, tries + 4)

    def test_remembered_for_the_account_alone(self) -> None:
        """What is remembered opens one account, not another with the same password."""
        self.successResultOf(self.enter(b"alice"))
        tries = self.house.store.keyring.tries
        self.successResultOf(self.enter(b"bob"))
        self.assertEqual(self.house.store.keyring.tries, tries + 1)

    def test_nothing_is_remembered(self) -> None:
        """Zero seconds switch remembering off."""
        self.house = self.build(accounts=Accounts(remember_seconds=0))
        for _ in range(3):
            self.successResultOf(self.enter())
        self.assertEqual(self.house.store.keyring.tries, 3)

    def test_password_changed(self) -> None:
        """A change of password takes effect at once, remembered or not."""
        self.successResultOf(self.enter())
        self.house.store.set_password("jondoe", b"another word")
        self.failureResultOf(self.enter(), UnauthorizedLogin)
        self.successResultOf(self.enter(password=b"another word"))

    def test_disabled(self) -> None:
        """Disabling takes effect at once, and enabling, too."""
        self.successResultOf(self.enter())
        self.house.store.disable("jondoe")
        self.failureResultOf(self.enter(), UnauthorizedLogin)
        self.house.store.enable("jondoe")
        self.successResultOf(self.enter())

    def test_changed_while_it_is_checked(self) -> None:
        """A login checked against the old password is not remembered for the new."""
        self.house.argon2.held = True
        asked = self.enter()
        self.house.store.set_password("jondoe", b"another word")
        self.house.argon2.release()
        asked.addErrback(lambda failure: failure.trap(UnauthorizedLogin))
        self.house.clock.advance(10)
        again = self.enter()
        self.house.clock.advance(10)
        self.failureResultOf(again, UnauthorizedLogin)

    def test_expires(self) -> None:
        """`forget` drops what is over: no key stays in memory without need."""
        self.successResultOf(self.enter())
        remembered = self.house.checker._remembered
        self.assertEqual(len(remembered._entries), 1)
        self.house.clock.advance(300)
        self.successResultOf(self.enter(b"alice"))
        self.house.clock.advance(301)
        self.house.checker.forget()
        self.assertEqual(list(remembered._entries), ["alice"])

    def test_remembered_is_bounded(self) -> None:
        """The table of remembered logins has a limit: the oldest go."""
        self.house = self.build(logins_remembered=2)
        for name in (b"jondoe", b"alice", b"bob"):
            self.successResultOf(self.enter(name))
        self.assertEqual(
            list(self.house.checker._remembered._entries), ["alice", "bob"]
        )

    def test_threads_are_bounded(self) -> None:
        """No more are computed at once than there are threads."""
        self.house = self.build(argon2_threads=2)
        self.house.argon2.held = True
        self.flood(50, "n{}", "p{}")
        self.assertEqual(len(self.house.argon2.waiting), 2)
        self.house.argon2.step()
        self.assertEqual(len(self.house.argon2.waiting), 2)

    def test_queue_is_bounded(self) -> None:
        """Over the limit somebody is told to come again, at once."""
        self.house = self.build(logins_waiting=10, argon2_threads=2)
        self.house.argon2.held = True
        found = self.flood(30, "n{}", "same")
        self.assertEqual(sum(bool(one.called) for one in found), 18)

    def test_flood_from_another_peer(self) -> None:
        """A peer that asks for thousands at once does not push the owner out."""
        self.house.argon2.held = True
        self.flood(2_000, "n{}", "attacker")
        owner = self.enter(peer="owner")
        self.assertFalse(owner.called, "turned away")
        for _ in range(5):
            self.house.argon2.step()
        self.successResultOf(owner)

    def test_flood_on_the_owners_name(self) -> None:
        """Nor does one that asks for the owner's own account."""
        self.house.argon2.held = True
        self.flood(2_000, "jondoe", "attacker")
        owner = self.enter(peer="owner")
        self.assertFalse(owner.called, "turned away")
        for _ in range(5):
            self.house.argon2.step()
        self.successResultOf(owner)

    def test_flood_after_failures(self) -> None:
        """Who failed of late stands behind who did not, by peer and by name."""
        self.flood(20, "n{}", "attacker")
        self.house.clock.advance(9)
        self.house.argon2.held = True
        self.flood(200, "m{}", "attacker")
        owner = self.enter(peer="owner")
        for _ in range(3):
            self.house.argon2.step()
        self.successResultOf(owner)

    def test_attack_from_the_same_peer(self) -> None:
        """Behind one shared tunnel the owner waits, and comes in."""
        self.flood(20, "jondoe", "shared")
        self.house.clock.advance(9)
        self.house.argon2.held = True
        self.flood(200, "jondoe", "shared")
        owner = self.enter(peer="shared")
        for _ in range(260):
            self.house.argon2.step()
        self.successResultOf(owner)

    def test_remembered_during_an_attack(self) -> None:
        """A remembered login does not wait at all."""
        self.successResultOf(self.enter(peer="shared"))
        self.house.argon2.held = True
        self.flood(2_000, "jondoe", "shared")
        self.successResultOf(self.enter(peer="shared"))

    def test_right_password_is_never_delayed(self) -> None:
        """However often others failed: the right password is answered when checked."""
        self.flood(200, "jondoe", "shared")
        self.house.clock.advance(9)
        self.successResultOf(self.enter(peer="shared"))

    def test_wrong_ones_are_delayed(self) -> None:
        """Guessing gets slow, but never slower than some seconds; a slip is free."""
        self.failureResultOf(self.enter(password=b"slip"), UnauthorizedLogin)
        for _ in range(30):
            self.enter(password=b"guess").addErrback(lambda _: None)
        asked = self.enter(password=b"guess")
        self.assertNoResult(asked)
        self.house.clock.advance(8.1)
        self.failureResultOf(asked, UnauthorizedLogin)

    def test_fault_in_a_thread(self) -> None:
        """A check that fails is no wrong password, and the queue goes on."""
        self.house.argon2.held = True
        asked = [self.enter(name) for name in (b"jondoe", b"alice", b"bob")]
        self.house.argon2.fails = MemoryError()
        self.house.argon2.step()
        self.house.argon2.step()
        self.house.argon2.fails = None
        self.house.argon2.release()
        self.failureResultOf(asked[0], MemoryError)
        self.failureResultOf(asked[1], MemoryError)
        self.successResultOf(asked[2])

    def test_slow_look_up(self) -> None:
        """The store may take its time."""
        held = Held(self.house.store.accounts, "credential")
        self.house.checker._accounts = held  # type: ignore[assignment]
        asked = self.enter()
        self.assertNoResult(asked)
        held.step()
        self.successResultOf(asked)


class FloodTest(HouseCase):
    """Many peers, one attempt each."""

    def test_who_failed_goes_before_who_did_not(self) -> None:
        """A flood of peers that failed before does not push the owner out."""
        house = self.house = self.build(logins_waiting=20, argon2_threads=1)
        guessing = [f"127.1.0.{number}" for number in range(60)]
        house.argon2.held = True
        checker = house.checker
        for peer in guessing:
            for _ in range(3):
                checker._penalties.add(peer, house.clock.seconds())
        for peer in guessing:
            asked = checker.requestAvatarId(PeerLogin("nobody", b"x", peer))
            asked.addErrback(lambda failure: None)
        owner = checker.requestAvatarId(PeerLogin("jondoe", PASSWORD, "127.9.9.9"))
        for peer in guessing:
            asked = checker.requestAvatarId(PeerLogin("nobody", b"x", peer))
            asked.addErrback(lambda failure: None)
        house.argon2.release()
        house.clock.pump([1.0] * 20)
        self.assertEqual(self.successResultOf(owner).name, "jondoe")
