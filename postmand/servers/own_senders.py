"""Envelope senders in our own domains, as strangers on the Internet name them."""

from __future__ import annotations

from attrs import frozen

from postmand.message.address import Address
from postmand.message.seen import seen
from postmand.rules.verdict import Verdict

OUR_SENDER = Verdict(
    "our-sender", 553, "5.7.1", "That sender's domain is ours, and not on the Internet"
)
SENDER_IS_OURS = Verdict(  # RFC 7372 3.2
    "sender-is-ours",
    550,
    "5.7.23",
    "That sender's domain is ours, and your host does not send for it",
)
OUR_SPF_UNKNOWN = Verdict(
    "our-spf-unknown",
    451,
    "4.4.3",
    "Who sends for that domain can not be looked up now; try again later",
)


@frozen
class OwnSenders:
    """Which senders are ours: by their domains, in whatever letters they are written.

    Inside the network nobody sends by way of the Internet; from the domain that members
    have there our own gateways do, and SPF tells them from all others.
    """

    mail_domain: bytes
    internet_domain: bytes

    def is_within(self, sender: Address) -> bool:
        """Tell whether a sender is one inside the network."""
        return _domain(sender) == self.mail_domain

    def verdict(self, sender: Address | None, spf: str) -> Verdict | None:
        """Refuse a sender of ours from a stranger; `spf` is RFC 7208 2.6's result.

        Not for the rules to pass: neither postmaster nor a setting excuses it.
        """
        if sender is None or _domain(sender) != self.internet_domain or spf == "pass":
            return None
        return OUR_SPF_UNKNOWN if spf in ("", "temperror") else SENDER_IS_OURS


def _domain(sender: Address) -> bytes:
    return seen(sender.domain.decode("utf-8", "replace")).removesuffix(".").encode()
