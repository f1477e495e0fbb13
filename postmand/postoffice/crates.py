"""What a gateway's crate is found to be: whom it is for, and why it is not taken."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from postmand.interfaces import Recipient
from postmand.message.address import Address, AddressError, parse_path
from postmand.rules.verdict import Verdict

STORE_BUSY = Verdict(
    "store-busy", 451, "4.3.0", "The mail host can not store it now; try again later"
)
TOO_LARGE = Verdict(
    "too-large", 552, "5.3.4", "The message is too large; send less, or in several"
)
TOO_MUCH = Verdict(
    "gateway-over-cap", 451, "4.7.1", "Too much from this gateway; try again later"
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
