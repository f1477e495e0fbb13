"""What a mail host and a gateway tell each other once: a short text, copied by hand.

`postmand-host:1:PIN:KEY:CHECK` and `postmand-gateway:1:PIN:HOSTNAME:CHECK`. The check
is there for what got lost in copying. Who the text is from, it does not tell: that is
for the way it came.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from attrs import frozen

_PIN = re.compile(r"sha256/[A-Za-z0-9+/]{43}=")
_NAME = re.compile(r"[a-z0-9.-]{1,253}")
_KEY_BYTES = 32
_CHECK = 8


class PairingError(ValueError):
    """The text is no pairing text, or not a whole one; it says what to do."""


@frozen
class HostText:
    """What a mail host tells: its link's pin, and the key mail is sealed to."""

    pin: str
    key: bytes

    def __str__(self) -> str:
        return _checked(
            f"postmand-host:1:{self.pin}:{base64.b64encode(self.key).decode()}"
        )


@frozen
class GatewayText:
    """What a gateway tells: its link's pin, and the name it has on the Internet."""

    pin: str
    host_name: str

    def __str__(self) -> str:
        return _checked(f"postmand-gateway:1:{self.pin}:{self.host_name}")


def read(text: str) -> HostText | GatewayText:
    """Read either text, however it was wrapped on its way; PairingError for others."""
    fields = "".join(text.split()).split(":")
    if len(fields) != 5 or fields[1] != "1" or not _PIN.fullmatch(fields[2]):
        raise PairingError(
            "this is no pairing text; copy the whole of the other's line"
        )
    kind, _version, pin, last, _check = fields
    if _checked(":".join(fields[:4])) != ":".join(fields):
        raise PairingError("the pairing text was damaged; copy the whole line again")
    if kind == "postmand-gateway" and _NAME.fullmatch(last):
        return GatewayText(pin, last)
    if kind == "postmand-host":
        return HostText(pin, key_octets(last))
    raise PairingError("this is no pairing text; copy the whole of the other's line")


def key_octets(text: str) -> bytes:
    """Return the key that `[link] host_key` or a pairing text holds; PairingError."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise PairingError("the host's key is none; pair anew")
    return key


def _checked(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}:{digest[:_CHECK]}"
