"""The queue's contract, run on the real store and on the one in memory."""

from __future__ import annotations

from tests.contracts.queue_cases import MemoryQueueCase, RealQueueCase
from tests.contracts.queues import QueuePromises


class RealQueueTests(QueuePromises, RealQueueCase):
    """IQueue on SQLite and sealed files."""


class MemoryQueueTests(QueuePromises, MemoryQueueCase):
    """IQueue in memory."""
