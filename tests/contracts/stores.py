"""The two stores a contract runs on, told apart by nothing a test can see."""

from __future__ import annotations

import queue
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from postmand.interfaces import Copy, Member
from postmand.store.opening import Store, open_store
from postmand.store.settings import Settings
from tests.contracts.memory import MemoryStore

LIMIT = 256 * 1024
DAY = 20_000
PATIENCE = 60.0
CHEAP = {"passes": 1, "memory_kib": 8}


class Loop:
    """As much of a reactor as a store needs; its day can be set."""

    def __init__(self, day: int = DAY) -> None:
        self.day = day
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue()
        self.calls = 0

    def callFromThread(self, function: Callable[[], None]) -> None:
        """Keep a function for `get`."""
        self.calls += 1
        self._waiting.put(function)

    def seconds(self) -> float:
        """Return a moment within the day."""
        return self.day * 86_400.0 + 12_345.0

    def get(self, deferred: Deferred[Any]) -> Any:
        """Run what the threads sent until `deferred` fires; return or raise."""
        fired: list[Any] = []
        deferred.addBoth(fired.append)
        while not fired:
            self._waiting.get(timeout=PATIENCE)()
        if isinstance(fired[0], Failure):
            fired[0].raiseException()
        return fired[0]


class RealStoreCase(SynchronousTestCase):
    """A test on the real store: `self.store`, `self.get`, `self.state`."""

    settings = Settings(max_bytes=LIMIT, **CHEAP)

    def setUp(self) -> None:
        """Open a store in a directory of its own."""
        self.state = Path(tempfile.mkdtemp(prefix="postmand-"))
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)
        self.url = f"sqlite:///{self.state}/postmand.db"
        self.loop = Loop()
        self.get = self.loop.get
        self.store = self.opened()

    def opened(self, settings: Settings | None = None) -> Store:
        """Open the store (again); it is closed at the test's end."""
        store = open_store(self.url, self.state, settings or self.settings, self.loop)
        self.addCleanup(store.close)
        return store

    def reopened(self, settings: Settings | None = None) -> Store:
        """Close the store and open it again."""
        self.store.close()
        self.store = self.opened(settings)
        return self.store

    def add(self, name: str, password: bytes = b"secret") -> Member:
        """Make an account and return it opened."""
        self.store.registry.add(name, password, day=DAY)
        return self.unlock(name, password)

    def unlock(self, name: str, password: bytes = b"secret") -> Member:
        """Return the member, who must open."""
        credential = self.get(self.store.accounts.credential(name))
        member = self.store.keyring.unlock(credential, password)
        assert member is not None
        return member

    def copy(self, name: str, header: bytes, *body: bytes) -> Copy:
        """Return a copy for the account called `name`."""
        recipient = self.get(self.store.accounts.recipient(name))
        assert recipient is not None
        return Copy(recipient, header, list(body))

    def operator(self) -> Any:
        """Return what changes accounts: set_password(name, new) and the rest."""
        return _Operator(self)


class _Operator:
    """The operator's changes as MemoryStore has them, made on the real store."""

    def __init__(self, case: RealStoreCase) -> None:
        registry = case.store.registry
        self.set_password = lambda name, new: registry.set_password(
            name, b"secret", new
        )
        self.set_display_name = registry.set_display_name
        self.disable, self.enable = registry.disable, registry.enable
        self.remove = registry.remove


class MailboxCase(RealStoreCase):
    """Members, and what lies in the database."""

    def setUp(self):
        """Two members."""
        super().setUp()
        self.jondoe, self.alice = self.add("jondoe"), self.add("alice")
        self.bodies = self.state / "bodies"

    def query(self, sql, *values):
        """Ask the database, or change it."""
        database = self.state / "postmand.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def deliver(self, *copies):
        """Deliver and wait."""
        return self.get(self.store.mailboxes.deliver(copies, {}))

    def read(self, member):
        """Return all messages of a mailbox as (header, whole body)."""
        found = self.get(self.store.mailboxes.entries(member))
        messages = []
        for stored in self.get(self.store.mailboxes.read(member, found)):
            body = stored.body
            while stored.more is not None and (piece := self.get(stored.more.next())):
                body += piece
            messages.append((stored.header, body))
        return messages


class MemoryStoreCase(SynchronousTestCase):
    """The same test on the store in memory."""

    def setUp(self) -> None:
        """Make a store."""
        self.store = MemoryStore(LIMIT)
        self.get = self.successResultOf_or_raise

    def successResultOf_or_raise(self, deferred: Deferred[Any]) -> Any:
        """Return what has fired, or raise it."""
        fired: list[Any] = []
        deferred.addBoth(fired.append)
        if isinstance(fired[0], Failure):
            fired[0].raiseException()
        return fired[0]

    def add(self, name: str, password: bytes = b"secret") -> Member:
        """Make an account and return it opened."""
        return self.store.add(name, password)

    unlock = RealStoreCase.unlock
    copy = RealStoreCase.copy

    def operator(self) -> Any:
        """Return what changes accounts."""
        return self.store
