"""The contract of the watches, run on the real store and in memory."""

from __future__ import annotations

from attrs import evolve

from postmand.interfaces import StoreBusyError
from postmand.notice import IWatches
from postmand.store.opening import open_store
from postmand.store.settings import Settings
from tests.contracts.memory_watches import MemoryWatches, seen_in
from tests.contracts.queue_cases import NODE_KEY
from tests.contracts.stores import MemoryStoreCase, RealStoreCase
from tests.contracts.watches import PER_ACCOUNT, PER_NICK, WatchesPromises


class RealWatchesCase(RealStoreCase):
    """A store with a node's key, so that there are watches."""

    @property
    def watches(self) -> IWatches:
        """The watches of the store that is open now."""
        assert self.store.watches is not None
        return self.store.watches

    def opened(self, settings: Settings | None = None):
        """Open the store (again), with few places."""
        chosen = evolve(
            settings or self.settings,
            accounts_per_nick=PER_NICK,
            nicks_per_account=PER_ACCOUNT,
        )
        store = open_store(self.url, self.state, chosen, self.loop, node_key=NODE_KEY)
        self.addCleanup(store.close)
        return store


class RealWatchesTests(WatchesPromises, RealWatchesCase):
    """IWatches on SQLite."""


class MemoryWatchesCase(MemoryStoreCase):
    """A store in memory, and watches on it."""

    def setUp(self) -> None:
        """Make them."""
        super().setUp()
        self.watches = MemoryWatches(seen_in(self.store), PER_NICK, PER_ACCOUNT)


class MemoryWatchesTests(WatchesPromises, MemoryWatchesCase):
    """IWatches in memory."""

    def test_errors_on_demand(self) -> None:
        """A test may have the store fail."""
        self.watches.error = StoreBusyError("disk")
        for asked in (self.watches.all, lambda: self.watches.of(self.jack)):
            with self.assertRaises(StoreBusyError):
                self.get(asked())
