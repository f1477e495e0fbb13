"""Who has stolen a key of the link, and speaks as its owner: as host, as gateway."""

from __future__ import annotations

import socket
import ssl
import tempfile
from types import TracebackType
from typing import Self

from postmand.abroad import link_identity
from postmand.config import load
from postmand.gateway_keys import GatewayKeys
from postmand.store.nodekeys import open_node_keys
from tests.flow.house import House
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL, PATIENCE


class Line:
    """A session behind handshake and `hello`, with `identity` shown.

    To be used in a `with`.
    """

    def __init__(self, identity: bytes, port: int, hello: bytes) -> None:
        link = socket.create_connection((LOCAL, port), PATIENCE)
        self.link = _showing(identity).wrap_socket(link)
        self._file = self.link.makefile("rb")
        self._hello = hello

    def __enter__(self) -> Self:
        assert self.reply().startswith("220 ")
        assert self.told(self._hello).startswith("250 ")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.link.close()

    def reply(self) -> str:
        """Return the last line of the next reply, "" at the end of the connection."""
        while (line := self._file.readline().decode("latin-1"))[3:4] == "-":
            pass
        return line

    def told(self, *lines: bytes) -> str:
        """Send lines at once; return the reply to the last, or the first refusal."""
        self.link.sendall(b"".join(line + b"\r\n" for line in lines))
        replies = [self.reply() for _ in lines]
        refused = [one for one in replies if one[:1] not in ("2", "3")]
        return refused[0] if refused else replies[-1]


def as_host(house: House, gateway: Gateway) -> Line:
    """Return a session with a gateway, of who has the mail host's key: LMTP."""
    config = load(str(house.config))
    keys = open_node_keys(config.database, config.node.key, config.state, None)
    return Line(link_identity(keys), gateway.link_port, b"LHLO localhost")


def as_gateway(gateway: Gateway) -> Line:
    """Return a session with the mail host, of who has a gateway's key."""
    identity = GatewayKeys(load(str(gateway.config))).link()
    return Line(identity, gateway.host_port, b"EHLO localhost")


def _showing(identity: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with tempfile.NamedTemporaryFile() as file:
        file.write(identity)
        file.flush()
        context.load_cert_chain(file.name)
    return context
