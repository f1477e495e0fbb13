"""The one cookie that we set: its header, and what of it comes back. Pure."""

from __future__ import annotations

from collections.abc import Iterable

NAME = b"postmand"


def read(headers: Iterable[bytes]) -> str:
    """Return our cookie's value, "" for none.

    Two of our name are none: programs on other ports of the same host can add one,
    and which is ours nobody can tell.
    """
    pairs = (
        pair.strip().partition(b"=") for one in headers for pair in one.split(b";")
    )
    values = [value for name, _, value in pairs if name.strip() == NAME]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def header(value: str, seconds: int) -> bytes:
    """Return the Set-Cookie header for a value of URL-safe base64."""
    # Secure is for https; through I2P's tunnels a browser speaks plain HTTP.
    return b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict" % (
        NAME,
        value.encode("ascii"),
        seconds,
    )
