"""Strangers become members: sign-up, logins, recovery; on a real store."""

from __future__ import annotations

import random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import gatherResults
from twisted.python.failure import Failure

from postmand.config import Web
from postmand.interfaces import StoreBusyError
from postmand.membership import (
    BusyError,
    MembershipError,
    WrongLoginError,
)
from postmand.rules import hashcash
from tests.contracts.stores import DAY
from tests.members_world import (
    BITS,
    CONFIG,
    PASSWORD,
    MembersCase,
    armored_key,
)

pytestmark = pytest.mark.long


class SignUpTest(MembersCase):
    """A stranger becomes a member."""

    def test_account_is_made(self) -> None:
        """With its password, its names, and a recovery code that recovers it."""
        code = self.sign_up("carol", display_name="Carol C")
        visitor = self.login("carol", PASSWORD)
        details = self.wait(self.members.details(visitor))
        self.assertEqual(
            (details.name, details.display_name, details.created_day, details.delay),
            ("carol", "Carol C", DAY, ""),
        )
        self.assertEqual((details.used_bytes, details.messages), (0, 0))
        again = self.wait(self.members.recover("carol", code, "another one", "peer"))
        self.assertNotEqual(again, code)
        self.login("carol", "another one")

    def test_stamp_is_spent_with_it(self) -> None:
        """Once: on the disk as its mark, for as long as its date would be taken."""
        stamp = self.minted("carol")
        self.sign_up("carol", stamp=stamp)
        ((day,),) = self.rows("SELECT expires_day FROM stamps")
        self.assertEqual(day, DAY + 2)
        self.store.registry.remove("carol")
        self.assertEqual(self.refused_name("carol", stamp=stamp)[0], "stamp")

    def test_not_to_be_had_is_alike(self) -> None:
        """Taken, the operator's, an alias, closed: one answer, and no stamp spent."""
        self.store.registry.remove("alice", closed_until=DAY + 10)
        told = {
            self.refused_name(name)
            for name in ("jondoe", "quota", "abuse-desk", "alice")
        }
        self.assertEqual(len(told), 1, told)
        self.assertEqual(next(iter(told))[0], "name")
        self.assertEqual(self.rows("SELECT * FROM stamps"), [])

    def test_nothing_is_told_without_a_stamp(self) -> None:
        """A bad stamp's refusal is the same for every name, taken or not."""
        old = hashcash.mint(
            b"signup/x@mail.i2p",
            BITS,
            self.loop.seconds() - 9 * 86_400,
            random.Random(1),
        )
        for stamp in ("", "x", "1:4:x", old.decode(), "1:99:241004:a:b:c:d", "\udcff"):
            told = {
                self.refused_name(name, stamp=stamp.replace("x@", f"{name}@"))
                for name in ("jondoe", "quota", "abuse-desk", "nobody")
            }
            self.assertEqual({field for field, _ in told}, {"stamp"}, stamp)
            shown = {
                text.replace(name, "NAME")
                for _, text in told
                for name in ("jondoe", "quota", "abuse-desk", "nobody")
                if name in text
            } or {text for _, text in told}
            self.assertEqual(len(shown), 1, shown)

    def test_stamp_of_another_kind(self) -> None:
        """Too few bits; another's name; one made for the quota."""
        for stamp in (
            self.minted("carol", BITS - 1),
            self.minted("dave"),
            self.minted("carol", 8, "quota"),
        ):
            self.assertEqual(self.refused_name("carol", stamp=stamp)[0], "stamp")
        self.sign_up("carol", stamp=f" {self.minted('carol', BITS + 2)}\n")

    def test_no_stamp_is_wanted(self) -> None:
        """signup_bits = 0: whatever is sent for one is not looked at."""
        self.members = self.on_node(evolve(CONFIG, web=Web(signup_bits=0)))
        self.sign_up("carol", stamp="")
        self.assertEqual(self.rows("SELECT * FROM stamps"), [])
        self.assertEqual(self.refused_name("carol", stamp="")[0], "name")

    def test_closed(self) -> None:
        """Signup = false: nobody comes in, with the best of stamps."""
        self.members = self.on_node(evolve(CONFIG, web=Web(signup=False)))
        self.assertIn("No accounts", self.refused_name("carol")[1])

    def test_form_is_judged_first(self) -> None:
        """What is wrong with a form is said by field, before the stamp is looked at."""
        for name, more, field in (
            ("Carol", {}, "name"),
            ("", {}, "name"),
            ("c@x", {}, "name"),
            ("carol", {"password": "short"}, "password"),
            ("carol", {"password": "x" * 1025}, "password"),
            ("carol", {"password": "a password\0"}, "password"),
            ("carol", {"display_name": " x"}, "display_name"),
            ("carol", {"display_name": "a\nb"}, "display_name"),
        ):
            told, text = self.refused_name(name, stamp="", **more)
            self.assertEqual(told, field, (name, more))
            self.assertTrue(text.endswith("."))
            self.assertTrue(text[0].isupper())
        self.assertEqual(self.argon2.calls, 0)

    def test_password_has_no_other_rule(self) -> None:
        """Any eight characters, of any script."""
        self.sign_up("carol", password="ééééáááá")
        self.login("carol", "ééééáááá")
        self.assertEqual(self.refused_name("dave", password="ééé")[0], "password")

    def test_one_name_twice_at_once(self) -> None:
        """One wins, the other is told as always, and keeps its stamp."""
        stamps = [self.minted("carol"), self.minted("carol")]
        self.race([("carol", stamp) for stamp in stamps], "name")
        self.assertEqual(len(self.rows("SELECT * FROM stamps")), 1)

    def test_one_stamp_twice_at_once(self) -> None:
        """One wins."""
        stamp = self.minted("carol")
        self.race([("carol", stamp), ("carol", stamp)], "stamp")

    def race(self, tries: list[tuple[str, str]], field: str) -> None:
        """Sign up with all at once: one makes it."""
        self.argon2.held = True
        ended: list[Any] = []
        for name, stamp in tries:
            self.members.sign_up(name, PASSWORD, "", stamp).addBoth(ended.append)
        self.argon2.release()
        codes = [one for one in ended if isinstance(one, str)]
        self.assertEqual(len(codes), 1, ended)
        (lost,) = [one.value for one in ended if isinstance(one, Failure)]
        self.assertEqual(lost.field, field)

    def test_two_processes_at_once(self) -> None:
        """What another hand made while the password was stretched is seen."""
        stretch = self.store.registry._by_password

        def slow(*values: Any) -> Any:
            self.patch(type(self.store.registry), "_by_password", stretch_of)
            self.store.registry.add("carol", b"another", day=DAY)
            return stretch(*values)

        stretch_of = type(self.store.registry)._by_password
        self.patch(type(self.store.registry), "_by_password", lambda _, *v: slow(*v))
        self.assertEqual(self.refused_name("carol")[0], "name")
        self.assertEqual(self.rows("SELECT * FROM stamps"), [])

    def test_too_many_at_once(self) -> None:
        """The queue is bounded, and what is refused has lost nothing."""
        self.argon2.held = True
        ended: list[Any] = []
        self.members._ground.turns._most = 3
        for number in range(5):
            name = f"member{number}"
            self.members.sign_up(name, PASSWORD, "", self.minted(name)).addBoth(
                ended.append
            )
        self.assertEqual(len(ended), 2)
        for one in ended:
            one.trap(BusyError)
        self.argon2.release()
        self.assertEqual(len([one for one in ended if isinstance(one, str)]), 3)

    def test_store_is_busy(self) -> None:
        """It has the seam's name, and the stamp is good afterwards."""
        stamp = self.minted("carol")

        def busy(*_: Any, **__: Any) -> Any:
            raise StoreBusyError("SQLITE_BUSY")

        registry = type(self.store.registry)
        writing = registry._writing
        self.patch(registry, "_writing", busy)
        with self.assertRaises(BusyError):
            self.sign_up("carol", stamp=stamp)
        self.patch(registry, "_writing", writing)
        self.sign_up("carol", stamp=stamp)

    def test_hostile_forms(self) -> None:
        """Nothing in a form's field raises anything but the seam's errors."""

        @settings(max_examples=60, deadline=None)
        @given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=200))
        def send(name: str, password: str, stamp: str) -> None:
            for call in (
                self.members.sign_up(name, password, stamp, stamp),
                self.members.recover(name, stamp, password, "peer"),
                self.members.set_display_name(self.me, stamp + "\n"),
                self.members.set_delay(self.me, stamp + "x"),
                self.members.buy(self.me, stamp),
                self.members.publish(self.me, stamp),
            ):
                with self.assertRaises(MembershipError):
                    self.wait(call)
            self.assertIsNone(self.wait(self.members.published_by(name)))
            self.assertIsNone(self.wait(self.members.published_hash(stamp)))

        send()


class LoginTest(MembersCase):
    """Logging in, sessions, and a lost password."""

    def test_login(self) -> None:
        """By the names that the servers take."""
        for name in ("jondoe", "JonDoe@mail.i2p", "jondoe@i2pmail.org"):
            self.assertEqual(self.login(name), self.me)
        for name in ("nobody", "jondoe@example.org", "", "\udcff"):
            with self.assertRaises(WrongLoginError):
                self.login(name)

    def test_the_servers_budget(self) -> None:
        """Wrong tries on a page are a login's elsewhere: its answer has to wait."""
        for _ in range(12):
            with self.assertRaises(WrongLoginError):
                self.login(password="wrong")
        keyring = self.keyring.tries
        claim = self.claims.watch(b"jondoe", b"wrong", "peer", b"t" * 32)
        fired: list[Any] = []
        claim.addBoth(fired.append)
        while self.keyring.tries == keyring:
            self.loop._waiting.get(timeout=60)()
        self.assertEqual(fired, [])
        self.wait(claim)

    def test_a_session_ends_with_a_change(self) -> None:
        """A password, a state, a removal; a delay does not."""
        held = self.members.visitor
        self.assertTrue(self.wait(held(self.me)))
        self.wait(self.members.set_delay(self.me, "pool"))
        self.assertTrue(self.wait(held(self.me)))
        new = self.wait(self.members.set_password(self.me, "secret", PASSWORD))
        self.assertFalse(self.wait(held(self.me)))
        self.assertTrue(self.wait(held(new)))
        self.operator().disable("jondoe")
        self.assertFalse(self.wait(held(new)))
        self.operator().remove("jondoe")
        self.assertFalse(self.wait(held(new)))
        self.store.registry.add("jondoe", b"secret", day=DAY)
        self.assertFalse(self.wait(held(self.me)))

    def test_an_old_session_changes_nothing(self) -> None:
        """Everything a session can do is refused once it is over."""
        self.wait(self.members.set_display_name(self.me, "Jon"))
        members, me = self.members, self.me
        for call in (
            lambda: members.details(me),
            lambda: members.set_password(me, "secret", PASSWORD),
            lambda: members.new_recovery(me, "secret"),
            lambda: members.set_display_name(me, "x"),
            lambda: members.set_delay(me, "none"),
            lambda: members.remove(me, "secret"),
            lambda: members.quota(me),
            lambda: members.buy(me, self.minted("jondoe", 6, "quota")),
            lambda: members.biff_token(me),
            lambda: members.facts(me),
            lambda: members.publish(me, armored_key()),
            lambda: members.withdraw(me),
        ):
            self.assertIn("changed", self.refusal(call())[1])

    def test_recovery_is_alike_for_all(self) -> None:
        """Unknown, closed and wrong: one answer, one Argon2id each."""
        alice = self.store.registry.add("carol", b"secret", day=DAY)
        self.operator().disable("alice")
        told = set()
        for number, name in enumerate(
            ("jondoe", "nobody", "alice", "carol@example.org")
        ):
            tries = self.codes.tries
            told.add(
                self.refusal(self.members.recover(name, alice, PASSWORD, f"p{number}"))
            )
            self.assertEqual(self.codes.tries, tries + 1)
        self.assertEqual(len(told), 1)
        self.assertEqual(next(iter(told))[0], "code")

    def test_a_closed_account_does_not_recover(self) -> None:
        """With its own code: the operator closed it."""
        code = self.sign_up("carol")
        self.operator().disable("carol")
        self.assertEqual(
            self.refusal(self.members.recover("carol", code, PASSWORD, "p"))[0], "code"
        )

    def test_recovery_tries_are_capped(self) -> None:
        """They are put behind, and delayed, as logins are."""
        code = self.sign_up("carol")
        for _ in range(12):
            self.refusal(self.members.recover("jondoe", code, PASSWORD, "peer"))
        fired: list[Any] = []
        tries = self.codes.tries
        last = self.members.recover("jondoe", code, PASSWORD, "peer")
        last.addBoth(fired.append)
        while self.codes.tries == tries:
            self.loop._waiting.get(timeout=60)()
        self.assertEqual(fired, [])
        self.clock.advance(10)
        self.assertEqual(len(fired), 1)

    def test_mistyped_code_costs_nothing(self) -> None:
        """It is told where, whatever the name."""
        code = self.sign_up("carol")
        other = code.replace(code[0], "Y" if code[0] != "Y" else "Z", 1)
        for name in ("carol", "nobody"):
            field, text = self.refusal(
                self.members.recover(name, other, PASSWORD, "peer")
            )
            self.assertEqual((field, "group 1" in text.lower()), ("code", True))
        self.assertEqual(self.codes.tries, 0)

    def test_two_recover_at_once(self) -> None:
        """With one code: one gets the account, and the code is worth nothing then."""
        code = self.sign_up("carol")
        ended = [
            self.members.recover("carol", code, f"{PASSWORD} {n}", f"p{n}").addErrback(
                lambda failure: failure.trap(MembershipError)
            )
            for n in range(2)
        ]
        found = self.wait(gatherResults(ended))
        self.assertEqual(found.count(MembershipError), 1)
        self.refusal(self.members.recover("carol", code, PASSWORD, "p"))
