"""The queues a contract runs on: the real one, and the one in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial

from postmand.interfaces import Outgoing
from postmand.internet import IQueue
from postmand.store import opening, queue_rows
from postmand.store.database import connect
from postmand.store.nodekey import NodeKey
from postmand.store.postmaster import Listing, Postmaster
from postmand.store.queue import Queue
from postmand.store.queue_intake import Backlog, put_step, sealed_message
from postmand.store.rows import Changes
from postmand.store.writer import Job
from tests.contracts.memory_queue import MemoryQueue
from tests.contracts.stores import MemoryStoreCase, RealStoreCase

NODE_KEY = NodeKey.from_master(bytes(range(32)))


class RealQueueCase(RealStoreCase):
    """A test on the queue of the real store: `self.queue`, `self.put`."""

    most = 1000

    def setUp(self) -> None:
        """Open a store, and a queue on its threads."""
        self.patch(opening, "_FILES", queue_rows.NAMED_FILES)
        super().setUp()
        self.queue = self.opened_queue()

    def opened_queue(self) -> IQueue:
        """Return a queue on `self.store`."""
        mailboxes = self.store.mailboxes
        readers, bodies = mailboxes._boxes, mailboxes._bodies
        with closing(connect(self.state / "postmand.db")) as connection:
            queued = queue_rows.count(connection)
        self.backlog = Backlog(readers, self.most, queued)
        return Queue(
            writer=self.store._writer,
            readers=readers,
            bodies=bodies,
            node_key=NODE_KEY,
            accounts=self.store.accounts,
            backlog=self.backlog,
            file_bytes=self.settings.file_bytes,
        )

    def postmaster(self) -> Postmaster:
        """Return the operator's hand on the queue, on a connection of its own."""
        return Postmaster(self.connection(), self.store.mailboxes._bodies)

    def listing(self) -> Listing:
        """Return what the operator sees, on a connection of its own."""
        return Listing(self.connection(), NODE_KEY)

    def connection(self) -> sqlite3.Connection:
        """Return a connection as a tool beside the node has one."""
        connection = connect(self.state / "postmand.db")
        self.addCleanup(connection.close)
        return connection

    def hold(self, item: int) -> None:
        """Hold an item back."""
        self.postmaster().hold(item)

    def unhold(self, item: int) -> None:
        """Let an item go at the next tick."""
        self.postmaster().let_go(item)

    def put(self, outgoing: Outgoing) -> None:
        """Take a message in, as a delivery does."""
        self.backlog.take()
        seal = partial(
            sealed_message,
            outgoing=outgoing,
            node_key=NODE_KEY,
            file_bytes=self.settings.file_bytes,
        )
        sealed = seal(self.store.mailboxes._bodies)
        changes = Changes(steps=[put_step(sealed)], files=sealed.files)
        self.get(self.store._writer.submit(Job(lambda: changes, sealed.weight)))


class MemoryQueueCase(MemoryStoreCase):
    """The same test on the queue in memory."""

    def setUp(self) -> None:
        """Make a store and its queue."""
        super().setUp()
        self.queue = MemoryQueue(self.store._kept)
        self.put = self.queue.put
        self.hold, self.unhold = self.queue.hold, self.queue.unhold
