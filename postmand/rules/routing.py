"""Where a recipient's address leads. Pure: an address in, a route or a Verdict out."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from postmand.rules.verdict import Verdict

NO_SUCH_USER = Verdict(
    "no-such-user", 550, "5.1.1", "There is no such mailbox here; check the address"
)
NO_INTERNET = Verdict(
    "no-internet",
    550,
    "5.7.1",
    "This node does not relay to the Internet; write to members of it only",
)
MAILBOX_FULL = Verdict(
    "mailbox-full", 452, "4.2.2", "The recipient's mailbox is full; try again later"
)
TOO_LARGE_FOR_MAILBOX = Verdict(
    "too-large-for-mailbox", 552, "5.2.2", "The message is larger than a mailbox holds"
)


@frozen
class Local:
    """A mailbox of this node, by its account's name (it may not exist)."""

    name: str


@frozen
class Routing:
    """What a node takes for its own: its domains, and aliases by lower-case name."""

    domains: frozenset[bytes]
    aliases: Mapping[str, str]

    def route(self, local: bytes, domain: bytes) -> Local | Verdict:
        """Return where `local`@`domain` (canonical, lower case) leads.

        An empty domain is the node's own: `RCPT TO:<postmaster>` (RFC 5321 4.5.1).
        """
        if domain and domain not in self.domains:
            return NO_INTERNET
        try:
            name = local.decode("ascii")
        except UnicodeDecodeError:
            return NO_SUCH_USER
        return Local(self.aliases.get(name, name))
