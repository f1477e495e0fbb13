"""The doctor's look at our own MTA-STS policy (RFC 8461): as a sender would have it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPSConnection

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.delivery import mta_sts

_SECONDS = 20.0
_PORT = 443
_PLACE = "/.well-known/mta-sts.txt"
_SHOW = "show the file that postmanctl gateway records prints, by HTTPS"


def check_policy(
    domain: str, servers: Sequence[str], addresses: Sequence[str]
) -> Iterator[Finding]:
    """Fetch the policy from the first address; say whom of `servers` it leaves out.

    Where the web server can not be reached from here that is said, and no fault.
    """
    host = f"mta-sts.{domain}"
    what = f"MTA-STS: https://{host}{_PLACE}"
    try:
        octets = _fetched(host, addresses)
    except (OSError, HTTPException) as error:
        yield warn(f"{what} can not be had ({error})", _SHOW)
        return
    policy = mta_sts.read(octets)
    if policy is None:
        yield fail(f"{what} is no policy", _SHOW)
        return
    left_out = [one for one in servers if not policy.names(one)]
    for one in left_out:
        yield fail(
            f"{what} does not name {one}", "name every MX in it, and change the id"
        )
    if not left_out:
        yield ok(f"{what} says {policy.mode}, and names every MX")


def _fetched(host: str, addresses: Sequence[str]) -> bytes:
    """Return the file; OSError and HTTPException for whatever keeps us from it."""
    if not addresses:
        raise OSError(f"{host} has no address")
    connection = _At(addresses[0], host)
    try:
        connection.request("GET", _PLACE)
        response = connection.getresponse()
        kind = response.headers.get_content_type()
        if response.status != 200 or kind != "text/plain":
            raise HTTPException(f"answered with {response.status} and {kind}")
        return response.read(mta_sts.MOST_OCTETS + 1)
    finally:
        connection.close()


class _At(HTTPSConnection):
    """HTTPS to a server by its address: the system's resolver is not ours."""

    def __init__(self, address: str, host: str) -> None:
        context = ssl.create_default_context()
        super().__init__(host, _PORT, timeout=_SECONDS, context=context)
        self._address, self._tls = address, context

    def connect(self) -> None:
        """Connect, and have the name proven."""
        plain = socket.create_connection((self._address, _PORT), _SECONDS)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
