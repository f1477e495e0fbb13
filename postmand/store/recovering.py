"""Recovery codes as a login's secret: what is asked behind the queue of logins."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from attrs import field, frozen
from zope.interface import implementer

from postmand.interfaces import Credential, IKeyring, Member
from postmand.store.accounts import unlock_by_recovery
from postmand.store.database import connect, passing
from postmand.store.passwords import RECOVERY_COST, SALT_BYTES, stretch


@implementer(IKeyring)
@frozen
class RecoveryKeyring:
    """Opens accounts by their recovery code, as octets (see `recovery.read_code`).

    An unknown name and a closed account cost what a wrong code costs.
    """

    _path: Path
    _salt: bytes = field(factory=lambda: os.urandom(SALT_BYTES), repr=False)

    def unlock(self, credential: Credential | None, password: bytes) -> Member | None:
        """Return the opened account, or None (see IKeyring). Blocks.

        Raises SealError where the code is right and the row was tampered with,
        StoreBusyError where the database can not be read now.
        """
        name = "" if credential is None else credential.name
        try:
            with closing(connect(self._path)) as connection:
                found = unlock_by_recovery(connection, name, password)
        except (sqlite3.Error, OSError) as error:
            raise passing(error) or error from error
        if credential is None:
            stretch(password, self._salt, RECOVERY_COST)
            return None
        return None if credential.disabled else found
