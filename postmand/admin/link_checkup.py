"""The doctor's look at a gateway's link: whether the mail host answers, and is it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast

from attrs import define
from OpenSSL import SSL

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config, Link
from postmand.config.places import read_place
from postmand.gateway_keys import LINK_NAME
from postmand.link import Pinned
from postmand.store import keyfile

# A tunnel that was asleep takes its time.
_SECONDS = 60.0
_READ = 16_384
_PAIR = "pair both ends anew: postmanctl gateway pair"


class _StrangerError(Exception):
    """Who answers has another key."""


def check_link(config: Config) -> Iterator[Finding]:
    """Connect to the mail host as the gateway does; nothing is said but QUIT."""
    link = config.link
    if link is None:
        return
    what = f"link: the mail host at {link.host}"
    path = config.state / LINK_NAME
    if not path.exists():
        yield warn("link: there is no key yet", "postmanctl gateway pair makes it")
        return
    if not (link.host_pin and link.host_key):
        yield fail("link: the mail host's keys are not known", _PAIR)
        return
    yield _asked(what, link, keyfile.read(path))


def _asked(what: str, link: Link, identity: bytes) -> Finding:
    try:
        peer = _connected(link.host)
        if peer is None:
            return ok(f"{what} is no TCP port, not tried")
        with peer:
            greeting = _greeting(peer, Pinned(identity, link.host_pin))
    except _StrangerError:
        return fail(f"{what} is another than the one it was paired with", _PAIR)
    except (SSL.Error, ConnectionResetError):
        return fail(f"{what} does not take this gateway: not paired, or retired", _PAIR)
    except (OSError, ValueError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else str(error)
        return fail(f"{what} is away ({why})", "look at the tunnel, and at the host")
    if not greeting.startswith(b"220 "):
        return fail(f"{what} has our host's key and no greeting", "look at its log")
    return ok(f"{what} answers with the key it was paired with")


def _connected(endpoint: str) -> socket.socket | None:
    """Connect to a client endpoint of TCP or of a path; None for others."""
    place = read_place(endpoint)
    if place.kind == "tcp":
        host, port = place.value("host", 0), place.value("port", 1)
        return socket.create_connection((host, int(port)), _SECONDS)
    if place.kind == "unix":
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(_SECONDS)
        peer.connect(place.value("path", 0))
        return peer
    return None


@define
class _Refusal:
    """What `Pinned` tells of a handshake (see twisted.protocols.tls)."""

    failed: bool = False

    def failVerification(self, _: Any) -> None:
        """Note it."""
        self.failed = True


def _greeting(peer: socket.socket, pinned: Pinned) -> bytes:
    """Shake hands, return the first line, say QUIT.

    Our own certificate is shown to nobody but whom the pin names: the checks are those
    of the running gateway. Raises _StrangerError, SSL.Error and OSError.
    """
    refusal = cast("Any", _Refusal())
    tls = pinned.clientConnectionForTLS(refusal)
    tls.set_connect_state()
    try:
        _until_done(tls.do_handshake, tls, peer)
    except SSL.Error:
        if pinned.refused:
            raise _StrangerError from None
        raise
    if refusal.failed:
        raise _StrangerError
    line = b""
    while not line.endswith(b"\n") and len(line) < _READ:
        line += _until_done(lambda: tls.recv(_READ), tls, peer)
    tls.send(b"QUIT\r\n")
    _flush(tls, peer)
    return line


def _until_done(step: Any, tls: SSL.Connection, peer: socket.socket) -> Any:
    """Repeat a step of TLS until it has what it waits for."""
    while True:
        try:
            done = step()
        except SSL.WantReadError:
            _flush(tls, peer)
            came = peer.recv(_READ)
            if not came:
                raise ConnectionResetError from None
            tls.bio_write(came)
        else:
            _flush(tls, peer)
            return done


def _flush(tls: SSL.Connection, peer: socket.socket) -> None:
    """Send what TLS has to say."""
    while True:
        try:
            peer.sendall(tls.bio_read(_READ))
        except SSL.WantReadError:
            return
