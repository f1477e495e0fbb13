"""The DNS as a gateway's resolver tells it today, for the doctor. Blocks."""

from __future__ import annotations

import dns.exception
import dns.resolver

from postmand.config import Exit
from postmand.dns.wire import Server
from postmand.inbound import Records

_SECONDS = 5.0


class Published:
    """What is published. Raises ValueError where `[exit] resolver` names no server."""

    def __init__(self, exit_: Exit) -> None:
        server = Server.read(exit_.resolver)
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [server.host]
        self._resolver.port = server.port
        self._resolver.lifetime = _SECONDS

    def texts(self, name: str, kind: str) -> list[str]:
        """Return the records; raises DNSException where nobody answers."""
        try:
            answer = self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        return [record.to_text() for record in answer]

    def records(self, name: str, kind: str) -> Records:
        """Return the same for those who go on without an answer (see IResolver)."""
        try:
            texts = self.texts(name, kind)
        except dns.exception.DNSException:
            return Records("failed")
        return Records("found", tuple(texts)) if texts else Records("none")
