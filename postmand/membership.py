"""The seam between the pages and what they change: a stranger becomes a member here.

Every method runs in threads and fires in the reactor. What a member may do to an
account takes the password again where it could lose the account; a page's session
alone opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen
from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

# zope.interface's idiom leaves out `self`.


@frozen
class Visitor:
    """Whose session a page is shown in. `version` ends it with the next change."""

    account: int
    name: str
    version: int


@frozen
class Details:
    """An account as its owner sees it; sizes in octets, `created_day` from 1970."""

    name: str
    display_name: str
    delay: str
    created_day: int
    used_bytes: int
    limit_bytes: int
    messages: int


@frozen
class Quota:
    """What an account may still send to the Internet today, in recipients.

    `own` of `per_day` are left until 0:00 UTC; `bought` until `until` (seconds since
    1970, 0 for none bought). `bought_today` of `bought_per_day` were bought. `prices`
    maps a stamp's bits to recipients; `resource` is what a stamp is made for.
    """

    own: int
    per_day: int
    bought: int
    until: int
    bought_today: int
    bought_per_day: int
    prices: Sequence[tuple[int, int]]
    resource: str


@frozen
class Fact:
    """One stored field about an account, as table and column, and what is in it.

    `value` is in plain words; what is sealed or hashed is told as such, with its size.
    """

    table: str
    column: str
    value: str


@frozen
class PublishedKey:
    """An OpenPGP certificate a member has published; all of it is public."""

    name: str
    fingerprint: str
    octets: bytes = field(repr=False)


class MembershipError(Exception):
    """A change that was not made; the text says why, in words for its asker.

    `field` names the form's field that is to be mended, where there is one.
    """

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field


class WrongLoginError(Exception):
    """Name and password do not go together; alike for all reasons."""


class BusyError(Exception):
    """Too much waits already; try again later."""


class IMembership(Interface):
    """Accounts, as strangers and members change them. See the module's docstring.

    What is refused fails with MembershipError, WrongLoginError or BusyError.
    """

    def sign_up(
        name: str, password: str, display_name: str, stamp: str
    ) -> Deferred[str]:
        """Make an account; fire with its recovery code, which is kept nowhere.

        The stamp is weighed before anybody is told whether the name is free, and spent
        in the transaction that makes the account.
        """

    def login(name: str, password: str, peer: str) -> Deferred[Visitor]:
        """Check a password, on the budget that SMTP and POP3 have, too."""

    def visitor(visitor: Visitor) -> Deferred[bool]:
        """Fire with whether the session still holds: nothing was changed since."""

    def details(visitor: Visitor) -> Deferred[Details]:
        """Fire with the account as it is now."""

    def set_password(visitor: Visitor, old: str, new: str) -> Deferred[Visitor]:
        """Change the password; every other session of the account ends."""

    def recover(name: str, code: str, new: str, peer: str) -> Deferred[str]:
        """Set a password with the recovery code; fire with the next code."""

    def new_recovery(visitor: Visitor, password: str) -> Deferred[tuple[Visitor, str]]:
        """Make a new recovery code, and fire with it; the old one is worth nothing.

        Every other session of the account ends.
        """

    def set_display_name(visitor: Visitor, text: str) -> Deferred[Visitor]:
        """Set the name that stands beside the address."""

    def set_delay(visitor: Visitor, delay: str) -> Deferred[None]:
        """Set when mail for the Internet leaves; "" leaves it to the node."""

    def remove(visitor: Visitor, password: str) -> Deferred[None]:
        """Remove the account with its mailbox for good; its name stays closed."""

    def quota(visitor: Visitor) -> Deferred[Quota | None]:
        """Fire with what is left today; None where the node has no way out."""

    def buy(visitor: Visitor, stamp: str) -> Deferred[Quota]:
        """Credit what a stamp buys; fire with what is left then."""

    def biff_token(visitor: Visitor) -> Deferred[str | None]:
        """Fire with a new one-time token for biff; None where the node has no biff."""

    def facts(visitor: Visitor) -> Deferred[Sequence[Fact]]:
        """Fire with every stored field that is about the account."""

    def publish(visitor: Visitor, key: str) -> Deferred[PublishedKey]:
        """Publish an OpenPGP certificate, stripped to what is the account's own.

        Refused: secret keys, keys without the account's address, oversize, garbage.
        """

    def withdraw(visitor: Visitor) -> Deferred[None]:
        """Take the published key back."""

    def published(start: str, most: int) -> Deferred[Sequence[PublishedKey]]:
        """Fire with the published keys of names from `start` on, by name."""

    def published_by(name: str) -> Deferred[PublishedKey | None]:
        """Fire with one member's published key, or None."""

    def published_hash(digest: str) -> Deferred[PublishedKey | None]:
        """Fire with the key whose name has this WKD hash, or None.

        The Web Key Directory's: z-base-32 of the SHA-1 of the lower-cased local part
        (draft-koch-openpgp-webkey-service).
        """
