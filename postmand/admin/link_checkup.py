"""The doctor's look at a gateway's link: whether the mail host answers, and is it.

And whether it takes what the gateway takes for it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

from attrs import define
from OpenSSL import SSL

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.admin.published import Published
from postmand.admin.vouching import check_dkim
from postmand.config import Config, Exchange, Exit, Link
from postmand.config.places import read_place
from postmand.delivery.replies import Answer, ReplyScan, extensions
from postmand.gateway_keys import LINK_NAME
from postmand.link import Pinned
from postmand.message.questions import host_name
from postmand.store import keyfile

# A tunnel that was asleep takes its time.
_SECONDS = 60.0
_READ = 16_384
_PAIR = "pair both ends anew: postmanctl gateway pair"


class _StrangerError(Exception):
    """Who answers has another key."""


def check_link(config: Config) -> Iterator[Finding]:
    """Connect to the mail host as the gateway does; nothing is said but EHLO, QUIT."""
    link, exchange = config.link, config.exchange
    if link is None or exchange is None:
        return
    what = f"link: the mail host at {link.host}"
    path = config.state / LINK_NAME
    if not path.exists():
        yield warn("link: there is no key yet", "postmanctl gateway pair makes it")
        return
    if not (link.host_pin and link.host_key):
        yield fail("link: the mail host's keys are not known", _PAIR)
        return
    yield from _asked(what, config, link, exchange, keyfile.read(path))


def _asked(
    what: str, config: Config, link: Link, exchange: Exchange, identity: bytes
) -> Iterator[Finding]:
    try:
        peer = _connected(link.host)
        if peer is None:
            yield ok(f"{what} is no TCP port, not tried")
            return
        with peer:
            hello = b"EHLO %s\r\n" % exchange.host_name.encode()
            said = _said(peer, Pinned(identity, link.host_pin), hello)
    except _StrangerError:
        yield fail(f"{what} is another than the one it was paired with", _PAIR)
    except (SSL.Error, ConnectionResetError):
        yield fail(f"{what} does not take this gateway: not paired, or retired", _PAIR)
    except (OSError, ValueError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else str(error)
        yield fail(f"{what} is away ({why})", "look at the tunnel, and at the host")
    else:
        yield from _judged(what, exchange, said)
        yield from _signing(config, said)


def _judged(what: str, exchange: Exchange, said: Sequence[Answer]) -> Iterator[Finding]:
    """Judge the greeting, and what the answer to EHLO offers."""
    if [one.code for one in said] != [220, 250]:
        yield fail(f"{what} has our host's key and no greeting", "look at its log")
        return
    yield ok(f"{what} answers with the key it was paired with")
    offered = extensions(said[1]).get(b"SIZE", b"")
    most, ours = int(offered) if offered.isdigit() else 0, exchange.max_message_bytes
    if 0 < most < ours:
        yield warn(
            f"link: the mail host takes {most} octets a message, we take {ours}",
            "set [exchange] max_message_bytes to the host's: what is between is "
            "refused only when all of it has come",
        )


def _signing(config: Config, said: Sequence[Answer]) -> Iterator[Finding]:
    """Look for the DKIM key that the mail host says it signs with."""
    offered = extensions(said[-1]).get(b"XDKIM", b"") if said else b""
    selector = host_name(offered)
    if not selector:
        return
    try:
        zone = Published(config.exit or Exit())
    except ValueError:
        return  # it is told of where the DNS is looked at
    yield from check_dkim(config.node.internet_domain, selector, zone.records)


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


def _said(peer: socket.socket, pinned: Pinned, hello: bytes) -> list[Answer]:
    """Shake hands; return the greeting and the answer to a hello; say QUIT.

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
    said = _replies(tls, peer)
    if said and said[0].code == 220:
        tls.send(hello)
        said += _replies(tls, peer)
    tls.send(b"QUIT\r\n")
    _flush(tls, peer)
    return said


def _replies(tls: SSL.Connection, peer: socket.socket) -> list[Answer]:
    """Read on to a reply's end; none where what comes is no reply."""
    said: list[Answer] = []
    scan = ReplyScan()
    while not said and not scan.fault:
        said += scan.feed(_until_done(lambda: tls.recv(_READ), tls, peer))
    return said


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
