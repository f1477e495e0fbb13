"""One request, as a page sees it, and the ways to answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen
from jinja2 import Environment

from postmand.config import Web
from postmand.membership import IMembership, Visitor
from postmand.rules.peers import peer_key
from postmand.web import forms
from postmand.web.node import Node
from postmand.web.refusals import STALE, LoginFirstError, PageError
from postmand.web.session import Session
from postmand.web.visits import Visits


@frozen(eq=False)
class Desk:
    """What every page may need. `now` is the wall's clock."""

    settings: Web
    membership: IMembership
    now: Callable[[], float]
    node: Node


@frozen(eq=False)
class Ask:
    """One request. `path` is what the page's path left open, `body` the form's octets.

    Its session's cookie goes out with the answer.
    """

    request: Any
    session: Session
    visits: Visits
    templates: Environment
    path: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def visitor(self) -> Visitor:
        """The member who asks. Raises LoginFirstError where nobody is logged in."""
        if self.session.visitor is None:
            raise LoginFirstError
        return self.session.visitor

    @property
    def peer(self) -> str:
        """What tells one peer from another for login budgets; never written."""
        return peer_key(self.request.getClientAddress())

    @property
    def authorization(self) -> bytes:
        """Return the one Authorization field, b"" for none and for several."""
        told = self.request.requestHeaders.getRawHeaders(b"authorization", ())
        return bytes(told[0]) if len(told) == 1 else b""

    def query(self, name: str) -> str:
        """Return what the path's query says of `name`, "" where it says nothing."""
        values = self.request.args.get(name.encode(), [b""])
        return str(values[0].decode("utf-8", "replace"))

    def form(self, *fields: forms.Field) -> Mapping[str, str]:
        """Return what a form of ours sent; PageError for a forged or broken one."""
        try:
            values = forms.read(self.body, fields)
        except forms.FormError as error:
            raise PageError(
                400, "This form can not be read", f"In what came {error}."
            ) from None
        if self._is_from_elsewhere() or not self.visits.is_token(
            self.session, values[forms.TOKEN]
        ):
            raise STALE
        return values

    def _is_from_elsewhere(self) -> bool:
        # Browsers tell it on https and localhost; the token is what always protects.
        told = self.request.requestHeaders.getRawHeaders(b"sec-fetch-site", ())
        return any(one != b"same-origin" for one in told)

    def render(self, template: str, status: int = 200, **values: Any) -> bytes:
        """Return a page, with its status set."""
        shared = {
            "token": self.visits.token(self.session),
            "visitor": self.session.visitor,
            "here": self.request.path.decode("latin-1"),
        }
        made = self.templates.get_template(template).render(shared | values)
        self.visits.keep(self.request, self.session)
        return self.give(made.encode(), b"text/html; charset=utf-8", status)

    def give(self, octets: bytes, kind: bytes, status: int = 200) -> bytes:
        """Return octets of a media type, with their length and status set."""
        self.request.setResponseCode(status)
        self.request.setHeader(b"Content-Type", kind)
        self.request.setHeader(b"Content-Length", b"%d" % len(octets))
        return octets

    def go(self, path: str) -> bytes:
        """Send the browser on to another of our pages (after a form: 303)."""
        self.visits.keep(self.request, self.session)
        self.request.setHeader(b"Location", path.encode("ascii"))
        return self.give(b"", b"text/html; charset=utf-8", 303)

    def enter(self, visitor: Visitor | None) -> Ask:
        """Begin a new session, a member's or a stranger's; the old one is over.

        Forms of the old session are worth nothing: none can be sent twice.
        """
        self.visits.end(self.session)
        return evolve(self, session=self.visits.new(visitor))
