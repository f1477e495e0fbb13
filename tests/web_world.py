"""The pages over an IMembership in memory, and a browser of few words for tests.

`python -m tests.web_world [PORT]` serves them, to be looked at.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.config import Biff, Config, Gateway, Web
from postmand.membership import (
    Details,
    Fact,
    IMembership,
    MembershipError,
    PublishedKey,
    Quota,
    Visitor,
    WrongLoginError,
)
from postmand.rules.names import BadNameError, check_display_name
from postmand.store.published import wkd_hash
from postmand.web.ask import Desk
from postmand.web.channel import PageSite
from postmand.web.house import page_site
from postmand.web.node import Node

NOW = 1_795_000_000
PRICES = ((26, 20), (27, 40), (28, 80))
_CHANGED = "The account was changed elsewhere in the meantime. Log in again."
_TAKEN = "This name is not to be had. Choose another."


@define
class Person:
    """An account in memory."""

    id: int
    name: str
    password: str
    code: str
    display_name: str = ""
    delay: str = ""
    version: int = 1
    bought: int = 0
    key: PublishedKey | None = None

    def visitor(self) -> Visitor:
        """Return the account as a session knows it."""
        return Visitor(self.id, self.name, self.version)


@implementer(IMembership)
class MemoryMembership:
    """See IMembership; nothing blocks, and a stamp is good if it names its account."""

    def __init__(self, *, way: bool = True, biff: bool = True) -> None:
        self.people: dict[str, Person] = {}
        self.peers: list[str] = []
        self.spent: set[str] = set()
        self._closed: set[str] = set()
        self._codes = 0
        self._way = way
        self._biff = biff

    def clear(self) -> None:
        """Begin anew, without anybody."""
        self.people.clear()
        self.spent.clear()
        self._closed.clear()
        self.peers.clear()

    def _code(self) -> str:
        self._codes += 1
        return f"CODE{self._codes}-ABCDE-FGHJK"

    def _at(self, visitor: Visitor) -> Person:
        person = self.people.get(visitor.name)
        if person is None or person.visitor() != visitor:
            raise MembershipError(_CHANGED)
        return person

    def sign_up(
        self, name: str, password: str, display_name: str, stamp: str
    ) -> Deferred[str]:
        """Make an account."""
        if not stamp.startswith("1:") or f":signup/{name}@" not in stamp:
            return fail(MembershipError("This is no stamp for this name.", "stamp"))
        if stamp in self.spent:
            return fail(MembershipError("This stamp was used before.", "stamp"))
        if len(password) < 8:
            text = "The password has fewer than 8 characters."
            return fail(MembershipError(text, "password"))
        if name in self.people or name in self._closed:
            return fail(MembershipError(_TAKEN, "name"))
        self.spent.add(stamp)
        code = self._code()
        self.people[name] = Person(
            len(self.people) + 1, name, password, code, display_name
        )
        return succeed(code)

    def login(self, name: str, password: str, peer: str) -> Deferred[Visitor]:
        """Check a password."""
        self.peers.append(peer)
        person = self.people.get(name.lower().partition("@")[0])
        if person is None or person.password != password:
            return fail(WrongLoginError())
        return succeed(person.visitor())

    def visitor(self, visitor: Visitor) -> Deferred[bool]:
        """Tell whether nothing was changed."""
        person = self.people.get(visitor.name)
        return succeed(person is not None and person.visitor() == visitor)

    def details(self, visitor: Visitor) -> Deferred[Details]:
        """Return the account."""
        person = self._at(visitor)
        return succeed(
            Details(
                person.name,
                person.display_name,
                person.delay,
                20_000,
                13_631_488,
                52_428_800,
                7,
            )
        )

    def _change(self, person: Person) -> Visitor:
        person.version += 1
        return person.visitor()

    def set_password(self, visitor: Visitor, old: str, new: str) -> Deferred[Visitor]:
        """Change the password."""
        person = self._at(visitor)
        if len(new) < 8:
            text = "The password has fewer than 8 characters."
            return fail(MembershipError(text, "new"))
        if person.password != old:
            return fail(WrongLoginError())
        person.password = new
        return succeed(self._change(person))

    def recover(self, name: str, code: str, new: str, peer: str) -> Deferred[str]:
        """Set a password with the code."""
        self.peers.append(peer)
        person = self.people.get(name)
        if person is None or person.code != code:
            text = "The name and the recovery code do not go together."
            return fail(MembershipError(text, "code"))
        person.password, person.code = new, self._code()
        self._change(person)
        return succeed(person.code)

    def new_recovery(
        self, visitor: Visitor, password: str
    ) -> Deferred[tuple[Visitor, str]]:
        """Make another code."""
        person = self._at(visitor)
        if person.password != password:
            return fail(WrongLoginError())
        person.code = self._code()
        return succeed((self._change(person), person.code))

    def set_display_name(self, visitor: Visitor, text: str) -> Deferred[Visitor]:
        """Set the name beside the address."""
        person = self._at(visitor)
        try:
            person.display_name = check_display_name(text)
        except BadNameError as error:
            return fail(MembershipError(str(error), "display_name"))
        return succeed(self._change(person))

    def set_delay(self, visitor: Visitor, delay: str) -> Deferred[None]:
        """Set the delay."""
        self._at(visitor).delay = delay
        return succeed(None)

    def remove(self, visitor: Visitor, password: str) -> Deferred[None]:
        """Remove the account."""
        person = self._at(visitor)
        if person.password != password:
            return fail(WrongLoginError())
        del self.people[person.name]
        self._closed.add(person.name)
        return succeed(None)

    def quota(self, visitor: Visitor) -> Deferred[Quota | None]:
        """Return what is left."""
        person = self._at(visitor)
        if not self._way:
            return succeed(None)
        until = NOW + 86_400 if person.bought else 0
        resource = f"quota/{person.name}@mail.i2p"
        return succeed(
            Quota(17, 20, person.bought, until, person.bought, 160, PRICES, resource)
        )

    def buy(self, visitor: Visitor, stamp: str) -> Deferred[Any]:
        """Credit 40 for any stamp that names the account."""
        person = self._at(visitor)
        if f":quota/{person.name}@" not in stamp or stamp in self.spent:
            return fail(MembershipError("This is no stamp for you.", "stamp"))
        self.spent.add(stamp)
        person.bought += 40
        return self.quota(visitor)

    def biff_token(self, visitor: Visitor) -> Deferred[str | None]:
        """Return a token."""
        self._at(visitor)
        return succeed("biff-ABCDE-FGHJK" if self._biff else None)

    def facts(self, visitor: Visitor) -> Deferred[list[Fact]]:
        """Return some facts."""
        person = self._at(visitor)
        return succeed(
            [
                Fact("accounts", "name", person.name),
                Fact("accounts", "display_name", person.display_name),
                Fact("accounts", "verifier", "a hash of 32 octets"),
                Fact("accounts", "used_bytes", "13.0 MiB"),
                Fact("messages", "card", "7 times sealed octets, 9.1 KiB in all"),
                Fact("standings", "sealed", "sealed; 3 recipients used today"),
            ]
        )

    def publish(self, visitor: Visitor, key: str) -> Deferred[PublishedKey]:
        """Publish whatever looks like a public key."""
        person = self._at(visitor)
        if "BEGIN PGP PUBLIC" not in key:
            return fail(MembershipError("This is no public key.", "key"))
        octets = hashlib.sha256(key.encode()).digest() * 30
        person.key = PublishedKey(person.name, octets[:20].hex(), octets)
        return succeed(person.key)

    def withdraw(self, visitor: Visitor) -> Deferred[None]:
        """Take it back."""
        self._at(visitor).key = None
        return succeed(None)

    def _keys(self) -> list[PublishedKey]:
        return [
            person.key
            for _, person in sorted(self.people.items())
            if person.key is not None
        ]

    def published(self, start: str, most: int) -> Deferred[list[PublishedKey]]:
        """Return keys by name."""
        return succeed([key for key in self._keys() if key.name >= start][:most])

    def published_by(self, name: str) -> Deferred[PublishedKey | None]:
        """Return one's key."""
        return succeed(next((one for one in self._keys() if one.name == name), None))

    def published_hash(self, digest: str) -> Deferred[PublishedKey | None]:
        """Return the key of a name with this hash."""
        found = (one for one in self._keys() if wkd_hash(one.name) == digest)
        return succeed(next(found, None))


class Line(StringTransport):
    """A connection whose ends are closed one by one."""

    half_closed = False
    aborting = False

    def abortConnection(self) -> None:
        """Note that it is cut."""
        self.aborting = True

    def loseWriteConnection(self) -> None:
        """Note that nothing more is written."""
        self.half_closed = True


@frozen
class Answer:
    """What came back: status, header fields in lower case, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    cookies: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def token(self) -> str:
        """Return the token of the page's first form."""
        found = re.search(r'name="token" value="([^"]+)"', self.text)
        assert found, self.text
        return found[1]


def answers(octets: bytes, methods: Iterable[bytes] = ()) -> list[Answer]:
    """Return the answers in what a server wrote; `methods` were asked with."""
    found = []
    asked = iter(methods)
    while octets:
        head, _, octets = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0")
        pairs = [tuple(line.split(": ", 1)) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        length = int(headers.get("content-length", "0"))
        if next(asked, b"GET") == b"HEAD":
            length = 0
        assert "transfer-encoding" not in headers
        cookies = tuple(v for n, v in pairs if n.lower() == "set-cookie")
        found.append(Answer(int(status), headers, octets[:length], cookies))
        octets = octets[length:]
    return found


class World:
    """The pages over a membership in memory, on a clock of their own."""

    def __init__(
        self, membership: Any = None, web: Web | None = None, **settings: Any
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.membership = membership or MemoryMembership()
        self.site = site(self.membership, self.clock, web or Web(**settings))

    def connect(self, peer: str = "127.0.0.1") -> tuple[Any, Line]:
        """Open a connection; no channel where there is no room."""
        address = IPv4Address("TCP", peer, 40_000)
        channel = self.site.buildProtocol(address)
        line = Line(peerAddress=address)
        if channel is not None:
            channel.makeConnection(line)
        return channel, line

    def wire(self, *octets: bytes, peer: str = "127.0.0.1") -> bytes:
        """Send octets over one connection, piece by piece; return what came back."""
        channel, line = self.connect(peer)
        for piece in octets:
            channel.dataReceived(piece)
            self.turns()
        said = line.value()
        channel.connectionLost(Failure(ConnectionDone()))
        return bytes(said)

    def turns(self) -> None:
        """Let the reactor turn, without time, while anybody waits for a turn."""
        self.clock.advance(0)

    def turn(self) -> None:
        """Let it turn once, for the one who waits."""
        now = self.clock.seconds()
        (one,) = [c for c in self.clock.getDelayedCalls() if c.getTime() <= now]
        begin = partial(one.func, *one.args, **one.kw)
        one.cancel()
        begin()

    def browser(self, peer: str = "127.0.0.1") -> Browser:
        """Return a visitor's browser."""
        return Browser(self, peer)

    def member(self, name: str = "jondoe") -> Browser:
        """Return the browser of a member who is logged in."""
        people = self.membership.people
        people[name] = Person(len(people) + 1, name, PASSWORD, "CODE0", "Jon Doe")
        browser = self.browser()
        sent = browser.post("/login", at="/login", name=name, password=PASSWORD)
        assert sent.status == 303, sent.text
        return browser


class Browser:
    """Keeps a cookie, and sends forms with the token of the page they are on."""

    def __init__(self, world: World, peer: str) -> None:
        self._world = world
        self._peer = peer
        self.cookie = ""
        self.authorization = ""
        self.login: tuple[str, str] | None = None

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send one request over a connection of its own."""
        fields = {"Host": "127.0.0.1:8025"}
        if self.cookie:
            fields["Cookie"] = f"postmand={self.cookie}"
        if self.login is not None:
            pair = base64.b64encode(":".join(self.login).encode()).decode()
            self.authorization = f"Basic {pair}"
        if self.authorization:
            fields["Authorization"] = self.authorization
        if method == "POST":
            fields["Content-Type"] = "application/x-www-form-urlencoded"
            fields["Content-Length"] = str(len(body))
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items()
        )
        octets = head.encode("latin-1") + b"\r\n" + body
        said = self._world.wire(octets, peer=self._peer)
        (answer,) = answers(said, [method.encode()])
        for one in answer.cookies:
            # Each cookie's name is its own; the pages tell by the seal what is in it.
            if "Max-Age=0;" not in one:
                self.cookie = one.partition(";")[0].partition("=")[2]
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page."""
        return self.ask("GET", path, **headers)

    def post(
        self, path: str, at: str = "", token: str | None = None, **values: str
    ) -> Answer:
        """Send a form, with the token of the page `at` (or another)."""
        if token is None:
            token = self.get(at or path).token()
        body = urlencode({**values, "token": token}).encode()
        return self.ask("POST", path, body)


PASSWORD = "correct horse battery"


def site(membership: Any, reactor: Any, web: Web) -> PageSite:
    """Return the pages over a membership."""
    config = Config(web=web, gateways=(Gateway("tcp:127.0.0.1:2526"),), biff=Biff())
    node = Node.from_config(config)
    return page_site(Desk(web, membership, reactor.seconds, node), reactor)


def _serve(port: int) -> None:
    from twisted.internet import reactor  # noqa: PLC0415 (importing installs one)

    membership = MemoryMembership()
    membership.people["jondoe"] = Person(1, "jondoe", PASSWORD, "CODE0", "Jon Doe")
    for number in range(70):
        name = f"member{number:02}"
        made = Person(number + 2, name, PASSWORD, "CODE0")
        membership.people[name] = made
        membership.publish(made.visitor(), f"BEGIN PGP PUBLIC {number}")
    serving: Any = reactor
    serving.listenTCP(port, site(membership, serving, Web()), interface="127.0.0.1")
    print(f"http://127.0.0.1:{port}/ jondoe / {PASSWORD}", flush=True)
    serving.run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8025)
