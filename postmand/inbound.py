"""The seams of mail from the Internet and of the link, and the values that cross them.

A gateway hands the mail host what it took, sealed to the host; the host hands a gateway
what is to leave. Like `interfaces`: a docstring states the promises of its seam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen
from zope.interface import Interface

from postmand.internet import Reply

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

# zope.interface's idiom leaves out `self`.


@frozen
class Records:
    """What DNS said of one name and type.

    `status` is "found", "none" (NXDOMAIN or no such record) or "failed" (no answer that
    can be used: try again later). `texts` are the records in dnspython's presentation
    form; `secure` tells that a validating resolver vouched for the answer (AD), a
    "none" too; `exists` is false for NXDOMAIN.
    """

    status: str
    texts: tuple[str, ...] = ()
    secure: bool = False
    exists: bool = True


class IResolver(Interface):
    """Questions to a validating resolver."""

    def ask(name: str, kind: str) -> Deferred[Records]:
        """Fire with the records of `kind` ("MX", "A", "TXT", "TLSA" …). Never fails.

        `name` is in ASCII, without a trailing dot. Bounded in time.
        """


@frozen
class Crate:
    """Mail from the Internet as it goes to the mail host, sealed as a whole.

    `sender` is the envelope's ("" for the null sender), `recipients` in the mail
    domain. `header` is the block as it came, without what other hosts' relays traced;
    `results` is the Authentication-Results body, `vouched` whether SPF or DKIM vouches
    for the sender, so that a bounce to it would not hit a stranger.
    """

    sender: bytes
    recipients: tuple[bytes, ...]
    results: bytes
    vouched: bool
    header: bytes = field(repr=False)
    body: Sequence[bytes] = field(repr=False)


class IHost(Interface):
    """The mail host, as a gateway knows it: over the link."""

    def recipient(sender: bytes, recipient: bytes, size: int) -> Deferred[Reply]:
        """Ask live whether mail for `recipient` (in the mail domain) would be taken.

        Fires with the host's word; a 451 of ours when the link is away or the cap of
        questions is reached. Answers are not kept.
        """

    def takes(octets: int) -> bool:
        """Tell whether a message of that size is none the host has said is too large.

        True while nothing is known; what it said last holds while the link is away.
        """

    def hand_over(sealed: bytes) -> Deferred[Reply]:
        """Hand over a sealed crate whose caller waits: its refusal is still heard.

        Fires with the host's word, within minutes; 451 without a link, and where the
        host did not answer in time: then it does not have it, unless the link was lost
        with its answer. Cancelled, it is begun with no more; what has begun goes on.
        """


class IOffice(Interface):
    """The mail host's side of the link: mail from the Internet for its members."""

    def recipient(gateway: int, address: bytes, size: int) -> Deferred[Reply]:
        """Judge a recipient for a gateway.

        How often one may ask, and how much it may bring, the link counts before.
        """

    def accept(gateway: int, crate: Crate, *, live: bool = False) -> Deferred[Reply]:
        """Wash and deliver; a 250 means on disk. 5xx: never; 4xx: try again later.

        `live` tells that who brought it to the gateway waits for the reply, and will
        tell the sender. Else it was told 250, and a refusal is ours to report.
        A From in our own domains needs our own valid signature. Recipients that are
        unknown are dropped, or bounced where the crate's sender is vouched for.
        """


@frozen
class Outward:
    """A message a gateway is to take to the Internet: one domain's recipients.

    `transaction` names it on every try; with the same name the same verdicts are told.
    """

    transaction: bytes
    sender: bytes
    recipients: tuple[bytes, ...]
    domain: bytes
    header: bytes = field(repr=False)
    body: Sequence[bytes] = field(repr=False)


class IExit(Interface):
    """The way out of a gateway: to the domain's own servers."""

    def send(outward: Outward) -> Deferred[Mapping[bytes, Reply]]:
        """Fire with one reply a recipient. Never fails for what the far end does."""
