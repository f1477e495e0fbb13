"""Recovery codes as a login's secret."""

from __future__ import annotations

import sqlite3
from unittest import mock

import pytest
from zope.interface.verify import verifyObject

from postmand.interfaces import IKeyring, StoreBusyError
from postmand.store import passwords, recovering
from postmand.store.passwords import RECOVERY_COST
from postmand.store.recovery import new_code, read_code
from tests.contracts.stores import DAY, RealStoreCase

pytestmark = pytest.mark.long


class RecoveryKeyringTest(RealStoreCase):
    """An account and its code."""

    def setUp(self) -> None:
        """Make it."""
        super().setUp()
        self.code = read_code(self.store.registry.add("jondoe", b"secret", day=DAY))
        self.credential = self.get(self.store.accounts.credential("jondoe"))

    def test_opens(self) -> None:
        """The member is the one that the password opens."""
        verifyObject(IKeyring, self.store.recovery)
        found = self.store.recovery.unlock(self.credential, self.code)
        self.assertEqual(found, self.unlock("jondoe"))

    def test_all_that_is_wrong_costs_the_same(self) -> None:
        """A wrong code, an unknown name, a closed account: one Argon2id, a code's."""
        self.store.registry.disable("jondoe")
        closed = self.get(self.store.accounts.credential("jondoe"))
        real = passwords.stretch
        for credential, code in (
            (self.credential, new_code()),
            (None, self.code),
            (closed, self.code),
        ):
            with (
                mock.patch.object(passwords, "stretch", wraps=real) as known,
                mock.patch.object(recovering, "stretch", wraps=real) as unknown,
            ):
                self.assertIsNone(self.store.recovery.unlock(credential, code))
            calls = [*known.call_args_list, *unknown.call_args_list]
            costs = [call.args[2] for call in calls]
            self.assertEqual(costs, [RECOVERY_COST])

    def test_the_database_is_away(self) -> None:
        """It has the store's name for what may pass."""
        locked = sqlite3.OperationalError("locked")
        locked.sqlite_errorcode, locked.sqlite_errorname = 5, "SQLITE_BUSY"
        with (
            mock.patch.object(recovering, "connect", side_effect=locked),
            self.assertRaises(StoreBusyError),
        ):
            self.store.recovery.unlock(self.credential, self.code)

    def test_gone_meanwhile(self) -> None:
        """An account that was removed after it was found opens for nobody."""
        self.store.registry.remove("jondoe")
        self.assertIsNone(self.store.recovery.unlock(self.credential, self.code))
