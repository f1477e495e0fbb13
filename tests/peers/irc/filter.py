"""The IRC client tunnel of the Java I2P router, as far as it drops and rewrites lines.

It knows commands by name and drops every other line: IRCv3's ACCOUNT, CHGHOST, AWAY,
and a line that begins with message tags, whose first word it takes for the command.
DCC is not built: whatever is CTCP and no ACTION is dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.peers.irc.delay import SECONDS
from tests.peers.irc.relay import Passage, Relay

_INBOUND = frozenset(
    b"MODE JOIN NICK QUIT PART WALLOPS ERROR KICK H TOPIC AUTHENTICATE CAP".split()
)
# Of those that only operators use none is here.
_OUTBOUND = frozenset(
    b"ADMIN AWAY AUTHENTICATE CAP CYCLE DCCALLOW HELPME HELPOP INVITE ISON JOIN KICK "
    b"KNOCK LIST LUSERS MAP MODE MOTD NAMES NICK OPER PASS RULES SETNAME SILENCE STATS "
    b"TOPIC USERHOST VHOST WATCH WHO WHOIS WHOWAS BOTSERV BS CHANSERV CS HELPSERV "
    b"HOSTSERV HS MEMOSERV MS NICKSERV NS OPERSERV OS STATSERV".split()
)
_CTCP = b"\x01"


def inbound(line: bytes) -> bytes | None:
    """Return what the client gets of a server's line, without its end, or None."""
    words = line.split(b" ", 3)
    rest = words[1:] if words[0].startswith(b":") else words
    if not rest or not rest[0]:
        return None
    command = rest[0].upper()
    if command == b"PING":
        return b"PING 127.0.0.1"
    if command.isdigit() or command == b"PONG" or command in _INBOUND:
        return line
    if command in (b"PRIVMSG", b"NOTICE"):
        return _text(line, words[3] if len(words) > 3 else b"")
    return None


def outbound(line: bytes) -> bytes | None:
    """Return what the server gets of a client's line, without its end, or None."""
    words = line.split(b" ", 2)
    command = words[0].upper()
    if command in _OUTBOUND:
        return line
    if command in (b"PRIVMSG", b"NOTICE") and len(words) == 3:
        return _text(line, words[2])
    rewrite = _REWRITTEN.get(command)
    return rewrite(words) if rewrite else None


def _text(line: bytes, text: bytes) -> bytes | None:
    if _CTCP not in text:
        return line
    plain = text.count(_CTCP) == 2 and text[2:].startswith(b"ACTION ")
    return line if plain else None


def _user(words: list[bytes]) -> bytes:
    _before, colon, name = words[-1].rpartition(b":")
    if not colon:
        return b"USER user hostname localhost :realname"
    return b"USER " + words[1] + b" hostname localhost :" + name


_REWRITTEN: dict[bytes, Callable[[list[bytes]], bytes]] = {
    b"PING": lambda words: b" ".join(words[:2]),
    b"PONG": lambda words: b"PONG 127.0.0.1",
    b"USER": _user,
    b"PART": lambda words: b" ".join(words[:2]) + b" :leaving",
    b"QUIT": lambda words: b"QUIT :leaving",
}


def filtered(target: int, seconds: float = SECONDS) -> Relay:
    """Return a proxy to `target` that drops such lines and adds so many seconds."""
    return Relay(target, seconds, _passages)


def _passages() -> tuple[Passage, Passage]:
    return _Lines(outbound), _Lines(inbound)


class _Lines:
    """One direction: whole lines pass or fall."""

    def __init__(self, rule: Callable[[bytes], bytes | None]) -> None:
        self._rule = rule
        self._kept = b""

    def __call__(self, data: bytes) -> bytes:
        *lines, self._kept = (self._kept + data).split(b"\n")
        passed = (self._rule(line.rstrip(b"\r")) for line in lines)
        return b"".join(line + b"\r\n" for line in passed if line is not None)
