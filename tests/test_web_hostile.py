"""What attackers send to the pages: forged forms, cookies brought along, octets."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from postmand.membership import BusyError
from postmand.web import site
from tests.web_markup import faults
from tests.web_world import PASSWORD, Answer, Browser, World, answers

pytestmark = pytest.mark.long

# Every form there is, with what a form of ours would say in it.
FORMS: dict[str, dict[str, str]] = {
    "/login": {"name": "jondoe", "password": PASSWORD},
    "/create": {
        "name": "alice",
        "display_name": "",
        "password": PASSWORD,
        "again": PASSWORD,
        "stamp": "1:24:261122:signup/alice@mail.i2p::a:b",
    },
    "/recover": {
        "name": "jondoe",
        "code": "CODE0",
        "new": "another one",
        "again": "another one",
    },
    "/logout": {},
    "/account/password": {
        "old": PASSWORD,
        "new": "another one",
        "again": "another one",
    },
    "/account/display-name": {"display_name": "Jon"},
    "/account/delay": {"delay": "pool"},
    "/account/recovery": {"password": PASSWORD},
    "/account/biff-token": {},
    "/account/delete": {"typed": "jondoe", "password": PASSWORD},
    "/account/key": {"key": "-----BEGIN PGP PUBLIC KEY BLOCK-----"},
    "/account/key/withdraw": {},
    "/quota/buy": {"stamp": "1:27:261122:quota/jondoe@mail.i2p::x:y"},
}
STRANGERS = ("/login", "/create", "/recover")
MARKS = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "</textarea></pre><b>",
    "&lt;b&gt;&#60;i&#62;",
    "\u202e\u2028<\u0131>",
)


def routes(world: World) -> list[Any]:
    """Return all routes that the pages have."""
    return list(world.site.resource._app.url_map.iter_rules())


def untouched(world: World) -> bool:
    """Tell whether jondoe's account is as it was made, and the only one."""
    people = world.membership.people
    jon = people.get("jondoe")
    return (
        list(people) == ["jondoe"]
        and (jon.password, jon.code, jon.delay) == (PASSWORD, "CODE0", "")
        and (jon.display_name, jon.bought, jon.key) == ("Jon Doe", 0, None)
        and jon.version == 1
    )


class ForgeryTest(SynchronousTestCase):
    """Forms that their visitor did not mean to send."""

    def setUp(self) -> None:
        """Log a member in."""
        self.world = World()
        self.member = self.world.member()

    def sent(self, path: str, cookie: str, token: str | None, **headers: str) -> Answer:
        """Send a form that would do, but for its token."""
        browser = self.world.browser()
        browser.cookie = cookie
        values = FORMS[path] | ({} if token is None else {"token": token})
        return browser.ask("POST", path, urlencode(values).encode(), **headers)

    def test_every_form_is_named_here(self) -> None:
        """A form that is added is forged, too."""
        found = {one.rule for one in routes(self.world) if "POST" in one.methods}
        self.assertEqual(found, set(FORMS))

    def test_forged(self) -> None:
        """Without the token, or with another session's, nothing is done."""
        stranger = self.world.browser()
        for path in FORMS:
            if path in STRANGERS:
                stranger.get("/login")
                cookie = stranger.cookie
            else:
                cookie = self.member.cookie
            for token in (
                None,
                "",
                "x",
                self.world.browser().get("/login").token(),
                cookie[:43],
            ):
                answer = self.sent(path, cookie, token)
                self.assertIn(answer.status, (400, 403), (path, token))
                self.assertTrue(untouched(self.world), (path, token))

    def test_without_a_cookie(self) -> None:
        """A token alone, as of a page elsewhere whose cookies stay at home, is none."""
        token = self.member.get("/account").token()
        for path in FORMS:
            answer = self.sent(path, "", token)
            self.assertIn(answer.status, (303, 403), path)
            self.assertNotIn("/account?", answer.headers.get("location", ""))
            self.assertTrue(untouched(self.world), path)

    def test_after_logout(self) -> None:
        """Neither cookie nor token of the session that is over is worth anything."""
        cookie = self.member.cookie
        token = self.member.get("/account").token()
        self.member.post("/logout", at="/account")
        for path in set(FORMS) - {"/logout"}:
            answer = self.sent(path, cookie, token)
            self.assertIn(answer.status, (303, 403), path)
            self.assertTrue(untouched(self.world), path)

    def test_told_to_come_from_elsewhere(self) -> None:
        """Where the browser says that another site sent the form it is not taken."""
        token = self.member.get("/account").token()
        for told in ("cross-site", "same-site", "none"):
            answer = self.sent(
                "/account/delay", self.member.cookie, token, Sec_Fetch_Site=told
            )
            self.assertEqual(answer.status, 403)
        self.assertTrue(untouched(self.world))
        answer = self.sent(
            "/account/delay", self.member.cookie, token, Sec_Fetch_Site="same-origin"
        )
        self.assertEqual(answer.status, 303)

    def test_brought_cookie(self) -> None:
        """A session that somebody else planted is not the member's after the login."""
        planted = self.world.browser()
        planted.get("/login")
        cookie = planted.cookie
        victim = self.world.browser()
        victim.cookie = cookie
        answer = victim.post("/login", name="jondoe", password=PASSWORD)
        self.assertEqual(answer.status, 303)
        self.assertNotEqual(victim.cookie, cookie)
        self.assertEqual(planted.get("/account").status, 303)
        # Nor are the forms that the planter knows the token of.
        planted.cookie = cookie
        token = planted.get("/login").token()
        answer = self.sent("/account/delay", victim.cookie, token)
        self.assertEqual(answer.status, 403)

    def test_two_cookies(self) -> None:
        """Another program on this host can add a cookie, but choose no session."""
        planted = self.world.browser()
        planted.get("/login")
        cookie = f"{self.member.cookie}; postmand={planted.cookie}"
        answer = self.sent(
            "/account/delay", cookie, self.member.get("/account").token()
        )
        self.assertEqual(answer.status, 303)
        self.assertEqual(answer.headers["location"], "/login?first=1")
        self.assertTrue(untouched(self.world))

    def test_linked_from_elsewhere(self) -> None:
        """A page elsewhere that leads here logs nobody out.

        The browser keeps the member's cookie to itself then, and takes what we set.
        """
        for path in ("/", "/login", "/account", "/nowhere"):
            (said,) = self.world.browser().get(path).cookies
            self.assertTrue(said.startswith("postmand-visit="), said)
            both = f"{self.member.cookie}; {said.partition(';')[0]}"
            browser = self.world.browser()
            browser.cookie = both
            answer = browser.get("/account")
            self.assertEqual(answer.status, 200)
            (kept,) = answer.cookies
            self.assertTrue(kept.startswith("postmand="), kept)

    def test_cookies_of_a_logout(self) -> None:
        """The member's cookie goes, a stranger's comes."""
        kept, gone = self.member.post("/logout", at="/account").cookies
        self.assertTrue(gone.startswith("postmand=; Path=/; Max-Age=0;"), gone)
        self.assertTrue(kept.startswith("postmand-visit="), kept)

    def test_busy_ends_no_session(self) -> None:
        """While nobody can look whether a session holds it is not taken away."""
        membership = self.world.membership
        with patch.object(membership, "visitor", lambda _: fail(BusyError())):
            said = [self.member.get(path) for path in ("/", "/account", "/nowhere")]
        self.assertEqual([(one.status, one.cookies) for one in said], [(503, ())] * 3)
        self.assertEqual(self.member.get("/account").status, 200)

    def test_strangers_logging_out(self) -> None:
        """However often they do it, a member's logout is remembered."""
        cookie = self.member.cookie
        self.member.post("/logout", at="/account")
        stranger = self.world.browser()
        for _ in range(1_100):
            stranger.post("/logout", at="/login")
        stranger.cookie = cookie
        self.assertEqual(stranger.get("/account").status, 303)

    def test_cookie_of_an_account_made_anew(self) -> None:
        """A session of one that is gone is no session of another with its name."""
        people = self.world.membership.people
        jon = people.pop("jondoe")
        self.assertEqual(self.member.get("/account").status, 303)
        jon.id = 99
        people["jondoe"] = jon
        self.assertEqual(self.member.get("/account").status, 303)


class MarkupTest(SynchronousTestCase):
    """Markup in everything that a page shows."""

    def setUp(self) -> None:
        """Log a member in."""
        self.world = World()
        self.member = self.world.member()

    def check(self, answer: Answer) -> None:
        """See that nothing in the page is markup but ours."""
        self.assertLess(answer.status, 500)
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.assertEqual(faults(answer.text), [])

    def test_forms(self) -> None:
        """Each field of each form, with what it shows again."""
        for path, values in FORMS.items():
            for field in values:
                for mark in MARKS:
                    self.world.membership.clear()
                    stranger = path in STRANGERS
                    browser = self.world.browser() if stranger else self.world.member()
                    at = path if path in STRANGERS else "/account"
                    sent = {**values, field: mark}
                    self.check(browser.post(path, at=at, **sent))
                    if path not in STRANGERS:
                        for page in ("/account", "/knows", "/account/key", "/keys"):
                            self.check(browser.get(page))

    def test_stored(self) -> None:
        """What the store has, however it came there, is shown as text."""
        jon = self.world.membership.people["jondoe"]
        for mark in MARKS:
            jon.display_name = mark
            for page in ("/account", "/knows", "/quota", "/keys"):
                answer = self.member.get(page)
                self.check(answer)
                self.assertEqual(answer.status, 200)

    def test_paths_and_queries(self) -> None:
        """What is asked for is not markup in the answer, nor a field of its header."""
        for mark in (*MARKS, "\r\nSet-Cookie: planted=1", "%0d%0aX: y", "\0"):
            quoted = quote_from_bytes(mark.encode())
            for path in (
                f"/{quoted}",
                f"/login?first={quoted}",
                f"/account?done={quoted}",
                f"/keys?from={quoted}",
                f"/keys/{quoted}",
                f"/static/{quoted}",
                f"/.well-known/openpgpkey/hu/{quoted}?l={quoted}",
                f"/.well-known/openpgpkey/{quoted}/policy",
            ):
                answer = self.member.get(path)
                self.check(answer)
                self.assertNotIn("planted", str(answer.headers))
                self.assertNotIn("x", set(answer.headers))

    def test_every_host_that_can_be_named(self) -> None:
        """A page is shown under it, at an address of version 6, too."""
        world = World(hosts=("[::1]", "hq.postman.i2p"))
        for host in (b"[::1]", b"[::1]:8025", b"HQ.postman.i2p.", b"hq.postman.i2p:1"):
            said = world.wire(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertTrue(said.startswith(b"HTTP/1.1 200 "), host)
        for host in (b"hq.postman.i2p..", b"[::2]", b".hq.postman.i2p"):
            said = world.wire(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertTrue(said.startswith(b"HTTP/1.1 421 "), host)

    def test_other_codings(self) -> None:
        """A body that two programs in a row could read in two ways is not read."""
        for codings in (
            *(b"identity", b"chunked\r\nTransfer-Encoding: identity", b"gzip, chunked"),
            *(b"chunked, chunked", b"chunked\r\nTransfer-Encoding: chunked", b""),
        ):
            said = self.world.wire(
                b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n"
                b"Transfer-Encoding: " + codings + b"\r\n\r\n"
                b"0\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            self.assertEqual(said.count(b"HTTP/1.1 "), 1, codings)
            self.assertTrue(said.startswith(b"HTTP/1.1 400 "), codings)

    def test_cookies_and_hosts(self) -> None:
        """Nor are they in any answer."""
        for mark in ("<b>marked</b>", "marked\rX: y", "\xe4marked"):
            browser = self.world.browser()
            browser.cookie = mark
            for headers in ({}, {"Host": f"localhost{mark}"}):
                answer = browser.ask("GET", "/login", **headers)
                self.assertIn(answer.status, (200, 400, 421))
                self.assertNotIn(b"marked", answer.body)
                self.assertNotIn("marked", str(answer.headers))
        self.assertEqual(self.flushLoggedErrors(), [])


TEXT = st.one_of(st.text(max_size=60), st.sampled_from(MARKS))
RAW = st.binary(max_size=200)
TARGET = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
REFUSALS = (400, 405, 413, 415, 421, 431)


class FuzzTest(SynchronousTestCase):
    """Octets by the thousand: never 500, never a fault in the log."""

    def setUp(self) -> None:
        """Watch what is logged."""
        self.world = World()
        self.logged: list[Any] = []
        self.patch(site, "log_fault", lambda *told: self.logged.append(told))

    def check(self, answer: Answer) -> None:
        """See that it is no fault of ours, and whole."""
        self.assertLess(answer.status, 500)
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.assertEqual(faults(answer.text), [])
        self.assertEqual(self.logged, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def browser(self, path: str) -> tuple[Browser, str]:
        """Return the browser of who may send this form, and its token."""
        self.world.membership.clear()
        if path in STRANGERS:
            browser = self.world.browser()
            return browser, browser.get(path).token()
        browser = self.world.member()
        return browser, browser.get("/account").token()

    @given(st.sampled_from(sorted(FORMS)), st.data())
    @settings(max_examples=60, deadline=None)
    def test_values(self, path: str, data: st.DataObject) -> None:
        """Any text in any field of any form."""
        browser, token = self.browser(path)
        values = {
            name: data.draw(st.one_of(st.just(value), TEXT))
            for name, value in FORMS[path].items()
        }
        self.check(browser.post(path, token=token, **values))

    @given(st.sampled_from(sorted(FORMS)), RAW, st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_bodies(self, path: str, body: bytes, signed: bool) -> None:
        """Any octets as the body of any form, with a right token or none."""
        browser, token = self.browser(path)
        if signed:
            body = b"token=" + token.encode() + b"&" + body
        self.check(browser.ask("POST", path, body))

    @given(st.sampled_from(("GET", "HEAD", "POST")), TARGET, st.booleans())
    @settings(max_examples=100, deadline=None)
    def test_targets(self, method: str, target: str, member: bool) -> None:
        """Any path and query, of anybody."""
        self.world.membership.clear()
        browser = self.world.member() if member else self.world.browser()
        self.check(browser.ask(method, "/" + target))

    @given(st.sampled_from(sorted(FORMS)), st.integers(1, 5_000))
    @settings(max_examples=10, deadline=None)
    def test_parameters_by_the_thousand(self, path: str, many: int) -> None:
        """They are counted before they are looked at, in body and query."""
        browser, token = self.browser(path)
        body = b"token=" + token.encode() + b"&a=b" * many
        self.assertIn(browser.ask("POST", path, body).status, (400,))
        query = "&".join(f"a{at}=b" for at in range(min(many, 1_000)))
        self.check(browser.get(f"/login?{query}"))

    @given(st.lists(st.binary(max_size=120), max_size=8))
    @settings(max_examples=100, deadline=None)
    def test_raw_octets(self, pieces: list[bytes]) -> None:
        """Whatever comes on the line: an answer that refuses it, or silence."""
        for begun in (
            b"",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        ):
            for answer in answers(self.world.wire(begun, *pieces)):
                self.assertIn(answer.status, (200, *REFUSALS))
        self.assertEqual(self.logged, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    @given(st.binary(max_size=200))
    @settings(max_examples=60, deadline=None)
    def test_fields(self, value: bytes) -> None:
        """Any octets as the value of what is looked at."""
        for name in (b"Host", b"Cookie", b"Accept-Encoding", b"Connection", b"Expect"):
            head = b"GET /login HTTP/1.1\r\n%b: %b\r\n" % (name, value)
            host = b"" if name == b"Host" else b"Host: localhost\r\n"
            said = self.world.wire(head + host + b"\r\n")
            for answer in answers(said.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")):
                self.assertIn(answer.status, (200, *REFUSALS))
        self.assertEqual(self.flushLoggedErrors(), [])
