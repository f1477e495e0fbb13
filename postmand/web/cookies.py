"""The cookies that we set: their header, and what of them comes back. Pure.

A member's session has one, a stranger's visit another. A link on a page elsewhere comes
without either (SameSite): what a stranger is given then must not take the place of the
session that the browser has, or any page could log its visitors out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MEMBER = b"postmand"
VISIT = b"postmand-visit"


def read(headers: Iterable[bytes]) -> Mapping[bytes, str]:
    """Return our cookies' values, the member's first; "" for one that is not there.

    Two of one name are none: programs on other ports of the same host can add one,
    and which is ours nobody can tell.
    """
    found: dict[bytes, list[bytes]] = {MEMBER: [], VISIT: []}
    for one in headers:
        for pair in one.split(b";"):
            name, _, value = pair.partition(b"=")
            found.get(name.strip(), []).append(value.strip())
    return {
        name: values[0].decode("latin-1") if len(values) == 1 else ""
        for name, values in found.items()
    }


def header(name: bytes, value: str, seconds: int) -> bytes:
    """Return the Set-Cookie header for a value of URL-safe base64."""
    # Secure is for https; through I2P's tunnels a browser speaks plain HTTP.
    return b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict" % (
        name,
        value.encode("ascii"),
        seconds,
    )
