"""The queues a contract runs on: the real one, and the one in memory."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Any

from attrs import evolve

from postmand.interfaces import Outgoing
from postmand.internet import IQueue
from postmand.store.bodies import Bodies
from postmand.store.database import connect
from postmand.store.nodekey import NodeKey
from postmand.store.opening import Store, open_store
from postmand.store.postmaster import Listing, Postmaster
from postmand.store.queue_intake import Backlog
from postmand.store.settings import Settings
from tests.contracts.memory_queue import MemoryQueue
from tests.contracts.queues import QueueCalls
from tests.contracts.stores import MemoryStoreCase, RealStoreCase

NODE_KEY = NodeKey.from_master(bytes(range(32)))


class RealQueueCase(RealStoreCase):
    """A test on the queue of the real store: `self.queue`, `self.put`.

    `most` is how many messages it takes.
    """

    most = 1000

    @property
    def queue(self) -> IQueue:
        """The queue of the store that is open now."""
        assert self.store.queue is not None
        return self.store.queue

    @property
    def backlog(self) -> Backlog:
        """The count that queue and mailboxes share."""
        return self.store.mailboxes._outgate.backlog

    def opened(self, settings: Settings | None = None) -> Store:
        """Open the store (again), with a node's key."""
        chosen = evolve(settings or self.settings, queue_messages=self.most)
        store = open_store(self.url, self.state, chosen, self.loop, node_key=NODE_KEY)
        self.addCleanup(store.close)
        return store

    def put(self, outgoing: Outgoing) -> None:
        """Take a message in, as a delivery does."""
        self.get(self.store.mailboxes.deliver([], {}, outgoing))

    def hold(self, item: int) -> None:
        """Hold an item back."""
        self.postmaster().hold(item)

    def unhold(self, item: int) -> None:
        """Let an item go at the next tick."""
        self.postmaster().let_go(item)

    def postmaster(self) -> Postmaster:
        """Return the operator's hand on the queue, on a connection of its own."""
        return Postmaster(self.connection(), Bodies(self.state / "bodies"))

    def listing(self) -> Listing:
        """Return what the operator sees, on a connection of its own."""
        return Listing(self.connection(), NODE_KEY)

    def connection(self) -> sqlite3.Connection:
        """Return a connection as a tool beside the node has one."""
        connection = connect(self.state / "postmand.db")
        self.addCleanup(connection.close)
        return connection


class MemoryQueueCase(MemoryStoreCase):
    """The same test on the queue in memory."""

    def setUp(self) -> None:
        """Make a store and its queue."""
        super().setUp()
        self.queue = MemoryQueue(self.store._kept)
        self.put = self.queue.put
        self.hold, self.unhold = self.queue.keep_back, self.queue.let_go


class QueueCase(QueueCalls, RealQueueCase):
    """The real queue, with what lies on the disk."""

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Ask the database, or change it."""
        with closing(connect(self.state / "postmand.db")) as connection:
            return connection.execute(sql, values).fetchall()

    def files(self) -> set[str]:
        """Return the names in the directory of bodies."""
        return {entry.name for entry in os.scandir(self.state / "bodies")}
