"""A store in memory: the seams of postmand.interfaces without threads and files.

It keeps every promise of theirs but durability and sealing, and fires at once; the
contract suite holds it to that. For tests of servers and of the post office.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence

from attrs import Factory, define, evolve, frozen
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from postmand.interfaces import (
    Copy,
    Credential,
    Entry,
    IAccounts,
    IChunks,
    IKeyring,
    IMailboxes,
    IThreads,
    MailboxFullError,
    Member,
    NoSuchMailboxError,
    Outgoing,
    Recipient,
    Spending,
    Stored,
)
from postmand.message.headers import thread_ids

PIECE = 64 * 1024
MAX_CLIENT_ID = 250


@define
class _Account:
    """An account; `member` stands for the keys that the password opens."""

    member: Member
    password: bytes
    disabled: bool = False
    used: int = 0
    created_day: int = 0
    delay: str = ""


@frozen
class _Message:
    account: int
    uid: bytes
    header: bytes
    body: bytes

    @property
    def size(self) -> int:
        """The octets of the message, which here are what limits count, too."""
        return len(self.header) + len(self.body)


@define
class _Kept:
    """All that is kept, as the fakes share it."""

    limit: int
    accounts: dict[str, _Account] = Factory(dict)
    messages: dict[int, _Message] = Factory(dict)
    remembered: dict[bytes, bytes] = Factory(dict)
    last: int = 0

    def by_number(self, account: int) -> _Account | None:
        """Return the account of this number, or None."""
        for one in self.accounts.values():
            if one.member.account == account:
                return one
        return None


@implementer(IAccounts)
@frozen
class MemoryAccounts:
    """Who is a member."""

    _kept: _Kept

    def credential(self, name: str) -> Deferred[Credential | None]:
        """Fire with the credential, or None; the verifier is the password itself."""
        account = self._kept.accounts.get(name)
        if account is None:
            return succeed(None)
        member = account.member
        return succeed(
            Credential(
                account=member.account,
                name=name,
                version=member.version,
                disabled=account.disabled,
                display_name=member.display_name,
                created_day=account.created_day,
                delay=account.delay,
                public_key=member.public_key,
                salt=b"",
                passes=1,
                memory_kib=8,
                verifier=account.password,
                wrapped_key=b"",
            )
        )

    def recipient(self, name: str) -> Deferred[Recipient | None]:
        """Fire with the account that takes mail for `name`, or None."""
        account = self._kept.accounts.get(name)
        if account is None or account.disabled:
            return succeed(None)
        member, free = account.member, max(0, self._kept.limit - account.used)
        return succeed(Recipient(member.account, name, member.public_key, free))


@implementer(IKeyring)
@define
class MemoryKeyring:
    """Passwords to keys, without Argon2id; `tries` counts what would have cost one."""

    _kept: _Kept
    tries: int = 0

    def unlock(self, credential: Credential | None, password: bytes) -> Member | None:
        """Return the opened account, or None."""
        self.tries += 1
        if credential is None or credential.verifier != password:
            return None
        account = self._kept.by_number(credential.account)
        if credential.disabled or account is None:
            return None
        return evolve(account.member, version=credential.version)


@implementer(IMailboxes)
@define
class MemoryMailboxes:
    """Mailboxes. While `error` is set, every write fails with it and keeps nothing."""

    _kept: _Kept
    error: Exception | None = None
    sent: list[tuple[Outgoing, Spending | None]] = Factory(list)

    def deliver(
        self,
        copies: Sequence[Copy],
        remember: Mapping[bytes, bytes],
        outgoing: Outgoing | None = None,
        spending: Spending | None = None,
    ) -> Deferred[None]:
        """Put every copy into its mailbox, all or nothing.

        Of mail for the Internet what is asked for is kept in `sent`.
        """
        if self.error is not None:
            return fail(self.error)
        arriving = [_message(copy) for copy in copies]
        spent: dict[int, int] = {}
        for copy, message in zip(copies, arriving, strict=True):
            try:
                self._spend(spent, copy.recipient.name, message)
            except (MailboxFullError, NoSuchMailboxError) as error:
                return fail(error)
        for message in arriving:
            self._kept.last += 1
            self._kept.messages[self._kept.last] = message
        for number, used in spent.items():
            account = self._kept.by_number(number)
            assert account is not None
            account.used = used
        self._kept.remembered.update(remember)
        if outgoing is not None:
            self.sent.append((outgoing, spending))
        return succeed(None)

    def _spend(self, spent: dict[int, int], name: str, message: _Message) -> None:
        account = self._kept.by_number(message.account)
        if account is None or account.disabled:
            raise NoSuchMailboxError(name)
        used = spent.get(message.account, account.used) + message.size
        if used > self._kept.limit:
            raise MailboxFullError(name, permanent=message.size > self._kept.limit)
        spent[message.account] = used

    def entries(self, member: Member) -> Deferred[Sequence[Entry]]:
        """Fire with the mailbox's entries, oldest first."""
        return succeed(
            [
                Entry(number, kept.uid, kept.size, b"", thread_ids(kept.header))
                for number, kept in self._kept.messages.items()
                if kept.account == member.account
            ]
        )

    def read(
        self, member: Member, entries: Sequence[Entry], *, bodies: bool = True
    ) -> Deferred[Sequence[Stored]]:
        """Fire with the messages asked for, in that order."""
        found = []
        for entry in entries:
            kept = self._kept.messages.get(entry.number)
            if kept is None or kept.account != member.account:
                return fail(LookupError("the message was removed"))
            found.append(_stored(kept) if bodies else Stored(kept.header))
        return succeed(found)

    def remove(self, member: Member, entries: Sequence[Entry]) -> Deferred[None]:
        """Remove these messages; those that are gone already count for nothing."""
        if self.error is not None:
            return fail(self.error)
        account = self._kept.by_number(member.account)
        for entry in entries:
            kept = self._kept.messages.get(entry.number)
            if kept is not None and account and kept.account == member.account:
                del self._kept.messages[entry.number]
                account.used -= kept.size
        return succeed(None)


@implementer(IChunks)
class MemoryChunks:
    """The rest of a long body. `closed` tells whether it was let go."""

    def __init__(self, rest: bytes) -> None:
        self._rest = rest
        self.closed = False

    def next(self) -> Deferred[bytes]:
        """Fire with the next piece, b"" at the end and after close()."""
        piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
        if not piece:
            self.close()
        return succeed(piece)

    def close(self) -> None:
        """Let go of the rest."""
        self._rest = b""
        self.closed = True


@implementer(IThreads)
@frozen
class MemoryThreads:
    """Message-IDs given out, joined to those of the members' clients."""

    _kept: _Kept
    _domain: bytes = b"mail.i2p"

    def give_out(self, member: Member, client_id: bytes | None) -> bytes:
        """Return the id given out for the client's own id, or a new random one."""
        if client_id is None:
            local = os.urandom(16)
        else:
            local = _hash(member, b"id", client_id)
        return b"<%b@%b>" % (local.hex().encode(), self._domain)

    def row(self, member: Member, client_id: bytes) -> tuple[bytes, bytes]:
        """Return (tag, client id) for `deliver`; ValueError over 250 octets."""
        if len(client_id) > MAX_CLIENT_ID:
            raise ValueError(f"a client id has at most {MAX_CLIENT_ID} octets")
        return self._tag(member, self.give_out(member, client_id)), client_id

    def own(
        self, member: Member, ids: Iterable[bytes]
    ) -> Deferred[Mapping[bytes, bytes]]:
        """Fire with {client id: given-out id} for those of `ids` that are own."""
        given = {one: self.give_out(member, one) for one in ids}
        return succeed(
            {
                one: out
                for one, out in given.items()
                if self._tag(member, out) in self._kept.remembered
            }
        )

    def restore(
        self, member: Member, ids: Iterable[bytes]
    ) -> Deferred[Mapping[bytes, bytes]]:
        """Fire with {given-out id: client id} for those of `ids` that are own."""
        tags = {one: self._tag(member, one) for one in ids}
        known = self._kept.remembered
        return succeed({one: known[tag] for one, tag in tags.items() if tag in known})

    @staticmethod
    def _tag(member: Member, given_out: bytes) -> bytes:
        return _hash(member, b"tag", given_out)


class MemoryStore:
    """The four seams over one memory, and what an operator does to accounts.

    `limit` is a mailbox's, in octets; here nothing is padded.
    """

    def __init__(self, limit: int = 50 * 1024 * 1024) -> None:
        self._kept = _Kept(limit)
        self.accounts = MemoryAccounts(self._kept)
        self.keyring = MemoryKeyring(self._kept)
        self.mailboxes = MemoryMailboxes(self._kept)
        self.threads = MemoryThreads(self._kept)

    def add(self, name: str, password: bytes, display_name: str = "") -> Member:
        """Make an account and return it opened."""
        secret = os.urandom(32)
        member = Member(
            account=int.from_bytes(os.urandom(7), "big"),
            name=name,
            display_name=display_name,
            public_key=hashlib.blake2b(secret, digest_size=32).digest(),
            version=1,
            secret_key=secret,
            thread_key=hashlib.blake2b(b"thread", key=secret).digest()[:32],
        )
        self._kept.accounts[name] = _Account(member, password)
        return member

    def set_password(self, name: str, password: bytes) -> None:
        """Change a password."""
        self._change(name).password = password

    def set_display_name(self, name: str, display_name: str) -> None:
        """Change the name beside the address."""
        account = self._change(name)
        account.member = evolve(account.member, display_name=display_name)

    def set_delay(self, name: str, delay: str) -> None:
        """Choose when mail for the Internet leaves; open sessions stay so."""
        self._kept.accounts[name].delay = delay

    def disable(self, name: str) -> None:
        """Close an account."""
        self._change(name).disabled = True

    def enable(self, name: str) -> None:
        """Open it again."""
        self._change(name).disabled = False

    def remove(self, name: str) -> None:
        """Remove an account with its messages."""
        number = self._kept.accounts.pop(name).member.account
        messages = self._kept.messages
        for one in [n for n, kept in messages.items() if kept.account == number]:
            del messages[one]

    def _change(self, name: str) -> _Account:
        account = self._kept.accounts[name]
        account.member = evolve(account.member, version=account.member.version + 1)
        return account


def _message(copy: Copy) -> _Message:
    return _Message(
        copy.recipient.account, os.urandom(16), copy.header, b"".join(copy.body)
    )


def _stored(kept: _Message) -> Stored:
    if len(kept.body) <= PIECE:
        return Stored(kept.header, kept.body)
    return Stored(kept.header, kept.body[:PIECE], MemoryChunks(kept.body[PIECE:]))


def _hash(member: Member, person: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(
        data, key=member.thread_key, digest_size=16, person=person
    ).digest()
