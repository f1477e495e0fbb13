"""Where a recipient's address leads. Pure: an address in, a route or a Verdict out."""

from __future__ import annotations

import re
from collections.abc import Mapping

import idna
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
BAD_DOMAIN = Verdict(
    "bad-domain",
    550,
    "5.1.2",
    "That domain is not on the Internet; check the address",
)
MAILBOX_FULL = Verdict(
    "mailbox-full", 452, "4.2.2", "The recipient's mailbox is full; try again later"
)
TOO_LARGE_FOR_MAILBOX = Verdict(
    "too-large-for-mailbox", 552, "5.2.2", "The message is larger than a mailbox holds"
)


# Labels as host names have them (RFC 1123 2.1). The last begins with a letter: a number
# there, 0x7f among them, makes some resolvers read an address of four octets.
_LABEL = rb"[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z])?"
_NAME = re.compile(rb"(?:" + _LABEL + rb"\.)+(?=[a-z])" + _LABEL)
_LONGEST_NAME = 253
# Names that lead to other networks, or to one's own (RFC 6761, RFC 7686, RFC 8375 and
# all else below arpa, RFC 9476; internal by ICANN's word), and never to the Internet.
_ELSEWHERE = frozenset(
    {
        *(b"i2p", b"onion", b"alt", b"arpa", b"internal"),
        *(b"local", b"localhost", b"localdomain", b"invalid"),
    }
)


@frozen
class Local:
    """A mailbox of this node, by its account's name (it may not exist)."""

    name: str


@frozen
class Internet:
    """A mailbox elsewhere: `domain` is in ASCII (RFC 5891), lower case."""

    domain: bytes


@frozen
class Routing:
    """What a node takes for its own: its domains, and aliases by lower-case name.

    `relays` tells whether it knows a way to the Internet.
    """

    domains: frozenset[bytes]
    aliases: Mapping[str, str]
    relays: bool = False

    def route(self, local: bytes, domain: bytes) -> Local | Internet | Verdict:
        """Return where `local`@`domain` (canonical, lower case) leads.

        An empty domain is the node's own: `RCPT TO:<postmaster>` (RFC 5321 4.5.1).
        """
        if domain and domain not in self.domains:
            # Unicode has other ways to write our own names: in full-width letters.
            there = _in_ascii(domain)
            if there not in self.domains:
                return self._abroad(there)
        try:
            name = local.decode("ascii").lower()
        except UnicodeDecodeError:
            return NO_SUCH_USER
        return Local(self.aliases.get(name, name))

    def _abroad(self, domain: bytes | None) -> Internet | Verdict:
        if not self.relays:
            return NO_INTERNET
        if domain is None or domain.rpartition(b".")[2] in _ELSEWHERE:
            return BAD_DOMAIN
        return Internet(domain)


def _in_ascii(domain: bytes) -> bytes | None:
    """Return a host name as DNS has it; None for literals and for what is none."""
    if not domain.isascii():
        try:
            domain = idna.encode(domain.decode("utf-8"), uts46=True)
        except (idna.IDNAError, UnicodeDecodeError):
            return None
    if len(domain) > _LONGEST_NAME or not _NAME.fullmatch(domain):
        return None
    return domain
