"""Mail for the Internet into rows: sealed to the node, whoever it is from.

What IMailboxes.deliver needs of the queue, so that a message's rows join the
transaction that accepts it.
"""

from __future__ import annotations

import secrets
import sqlite3
from functools import partial

from attrs import frozen

from postmand.interfaces import Outgoing, StoreBusyError
from postmand.rules.mixing import size_class
from postmand.store import queue_rows
from postmand.store.bodies import Bodies
from postmand.store.cards import BodyKey, Waiting, sealed_card
from postmand.store.crew import Crew
from postmand.store.nodekey import NodeKey
from postmand.store.queue_rows import BodyRow, ItemRow, Stage
from postmand.store.rows import Step
from postmand.store.seal import new_key, seal_body

MINUTE = 60
_ID_BITS = 62
# Those that `queue list` shows. Two domains that share a tag share their slots, which
# harms nobody; more octets would make each row longer, and hide nothing more.
_DOMAIN_TAG_BYTES = 4


@frozen
class SealedMessage:
    """A message on its way into the queue."""

    item: ItemRow
    body: BodyRow

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files made for it, as Changes.files takes them."""
        return () if self.body.file is None else (self.body.file,)


class Backlog:
    """How many messages are queued, `most` at once. For the reactor's thread.

    Counted along, not asked for each time. What a tool beside the node has dropped
    comes to light when the queue seems full: then it is counted anew.
    """

    def __init__(
        self, readers: Crew[sqlite3.Connection], most: int, queued: int = 0
    ) -> None:
        self.queued = queued
        self._readers = readers
        self._most = most
        self._moves = 0
        self._counting = False

    def take(self) -> None:
        """Count a message that comes in; StoreBusyError when there is no room."""
        if self.queued >= self._most:
            self._recount()
            raise StoreBusyError("the queue is full")
        self._move(1)

    def give_back(self) -> None:
        """Count a message that has left, or that did not come in after all."""
        self._move(-1)

    def _move(self, by: int) -> None:
        self.queued += by
        self._moves += 1

    def _recount(self) -> None:
        if not self._counting:
            self._counting = True
            counted = self._readers.call(queue_rows.count)
            counted.addCallback(self._counted, self._moves)
            counted.addErrback(lambda _: None)  # the next refusal asks again
            counted.addBoth(self._end_counting)

    def _counted(self, queued: int, moves: int) -> None:
        """Believe a count, unless messages came or went while it was made."""
        if moves == self._moves:
            self.queued = queued

    def _end_counting(self, _: None) -> None:
        self._counting = False


def random_number() -> int:
    """Return a number for a new row: at random, so that rows lie in no order."""
    return secrets.randbits(_ID_BITS)


def owner_tag(node_key: NodeKey, account: int) -> bytes:
    """Return what stands for an account in the pool."""
    return node_key.tag(b"owner", account.to_bytes(8, "big"))


def domain_tag(node_key: NodeKey, domain: bytes) -> bytes:
    """Return what stands for the domain of a leg."""
    return node_key.tag(b"domain", domain.lower())[:_DOMAIN_TAG_BYTES]


def sealed_message(
    bodies: Bodies, outgoing: Outgoing, node_key: NodeKey, file_bytes: int
) -> SealedMessage:
    """Seal a message. A body over `file_bytes` becomes a file, synced but not named.

    `due` is rounded up to the minute: a message never leaves before its time. Blocks;
    raises OSError if the file cannot be written, and then none is left.
    """
    item, octets = random_number(), body_bytes(outgoing)
    body_key = BodyKey(new_key(), octets)
    card = sealed_card(Waiting.of(outgoing), body_key, item, node_key.public_key)
    pieces = seal_body(outgoing.body, octets, body_key.key)
    number, file, body = random_number(), None, None
    if octets > file_bytes:
        file = bodies.write(pieces)
    else:
        body = b"".join(pieces)
    pooled = outgoing.pooled
    row = ItemRow(
        item=item,
        body=number,
        stage=Stage.POOL if pooled else Stage.WAITING,
        due=next_minute(outgoing.due),
        sealed=card,
        owner=owner_tag(node_key, outgoing.account) if pooled else None,
        size_class=size_class(octets) if pooled else None,
    )
    return SealedMessage(row, BodyRow(number, file, body))


def body_bytes(outgoing: Outgoing) -> int:
    """Return the length of the body."""
    return sum(map(len, outgoing.body))


def put_step(sealed: SealedMessage) -> Step:
    """Return the step that puts a sealed message into the queue."""
    return partial(_put, sealed=sealed)


def next_minute(moment: int) -> int:
    """Return the first whole minute that is not before `moment`, both in seconds."""
    return -(-moment // MINUTE) * MINUTE


def _put(connection: sqlite3.Connection, sealed: SealedMessage) -> tuple[str, ...]:
    queue_rows.put_body(connection, sealed.body)
    queue_rows.put(connection, [sealed.item])
    return ()
