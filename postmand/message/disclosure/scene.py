"""What a finding is judged by: whose mail it is, when it was written, names seen."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from attrs import Factory, define

from postmand.message.disclosure.clocks import Moment, clocks
from postmand.message.disclosure.finding import Finding, found
from postmand.message.fields import Identity

_IPV4 = re.compile(rb"(?<!\d)(?:\d{1,3}\.){3}\d{1,3}(?!\d)")
# Names that every machine has, and those of providers, who are not the sender.
_NOBODYS = re.compile(
    r"(?:localhost(?:\.localdomain)?|localdomain|invalid|part|unknown|"
    r"mail\.gmail\.com|.*\.prod\.outlook\.com|.*\.mail\.yahoo\.com|"
    r".*\.(?:example|invalid|test))"
)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,253}[a-z0-9_])?\.?", re.IGNORECASE)


@define
class Scene:
    """One message's. `people` gathers the names that it gives its sender elsewhere."""

    identity: Identity
    date: Moment | None = None
    people: set[str] = Factory(set)

    def is_own(self, domain: str) -> bool:
        """Whether the domain is the mail system's, or anybody's."""
        domain = domain.lower().strip(".")
        own = {one.domain.decode("latin-1") for one in self.identity.own}
        own.add(self.identity.address.domain.decode("latin-1"))
        return not domain or domain in own or bool(_NOBODYS.fullmatch(domain))

    def host(self, name: bytes, where: str) -> Iterator[Finding]:
        """Yield what a host's name tells: a machine, or its address."""
        text = name.decode("utf-8", "replace").strip()
        literal = text.strip("[]").lower().removeprefix("ipv6:")
        try:
            address = ipaddress.ip_address(literal)
        except ValueError:
            if _HOST.fullmatch(text) and not self.is_own(text):
                yield found("hostname", where, text, "your machine's name")
            return
        if not address.is_loopback:
            yield found(
                "local-ip",
                where,
                text,
                "your machine's address"
                + (" in its own network" if address.is_private else ""),
            )
        elif text.startswith("["):
            yield found(
                "software",
                where,
                text,
                "an address for a name: so do Thunderbird, Evolution and Geary; of a "
                "tunnel on another machine it would be your network's address",
            )

    def times(self, octets: bytes, where: str) -> Iterator[Finding]:
        """Yield what the clocks in an id tell."""
        seen = set()
        for clock in clocks(octets, self.date):
            if clock.octets in seen:
                continue
            seen.add(clock.octets)
            yield found(
                "timestamp-in-message-id",
                where,
                clock.octets,
                f"{clock.form}: {clock.utc}",
            )
            if clock.local:
                yield found(
                    "timezone",
                    where,
                    clock.octets,
                    "your local time; beside any clock in UTC it gives your zone",
                )

    def addresses(self, octets: bytes, where: str) -> Iterator[Finding]:
        """Yield the network addresses written in an id."""
        for one in _IPV4.finditer(octets):
            try:
                address = ipaddress.ip_address(one[0].decode("ascii"))
            except ValueError:
                continue
            # One of digits alone is a version, as in Eudora's ids.
            is_version = len(one[0]) < 8
            if not (address.is_loopback or address.is_unspecified or is_version):
                yield found("local-ip", where, one[0], "your machine's address")
