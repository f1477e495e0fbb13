"""Opening queued messages with the node's key, in the readers' threads.

Plain reads on a connection; cards that are to be written are sealed here, too, so that
the writer's transaction has nothing to compute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from io import BytesIO
from typing import Generic, TypeVar

from attrs import field, frozen

from postmand.internet import Leg
from postmand.store import queue_rows
from postmand.store.bodies import Bodies
from postmand.store.cards import (
    BodyKey,
    SealedCard,
    Waiting,
    opened_leg,
    opened_waiting,
    sealed_card,
)
from postmand.store.nodekey import NodeKey
from postmand.store.queue_intake import domain_tag, random_number
from postmand.store.queue_rows import BEFORE_RELEASE, LEGS, ItemRow, Stage
from postmand.store.reading import OpenBody
from postmand.store.seal import SealError, open_body

Content = TypeVar("Content", Waiting, Leg)


@frozen(eq=False)
class Opened(Generic[Content]):
    """A message opened. A short body is whole in `body`, a long one is in `rest`."""

    content: Content
    octets: int
    body: bytes = field(repr=False)
    rest: OpenBody | None


@frozen(eq=False)
class Opener:
    """Opens what the node's key opens.

    All of it raises LookupError for what is gone, held back or of another stage, and
    SealError for what does not open.
    """

    _bodies: Bodies
    _node_key: NodeKey

    def waiting(self, connection: sqlite3.Connection, item: int) -> Opened[Waiting]:
        """Open a message before its release."""
        found = queue_rows.find(connection, item, BEFORE_RELEASE)
        content, key = opened_waiting(found.sealed, item, self._node_key)
        return self._with_body(connection, found.body, content, key)

    def leg(self, connection: sqlite3.Connection, item: int) -> Opened[Leg]:
        """Open a leg."""
        found = queue_rows.find(connection, item, LEGS)
        content, key = opened_leg(found.sealed, item, self._node_key)
        return self._with_body(connection, found.body, content, key)

    def released(
        self, connection: sqlite3.Connection, item: int, legs: Sequence[Leg], due: int
    ) -> list[ItemRow]:
        """Return the rows of the legs that a message is to be replaced by."""
        found = queue_rows.find(connection, item, BEFORE_RELEASE)
        _content, key = opened_waiting(found.sealed, item, self._node_key)
        return [self._leg_row(leg, found.body, key, due) for leg in legs]

    def resealed(
        self, connection: sqlite3.Connection, item: int, leg: Leg
    ) -> SealedCard:
        """Return a new card for what is left of a leg, held back or not."""
        found = queue_rows.find(connection, item, LEGS, held=True)
        _content, key = opened_leg(found.sealed, item, self._node_key)
        return sealed_card(leg, key, item, self._node_key.public_key)

    def _leg_row(self, leg: Leg, body: int, key: BodyKey, due: int) -> ItemRow:
        item = random_number()
        card = sealed_card(leg, key, item, self._node_key.public_key)
        tag = domain_tag(self._node_key, leg.domain)
        return ItemRow(item, body, Stage.LEG, due, card, tag)

    def _with_body(
        self,
        connection: sqlite3.Connection,
        number: int,
        content: Content,
        key: BodyKey,
    ) -> Opened[Content]:
        row = queue_rows.find_body(connection, number)
        if row.file is None:
            read = BytesIO(row.body or b"").read
            body = b"".join(open_body(read, key.octets, key.key))
            return Opened(content, key.octets, body, None)
        try:
            file = self._bodies.open(row.file)
        except FileNotFoundError as error:
            queue_rows.find_body(connection, number)  # gone just now: LookupError
            raise SealError("the file of a body is missing") from error
        pieces = open_body(file.read, key.octets, key.key)
        return Opened(content, key.octets, b"", OpenBody(pieces, file))
