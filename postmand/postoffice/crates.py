"""What a gateway's crate is found to be: whom it is for, and why it is not taken."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

from attrs import field, frozen

from postmand.inbound import Crate
from postmand.interfaces import Recipient
from postmand.message import headers
from postmand.message.address import Address, AddressError, parse_path
from postmand.message.limits import Limits, MessageError
from postmand.rules.verdict import Verdict

STORE_BUSY = Verdict(
    "store-busy", 451, "4.3.0", "The mail host can not store it now; try again later"
)
TOO_LARGE = Verdict(
    "too-large", 552, "5.3.4", "The message is too large; send less, or in several"
)
FORGED = Verdict(
    "forged-from",
    550,
    "5.7.1",
    "From names an address of ours, and our signature is not on it",
)
NO_FROM = Verdict(
    "not-one-from", 550, "5.7.1", "From has to be there once, with one address"
)
NO_RECIPIENT = Verdict("no-recipient", 554, "5.5.1", "It is for nobody")
# A gateway lets a sealed crate go after five days; its sender is to hear before that.
_PATIENCE = 4 * 86_400.0
_REMEMBERED = 10_000
NO_RELAY = Verdict("no-relay", 550, "5.7.1", "That is no address of ours")


@frozen
class Addressed:
    """Whom a crate is for, each once, and who of them gets nothing, and why."""

    members: Mapping[str, Recipient]
    # What each member was called by: the first address that led there.
    called: Mapping[str, bytes]
    failed: Mapping[bytes, Verdict] = field(factory=dict)

    def without(self, name: str, why: Verdict) -> Addressed:
        """Return the same with one member moved to those who get nothing."""
        rest = {one: who for one, who in self.members.items() if one != name}
        return Addressed(rest, self.called, {**self.failed, self.called[name]: why})


class Overdue:
    """Since when crates have been put off: in memory alone, by a keyed hash of each.

    Of so many as a table holds; what is forgotten counts as new.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._since: OrderedDict[bytes, float] = OrderedDict()

    def holds(self, crate: Crate, now: float) -> bool:
        """Note that a crate is put off `now` (seconds); True if it was for too long."""
        hashed = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (crate.sender, *crate.recipients, crate.header):
            hashed.update(b"%d:%s" % (len(part), part))
        mark = hashed.digest()
        since = self._since.setdefault(mark, now)
        if len(self._since) > _REMEMBERED:
            self._since.popitem(last=False)
        return now - since > _PATIENCE


def client_id(header: bytes, limits: Limits) -> bytes | None:
    """Return the Message-ID of a header block that may be no good, else None."""
    try:
        read, _ = headers.read(header, 0, len(header), limits)
    except MessageError:
        return None
    return headers.message_id(read.first(b"message-id"))


def whole_block(header: bytes) -> bytes:
    """Return the block with the empty line that ends it: no line of the body joins."""
    if header in (b"", b"\r\n") or header.endswith(b"\r\n\r\n"):
        return header or b"\r\n"
    return header + (b"\r\n" if header.endswith(b"\r\n") else b"\r\n\r\n")


def envelope_address(address: bytes) -> Address | None:
    """Return an envelope's address; None for the null one, and for what is none."""
    try:
        return parse_path(b"<%s>" % address)[0]
    except AddressError:
        return None


def last_word(failed: Mapping[bytes, Verdict]) -> Verdict:
    """Return what is said where nobody gets it: while there is hope, try again."""
    for verdict in failed.values():
        if not verdict.permanent:
            return verdict
    return next(iter(failed.values()), NO_RECIPIENT)
