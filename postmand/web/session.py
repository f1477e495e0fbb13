"""Who is at a page: sealed cookies, short-lived, and the tokens that forms carry.

A cookie holds no secret of the account and opens nothing that is stored. It is sealed
all the same, not only signed: the times in it are by the node's clock, which must not
be read. The key is random and dies with the process: a restart ends all sessions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from struct import Struct

from attrs import evolve, field, frozen
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from postmand.membership import Visitor

# begun, seen (seconds), account, version, id; the name follows, empty for a stranger.
_COOKIE = Struct(">QQqQ16s")
_LONGEST = 512


@frozen
class Session:
    """A browser's session: a member's, or a stranger's who is filling in a form.

    `begun` and `seen` are seconds of the wall's clock. `id` is new at each login, so
    that nobody can bring one along.
    """

    id: bytes = field(repr=False)
    begun: int
    seen: int
    visitor: Visitor | None = None


@frozen
class Signer:
    """Makes cookies and forms' tokens, and knows its own. `key` is 32 octets.

    `idle` and `longest` are seconds: since the last page, and since the login.
    """

    key: bytes = field(repr=False)
    idle: int
    longest: int

    def cookie(self, session: Session) -> str:
        """Return the value of the session's cookie."""
        who = session.visitor or Visitor(0, "", 0)
        payload = _COOKIE.pack(
            session.begun, session.seen, who.account, who.version, session.id
        )
        payload += who.name.encode()
        return _text(self._box().encrypt(payload))

    def session(self, cookie: str, now: int) -> Session | None:
        """Return the session of a cookie of ours that is not over, else None."""
        try:
            payload = self._box().decrypt(_octets(cookie))
        except (CryptoError, ValueError):
            return None
        begun, seen, account, version, identity = _COOKIE.unpack_from(payload)
        name = payload[_COOKIE.size :].decode()
        over = now > seen + self.idle or now > begun + self.longest
        # A clock that was set back ends sessions, rather than lengthens them.
        if over or seen > now + self.idle:
            return None
        visitor = Visitor(account, name, version) if name else None
        return Session(identity, begun, seen, visitor)

    def seen(self, session: Session, now: int) -> Session:
        """Return the session as it is after a page was shown."""
        return evolve(session, seen=max(session.seen, now))

    def token(self, session: Session) -> str:
        """Return what a form of this session carries (against forged requests)."""
        return _text(hmac.digest(self._key_for(b"form"), session.id, hashlib.sha256))

    def is_token(self, session: Session, token: str) -> bool:
        """Tell whether a form's token is of this session."""
        return hmac.compare_digest(token.encode(), self.token(session).encode())

    def _box(self) -> SecretBox:
        return SecretBox(self._key_for(b"cookie"))

    def _key_for(self, use: bytes) -> bytes:
        return hmac.digest(self.key, use, hashlib.sha256)


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(text: str) -> bytes:
    """Return the octets behind a text that `_text` made; may raise ValueError."""
    if len(text) > _LONGEST or not text.isascii():
        raise ValueError("no cookie of ours")
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
