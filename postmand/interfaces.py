"""The seams of the house, and the values that cross them.

A seam's docstring states its promises: order, failure, privacy. Whoever implements
one keeps them all; whoever uses one relies on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen
from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

# zope.interface's idiom leaves out `self`.


@frozen
class Credential:
    """What the store keeps to check a password, and to open an account's keys with it.

    `version` grows with every change of password or state: a login remembered under
    an older version is worth nothing. `delay` is the member's choice of when mail for
    the Internet leaves ("" is the node's default), `created_day` counts from 1970.
    """

    account: int
    name: str
    version: int
    disabled: bool
    display_name: str
    created_day: int
    delay: str
    public_key: bytes
    salt: bytes
    passes: int
    memory_kib: int
    verifier: bytes
    wrapped_key: bytes


@frozen
class Member:
    """An account whose password was shown: its keys are open for the session.

    `secret_key` opens the mailbox; `thread_key` makes and recognises the Message-IDs
    given out for this account. Neither is ever written or logged.
    """

    account: int
    name: str
    display_name: str
    public_key: bytes
    version: int
    secret_key: bytes = field(repr=False)
    thread_key: bytes = field(repr=False)


@frozen
class Recipient:
    """A member seen from outside: enough to deliver to, nothing to read with.

    `free` is what is left of the mailbox's limit, in octets of padded size.
    """

    account: int
    name: str
    public_key: bytes
    free: int


@frozen
class Copy:
    """One recipient's copy of a message: header block and body, CRLF line ends.

    `header` includes the empty line that ends it. `body` is a sequence of chunks, so
    that one washed body serves every recipient without being joined again.
    """

    recipient: Recipient
    header: bytes
    body: Sequence[bytes]


@frozen
class Entry:
    """One message of a mailbox, as its opened card shows it.

    `size` is exact: header block and body in octets, before dot-stuffing. `key` opens
    this one message. `thread_ids` are the ids in its In-Reply-To and References.
    """

    number: int
    uid: bytes
    size: int
    key: bytes = field(repr=False)
    thread_ids: tuple[bytes, ...] = ()


@frozen
class Stored:
    """A message read back: its header block (final empty line included) and body.

    A short body is whole in `body`; of a long one `more` gives the rest.
    """

    header: bytes = field(repr=False)
    body: bytes = field(repr=False, default=b"")
    more: IChunks | None = None


@frozen
class Outgoing:
    """A washed message for the Internet before its release: it tells no time.

    `fields` are the header's in canonical order, without Date and Message-ID;
    `message_id` is the one given out; `body` as in Copy. It leaves at the tick after
    `due` (seconds since 1970-01-01 UTC, by the queue's clock), or, when `pooled`, with
    enough others before that.
    """

    account: int
    name: str
    recipients: tuple[bytes, ...]
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    message_id: bytes = field(repr=False)
    body: Sequence[bytes] = field(repr=False)
    due: int
    pooled: bool = False


@frozen
class Spending:
    """Internet recipients to be paid for in the transaction that accepts a message."""

    account: int
    created_day: int
    recipients: int
    now: int


class QuotaSpentError(Exception):
    """Another session spent what this one had reserved."""


class MailboxFullError(Exception):
    """A recipient's mailbox has no room; the first argument is the account's name.

    `permanent` is true where the message alone is larger than a whole mailbox.
    """

    def __init__(self, name: str, *, permanent: bool) -> None:
        super().__init__(name)
        self.permanent = permanent


class NoSuchMailboxError(Exception):
    """A recipient's account went away between RCPT and the end of data."""


class LoginOverError(Exception):
    """The account was changed, disabled or removed since the session's login."""


class StoreBusyError(Exception):
    """The store can not write now (disk full, database locked): try again later."""


class IAccounts(Interface):
    """Who is a member. Read at login and at RCPT; never blocks the reactor."""

    def credential(name: str) -> Deferred[Credential | None]:
        """Fire with the credential of the account called `name` (lower case).

        A disabled account has one too; an unknown name fires with None.
        """

    def recipient(name: str) -> Deferred[Recipient | None]:
        """Fire with the account that takes mail for `name`, or None.

        A disabled account takes no mail: None.
        """


class IKeyring(Interface):
    """Passwords to keys. Blocks for one Argon2id: call it in a thread."""

    def unlock(credential: Credential | None, password: bytes) -> Member | None:
        """Return the opened account, or None for a wrong password.

        With None for a credential (an unknown name) the same work is done for nothing,
        so that the time taken tells nothing. A disabled account opens for nobody.
        """


class IMailboxes(Interface):
    """The members' mailboxes: sealed on arrival, opened with the member's key only."""

    def deliver(
        copies: Sequence[Copy],
        remember: Mapping[bytes, bytes],
        outgoing: Outgoing | None = None,
        spending: Spending | None = None,
    ) -> Deferred[None]:
        """Put every copy into its mailbox in one transaction, synced when it fires.

        `remember` maps tags of given-out Message-IDs to the sealed ids the client used
        (see IThreads); its rows, the `outgoing` message's and what it costs join the
        same transaction. All or nothing: fails with MailboxFullError,
        NoSuchMailboxError, QuotaSpentError or StoreBusyError, and then nothing is
        kept.
        """

    def entries(member: Member) -> Deferred[Sequence[Entry]]:
        """Fire with the mailbox's entries, oldest first."""

    def read(
        member: Member, entries: Sequence[Entry], *, bodies: bool = True
    ) -> Deferred[Sequence[Stored]]:
        """Fire with the messages asked for, in that order.

        Without `bodies` only the cards are opened and every body is empty. A message
        removed since by another hand is answered with LookupError for the whole call.
        """

    def remove(member: Member, entries: Sequence[Entry]) -> Deferred[None]:
        """Remove these messages in one transaction, synced when it fires."""


class IChunks(Interface):
    """A body read piece by piece, so that memory does not grow with the message."""

    def next() -> Deferred[bytes]:
        """Fire with the next piece, b"" at the end. One call at a time."""

    def close() -> None:
        """Let go of what is held open; may be called twice."""


class IThreads(Interface):
    """What joins the Message-IDs given out to those a member's client knows.

    Nothing stored names the member: a row is found and read with the thread key only.
    """

    def give_out(member: Member, client_id: bytes | None) -> bytes:
        """Return the id (with angle brackets) given out for the client's own id.

        The same client id gives the same answer for the same member; None gives a new
        random one. Computes, does not read.
        """

    def row(member: Member, client_id: bytes) -> tuple[bytes, bytes]:
        """Return (tag, sealed client id): what `IMailboxes.deliver` is to remember."""

    def own(member: Member, ids: Iterable[bytes]) -> Deferred[Mapping[bytes, bytes]]:
        """Fire with {client id: given-out id} for those of `ids` that are own."""

    def restore(
        member: Member, ids: Iterable[bytes]
    ) -> Deferred[Mapping[bytes, bytes]]:
        """Fire with {given-out id: client id} for those of `ids` that are own."""
