"""The doctor's look at the ports: free, or answered by a postmand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from attrs import field, frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config

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


def check_ports(config: Config) -> Iterator[Finding]:
    """Tell of each place to listen at who has it."""
    greetings = {
        "submission": (config.submission, _submission_greeting(config)),
        "pop3": (config.pop3, b"+OK ready"),
    }
    for section, (server, greeting) in greetings.items():
        if server is None:
            continue
        for text in server.listen:
            yield _check(f"[{section}] {text}", text, greeting)


def _submission_greeting(config: Config) -> bytes:
    name = config.submission.host_name if config.submission else ""
    return f"220 {name} ESMTP I2PNet Mailservice".encode()


def _check(what: str, text: str, greeting: bytes) -> Finding:
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
    finding = _ask(what, interface, port, greeting)
    if interface in _EVERYWHERE and finding.level == "ok":
        return warn(
            f"port: {what} is open to every network this machine is in",
            "add interface=127.0.0.1: the I2P tunnel comes from there",
        )
    return finding


def _ask(what: str, interface: str, port: int, greeting: bytes) -> Finding:
    """Connect, and tell nobody, a postmand and another program apart."""
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    local = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    host = local if interface in _EVERYWHERE else interface
    try:
        with socket.create_connection((host, port), ANSWER_SECONDS) as peer:
            answer = _greeting(peer)
    except (ConnectionRefusedError, TimeoutError):
        return _bind(what, family, (interface, port))
    except OSError as error:
        return fail(
            f"port: {what}: {error.strerror}",
            "name an address and a port of this machine",
        )
    if answer.startswith(greeting):
        return ok(f"port: {what} is answered by a postmand")
    return fail(
        f"port: {what} is another program's",
        "stop that program, or name another port",
    )


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


def _bind(what: str, family: int, address: tuple[str, int]) -> Finding:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            return fail(
                f"port: {what} is root's",
                "name a port from 1024 up, and let I2P's tunnel lead to it",
            )
        except OSError as error:
            return fail(
                f"port: {what}: {error.strerror}",
                "name an address and a port of this machine",
            )
    return ok(f"port: {what} is free")
