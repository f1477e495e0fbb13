"""The pages, as visitors use them."""

from __future__ import annotations

import base64
import gzip
import itertools
import re
from typing import Any
from unittest.mock import patch

import pytest
from jinja2 import Environment
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from postmand.membership import BusyError, Fact, MembershipError
from postmand.store.openpgp import KeyRefusedError, clean
from postmand.store.published import wkd_hash
from tests.web_markup import faults
from tests.web_world import NOW, PASSWORD, MemoryMembership, World

pytestmark = pytest.mark.long

STAMP = "1:24:261122:signup/{}@mail.i2p::salt:{}"
WKD = "/.well-known/openpgpkey"


def stamp(name: str, counter: str = "1a2b") -> str:
    """Return what passes for a stamp in memory."""
    return STAMP.format(name, counter)


class PagesTest(SynchronousTestCase):
    """Pages over a membership in memory."""

    def setUp(self) -> None:
        """Make the pages."""
        self.world = World()
        self.people = self.world.membership.people

    def tearDown(self) -> None:
        """See that no page failed."""
        self.assertEqual(self.flushLoggedErrors(), [])

    def created(self, browser: Any, **values: str) -> Any:
        """Send the form of sign-up, with these values changed."""
        sent = {
            "name": "alice",
            "display_name": "Alice",
            "password": PASSWORD,
            "again": PASSWORD,
            "stamp": stamp("alice"),
        }
        return browser.post("/create", **{**sent, **values})


class VisitTest(PagesTest):
    """Strangers, and members coming and going."""

    def test_pages_of_strangers(self) -> None:
        """What anybody may see; what members may see leads to the login."""
        browser = self.world.browser()
        for path in ("/", "/login", "/create", "/recover"):
            answer = browser.get(path)
            self.assertEqual(answer.status, 200)
            self.assertEqual(faults(answer.text), [], path)
            self.assertEqual(answer.headers["cache-control"], "no-store")
        for path in ("/account", "/quota", "/knows", "/keys", "/account/key"):
            answer = browser.get(path)
            self.assertEqual(answer.status, 303)
            self.assertEqual(answer.headers["location"], "/login?first=1")
            self.assertEqual(answer.body, b"")
        self.assertIn("Log in first", browser.get("/login?first=1").text)

    def test_pages_of_members(self) -> None:
        """All are there, say who is logged in, and are well-formed."""
        member = self.world.member()
        for path in ("/account", "/quota", "/knows", "/keys", "/account/key"):
            answer = member.get(path)
            self.assertEqual(answer.status, 200)
            self.assertIn("<span>jondoe</span>", answer.text)
            self.assertEqual(faults(answer.text), [], path)
        for path in ("/", "/login", "/create"):
            self.assertEqual(member.get(path).headers["location"], "/account")

    def test_unknown_paths(self) -> None:
        """404 in the same design, for members, too; other methods are named."""
        answer = self.world.member().get("/nothing/here")
        self.assertEqual(answer.status, 404)
        self.assertIn("There is no such page", answer.text)
        self.assertIn("<span>jondoe</span>", answer.text)
        answer = self.world.browser().ask("POST", "/quota")
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.headers["allow"], "GET, HEAD")
        answer = self.world.browser().get("/logout")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))

    def test_head(self) -> None:
        """HEAD tells what GET would, without a body."""
        member = self.world.member()
        for path in ("/account", "/login", "/nothing", "/robots.txt"):
            got, head = member.get(path), member.ask("HEAD", path)
            self.assertEqual(head.body, b"")
            self.assertEqual(head.status, got.status)
            for name in ("content-type", "content-length", "cache-control"):
                self.assertEqual(head.headers.get(name), got.headers.get(name))

    def test_robots(self) -> None:
        """No crawler is welcome."""
        answer = self.world.browser().get("/robots.txt")
        self.assertIn("Disallow: /", answer.text)
        self.assertIn(
            'name="robots" content="noindex"', self.world.browser().get("/").text
        )

    def test_login_and_logout(self) -> None:
        """A right password lets in; after logging out the cookie is worth nothing."""
        member = self.world.member()
        kept = member.cookie
        self.assertEqual(member.post("/logout", at="/account").status, 303)
        self.assertEqual(member.get("/account").status, 303)
        member.cookie = kept
        self.assertEqual(member.get("/account").status, 303)

    def test_wrong_login(self) -> None:
        """Alike for unknown names and wrong passwords; the name is kept, no secret."""
        self.world.member()
        texts = []
        for name in ("jondoe", "nobody"):
            browser = self.world.browser()
            answer = browser.post("/login", name=name, password="not it at all")
            self.assertEqual(answer.status, 403)
            self.assertIn(f'value="{name}"', answer.text)
            self.assertNotIn("not it at all", answer.text)
            texts.append(re.sub(r'value="[^"]*"', "", answer.text))
        self.assertEqual(*texts)

    def test_peers_of_logins(self) -> None:
        """The budget is asked with what tells peers apart for the other servers."""
        browser = self.world.browser("127.9.8.7")
        browser.post("/login", name="x", password="y")
        self.assertEqual(self.world.membership.peers, ["127.9.8.7"])

    def test_sessions_end(self) -> None:
        """A while without a page, and the next is the login; looking keeps it open."""
        member = self.world.member()
        for _ in range(4):
            self.world.clock.advance(1_500)
            self.assertEqual(member.get("/account").status, 200)
        self.world.clock.advance(1_801)
        self.assertEqual(member.get("/account").status, 303)

    def test_sessions_end_after_the_longest_time(self) -> None:
        """However often pages are looked at."""
        member = self.world.member()
        for _ in range(19):
            self.world.clock.advance(1_500)
            member.get("/account")
        self.world.clock.advance(500)
        self.assertEqual(member.get("/account").status, 303)

    def test_restart(self) -> None:
        """Another process knows no session of this one."""
        member = self.world.member()
        member._world = World(self.world.membership)
        self.assertEqual(member.get("/account").status, 303)

    def test_recovery(self) -> None:
        """The code sets a password and is replaced; a reload does neither again."""
        self.world.member()
        browser = self.world.browser()
        token = browser.get("/recover").token()
        new = {"new": "another password", "again": "another password"}
        sent = {"name": "jondoe", "code": "CODE0", **new}
        answer = browser.post("/recover", token=token, **sent)
        self.assertEqual(answer.status, 200)
        self.assertIn(self.people["jondoe"].code, answer.text)
        self.assertEqual(self.people["jondoe"].password, "another password")
        again = browser.post("/recover", token=token, **sent)
        self.assertEqual(again.status, 403)
        self.assertNotIn(self.people["jondoe"].code, again.text)
        for wrong in ({"code": "CODE9"}, {"again": "another"}):
            answer = browser.post("/recover", **{**sent, **wrong})
            self.assertEqual(answer.status, 422)
            self.assertNotIn("another password", answer.text)

    def test_first_load(self) -> None:
        """Home, sign-up and login weigh under 40 kB, each in four requests at most."""
        browser = self.world.browser()
        known: dict[str, int] = {}
        for path in ("/", "/create", "/login"):
            page = browser.get(path)
            files = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
            weights = {}
            for file in files:
                answer = browser.get(file, Accept_Encoding="gzip, deflate")
                self.assertEqual(answer.status, 200)
                self.assertIn("immutable", answer.headers["cache-control"])
                self.assertIn("max-age=31536000", answer.headers["cache-control"])
                self.assertEqual(answer.cookies, ())
                weights[file] = len(answer.body) + 900  # and its header
            self.assertLess(len(page.body) + 900 + sum(weights.values()), 40_000)
            self.assertLessEqual(1 + len(files), 4)
            known |= weights | {path: len(page.body) + 900}
        self.assertLess(sum(known.values()), 40_000)

    def test_static_files(self) -> None:
        """Packed or not they are the same; a name without its hash is none."""
        browser = self.world.browser()
        (path,) = re.findall(r'"(/static/style[^"]+)"', browser.get("/").text)
        plain, packed = browser.get(path), browser.get(path, Accept_Encoding="gzip")
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertEqual(plain.headers["content-type"], "text/css; charset=utf-8")
        self.assertLess(len(plain.body), 12_000)
        for name in ("style.css", "style.000000000000.css", "..%2fsite.py", "%00"):
            self.assertEqual(browser.get(f"/static/{name}").status, 404)


class SignUpTest(PagesTest):
    """Becoming a member."""

    def test_made(self) -> None:
        """The account is made, its code shown once, and its owner logged in."""
        browser = self.world.browser()
        answer = self.created(browser)
        self.assertEqual(answer.status, 200)
        self.assertIn(self.people["alice"].code, answer.text)
        self.assertIn("<span>alice</span>", answer.text)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(faults(answer.text), [])
        self.assertEqual(browser.get("/account").status, 200)

    def test_reload(self) -> None:
        """Sending it again makes no other account and shows no code again."""
        browser = self.world.browser()
        token = browser.get("/create").token()
        code = re.compile(r"CODE\d")
        self.assertRegex(self.created(browser, token=token).text, code)
        again = self.created(browser, token=token)
        self.assertEqual(again.headers["location"], "/account")
        self.assertNotRegex(again.text, code)
        # Nor as a stranger, with the cookie from before the account.
        browser.cookie = ""
        browser.get("/create")
        self.assertEqual(self.created(browser, token=token).status, 403)
        self.assertEqual(list(self.people), ["alice"])

    def test_mistakes(self) -> None:
        """Each is told beside its field; stamp and names stay, passwords never do."""
        for field, values in (
            ("name", {"name": "Al!ce", "stamp": stamp("Al!ce")}),
            ("name", {"name": "-ab", "stamp": stamp("-ab")}),
            ("display_name", {"display_name": "x" * 101}),
            ("password", {"password": "short", "again": "short"}),
            ("again", {"again": "something else"}),
            ("stamp", {"stamp": ""}),
            ("stamp", {"stamp": "nonsense"}),
        ):
            answer = self.created(self.world.browser(), **values)
            self.assertEqual(answer.status, 422, values)
            self.assertIn(f'id="{field}-error"', answer.text)
            self.assertEqual(answer.text.count('class="error"'), 1)
            self.assertNotIn(PASSWORD, answer.text)
            kept = values.get("stamp", stamp("alice"))
            self.assertIn(
                f'name="stamp" type="text" autocomplete="off" value="{kept}"',
                answer.text,
            )
        self.assertEqual(self.people, {})
        self.assertEqual(self.world.membership.spent, set())

    def test_stamp_for_another_name(self) -> None:
        """Whoever changes the name is told whose the stamp is."""
        answer = self.created(self.world.browser(), name="bob")
        self.assertEqual(answer.status, 422)
        self.assertIn("This stamp is for the name alice; make one", answer.text)
        self.assertIn('signup/<span data-is="name">bob</span>@', answer.text)

    def test_taken(self) -> None:
        """Only who has a stamp for a name hears whether it is free."""
        self.world.member("alice")
        answer = self.created(self.world.browser(), stamp=stamp("bob"))
        self.assertNotIn("not to be had", answer.text)
        answer = self.created(self.world.browser())
        self.assertIn("This name is not to be had", answer.text)

    def test_the_operators_own_names(self) -> None:
        """They are taken, as others are: no page tells of them without a stamp."""
        asked: list[str] = []

        def sign_up(name: str, *_: str) -> Deferred[str]:
            asked.append(name)
            return fail(MembershipError("This name is not to be had.", "name"))

        browser = self.world.browser()
        told = self.created(browser, name="abuse", stamp="").text
        self.assertNotIn("operator", told)
        with patch.object(self.world.membership, "sign_up", sign_up):
            self.created(browser, name="abuse", stamp=stamp("abuse"))
        self.assertEqual(asked, ["abuse"])

    def test_closed(self) -> None:
        """Where the operator makes accounts the page says so, and makes none."""
        self.world = World(signup=False)
        browser = self.world.browser()
        self.assertNotIn('href="/create"', browser.get("/").text.split("<main")[1])
        self.assertEqual(browser.get("/create").status, 403)
        token = browser.get("/login").token()
        self.assertEqual(self.created(browser, token=token).status, 403)
        self.assertEqual(self.world.membership.people, {})

    def test_without_stamp(self) -> None:
        """A node that asks for none does not speak of stamps."""
        self.world = World(signup_bits=0)
        text = self.world.browser().get("/create").text
        self.assertNotIn("hashcash", text)
        self.assertNotIn("<script", text)


class AccountTest(PagesTest):
    """Looking after an account."""

    def setUp(self) -> None:
        """Log a member in."""
        super().setUp()
        self.member = self.world.member()
        self.jon = self.people["jondoe"]

    def test_password(self) -> None:
        """It is changed, this session stays, others end, and no form goes twice."""
        other = self.world.browser()
        other.post("/login", name="jondoe", password=PASSWORD)
        token = self.member.get("/account").token()
        sent = {"old": PASSWORD, "new": "a new password", "again": "a new password"}
        answer = self.member.post("/account/password", token=token, **sent)
        self.assertEqual(answer.headers["location"], "/account?done=password")
        self.assertIn("is changed", self.member.get("/account?done=password").text)
        self.assertEqual(self.jon.password, "a new password")
        self.assertEqual(other.get("/account").status, 303)
        again = self.member.post("/account/password", token=token, **sent)
        self.assertEqual(again.status, 403)

    def test_wrong_passwords(self) -> None:
        """What is wrong is told at its field, and nothing is changed."""
        for field, values in (
            ("old", {"old": "wrong password"}),
            ("again", {"again": "something else"}),
            ("new", {"new": "short", "again": "short"}),
        ):
            sent = {"old": PASSWORD, "new": "a new one!", "again": "a new one!"}
            answer = self.member.post(
                "/account/password", at="/account", **{**sent, **values}
            )
            self.assertEqual(answer.status, 422)
            self.assertIn(f'id="{field}-error"', answer.text)
            self.assertEqual(self.jon.password, PASSWORD)

    def test_display_name(self) -> None:
        """It is set; a bad one is shown again beside the reason."""
        form = "/account/display-name"
        answer = self.member.post(form, at="/account", display_name="J\u00f6rg")
        self.assertEqual(answer.status, 303)
        self.assertEqual(self.jon.display_name, "J\u00f6rg")
        answer = self.member.post(form, at="/account", display_name="\u202eevil")
        self.assertEqual(answer.status, 422)
        self.assertIn("\u202eevil", answer.text)
        self.assertEqual(self.jon.display_name, "J\u00f6rg")

    def test_delay(self) -> None:
        """Each of the four, and the node's own; no other."""
        for delay in ("none", "defer", "batch", "pool", ""):
            answer = self.member.post("/account/delay", at="/account", delay=delay)
            self.assertEqual(answer.status, 303)
            self.assertEqual(self.jon.delay, delay)
            ticked = re.findall(
                r'value="(\w*)" checked', self.member.get("/account").text
            )
            self.assertEqual(ticked, [delay])
        answer = self.member.post("/account/delay", at="/account", delay="never")
        self.assertEqual(answer.status, 400)

    def test_recovery_code(self) -> None:
        """A new one is shown once; sending the form again does not void it."""
        token = self.member.get("/account").token()
        wrong = self.member.post("/account/recovery", token=token, password="not this")
        self.assertEqual(wrong.status, 422)
        answer = self.member.post("/account/recovery", token=token, password=PASSWORD)
        code = self.jon.code
        self.assertIn(code, answer.text)
        again = self.member.post("/account/recovery", token=token, password=PASSWORD)
        self.assertEqual((again.status, self.jon.code), (403, code))
        self.assertEqual(self.member.get("/account").status, 200)

    def test_biff_token(self) -> None:
        """It is shown with the words to say; without biff there is none."""
        answer = self.member.post("/account/biff-token", at="/account")
        self.assertIn(".register jondoe@mail.i2p biff-ABCDE-FGHJK", answer.text)
        self.world = World(MemoryMembership(biff=False))
        member = self.world.member()
        answer = member.post("/account/biff-token", at="/account")
        self.assertEqual(answer.status, 404)

    def test_delete(self) -> None:
        """Name and password are asked; afterwards nobody is logged in."""
        for typed, password in (("jon", PASSWORD), ("jondoe", "wrong one")):
            answer = self.member.post(
                "/account/delete", at="/account", typed=typed, password=password
            )
            self.assertEqual(answer.status, 422)
            self.assertIn("jondoe", self.people)
        answer = self.member.post(
            "/account/delete", at="/account", typed="jondoe", password=PASSWORD
        )
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.people, {})
        self.assertNotIn("<span>jondoe</span>", answer.text)
        self.assertEqual(self.member.get("/account").status, 303)

    def test_how_long_a_name_stays_closed(self) -> None:
        """It is told before and after, as it is: also where it is not closed at all."""
        for days, told in (
            (365, "The name stays closed for 365 days"),
            (1, "The name stays closed for one day"),
            (0, "The name is free at once, for anybody."),
        ):
            member = World(closed_name_days=days).member()
            pages = [member.get("/account")]
            pages.append(
                member.post(
                    "/account/delete", at="/account", typed="jondoe", password=PASSWORD
                )
            )
            for page in pages:
                self.assertIn(told, page.text)
                self.assertNotIn("0 days", page.text.replace("30 days", ""))

    def test_changed_elsewhere(self) -> None:
        """An account changed between the look and the change is told, not lost."""
        token = self.member.get("/account").token()
        holds = self.world.membership.visitor

        def then_changed(visitor: Any) -> Any:
            told = holds(visitor)
            self.jon.version += 1
            return told

        self.patch(self.world.membership, "visitor", then_changed)
        answer = self.member.post("/account/delay", token=token, delay="pool")
        self.assertEqual(answer.status, 409)
        self.assertIn("Log in again", answer.text)

    def test_quota(self) -> None:
        """What is left and bought is told; a stamp buys, and only once."""
        text = self.member.get("/quota").text
        self.assertIn("<strong>17</strong> of 20", text)
        self.assertIn("hashcash -m -b 27 quota/jondoe@mail.i2p", text)
        good = "1:27:261122:quota/jondoe@mail.i2p::x:y"
        answer = self.member.post("/quota/buy", at="/quota", stamp=good)
        self.assertEqual(answer.headers["location"], "/quota?done=bought")
        text = self.member.get("/quota?done=bought").text
        self.assertIn("<strong>40</strong>", text)
        self.assertIn("Thank you", text)
        answer = self.member.post("/quota/buy", at="/quota", stamp=good)
        self.assertEqual(answer.status, 422)
        self.assertIn(good, answer.text)

    def test_no_way_out(self) -> None:
        """A node without gateways has nothing to count."""
        self.world = World(MemoryMembership(way=False))
        member = self.world.member()
        self.assertIn("no way to the Internet", member.get("/quota").text)
        answer = member.post("/quota/buy", at="/quota", stamp="x")
        self.assertEqual(answer.status, 404)

    def test_knows(self) -> None:
        """Each fact is told with its reason and its end."""
        text = self.member.get("/knows").text
        for words in (
            "The account&#39;s name",
            "mail for you has to find you",
            "sealed",
        ):
            self.assertIn(words, text)

    def test_knows_what_it_has_no_words_for(self) -> None:
        """A fact does not vanish because nobody described its column."""
        facts = succeed([Fact("novel", "column", "its value")])
        self.patch(self.world.membership, "facts", lambda _: facts)
        text = self.member.get("/knows").text
        self.assertIn("novel", text)
        self.assertIn("its value", text)


class KeysTest(PagesTest):
    """Members' public keys."""

    def published(self, name: str) -> Any:
        """Return the browser of a member who has published a key."""
        member = self.world.member(name)
        text = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\n{name}\r\n"
        answer = member.post("/account/key", key=text)
        self.assertEqual(answer.headers["location"], "/account/key?done=published")
        return member

    def test_publish_and_withdraw(self) -> None:
        """It is in the directory until it is taken back."""
        member = self.published("alice")
        key = self.people["alice"].key
        shown = re.sub(r"(.{4})(?=.)", r"\1 ", key.fingerprint.upper())
        for path in ("/keys", "/account/key"):
            self.assertIn(shown, member.get(path).text)
        answer = member.get("/keys/alice")
        self.assertEqual(answer.headers["content-type"], "application/pgp-keys")
        self.assertIn('filename="alice.asc"', answer.headers["content-disposition"])
        self.assertIn("BEGIN PGP PUBLIC KEY BLOCK", answer.text)
        answer = member.post("/account/key/withdraw", at="/account/key")
        self.assertEqual(answer.status, 303)
        self.assertNotIn(shown, member.get("/keys").text)
        self.assertEqual(member.get("/keys/alice").status, 404)

    def test_refused_key(self) -> None:
        """What was pasted is shown again, beside the reason."""
        answer = self.world.member().post("/account/key", key="<b>not a key</b>")
        self.assertEqual(answer.status, 422)
        self.assertIn("&lt;b&gt;not a key&lt;/b&gt;", answer.text)
        self.assertIn("This is no public key", answer.text)

    def test_long_key(self) -> None:
        """One that is too long is refused as by who reads keys, and so on its page."""
        member = self.world.member()

        def publish(visitor: Any, key: str) -> Any:
            try:
                return clean(key, ["jondoe@mail.i2p"], NOW, 16_384)
            except KeyRefusedError as error:
                return fail(MembershipError(str(error), "key"))

        self.patch(self.world.membership, "publish", publish)
        begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
        for size in (33_000, 40_000, 60_000):
            answer = member.post("/account/key", key=f"{begin}\n" + "A" * size)
            self.assertEqual(answer.status, 422)
            sentence = "more than 16384 octets" if size > 34_000 else "no public key"
            self.assertIn(sentence, answer.text)

    def test_refused_secret_key(self) -> None:
        """Of a secret key no page holds a copy."""
        key = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQOYBGUSecret"
        answer = self.world.member().post("/account/key", key=key)
        self.assertEqual(answer.status, 422)
        self.assertNotIn("lQOYBGUSecret", answer.text)

    def test_directory_in_pages(self) -> None:
        """Fifty at a time, each page leading to the next; members only."""
        for number in range(120):
            self.published(f"m{number:03}")
        member = self.world.member()
        seen: list[str] = []
        path = "/keys"
        while path:
            text = member.get(path).text
            self.assertEqual(faults(text), [])
            seen += re.findall(r'href="/keys/([^"]+)"', text)
            following = re.search(r'href="(/keys\?from=[^"]+)"', text)
            path = following[1] if following else ""
        self.assertEqual(seen, [f"m{number:03}" for number in range(120)])
        self.assertEqual(self.world.browser().get("/keys/m001").status, 303)
        self.assertIn("No key is published from", member.get("/keys?from=zz").text)

    def test_wkd(self) -> None:
        """Members ask both ways, with a session or a password; octets come back."""
        self.published("alice")
        self.world.member("bob")
        octets = self.people["alice"].key.octets
        digest = wkd_hash("alice")
        session = self.world.browser()
        session.post("/login", at="/login", name="bob", password=PASSWORD)
        program = self.world.browser()
        program.login = "bob", PASSWORD
        roots = (WKD, f"{WKD}/mail.i2p", f"{WKD}/i2pmail.org", f"{WKD}/MAIL.i2p")
        for browser, root in itertools.product((session, program), roots):
            for query in ("", "?l=alice", "?l=Alice"):
                answer = browser.get(f"{root}/hu/{digest}{query}")
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.body, octets)
                kind = answer.headers["content-type"]
                self.assertEqual(kind, "application/octet-stream")
                self.assertEqual(answer.cookies, ())
            self.assertEqual(browser.get(f"{root}/policy").status, 200)
        browser = session
        for path in (
            f"{WKD}/hu/{digest}?l=bob",
            f"{WKD}/elsewhere.i2p/hu/{digest}",
            f"{WKD}/elsewhere.i2p/policy",
            f"{WKD}/hu/{digest.upper()}",
            f"{WKD}/hu/{digest}x",
        ):
            self.assertEqual(browser.get(path).status, 404, path)

    def test_wkd_tells_nobody_who_is_a_member(self) -> None:
        """A member without a key is answered as nobody is."""
        browser = self.world.member("bob")
        answers = [
            browser.get(f"{WKD}/hu/{wkd_hash(name)}?l={name}")
            for name in ("bob", "nobody")
        ]
        for answer in answers:
            self.assertEqual(answer.status, 404)
        bodies = {re.sub(r'value="[^"]*"', "", one.text) for one in answers}
        self.assertEqual(len(bodies), 1)

    def test_wkd_is_for_members(self) -> None:
        """A stranger is asked for a password, alike for every name and every path."""
        self.published("alice")
        digest = wkd_hash("alice")
        shown = [None, ("alice", "wrong password"), ("nobody", PASSWORD), ("", "")]
        pages = set()
        for login, path in itertools.product(
            shown,
            (
                f"hu/{digest}?l=alice",
                f"hu/{digest}?l=bob",
                f"hu/{wkd_hash('nobody')}",
                "hu/x",
                "policy",
                "elsewhere.i2p/policy",
                f"mail.i2p/hu/{digest}",
            ),
        ):
            browser = self.world.browser()
            browser.login = login
            answer = browser.get(f"{WKD}/{path}")
            self.assertEqual(answer.status, 401, path)
            self.assertTrue(answer.headers["www-authenticate"].startswith("Basic "))
            pages.add(re.sub(r'value="[^"]*"', "", answer.text))
        self.assertEqual(len(pages), 1)

    def test_wkd_passwords_that_are_none(self) -> None:
        """Broken credentials, other schemes and several fields are a stranger's."""
        self.published("alice")
        good = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
        for value in (
            "Basic",
            "Basic !!",
            "Bearer " + good,
            "Basic /w==",
            "Basic YQ==",
        ):
            browser = self.world.browser()
            browser.authorization = value
            self.assertEqual(browser.get(f"{WKD}/policy").status, 401, value)
        browser = self.world.browser()
        browser.authorization = f"basic {good}"
        self.assertEqual(browser.get(f"{WKD}/policy").status, 200)
        browser.authorization = f"Basic {good}\r\nAuthorization: Basic {good}"
        self.assertEqual(browser.get(f"{WKD}/policy").status, 401)

    def test_switched_off(self) -> None:
        """A node that keeps no keys has none of these pages."""
        self.world = World(keys=False)
        member = self.world.member()
        for path in ("/keys", "/account/key", "/keys/jondoe", f"{WKD}/policy"):
            self.assertEqual(member.get(path).status, 404, path)
        self.assertNotIn("/keys", member.get("/account").text)
        token = member.get("/account").token()
        for path in ("/account/key", "/account/key/withdraw"):
            self.assertEqual(member.post(path, token=token, key="x").status, 404)


class StampTest(PagesTest):
    """A stamp takes long to make: no page loses one that was not used."""

    def busy(self, *methods: str) -> None:
        """Have the node be busy."""
        for method in methods:
            patched = patch.object(
                self.world.membership, method, lambda *_: fail(BusyError())
            )
            patched.start()
            self.addCleanup(patched.stop)

    def test_busy_sign_up(self) -> None:
        """The form comes back with all that was typed, but the passwords."""
        self.busy("sign_up")
        answer = self.created(self.world.browser(), display_name="Alice <3")
        self.assertEqual(answer.status, 503)
        for shown in (stamp("alice"), 'value="alice"', "Alice &lt;3", "Wait for a min"):
            self.assertIn(shown, answer.text)
        self.assertNotIn(PASSWORD, answer.text)
        self.assertEqual(faults(answer.text), [])

    def test_busy_purchase(self) -> None:
        """The stamp stands in the form again; or on a page, where there is no form."""
        member = self.world.member()
        bought = "1:26:261122:quota/jondoe@mail.i2p::salt:1a2b"
        for method in ("buy", "quota", "visitor"):
            token = member.get("/quota").token()
            with patch.object(
                self.world.membership, method, lambda *_: fail(BusyError())
            ):
                answer = member.post("/quota/buy", token=token, stamp=bought)
            self.assertEqual(answer.status, 503)
            self.assertIn(bought, answer.text)
            self.assertEqual(faults(answer.text), [])
        sent = member.post("/quota/buy", at="/quota", stamp=bought)
        self.assertEqual(sent.headers["location"], "/quota?done=bought")

    def test_stale_form(self) -> None:
        """A form that is used up shows the stamp it carries, escaped."""
        made = "1:24:261122:signup/alice@mail.i2p::<b>&:1"
        answer = self.created(self.world.browser(), token="x", stamp=made)
        self.assertEqual(answer.status, 403)
        self.assertIn("::&lt;b&gt;&amp;:1</pre>", answer.text)
        self.assertEqual(faults(answer.text), [])

    def test_login_first(self) -> None:
        """A purchase whose session is over shows its stamp, and no other form does."""
        browser = self.world.browser()
        bought = "1:26:261122:quota/jondoe@mail.i2p::salt:1a2b"
        answer = browser.post("/quota/buy", token="x", stamp=bought)
        self.assertEqual(answer.status, 403)
        self.assertIn("Log in first", answer.text)
        self.assertIn(f"<pre>{bought}</pre>", answer.text)
        for sent in ("", "Buy from http://elsewhere.i2p/ now", "1:26:" + "x" * 600):
            answer = browser.post("/quota/buy", token="x", stamp=sent)
            self.assertEqual(answer.headers["location"], "/login?first=1")


class FaultTest(SynchronousTestCase):
    """Faults of ours."""

    def test_a_page_that_fails(self) -> None:
        """500 in our design, without a word of the fault; logged without a value."""
        world = World()
        member = world.member()

        def fails(*_: Any) -> Any:
            raise ValueError("jondoe's secret value")

        self.patch(world.membership, "quota", fails)
        answer = member.get("/quota")
        self.assertEqual(answer.status, 500)
        self.assertIn("Something broke here", answer.text)
        self.assertNotIn("secret", answer.text)
        self.assertEqual(faults(answer.text), [])
        # Ours is an error's line, not a traceback with values in it.
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_templates_that_fail(self) -> None:
        """Not even the page of an error has to work for its visitor to get one."""
        world = World()

        def fails(*_: Any) -> Any:
            raise RuntimeError("no template")

        self.patch(Environment, "get_template", fails)
        for path in ("/", "/nothing", "/account"):
            answer = world.browser().get(path)
            self.assertIn(answer.status, (303, 500))
            self.assertIn(b"</html>" if answer.status == 500 else b"", answer.body)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_busy_node(self) -> None:
        """It says so with 503, before and after it knows who asks."""
        world = World()
        member = world.member()
        for method in ("details", "visitor"):
            self.patch(world.membership, method, lambda *_: fail(BusyError()))
            answer = member.get("/account")
            self.assertEqual(answer.status, 503)
            self.assertIn("Too much to do", answer.text)
