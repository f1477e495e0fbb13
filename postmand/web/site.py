"""The pages' frame: routes to pages, and what is shown when one fails.

A page is an async function of an `Ask`; `page` and `form` make routes of it. What goes
wrong at a visitor's end is a page with its status; what goes wrong at ours is logged
without a value of the visitor's, and shown as 500 without a word of it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import RequestRedirect

from postmand.faults import log_fault
from postmand.membership import BusyError, MembershipError, WrongLoginError
from postmand.web import forms
from postmand.web.ask import Ask, Desk
from postmand.web.channel import REFUSED
from postmand.web.refusals import (
    BUSY,
    LOGIN_FIRST,
    WRONG_LOGIN,
    LoginFirstError,
    PageError,
    refusal,
)
from postmand.web.rendering import environment, static_files, takes_gzip
from postmand.web.visits import Visits

__all__ = ["Answer", "Ask", "Desk", "PageError", "Pages"]

_FOREVER = b"public, max-age=31536000, immutable"
_HTML = b"text/html; charset=utf-8"

Answer = Callable[[Ask], Awaitable[bytes]]

log = Logger()


class Pages:
    """The site: Klein's routes over `Ask`s. Rooms of pages add theirs to it."""

    def __init__(self, desk: Desk, random: Callable[[int], bytes] = os.urandom) -> None:
        self.desk = desk
        self.app = Klein()
        # Werkzeug would send the browser to another spelling of a path.
        self.app.url_map.merge_slashes = False
        self.visits = Visits(desk.membership, desk.settings, desk.now, random)
        self._static, paths = static_files()
        self._templates = environment(paths, node=desk.node)
        self._broken = self._plainly(refusal(500))
        self.app.route("/static/<string:name>", methods=["GET"])(self._file)
        self.app.handle_errors(Exception)(self._failed)

    def resource(self) -> IResource:
        """Return the root for a PageSite."""
        root: IResource = self.app.resource()
        return root

    def refusals(self) -> Mapping[int, bytes]:
        """Return whole pages by status, for a PageSite."""
        return {status: self._plainly(refusal(status)) for status in REFUSED}

    def page(self, path: str) -> Callable[[Answer], Answer]:
        """Make a page of a function: GET and HEAD."""
        return self._route(path, "GET")

    def form(self, path: str) -> Callable[[Answer], Answer]:
        """Make a function take a form: POST. It has to call `Ask.form`."""
        return self._route(path, "POST")

    def _plainly(self, error: PageError, stamp: str = "") -> bytes:
        """Return an error page that is nobody's, and sets no cookie."""
        template = self._templates.get_template("error.html")
        shown = {"title": error.title, "text": error.text, "visitor": None, "here": ""}
        return template.render(token="", stamp=stamp, **shown).encode()

    def _route(self, path: str, method: str) -> Callable[[Answer], Answer]:
        def add(answer: Answer) -> Answer:
            def asked(request: Any, **found: str) -> Deferred[bytes]:
                return _apart(self._answered(answer, request, found))

            route = self.app.route(path, methods=[method], endpoint=f"{method} {path}")
            route(asked)
            return answer

        return add

    async def _answered(
        self, answer: Answer, request: Any, found: Mapping[str, str]
    ) -> bytes:
        """Return what the page answers, or the page that tells why it does not."""
        # Now: the body goes with the connection, which may end at any time.
        body = request.content.read()
        try:
            return await self._tried(answer, request, found, body)
        except BusyError:
            # Whose session it is nobody knows now: the browser's stays as it is.
            return _given(request, BUSY.status, self._plainly(BUSY, forms.stamp(body)))
        except Exception as fault:
            log_fault(log, "a page failed", fault)
        return self._fault(request)

    async def _tried(
        self, answer: Answer, request: Any, found: Mapping[str, str], body: bytes
    ) -> bytes:
        session = await self.visits.of(request)
        ask = Ask(request, session, self.visits, self._templates, found, body)
        try:
            return await answer(ask)
        except LoginFirstError:
            # A stamp was worked for: where one came along, no other page is sent for.
            carried = forms.stamp(body)
            return _shown(ask, LOGIN_FIRST) if carried else ask.go("/login?first=1")
        except PageError as error:
            return _shown(ask, error)
        except WrongLoginError:
            return _shown(ask, WRONG_LOGIN)
        except BusyError:
            return _shown(ask, BUSY)
        except MembershipError as error:
            return _shown(ask, PageError(409, "Nothing was changed", str(error)))

    def _failed(self, request: Any, failure: Failure) -> Deferred[bytes]:
        """Answer where no page did: an unknown path, another method, a fault."""
        fault = failure.value
        if not isinstance(fault, HTTPException) or isinstance(fault, RequestRedirect):
            log_fault(log, "a page failed", failure)
            return _apart(self._as_fault(request))
        methods = getattr(fault, "valid_methods", None)
        if methods:
            request.setHeader(b"Allow", ", ".join(sorted(methods)).encode())

        async def missing(_: Ask) -> bytes:
            raise refusal(fault.code or 404)

        return _apart(self._answered(missing, request, {}))

    async def _as_fault(self, request: Any) -> bytes:
        return self._fault(request)

    def _fault(self, request: Any) -> bytes:
        """Return the page of a fault of ours, of which nothing can fail."""
        return _given(request, 500, self._broken)

    def _file(self, request: Any, name: str) -> bytes:
        """Return a static file, packed where the browser takes it."""
        file = self._static.get(name)
        if file is None:
            raise NotFound
        octets = file.octets
        request.setHeader(b"Content-Type", file.kind)
        request.setHeader(b"Cache-Control", _FOREVER)
        if file.packed:
            request.setHeader(b"Vary", b"Accept-Encoding")
            if takes_gzip(request.getHeader(b"accept-encoding") or b""):
                request.setHeader(b"Content-Encoding", b"gzip")
                octets = file.packed
        request.setHeader(b"Content-Length", b"%d" % len(octets))
        return octets


def _given(request: Any, status: int, page: bytes) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", _HTML)
    request.setHeader(b"Content-Length", b"%d" % len(page))
    return page


def _shown(ask: Ask, error: PageError) -> bytes:
    shown = {"title": error.title, "text": error.text, "stamp": forms.stamp(ask.body)}
    return ask.render("error.html", error.status, **shown)


def _apart(work: Coroutine[Any, Any, bytes]) -> Deferred[bytes]:
    """Run on even where the visitor hangs up: what was begun is made whole."""
    told: Deferred[bytes] = Deferred()
    # Klein cancels what it waits for; `told` alone, which takes one result more then.
    Deferred.fromCoroutine(work).addBoth(told.callback)
    return told
