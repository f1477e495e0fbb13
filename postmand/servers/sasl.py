"""SASL as both servers take it: PLAIN and LOGIN over a link that I2P encrypts."""

from __future__ import annotations

import base64
import binascii

from attrs import field, frozen


class SASLError(ValueError):
    """What the client sent is not what its mechanism says."""


@frozen
class Login:
    """Who wants to be let in. `authzid` is empty or names the identity to act as."""

    name: bytes
    password: bytes = field(repr=False)
    authzid: bytes = b""


def decode(response: bytes) -> bytes:
    """Decode one client response strictly (RFC 4954 4; "=" is an empty one)."""
    if response == b"=":
        return b""
    if len(response) % 4:
        raise SASLError("not base64: its padding is wrong")
    try:
        return base64.b64decode(response, validate=True)
    except binascii.Error as error:
        raise SASLError("not base64") from error


def plain(response: bytes) -> Login:
    """Read an encoded PLAIN response: authzid NUL authcid NUL password (RFC 4616)."""
    fields = decode(response).split(b"\0")
    if len(fields) != 3 or not fields[1] or not fields[2]:
        raise SASLError("not authzid, name and password")
    authzid, name, password = fields
    return Login(name, password, authzid)
