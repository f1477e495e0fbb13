"""The doctor's look at the ports: free, or answered by a postmand."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import field, frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config
from postmand.gateway_keys import LINK_NAME
from postmand.link import pin_of

ANSWER_SECONDS = 5.0
_GREETING_OCTETS = 512
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - told of, not listened at


@frozen(eq=False)
class _Noted:
    """Stands in for a reactor and notes where an endpoint would listen."""

    found: list[tuple[str, int]] = field(factory=list)

    def listenTCP(
        self,
        port: int,
        _factory: Any,
        backlog: int = 50,  # noqa: ARG002 - Twisted's signature
        interface: str = "",
    ) -> None:
        """Note a TCP port."""
        self.found.append((interface, port))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("listen"):
            return lambda *_, **__: None
        raise AttributeError(name)


Answers = Callable[[socket.socket], bool]
"""Tells whether who answers on a connection is a postmand; raises OSError."""

_BY_TUNNEL = "name a port from 1024 up, and let I2P's tunnel lead to it"
_BY_FIREWALL = (
    "let systemd or the firewall lead it to one from 1024 up, or give the program "
    "CAP_NET_BIND_SERVICE"
)


@frozen
class _Server:
    """Who listens somewhere: whom it shall be open to, and what mends root's ports."""

    listen: Sequence[str]
    answers: Answers
    for_all: bool = False
    mend: str = _BY_TUNNEL


def check_ports(config: Config) -> Iterator[Finding]:
    """Tell of each place to listen at who has it."""
    for section, server in _servers(config):
        for text in server.listen:
            yield _check(f"[{section}] {text}", text, server)


def _servers(config: Config) -> Iterator[tuple[str, _Server]]:
    submission, pop3, exchange = config.submission, config.pop3, config.exchange
    if submission is not None:
        greeting = f"220 {submission.host_name} ESMTP I2PNet Mailservice"
        yield "submission", _Server(submission.listen, _greets(greeting))
    if pop3 is not None:
        yield "pop3", _Server(pop3.listen, _greets("+OK ready"))
    if exchange is not None:
        answers = _greets(f"220 {exchange.host_name} ESMTP")
        yield "exchange", _Server(exchange.listen, answers, True, _BY_FIREWALL)
    if exchange is not None and config.link is not None:
        answers = _greets(f"220 {exchange.host_name} LMTP")
        if config.link.host_pin:
            answers = partial(_shows_key, config)
        yield "link", _Server(config.link.listen, answers)


def _greets(greeting: str) -> Answers:
    """Return what takes those for a postmand whose first words are these."""
    return lambda peer: _greeting(peer).startswith(greeting.encode())


def _shows_key(config: Config, peer: socket.socket) -> bool:
    """Tell whether the link's key of this gateway is shown; ours is not."""
    path = config.state / LINK_NAME
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(peer) as safe:
        shown = safe.getpeercert(binary_form=True)
    if shown is None or not path.exists():
        return False
    return pin_of(ssl.DER_cert_to_PEM_cert(shown).encode()) == pin_of(path.read_bytes())


def _check(what: str, text: str, server: _Server) -> Finding:
    noted = _Noted()
    try:
        serverFromString(noted, text).listen(Factory())
    except (ValueError, TypeError, LookupError) as error:
        return fail(
            f"port: {what} is no endpoint ({error})",
            'write it as "tcp:2525:interface=127.0.0.1"',
        )
    if not noted.found:
        return ok(f"port: {what} is no TCP port, not tried")
    ((interface, port),) = noted.found
    finding = _ask(what, interface, port, server)
    everywhere = interface in _EVERYWHERE and not server.for_all
    if everywhere and finding.level == "ok":
        return warn(
            f"port: {what} is open to every network this machine is in",
            "add interface=127.0.0.1: the I2P tunnel comes from there",
        )
    return finding


def _ask(what: str, interface: str, port: int, server: _Server) -> Finding:
    """Connect, and tell nobody, a postmand and another program apart."""
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    local = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    host = local if interface in _EVERYWHERE else interface
    try:
        with socket.create_connection((host, port), ANSWER_SECONDS) as peer:
            ours = _answers(server, peer)
    except (ConnectionRefusedError, TimeoutError):
        return _bind(what, family, (interface, port), server.mend)
    except OSError as error:
        return fail(
            f"port: {what}: {error.strerror}",
            "name an address and a port of this machine",
        )
    if ours:
        return ok(f"port: {what} is answered by a postmand")
    return fail(
        f"port: {what} is another program's",
        "stop that program, or name another port",
    )


def _answers(server: _Server, peer: socket.socket) -> bool:
    try:
        return server.answers(peer)
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return False  # whoever it is, it does not speak as we do


def _greeting(peer: socket.socket) -> bytes:
    """Read the first line a server says, and take leave."""
    answer = b""
    with suppress(TimeoutError):
        while b"\n" not in answer and len(answer) < _GREETING_OCTETS:
            piece = peer.recv(_GREETING_OCTETS)
            if not piece:
                break
            answer += piece
        peer.sendall(b"QUIT\r\n")
    return answer


def _bind(what: str, family: int, address: tuple[str, int], mend: str) -> Finding:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            return fail(f"port: {what} is root's", mend)
        except OSError as error:
            return fail(
                f"port: {what}: {error.strerror}",
                "name an address and a port of this machine",
            )
    return ok(f"port: {what} is free")
