"""The queue in memory: IQueue without threads, files and seals.

It keeps every promise of the seam but durability and sealing, and fires at once; the
contract suite holds it to that. For tests of the runner and of the post office.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from postmand.interfaces import Copy, Outgoing, StoreBusyError
from postmand.internet import DueLeg, Held, IQueue, Leg, Parcel, Pooled
from postmand.rules.mixing import size_class
from tests.contracts.memory import MemoryChunks, _Kept, _message

MINUTE = 60


@define
class _Item:
    """A queued message; `body` is one object for all legs of a message."""

    content: Outgoing | Leg
    body: list[bytes]
    due: int
    pooled: bool = False
    held: bool = False
    trying: bool = False


@implementer(IQueue)
@define
class MemoryQueue:
    """The queue. While `error` is set, every write fails with it and keeps nothing.

    `most` is how many messages there may be; `given` are the bodies handed out.
    """

    _kept: _Kept
    most: int = 1000
    error: Exception | None = None
    items: dict[int, _Item] = Factory(dict)
    given: list[MemoryChunks] = field(factory=list)

    def put(self, outgoing: Outgoing) -> None:
        """Take a message in, as IMailboxes.deliver does; may raise StoreBusyError."""
        if self.error is not None:
            raise self.error
        if len({id(item.body) for item in self.items.values()}) >= self.most:
            raise StoreBusyError("the queue is full")
        due = -(-outgoing.due // MINUTE) * MINUTE
        body = [b"".join(outgoing.body)]
        self.items[_number()] = _Item(outgoing, body, due, outgoing.pooled)

    def keep_back(self, item: int) -> None:
        """Hold an item back, as the operator does; it leaves the pool."""
        self.items[item].held = True
        self.items[item].pooled = False

    def let_go(self, item: int) -> None:
        """Let an item go at the next tick, as the operator does; it leaves the pool."""
        found = self.items[item]
        found.held, found.pooled, found.due = False, False, 0

    def due(self, now: int, most: int) -> Deferred[Sequence[int]]:
        """Fire with the items whose time to be released has come."""
        return succeed([number for number, _ in self._due(Outgoing, now)][:most])

    def legs_due(
        self, now: int, most: int, busy: Collection[bytes] = ()
    ) -> Deferred[Sequence[DueLeg]]:
        """Fire with legs to be tried; the domain's name in lower case is its tag."""
        found = [
            DueLeg(number, leg.content.domain.lower())
            for number, leg in self._due(Leg, now)
        ]
        return succeed([leg for leg in found if leg.domain not in busy][:most])

    def pool(self, most: int) -> Deferred[Sequence[Pooled]]:
        """Fire with what waits in the pool, at most `most` of each owner and class."""
        groups: dict[tuple[bytes, int], list[Pooled]] = {}
        for number, item in sorted(self.items.items(), key=lambda one: one[1].due):
            if item.pooled:
                owner = item.content.account.to_bytes(16, "big")
                of_class = size_class(len(item.body[0]))
                group = groups.setdefault((owner, of_class), [])
                group.append(Pooled(number, owner, of_class, item.due))
        return succeed([one for group in groups.values() for one in group[:most]])

    def open(self, item: int) -> Deferred[Held]:
        """Fire with the message; LookupError if gone, released or held."""
        found = self.items.get(item)
        if found is None or found.held or not isinstance(found.content, Outgoing):
            return fail(_gone())
        content = found.content
        return succeed(
            Held(
                item=item,
                account=content.account,
                name=content.name,
                recipients=content.recipients,
                fields=content.fields,
                message_id=content.message_id,
                body_bytes=len(found.body[0]),
                body=self._give(found),
            )
        )

    def release(self, item: int, legs: Sequence[Leg], now: int) -> Deferred[None]:
        """Replace the message by its legs, due at once."""
        found = self.items.get(item)
        if not legs:
            return fail(ValueError("a message is released to one domain at least"))
        if found is None or found.held or not isinstance(found.content, Outgoing):
            return fail(_gone())
        if self.error is not None:
            return fail(self.error)
        del self.items[item]
        for leg in legs:
            self.items[_number()] = _Item(leg, found.body, now - now % MINUTE)
        return succeed(None)

    def hold(self, item: int) -> Deferred[bool]:
        """Hold a message back; fire with False where the operator let it go."""
        found = self.items.get(item)
        if found is None or found.held or not isinstance(found.content, Outgoing):
            return fail(_gone())
        if self.error is not None:
            return fail(self.error)
        if not found.due:
            return succeed(False)
        self.keep_back(item)
        return succeed(True)

    def begin(self, item: int) -> Deferred[Parcel]:
        """Mark a leg as being tried; LookupError if gone, held or marked already."""
        found = self._leg(item)
        if found is None or found.held or found.trying:
            return fail(_gone())
        if self.error is not None:
            return fail(self.error)
        assert isinstance(found.content, Leg)
        found.trying = True
        body = self._give(found)
        return succeed(Parcel(item, found.content, len(found.body[0]), body))

    def settle(
        self, item: int, leg: Leg | None, due: int, bounce: Copy | None = None
    ) -> Deferred[None]:
        """Keep what is left of a leg, or nothing; LookupError if it is gone."""
        found = self._leg(item)
        if found is None:
            return fail(_gone())
        if self.error is not None:
            return fail(self.error)
        if leg is None:
            del self.items[item]
        else:
            due = -(-due // MINUTE) * MINUTE
            self.items[item] = evolve(found, content=leg, due=due, trying=False)
        if bounce is not None:
            self._bounce(bounce)
        return succeed(None)

    def in_flight(self) -> Deferred[int]:
        """Unmark the legs that were being tried; fire with how many there were."""
        flying = [item for item in self.items.values() if item.trying]
        for item in flying:
            item.trying = False
        return succeed(len(flying))

    def _due(self, kind: type, now: int) -> list[tuple[int, _Item]]:
        found = [
            (item.due, number, item)
            for number, item in self.items.items()
            if isinstance(item.content, kind)
            and not (item.pooled or item.held or item.trying)
            and item.due <= now
        ]
        return [(number, item) for _, number, item in sorted(found, key=_by_due)]

    def _leg(self, item: int) -> _Item | None:
        found = self.items.get(item)
        return found if found and isinstance(found.content, Leg) else None

    def _give(self, item: _Item) -> MemoryChunks:
        self.given.append(MemoryChunks(item.body[0]))
        return self.given[-1]

    def _bounce(self, bounce: Copy) -> None:
        account = self._kept.by_number(bounce.recipient.account)
        if account is not None and not account.disabled:
            message = _message(bounce)
            self._kept.last += 1
            self._kept.messages[self._kept.last] = message
            account.used += message.size


def _by_due(found: tuple[int, int, _Item]) -> tuple[int, int]:
    return found[:2]


def _number() -> int:
    return secrets.randbits(62)


def _gone() -> LookupError:
    return LookupError("the message is not in the queue")
