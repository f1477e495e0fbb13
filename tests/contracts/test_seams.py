"""The contract suite, run on the real store and on the one in memory."""

from __future__ import annotations

from tests.contracts.accounts import AccountsPromises
from tests.contracts.mailboxes import MailboxesPromises
from tests.contracts.stores import MemoryStoreCase, RealStoreCase
from tests.contracts.threads import ThreadsPromises


class RealAccountsTests(AccountsPromises, RealStoreCase):
    """IAccounts and IKeyring on SQLite and Argon2id."""


class RealMailboxesTests(MailboxesPromises, RealStoreCase):
    """IMailboxes on SQLite and sealed files."""


class RealThreadsTests(ThreadsPromises, RealStoreCase):
    """IThreads on SQLite."""


class MemoryAccountsTests(AccountsPromises, MemoryStoreCase):
    """IAccounts and IKeyring in memory."""


class MemoryMailboxesTests(MailboxesPromises, MemoryStoreCase):
    """IMailboxes in memory."""


class MemoryThreadsTests(ThreadsPromises, MemoryStoreCase):
    """IThreads in memory."""
