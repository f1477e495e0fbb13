"""Endpoint strings as the configuration looks at them: which stay on this machine.

Only what is asked here is read; Twisted reads the rest when the endpoint is made.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from attrs import field, frozen

# A backslash takes the next character as it is (twisted.internet.endpoints).
_TOKEN = re.compile(r"\\(.)|([:=])|([^\\:=]+)|\\$")


@frozen
class Place:
    """An endpoint string in its pieces, without Twisted's backslashes."""

    kind: str
    values: tuple[str, ...] = ()
    named: dict[str, str] = field(factory=dict)

    def value(self, name: str, position: int) -> str:
        """Return what is written `name=…`, or else stands at `position`, or ""."""
        if name in self.named:
            return self.named[name]
        return self.values[position] if position < len(self.values) else ""


def read_place(text: str) -> Place:
    """Take an endpoint string apart; nothing is refused here."""
    pieces: list[list[str]] = [[""]]
    for token in _TOKEN.finditer(text):
        escaped, sign, plain = token.groups()
        if sign == ":":
            pieces.append([""])
        elif sign == "=" and len(pieces[-1]) == 1:
            pieces[-1].append("")
        else:
            pieces[-1][-1] += escaped or sign or plain or ""
    return Place(
        pieces[0][0],
        tuple(piece[0] for piece in pieces[1:] if len(piece) == 1),
        {piece[0]: piece[1] for piece in pieces[1:] if len(piece) == 2},
    )


def listens_here_only(text: str) -> bool:
    """Tell whether nobody outside this machine can come to this server endpoint."""
    return read_place(text).kind == "unix" or _loopback(listens_at(text))


def listens_at(text: str) -> str:
    """Return the address that a server endpoint is bound to, "" for all or for none."""
    place = read_place(text)
    if place.kind not in ("tcp", "tcp6"):
        return ""
    try:
        address = ip_address(place.value("interface", 1))
    except ValueError:
        return ""
    return "" if address.is_unspecified else str(address)


def leads_here_only(text: str) -> bool:
    """Tell whether this client endpoint is reached without leaving the machine."""
    place = read_place(text)
    if place.kind == "unix":
        return True
    # Of two values Twisted takes the first for the host, whatever is named.
    host = place.values[0] if len(place.values) > 1 else place.value("host", 0)
    return place.kind == "tcp" and (host == "localhost" or _loopback(host))


def brings_tls(text: str) -> bool:
    """Tell whether the endpoint makes a TLS connection by itself."""
    return read_place(text).kind in ("ssl", "tls")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
