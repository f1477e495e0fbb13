"""What holds for every IMembership, the one in memory included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pysequoia import Tsk
from zope.interface.verify import verifyObject

from postmand.membership import (
    IMembership,
    MembershipError,
    Visitor,
    WrongLoginError,
)
from postmand.store.published import wkd_hash

PASSWORD = "a long password"
OTHER = "another password"


def key(name: str) -> str:
    """Return an armored public key of an account."""
    made = Tsk.generate(user_ids=[f"<{name}@mail.i2p>"])
    return str(made.extract_certificate())


class MembershipCalls:
    """`self.members` is the membership, `self.fired(call)` what a call fires with.

    `self.stamp(name, use)` makes a stamp that is good, another each time.
    """

    members: Any
    fired: Callable[[Callable[[], Any]], Any]
    stamp: Callable[..., str]
    assertEqual: Any
    assertRaises: Any
    assertTrue: Any
    assertFalse: Any
    assertIsNone: Any
    assertNotEqual: Any

    def ask(self, name: str, *values: Any) -> Any:
        """Call a method; return what it fires with, or raise what it fails with."""
        return self.fired(lambda: getattr(self.members, name)(*values))

    def refused(self, name: str, *values: Any) -> str:
        """Return the field that a refusal names."""
        with self.assertRaises(MembershipError) as caught:
            self.ask(name, *values)
        self.assertTrue(str(caught.exception))
        field: str = caught.exception.field
        return field

    def joined(self, name: str = "carol") -> tuple[Visitor, str]:
        """Sign up; return the session and the recovery code."""
        code = self.ask("sign_up", name, PASSWORD, "", self.stamp(name))
        return self.ask("login", name, PASSWORD, "peer"), code

    def test_provides_the_seam(self) -> None:
        """It has the methods that the interface names."""
        self.assertTrue(verifyObject(IMembership, self.members))

    def test_sign_up(self) -> None:
        """It is there; the name is nobody else's, and the stamp is spent."""
        stamp = self.stamp("carol")
        self.ask("sign_up", "carol", PASSWORD, "Carol", stamp)
        visitor = self.ask("login", "carol", PASSWORD, "peer")
        self.assertEqual(visitor.name, "carol")
        self.assertEqual(self.ask("details", visitor).display_name, "Carol")
        again = "sign_up", "carol", PASSWORD, ""
        self.assertEqual(self.refused(*again, stamp), "stamp")
        self.assertEqual(self.refused(*again, self.stamp("carol")), "name")

    def test_sign_up_is_refused(self) -> None:
        """By its field, and of the name nothing is told without its stamp."""
        self.joined()
        for name in ("carol", "dave"):
            for stamp in ("", self.stamp("eve"), self.stamp(name, "quota")):
                refused = self.refused("sign_up", name, PASSWORD, "", stamp)
                self.assertEqual(refused, "stamp")
        short = "sign_up", "dave", "short", "", self.stamp("dave")
        self.assertEqual(self.refused(*short), "password")

    def test_wrong_logins_are_alike(self) -> None:
        """An unknown name and a wrong password."""
        self.joined()
        for name in ("carol", "nobody"):
            with self.assertRaises(WrongLoginError):
                self.ask("login", name, OTHER, "peer")

    def test_password(self) -> None:
        """Only with the old one; then other sessions are over, and this goes on."""
        visitor, _ = self.joined()
        with self.assertRaises(WrongLoginError):
            self.ask("set_password", visitor, OTHER, OTHER)
        self.assertEqual(self.refused("set_password", visitor, PASSWORD, "x"), "new")
        self.assertTrue(self.ask("visitor", visitor))
        after = self.ask("set_password", visitor, PASSWORD, OTHER)
        self.assertFalse(self.ask("visitor", visitor))
        self.assertTrue(self.ask("visitor", after))
        self.assertEqual(self.ask("login", "carol", OTHER, "peer"), after)

    def test_recovery(self) -> None:
        """A code is good once, and for its own account."""
        visitor, code = self.joined()
        _, daves = self.joined("dave")
        for name, other in (("carol", daves), ("nobody", code)):
            refused = self.refused("recover", name, other, OTHER, "peer")
            self.assertEqual(refused, "code")
        after = self.ask("recover", "carol", code, OTHER, "peer")
        self.assertNotEqual(after, code)
        self.assertFalse(self.ask("visitor", visitor))
        self.ask("login", "carol", OTHER, "peer")
        self.assertEqual(self.refused("recover", "carol", code, OTHER, "peer"), "code")
        self.ask("recover", "carol", after, PASSWORD, "peer")

    def test_new_recovery(self) -> None:
        """With the password; the code before is void."""
        visitor, old = self.joined()
        with self.assertRaises(WrongLoginError):
            self.ask("new_recovery", visitor, OTHER)
        after, code = self.ask("new_recovery", visitor, PASSWORD)
        self.assertFalse(self.ask("visitor", visitor))
        self.assertTrue(self.ask("visitor", after))
        self.assertEqual(self.refused("recover", "carol", old, OTHER, "peer"), "code")
        self.ask("recover", "carol", code, OTHER, "peer")

    def test_display_name_and_delay(self) -> None:
        """The name ends other sessions; the delay does not."""
        visitor, _ = self.joined()
        after = self.ask("set_display_name", visitor, "Carol C")
        self.assertFalse(self.ask("visitor", visitor))
        self.ask("set_delay", after, "batch")
        self.assertTrue(self.ask("visitor", after))
        details = self.ask("details", after)
        self.assertEqual((details.display_name, details.delay), ("Carol C", "batch"))
        self.assertEqual(
            self.refused("set_display_name", after, "a\nb"), "display_name"
        )

    def test_remove(self) -> None:
        """With the password; then nobody has the name, or gets it."""
        visitor, _ = self.joined()
        self.ask("publish", visitor, key("carol"))
        with self.assertRaises(WrongLoginError):
            self.ask("remove", visitor, OTHER)
        self.ask("remove", visitor, PASSWORD)
        self.assertFalse(self.ask("visitor", visitor))
        self.assertIsNone(self.ask("published_by", "carol"))
        with self.assertRaises(WrongLoginError):
            self.ask("login", "carol", PASSWORD, "peer")
        again = "sign_up", "carol", PASSWORD, "", self.stamp("carol")
        self.assertEqual(self.refused(*again), "name")

    def test_an_old_session(self) -> None:
        """It changes nothing, and sees nothing."""
        old, _ = self.joined()
        now = self.ask("set_password", old, PASSWORD, OTHER)
        for name, *values in (
            ("details",),
            ("facts",),
            ("quota",),
            ("set_display_name", "x"),
            ("set_delay", "none"),
            ("remove", OTHER),
            ("new_recovery", OTHER),
            ("biff_token",),
            ("publish", key("carol")),
            ("withdraw",),
        ):
            self.refused(name, old, *values)
        self.assertEqual(self.ask("details", now).delay, "")

    def test_quota(self) -> None:
        """What a stamp buys is there; it buys once."""
        visitor, _ = self.joined()
        stamp = self.stamp("carol", "quota")
        bought = self.ask("buy", visitor, stamp).bought
        self.assertTrue(bought)
        self.assertEqual(self.ask("quota", visitor).bought, bought)
        for bad in (stamp, "x", self.stamp("dave", "quota"), self.stamp("carol")):
            self.assertEqual(self.refused("buy", visitor, bad), "stamp")

    def test_keys(self) -> None:
        """Published, found, listed by name, taken back."""
        carol, _ = self.joined()
        adam, _ = self.joined("adam")
        self.assertEqual(self.refused("publish", carol, "no key"), "key")
        mine = self.ask("publish", carol, key("carol"))
        his = self.ask("publish", adam, key("adam"))
        self.assertEqual(list(self.ask("published", "", 10)), [his, mine])
        self.assertEqual(list(self.ask("published", "", 1)), [his])
        self.assertEqual(list(self.ask("published", "b", 10)), [mine])
        self.assertEqual(self.ask("published_by", "carol"), mine)
        self.assertEqual(self.ask("published_hash", wkd_hash("carol")), mine)
        self.assertIsNone(self.ask("published_hash", wkd_hash("nobody")))
        self.ask("withdraw", carol)
        self.assertIsNone(self.ask("published_by", "carol"))

    def test_facts(self) -> None:
        """Tables stay together, and the name is among them."""
        visitor, _ = self.joined()
        facts = self.ask("facts", visitor)
        self.assertTrue([one for one in facts if one.value == "carol"])
        tables = [one.table for one in facts]
        self.assertEqual(tables, sorted(tables, key=tables.index))
