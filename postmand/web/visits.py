"""Which session a request is in, and the beginning and end of sessions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from postmand.config import Web
from postmand.membership import IMembership, Visitor
from postmand.web import cookies
from postmand.web.ended import Ended
from postmand.web.session import Session, Signer

_ID_BYTES = 16
_KEY_BYTES = 32


class Visits:
    """Sessions, each kept by its browser in a signed cookie. `now` is the wall's clock.

    Here is known only which ones ended before their time. `random(n)` is n octets.
    """

    def __init__(
        self,
        membership: IMembership,
        settings: Web,
        now: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._membership = membership
        self._seconds = settings.session_seconds
        self._now = now
        self._random = random
        self._ended = Ended(settings.session_longest_seconds)
        self._signer = Signer(
            random(_KEY_BYTES),
            settings.session_seconds,
            settings.session_longest_seconds,
        )

    async def of(self, request: Any) -> Session:
        """Return the session of a request's cookie, or begin a stranger's.

        May fail as IMembership does.
        """
        now = int(self._now())
        for value in _told(request).values():
            session = self._signer.session(value, now)
            if session is not None and await self._holds(session):
                return self._signer.seen(session, now)
        return self.new()

    async def _holds(self, session: Session) -> bool:
        if session.id in self._ended:
            return False
        visitor = session.visitor
        return visitor is None or await self._membership.visitor(visitor)

    def new(self, visitor: Visitor | None = None) -> Session:
        """Begin a session, a member's or a stranger's. Its id is random."""
        now = int(self._now())
        return Session(self._random(_ID_BYTES), now, now, visitor)

    def end(self, session: Session) -> None:
        """End a session: its cookie is worth nothing from now on."""
        account = session.visitor.account if session.visitor else 0
        self._ended.add(session.id, account, int(self._now()))

    def keep(self, request: Any, session: Session) -> None:
        """Have the browser keep the session's cookie, and no member's that is over."""
        name = cookies.MEMBER if session.visitor else cookies.VISIT
        value = self._signer.cookie(session)
        headers = [cookies.header(name, value, self._seconds)]
        if name == cookies.VISIT and _told(request)[cookies.MEMBER]:
            headers.append(cookies.header(cookies.MEMBER, "", 0))
        request.responseHeaders.setRawHeaders(b"set-cookie", headers)

    def token(self, session: Session) -> str:
        """Return what the forms of this session carry."""
        return self._signer.token(session)

    def is_token(self, session: Session, token: str) -> bool:
        """Tell whether a form's token is of this session."""
        return self._signer.is_token(session, token)


def _told(request: Any) -> Mapping[bytes, str]:
    return cookies.read(request.requestHeaders.getRawHeaders(b"cookie", ()))
