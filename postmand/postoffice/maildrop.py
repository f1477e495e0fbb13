"""A member collecting mail: the sealed copies, opened for their owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from postmand.interfaces import Entry, LoginOverError, Member, Stored
from postmand.message.headers import replace_thread_ids
from postmand.postoffice.office import PostOffice
from postmand.postoffice.readahead import ReadAhead


class Maildrop:
    """A member collecting mail (IMaildrop of the POP3 server): a snapshot.

    The ids given out for the member's own messages become again those its client gave,
    so that replies join their threads there. How long both are is known from the cards,
    so a size stays exact without a body being opened.
    """

    def __init__(self, office: PostOffice, member: Member) -> None:
        self.account = member.account
        self.sizes: Sequence[int] = ()
        self._office = office
        self._member = member
        self._entries: Sequence[Entry] = ()
        self._ids: Mapping[bytes, bytes] = {}
        self._ahead = ReadAhead(self._read, self.sizes)

    async def open(self) -> None:
        """Take the snapshot."""
        self._entries = await self._office.mailboxes.entries(self._member)
        ids = {one for entry in self._entries for one in entry.thread_ids}
        if ids:
            self._ids = await self._office.threads.restore(self._member, ids)
        self.sizes = [
            entry.size + restored_growth(entry.thread_ids, self._ids)
            for entry in self._entries
        ]
        self._ahead = ReadAhead(self._read, self.sizes)

    def uid(self, index: int) -> bytes:
        """Return the message's unique-id."""
        return self._entries[index].uid.hex().encode()

    async def message(self, index: int) -> Stored:
        """Return the whole message, reading ahead of a client that goes in order."""
        await self._check()
        return self._restored(await self._ahead.take(index))

    async def header(self, index: int) -> Stored:
        """Return the message without its body."""
        await self._check()
        (stored,) = await self._read([index], bodies=False)
        return self._restored(stored)

    def close(self) -> None:
        """Let go of what was read ahead and not asked for."""
        self._ahead.close()

    async def remove(self, indexes: Sequence[int]) -> None:
        """Remove these messages, on disk when it returns."""
        await self._check()
        self.close()
        doomed = [self._entries[index] for index in indexes]
        await self._office.mailboxes.remove(self._member, doomed)

    async def _check(self) -> None:
        if await self._office.credential(self._member) is None:
            raise LoginOverError

    async def _read(
        self, indexes: Sequence[int], *, bodies: bool = True
    ) -> Sequence[Stored]:
        entries = [self._entries[index] for index in indexes]
        return await self._office.mailboxes.read(self._member, entries, bodies=bodies)

    def _restored(self, stored: Stored) -> Stored:
        if not self._ids:
            return stored
        header = replace_thread_ids(stored.header, self._ids)
        return evolve(stored, header=header)


def restored_growth(ids: Iterable[bytes], restored: Mapping[bytes, bytes]) -> int:
    """Return by how many octets a header grows when `ids` are replaced in place."""
    return sum(len(restored[one]) - len(one) for one in ids if one in restored)
