"""The seams of mail for the Internet, and the values that cross them.

Like `interfaces`, on which it stands: a docstring states the promises of its seam.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen
from zope.interface import Interface

from postmand.interfaces import Copy, IChunks

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

# zope.interface's idiom leaves out `self`.


@frozen
class Outbound:
    """An address on the Internet, good for an envelope; `left` of the quota remain."""

    address: bytes
    left: int


@frozen
class Desk:
    """An address at which the node itself answers, by the name before the @."""

    name: str


@frozen
class Pooled:
    """What the pool sees of a message that waits in it.

    `owner` stands for an account and for nothing else; `size_class` is what an observer
    of the wire could tell of the size.
    """

    item: int
    owner: bytes
    size_class: int
    due: int


@frozen
class DueLeg:
    """A leg to be tried. `domain` stands for its domain, and is no name."""

    item: int
    domain: bytes


@frozen
class Held:
    """A message opened for its release. `body` gives the octets, and is to be closed.

    `body_bytes` is their exact sum; `item` names the message until its release only.
    """

    item: int
    account: int
    name: str
    recipients: tuple[bytes, ...]
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    message_id: bytes = field(repr=False)
    body_bytes: int
    body: IChunks = field(repr=False)


@frozen
class Leg:
    """A released message on its way to one domain.

    `header` is the whole block, signed, final empty line included: the same for every
    leg of a message and for every retry. `attempts` were made; after `until` (seconds
    since 1970-01-01 UTC) no more are.
    """

    account: int
    name: str
    sender: bytes
    domain: bytes
    recipients: tuple[bytes, ...]
    header: bytes = field(repr=False)
    until: int
    attempts: int = 0


@frozen
class Parcel:
    """A leg opened for a try. `item` was given at release, and is a random number."""

    item: int
    leg: Leg
    body_bytes: int
    body: IChunks = field(repr=False)


@frozen
class Listed:
    """What a tool may show of a queued message. `due` is cut to the minute.

    `stage` is "waiting", "pool" or "relay"; `domain` is empty before release.
    """

    item: int
    stage: str
    due: int
    held: bool
    octets: int
    attempts: int
    domain: bytes
    recipients: int


@frozen
class Standing:
    """What an account has used and bought of its right to write to the Internet.

    `spent` counts for `day` only (days since 1970-01-01 UTC), `bought` are those left
    of a purchase and good before `until` (seconds since then, cut to the minute);
    `bought_today` counts what was bought on `day`.
    """

    day: int = 0
    spent: int = 0
    bought: int = 0
    until: int = 0
    bought_today: int = 0


@frozen
class Reply:
    """What the far end said of one recipient: cleaned and cut, good for a mail.

    `ours`: it said nothing; the words are this program's.
    """

    code: int
    enhanced: str
    text: str
    ours: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the far end has taken the message."""
        return 200 <= self.code < 300

    @property
    def permanent(self) -> bool:
        """Whether the far end will never take it."""
        return self.code >= 500


@frozen
class Report:
    """One reply a recipient of the leg; without replies no gateway was reached.

    `doubtful`: the connection went after the message was sent and before the answer
    came. The far end may have it, and another try may send it twice.
    """

    replies: Mapping[bytes, Reply] = field(factory=dict)
    doubtful: bool = False


class HeldBackError(Exception):
    """A message was held back for the operator instead of released."""


class StampSpentError(Exception):
    """The stamp bought something already."""


class PurchaseError(Exception):
    """The account may not buy this now; the text says why, in words for the member."""


class IQueue(Interface):
    """Mail for the Internet, from its acceptance to the last reply, sealed at rest.

    `now` is the queue's clock, in seconds since 1970-01-01 UTC; `due` is kept as a
    whole minute, rounded up, so that nothing leaves early. An item is a random number;
    a message has another after its release than before. What is asked for is found by
    an index: no call costs more because more waits (what is due and left out costs a
    step in the index each). Calls that change something are on the disk when they fire.

    Any call fails with StoreBusyError, and has changed nothing then. An operator may
    hold or drop an item at any moment, from a process beside the node: between two
    calls it may be gone, which is LookupError. What is there and does not open (its
    card or its body was changed on the disk) fails `open` and `begin` with an error of
    the store's own; it stays where it is.
    """

    def due(now: int, most: int) -> Deferred[Sequence[int]]:
        """Fire with at most `most` items whose time to be released has come.

        The longest overdue first; held ones and those in the pool are left out.
        """

    def pool(most: int) -> Deferred[Sequence[Pooled]]:
        """Fire with what waits in the pool, at most `most` of each owner and class.

        The first by `due` of each; held ones are left out.
        """

    def open(item: int) -> Deferred[Held]:
        """Fire with the message, opened; LookupError if gone, released or held.

        Nothing is marked: it may be opened again. A long body is read from its file as
        it is asked for, and fails then if it does not open.
        """

    def release(item: int, legs: Sequence[Leg], now: int) -> Deferred[None]:
        """Replace the message by its legs, due at once, in one transaction.

        LookupError if it is gone, released or held: of two releases one wins.
        ValueError without legs.
        """

    def hold(item: int) -> Deferred[bool]:
        """Hold a message back, until the operator lets it go; it leaves the pool.

        Fire with False, and change nothing, where the operator let it go by hand: that
        is the last word. LookupError if it is gone, released or held.
        """

    def legs_due(
        now: int, most: int, busy: Collection[bytes] = ()
    ) -> Deferred[Sequence[DueLeg]]:
        """Fire with at most `most` legs to be tried, the longest overdue first.

        Those that are held or being tried are left out, and those to the domains that
        `busy` names by their `DueLeg.domain`: a handful, for each is a parameter.
        """

    def begin(item: int) -> Deferred[Parcel]:
        """Mark a leg as being tried, and fire with it opened.

        LookupError if it is gone, held, or being tried already: of two that begin it
        one wins. What does not open is not marked. The mark lasts until `settle`: what
        carries one at the next start was in flight when the node ended, and may reach
        its recipients twice.
        """

    def settle(
        item: int, leg: Leg | None, due: int, bounce: Copy | None = None
    ) -> Deferred[None]:
        """Keep what is left of a leg (None: nothing) until `due`, in one transaction.

        The leg is unmarked, or removed; a message goes with its last leg. One that is
        held stays held. `bounce` is put into its mailbox in the same transaction,
        whether there is room or not; a mailbox that is gone or disabled gets none.
        LookupError if the leg is gone: then nothing is changed, and there is no bounce.
        """

    def in_flight() -> Deferred[int]:
        """Unmark the legs that were being tried; fire with how many there were.

        To be called once, before the first `begin`.
        """


class IQuotas(Interface):
    """What each account may still send. Sealed at rest, and found by a keyed hash.

    `now` is the wall's clock, in seconds since 1970-01-01 UTC. What a message costs is
    taken by IMailboxes.deliver. Every call fails with StoreBusyError, too.
    """

    def standing(account: int, now: int) -> Deferred[Standing]:
        """Fire with the account's standing as it is on the day of `now`.

        Of a later day's standing, left by a clock set back, with that: nothing comes
        back before that day is over. An account without one has a new `Standing`.
        """

    def buy(
        account: int, stamp: bytes, bits: int, expires_day: int, now: int
    ) -> Deferred[Standing]:
        """Credit what a stamp of so many bits buys; fire with the new standing.

        The stamp's mark, kept until `expires_day`, and the credit are one transaction,
        synced when it fires. Fails with StampSpentError, or with PurchaseError and then
        the stamp is unspent.
        """


class ICourier(Interface):
    """Takes a released leg to a gateway."""

    def send(parcel: Parcel) -> Deferred[Report]:
        """Try once, with the next gateway when one is away; fire with what came of it.

        Never fails for what a gateway does; fails with what reading the body fails
        with, and then no gateway has the message. Closes the parcel's body in any case.
        """
