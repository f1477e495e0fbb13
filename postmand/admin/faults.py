"""An error as the operator reads it: one line that says what to do."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from postmand.admin.terminal import CommandError, printable
from postmand.config import ConfigError
from postmand.interfaces import StoreBusyError
from postmand.message.dkim import BadSelectorError
from postmand.rules.names import BadNameError
from postmand.store.database import passing
from postmand.store.nodekey import NodeKeyError
from postmand.store.passwords import BadPasswordError
from postmand.store.recovery import BadCodeError
from postmand.store.refusals import (
    AccountExistsError,
    ChangedMeanwhileError,
    NameClosedError,
    NoSuchAccountError,
    RegistryError,
    WrongSecretError,
)
from postmand.store.seal import SealError
from postmand.store.upgrade import NewerSchemaError

EXPECTED = (
    CommandError,
    ConfigError,
    NodeKeyError,
    BadSelectorError,
    BadNameError,
    BadPasswordError,
    BadCodeError,
    RegistryError,
    SealError,
    NewerSchemaError,
    StoreBusyError,
    DBAPIError,
    sqlite3.Error,
    OSError,
)
"""What a command may raise; anything else is a fault of ours, and shown whole."""

_MENDS: tuple[tuple[type[Exception], str], ...] = (
    (BadNameError, "choose another"),
    (BadPasswordError, "choose another"),
    (BadSelectorError, "choose another"),
    (BadCodeError, "write it as it was printed, eight groups of five"),
    (NoSuchAccountError, '"postmanctl account list" shows the names'),
    (AccountExistsError, "choose another name"),
    (NameClosedError, "choose another name, or give it back with --reopen"),
    (WrongSecretError, "nothing was changed, try again"),
    (ChangedMeanwhileError, "nothing was changed, try again"),
    (SealError, "the store is damaged, restore it from a backup"),
)


def explain(error: BaseException) -> str:
    """Return one printable line for an error of EXPECTED."""
    return printable(_explain(error))


def _explain(error: BaseException) -> str:
    if isinstance(error, CommandError | ConfigError | NodeKeyError):
        return str(error)
    for kind, mend in _MENDS:
        if isinstance(error, kind):
            return f"{error}; {mend}"
    if isinstance(error, NewerSchemaError):
        return "the store was written by a newer postmand; upgrade this one"
    return _explain_disk(error)


def _explain_disk(error: BaseException) -> str:
    """Tell of the database and the file system; SQLAlchemy's wrapping is taken off."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    busy = None if isinstance(error, OSError) else passing(error)
    if busy is not None:
        return (
            f"the store can not be used now ({busy}); try again, and if it stays so "
            "see postmanctl doctor"
        )
    if isinstance(error, sqlite3.Error):
        return f"the store: {error}; see postmanctl doctor"
    if isinstance(error, OSError):
        where = error.filename or "the disk"
        return (
            f"{where}: {error.strerror or 'an error of the system'}; make it a place "
            "that this user may use"
        )
    return f"{type(error).__name__}; see postmanctl doctor"
