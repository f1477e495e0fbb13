"""The pages of a whole node, over sockets: a member's life, and what is left of it."""

from __future__ import annotations

import http.client
import poplib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from urllib.parse import urlencode

import pytest

from postmand.rules import hashcash
from tests.flow.house import House, free_port
from tests.flow.search import Words
from tests.web_markup import faults

# What the visitor's machine tells, and what is typed: none of it may be kept.
TOLD = {
    "User-Agent": "MarkedBrowser/7.3 (MarkedSystem)",
    "X-I2P-DestHash": "MarkedDestHash0aBcDeFgHiJkLmNo",
    "X-I2P-DestB32": "markeddestination234567.b32.i2p",
    "X-I2P-DestB64": "MarkedDestB64~-AAAAzzzz",
    "X-Forwarded-For": "203.0.113.77, marked.example",
    "Accept-Language": "de-MARKED, marked;q=0.9",
    "Referer": "http://marked-referrer.i2p/page",
}
FIRST, SECOND, THIRD = (
    f"{n}-marked-password-Qz7" for n in ("first", "second", "third")
)
WRONG = "wrong-marked-password-Qz7"
NOBODY = "nobody-marked-name"
QUERY = "marked-in-a-query"
SHOWN = "Jon Doe the First"
BITS = 10


class PagesHouse(House):
    """A node with pages, a way out and cheap stamps."""

    def __init__(self, base: Path) -> None:
        self.web_port = free_port()
        super().__init__(
            base,
            web={
                "listen": [f"tcp:{self.web_port}:interface=127.0.0.1"],
                "signup_bits": BITS,
            },
            quota={"stamps": {str(BITS): 40}},
            gateways=[{"endpoint": f"tcp:127.0.0.1:{free_port()}"}],
        )


class Visitor:
    """A browser that keeps its cookie and tells much of itself."""

    def __init__(self, port: int) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookie = ""
        self.cookies: set[str] = set()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Return status and text, following what a form leads to."""
        headers = dict(TOLD)
        if self.cookie:
            headers["Cookie"] = self.cookie
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._link.request(method, path, body, headers)
        answer = self._link.getresponse()
        text = answer.read().decode()
        cookie = answer.getheader("Set-Cookie")
        if cookie:
            self.cookie = cookie.partition(";")[0]
            self.cookies.add(self.cookie.partition("=")[2])
        assert answer.getheader("Date") is None
        assert answer.getheader("Server") is None
        assert answer.status < 500, text
        if answer.status == 303:
            return self.ask("GET", answer.getheader("Location") or "")
        if text.startswith("<!DOCTYPE"):
            assert faults(text) == []
        return answer.status, text

    def get(self, path: str) -> str:
        """Return a page that is there."""
        status, text = self.ask("GET", path)
        assert status == 200, text
        return text

    def post(self, path: str, at: str = "", **values: str) -> tuple[int, str]:
        """Send the form on a page."""
        _, text = self.ask("GET", at or path)
        found = re.search(r'name="token" value="([^"]+)"', text)
        assert found
        body = urlencode({**values, "token": found[1]}).encode()
        return self.ask("POST", path, body)


def stamp(use: str, name: str, house: PagesHouse) -> str:
    """Return a stamp of few bits."""
    resource = f"{use}/{name}@mail.i2p".encode()
    return hashcash.mint(resource, BITS, house.now(), SystemRandom()).decode()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[PagesHouse]:
    """Run the node."""
    house = PagesHouse(tmp_path)
    house.start()
    try:
        yield house
    finally:
        house.stop()


def visitor(house: PagesHouse) -> Visitor:
    """Return a new browser."""
    return Visitor(house.web_port)


def code_in(text: str) -> str:
    """Return the recovery code that a page shows."""
    found = re.search(r"(?:[0-9A-Z]{5}-){7}[0-9A-Z]{5}", text)
    assert found, text
    return found[0]


def opens(house: PagesHouse, password: str) -> bool:
    """Tell whether POP3 takes the member's password."""
    session = poplib.POP3("127.0.0.1", house.pop_port, 60)
    try:
        session.user("jondoe")
        session.pass_(password)
    except poplib.error_proto:
        return False
    finally:
        session.close()
    return True


def made(house: PagesHouse, browser: Visitor) -> str:
    """Make jondoe's account; return its recovery code."""
    status, text = browser.post(
        "/create",
        name="jondoe",
        display_name=SHOWN,
        password=FIRST,
        again=FIRST,
        stamp=stamp("signup", "jondoe", house),
    )
    assert status == 200, text
    return code_in(text)


def test_a_members_life(house: PagesHouse) -> None:
    """From a stranger to a deleted account, each change seen by the other servers."""
    browser = visitor(house)
    made(house, browser)
    assert opens(house, FIRST)
    text = browser.get("/account")
    assert "jondoe@mail.i2p" in text
    assert browser.post("/account/delay", at="/account", delay="batch")[0] == 200
    assert 'value="batch" checked' in browser.get("/account")
    bought = stamp("quota", "jondoe", house)
    assert (
        "<strong>40</strong>"
        in browser.post("/quota/buy", at="/quota", stamp=bought)[1]
    )
    assert browser.post("/quota/buy", at="/quota", stamp=bought)[0] == 422
    assert house.quota("jondoe")["bought_left"] == 40
    status, text = browser.post(
        "/account/password", at="/account", old=FIRST, new=SECOND, again=SECOND
    )
    assert (status, "is changed" in text) == (200, True)
    assert (opens(house, FIRST), opens(house, SECOND)) == (False, True)
    code = code_in(browser.post("/account/recovery", at="/account", password=SECOND)[1])
    assert "Manage account" in browser.get("/account")
    lost = visitor(house)
    sent = {"name": "jondoe", "code": code, "new": THIRD, "again": THIRD}
    assert code_in(lost.post("/recover", **sent)[1]) != code
    assert (opens(house, SECOND), opens(house, THIRD)) == (False, True)
    assert "Log in" in browser.get("/account")
    assert browser.post("/login", name="jondoe", password=THIRD)[0] == 200
    gone = browser.post(
        "/account/delete", at="/account", typed="jondoe", password=THIRD
    )
    assert "The account is gone" in gone[1]
    assert not opens(house, THIRD)
    status, text = browser.post(
        "/create",
        name="jondoe",
        display_name="",
        password=FIRST,
        again=FIRST,
        stamp=stamp("signup", "jondoe", house),
    )
    assert status == 422
    assert "not to be had" in text or "used before" in text


def test_nothing_is_kept_of_a_visit(house: PagesHouse) -> None:
    """No line a request; nothing that was typed or told is in the log or the state."""
    before = house.log.read_bytes()
    browser = visitor(house)
    code = made(house, browser)
    for path in (
        "/",
        "/account",
        "/quota",
        "/knows",
        "/keys",
        "/clients",
        "/account/key",
    ):
        browser.get(path)
    browser.ask("GET", f"/{QUERY}?{QUERY}={QUERY}")
    browser.ask("GET", f"/keys?from={QUERY}")
    browser.post("/account/key", key=f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n{QUERY}")
    browser.post("/quota/buy", at="/quota", stamp=f"1:10:261122:{QUERY}::a:b")
    browser.post(
        "/account/password", at="/account", old=WRONG, new=SECOND, again=SECOND
    )
    other = visitor(house)
    other.post("/login", name="jondoe", password=WRONG)
    other.post("/login", name=NOBODY, password=WRONG)
    other.post("/recover", name=NOBODY, code=code, new=THIRD, again=THIRD)
    with socket.create_connection(("127.0.0.1", house.web_port), 60) as link:
        link.sendall(
            b"NONSENSE /%b HTTP/9\r\nHost: marked-host.example\r\n\r\n" % QUERY.encode()
        )
        assert link.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert house.log.read_bytes() == before
    secrets = {
        *(value for value in TOLD.values()),
        *(FIRST, SECOND, THIRD, WRONG, NOBODY, QUERY, code, "marked-host.example"),
        *(browser.cookies | other.cookies),
    }
    words = Words(word.encode() for word in secrets)
    files = [path for path in house.state.rglob("*") if path.is_file()]
    assert len(files) > 1
    found = {str(path): words.found(path.read_bytes()) for path in (*files, house.log)}
    assert {path: hits for path, hits in found.items() if hits} == {}
    # The search finds what is there: the name shown beside the address.
    shown = Words([SHOWN.encode()])
    assert any(shown.found(path.read_bytes()) for path in files)


def test_logins_are_weighed_together(house: PagesHouse) -> None:
    """Wrong passwords on the page and over POP3 are answered, the right one taken."""
    browser = visitor(house)
    made(house, browser)
    other = visitor(house)
    for _ in range(2):
        assert other.post("/login", name="jondoe", password=WRONG)[0] == 403
        assert not opens(house, WRONG)
    assert other.post("/login", name="jondoe@mail.i2p", password=FIRST)[0] == 200


def test_another_host_name(house: PagesHouse) -> None:
    """A page elsewhere whose name leads here gets nothing of ours."""
    link = http.client.HTTPConnection("127.0.0.1", house.web_port, timeout=60)
    link.request("GET", "/login", headers={"Host": "rebound.example"})
    answer = link.getresponse()
    assert answer.status == 421
    assert answer.getheader("Set-Cookie") is None
    answer.read()
    link.close()
