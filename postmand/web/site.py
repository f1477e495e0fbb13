"""The pages' frame: who asks, what a form said, and the answer in our design.

A page is an async function of an `Ask`; `page` and `form` make routes of it. What goes
wrong at a visitor's end is a page with its status; what goes wrong at ours is logged
whole and shown as 500 without a word of it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import field, frozen
from klein import Klein
from klein.interfaces import IKleinRequest
from twisted.logger import Logger
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, NotFound

from postmand.config import Web
from postmand.membership import (
    BusyError,
    IMembership,
    Visitor,
    WrongLoginError,
)
from postmand.web import forms
from postmand.web.channel import peer_of
from postmand.web.ended import Ended
from postmand.web.rendering import Static, environment, static_files
from postmand.web.session import Session, Signer

_COOKIE = b"postmand"
_FOREVER = b"public, max-age=31536000, immutable"
_ID_BYTES = 16
_KEY_BYTES = 32

Answer = Callable[["Ask"], Awaitable[bytes]]


class PageError(Exception):
    """A visitor's request that is not answered as asked; shown with its status."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.text = text


class LoginFirstError(Exception):
    """The page is a member's, and nobody is logged in."""


@frozen(eq=False)
class Desk:
    """What every page may need. `now` is the wall's clock."""

    settings: Web
    membership: IMembership
    now: Callable[[], float]
    node: Mapping[str, Any]


@frozen(eq=False)
class Ask:
    """One request, as a page sees it."""

    pages: Pages
    request: Any
    session: Session
    path: Mapping[str, str] = field(factory=dict)

    @property
    def visitor(self) -> Visitor:
        """The member who asks. Raises LoginFirstError where nobody is logged in."""
        if self.session.visitor is None:
            raise LoginFirstError
        return self.session.visitor

    @property
    def peer(self) -> str:
        """What tells one peer from another for login budgets; never written."""
        return peer_of(self.request.getClientAddress())

    def query(self, name: str) -> str:
        """Return what the path's query says of `name`, empty where it says nothing."""
        values = self.request.args.get(name.encode(), [b""])
        return str(values[0].decode("latin-1"))

    def form(self, *fields: forms.Field) -> Mapping[str, str]:
        """Return what a form of ours sent; PageError for a forged or broken one."""
        self.request.content.seek(0)
        try:
            values = forms.read(self.request.content.read(), fields)
        except forms.FormError as error:
            raise PageError(400, "This form can not be read", f"{error}.") from None
        if not self.pages.signer.is_token(self.session, values[forms.TOKEN]):
            raise PageError(
                403,
                "This page has grown old",
                "The form was open for too long, or came from elsewhere. "
                "Go back, load the page anew, and send it again.",
            )
        return values

    def render(self, template: str, status: int = 200, **values: Any) -> bytes:
        """Return a page, with its status set."""
        self.request.setResponseCode(status)
        return self.pages.render(self, template, values)

    def go(self, path: str) -> bytes:
        """Send the browser on to another of our pages (after a form: 303)."""
        self.request.setResponseCode(303)
        self.request.setHeader(b"Location", path.encode())
        return b""

    def enter(self, visitor: Visitor | None) -> None:
        """Begin a new session, a member's or a stranger's, in place of the old one."""
        self.pages.begin(self, visitor)


class Pages:
    """The site: Klein's routes over `Ask`s. Rooms of pages add theirs to it."""

    def __init__(self, desk: Desk, random: Callable[[int], bytes] = os.urandom) -> None:
        self.desk = desk
        self.app = Klein()
        settings = desk.settings
        self.signer = Signer(
            random(_KEY_BYTES),
            settings.session_seconds,
            settings.session_longest_seconds,
        )
        self._random = random
        self._ended = Ended(settings.session_longest_seconds)
        self._static, paths = static_files()
        self._templates = environment(paths, node=desk.node)
        self._log = Logger()
        self.app.route("/static/<string:name>", methods=["GET", "HEAD"])(self._file)
        self.app.handle_errors(Exception)(self._failed)

    def resource(self) -> IResource:
        """Return the root for a PageSite."""
        root: IResource = self.app.resource()
        return root

    def page(self, path: str) -> Callable[[Answer], Answer]:
        """Make a page of a function: GET and HEAD."""
        return self._route(path, ["GET", "HEAD"])

    def form(self, path: str) -> Callable[[Answer], Answer]:
        """Make a function take a form: POST. It has to call `Ask.form`."""
        return self._route(path, ["POST"])

    def begin(self, ask: Ask, visitor: Visitor | None) -> None:
        """Set a new session's cookie; the old session is over."""
        now = int(self.desk.now())
        if ask.session.visitor is not None:
            self._ended.add(ask.session.id, now)
        self._set(ask.request, self._new(now, visitor))

    def render(self, ask: Ask, template: str, values: Mapping[str, Any]) -> bytes:
        """Return a template filled in, with what all pages show."""
        shared = {
            "token": self.signer.token(ask.session),
            "visitor": ask.session.visitor,
            "here": ask.request.path.decode("latin-1"),
        }
        text: str = self._templates.get_template(template).render(shared | dict(values))
        octets = text.encode()
        ask.request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        ask.request.setHeader(b"Content-Length", b"%d" % len(octets))
        return octets

    def _route(self, path: str, methods: list[str]) -> Callable[[Answer], Answer]:
        def add(answer: Answer) -> Answer:
            async def asked(request: IKleinRequest, **found: str) -> bytes:
                return await self._answer(answer, request, found)

            self.app.route(path, methods=methods, endpoint=f"{methods[0]} {path}")(
                asked
            )
            return answer

        return add

    async def _answer(
        self, answer: Answer, request: Any, found: Mapping[str, str]
    ) -> bytes:
        ask = Ask(self, request, await self._session(request), found)
        try:
            return await answer(ask)
        except LoginFirstError:
            return ask.go("/login")
        except PageError as error:
            return self._error(ask, error)
        except WrongLoginError:
            return self._error(ask, _WRONG_LOGIN)
        except BusyError:
            return self._error(ask, _BUSY)

    async def _session(self, request: Any) -> Session:
        """Return the browser's session, or begin a stranger's; renew its cookie."""
        now = int(self.desk.now())
        cookie = request.received_cookies.get(_COOKIE, b"").decode("latin-1")
        session = self.signer.session(cookie, now)
        if session is None or not await self._holds(session):
            session = self._new(now, None)
        session = self.signer.seen(session, now)
        self._set(request, session)
        return session

    async def _holds(self, session: Session) -> bool:
        if session.id in self._ended:
            return False
        visitor = session.visitor
        return visitor is None or await self.desk.membership.visitor(visitor)

    def _new(self, now: int, visitor: Visitor | None) -> Session:
        return Session(self._random(_ID_BYTES), now, now, visitor)

    def _set(self, request: Any, session: Session) -> None:
        # One cookie in an answer: a later one takes the place of an earlier one.
        request.cookies.clear()
        request.addCookie(
            _COOKIE,
            self.signer.cookie(session),
            path=b"/",
            max_age=b"%d" % self.desk.settings.session_seconds,
            httpOnly=True,
            sameSite=b"strict",
        )

    def _error(self, ask: Ask, error: PageError) -> bytes:
        return ask.render(
            "error.html", error.status, title=error.title, text=error.text
        )

    def _failed(self, request: Any, failure: Any) -> bytes:
        """Show what no page expected: an unknown path, or a fault of ours."""
        ask = Ask(self, request, self._new(int(self.desk.now()), None))
        if failure.check(HTTPException):
            status = failure.value.code or 500
            known = _STATUSES.get(status, _STATUSES[404])
            return self._error(ask, PageError(status, *known))
        self._log.failure("A page failed", failure=failure)
        return self._error(ask, PageError(500, *_STATUSES[500]))

    def _file(self, request: Any, name: str) -> bytes:
        """Return a static file, packed where the browser takes it."""
        file: Static | None = self._static.get(name)
        if file is None:
            raise NotFound
        request.setHeader(b"Content-Type", file.kind)
        request.setHeader(b"Cache-Control", _FOREVER)
        octets = file.octets
        if file.packed:
            request.setHeader(b"Vary", b"Accept-Encoding")
            if b"gzip" in (request.getHeader(b"accept-encoding") or b""):
                request.setHeader(b"Content-Encoding", b"gzip")
                octets = file.packed
        request.setHeader(b"Content-Length", b"%d" % len(octets))
        return octets


_WRONG_LOGIN = PageError(
    403,
    "That did not go together",
    "The name and the password are not those of an account here. "
    "Go back and try again.",
)
_BUSY = PageError(
    503,
    "Too much to do",
    "The node has more to do than it can. Wait for a minute and try again.",
)
_STATUSES: Mapping[int, tuple[str, str]] = {
    404: ("There is no such page", "The address may be mistyped, or the page gone."),
    405: ("Not in this way", "This page can not be asked for in this way."),
    500: (
        "Something broke here",
        "The fault is ours, and the operator can see it. Try again later.",
    ),
}
