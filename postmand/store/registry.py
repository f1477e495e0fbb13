"""The accounts, as their operator and their owners change them.

Each change is a transaction of its own and raises the account's version, so that what
was remembered of a login is worth nothing afterwards; a delay chosen is the exception,
for it changes no login. A password is stretched outside
the transaction; a change made by another hand meanwhile is refused, not overwritten.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from attrs import field, frozen
from nacl import bindings
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from postmand.config import DELAYS
from postmand.rules.names import check_display_name, check_name
from postmand.store.bodies import Bodies
from postmand.store.database import busy_named, reading
from postmand.store.passwords import (
    RECOVERY_COST,
    Cost,
    Wrapped,
    by_password,
    by_recovery,
    check_password,
    unwrap,
    wrap,
)
from postmand.store.recovery import new_code, print_code, read_code
from postmand.store.schema import accounts, messages, watches
from postmand.store.stamp import Stamp


class RegistryError(Exception):
    """A change that was not made; the text says why, in words for the operator."""


class NoSuchAccountError(RegistryError):
    """There is no account of this name."""


class AccountExistsError(RegistryError):
    """There is an account of this name already."""


class WrongSecretError(RegistryError):
    """The password, or the recovery code, does not open the account."""


class ChangedMeanwhileError(RegistryError):
    """Another hand changed the account at the same time: try again."""


@frozen
class Account:
    """What anybody at the node can know of an account."""

    name: str
    display_name: str
    disabled: bool
    created_day: int
    version: int
    delay: str
    used_bytes: int
    messages: int


_SHOWN = select(
    accounts.c.name,
    accounts.c.display_name,
    accounts.c.disabled,
    accounts.c.created_day,
    accounts.c.version,
    accounts.c.delay,
    accounts.c.used_bytes,
    select(func.count())
    .where(messages.c.account == accounts.c.id)
    .scalar_subquery()
    .label("messages"),
)


@frozen
class Registry:
    """The accounts' register. Its methods block; any process may use it at any time.

    `cost` is what passwords set from now on cost to try.
    """

    _engine: Engine = field(repr=False)
    _bodies: Bodies = field(repr=False)
    _stamp: Stamp = field(repr=False)
    cost: Cost

    def add(
        self, name: str, password: bytes, *, day: int, display_name: str = ""
    ) -> str:
        """Make an account and return its recovery code, which is kept nowhere.

        `day` is today, in days since 1970-01-01 UTC. Raises BadNameError,
        BadPasswordError or AccountExistsError.
        """
        check_name(name)
        check_display_name(display_name)
        account = secrets.randbits(63)
        public_key, secret_key = bindings.crypto_box_keypair()
        wrapped = self._by_password(account, secret_key, check_password(password))
        code, recovery = _by_new_code(account, secret_key)
        row = insert(accounts).values(
            id=account,
            name=name,
            display_name=display_name,
            disabled=0,
            created_day=day,
            version=1,
            public_key=public_key,
            used_bytes=0,
            **wrapped,
            **recovery,
        )
        try:
            with self._writing() as connection:
                connection.execute(row)
        except IntegrityError as error:
            raise AccountExistsError(f"there is an account {name} already") from error
        return code

    def accounts(self) -> Sequence[Account]:
        """Return all accounts, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(_SHOWN.order_by(accounts.c.name))
            return [_account(row) for row in rows]

    def show(self, name: str) -> Account:
        """Return one account; raises NoSuchAccountError."""
        with reading(self._engine) as connection:
            row = connection.execute(
                _SHOWN.where(accounts.c.name == name)
            ).one_or_none()
        if row is None:
            raise _nobody(name)
        return _account(row)

    def set_password(self, name: str, old: bytes, new: bytes) -> None:
        """Wrap the key under a new password; the recovery code stays good.

        Raises NoSuchAccountError, WrongSecretError, BadPasswordError. With the same
        password twice it is wrapped anew at today's cost.
        """
        check_password(new)
        row = self._row(name)
        secret_key = unwrap(
            Wrapped(row.salt, row.verifier, row.wrapped_key),
            old,
            Cost(row.passes, row.memory_kib),
            by_password(row.id),
        )
        if secret_key is None:
            raise WrongSecretError(f"this is not the password of {name}")
        self._change(row, self._by_password(row.id, secret_key, new))

    def recover(self, name: str, code: str, new: bytes) -> str:
        """Set a new password with the recovery code; return the next recovery code.

        The code used is worth nothing afterwards. Raises NoSuchAccountError,
        BadCodeError (a code mistyped), WrongSecretError (another's code).
        """
        check_password(new)
        row = self._row(name)
        secret_key = unwrap(
            Wrapped(row.recovery_salt, row.recovery_verifier, row.recovery_wrapped_key),
            read_code(code),
            RECOVERY_COST,
            by_recovery(row.id),
        )
        if secret_key is None:
            raise WrongSecretError(f"this is not the recovery code of {name}")
        next_code, recovery = _by_new_code(row.id, secret_key)
        wrapped = self._by_password(row.id, secret_key, new)
        self._change(row, wrapped | recovery)
        return next_code

    def set_display_name(self, name: str, display_name: str) -> None:
        """Set the name beside the address, empty for none; may raise BadNameError."""
        check_display_name(display_name)
        self._change(self._row(name), {"display_name": display_name})

    def set_delay(self, name: str, delay: str) -> None:
        """Set when mail for the Internet leaves: one of DELAYS, "" for the default.

        Sessions that are open stay so, and what is sent in them from now on leaves by
        the new choice. Raises NoSuchAccountError; ValueError for another delay.
        """
        if delay not in ("", *DELAYS):
            raise ValueError("a delay must be one of DELAYS, or empty")
        with self._writing() as connection:
            changed = connection.execute(
                update(accounts).where(accounts.c.name == name).values(delay=delay)
            )
        if changed.rowcount != 1:
            raise _nobody(name)

    def disable(self, name: str) -> None:
        """Close an account: no login, no mail taken for it. What it holds stays."""
        self._change(self._row(name), {"disabled": 1})

    def enable(self, name: str) -> None:
        """Open a disabled account again."""
        self._change(self._row(name), {"disabled": 0})

    def remove(self, name: str) -> None:
        """Remove an account with its messages and watches; the name is free again."""
        row = self._row(name)
        mine = messages.c.account == row.id
        with self._writing() as connection:
            files = connection.scalars(
                select(messages.c.file).where(mine, messages.c.file.is_not(None))
            ).all()
            connection.execute(delete(messages).where(mine))
            connection.execute(delete(watches).where(watches.c.account == row.id))
            connection.execute(delete(accounts).where(accounts.c.id == row.id))
        self._bodies.remove(files)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that writes; StoreBusyError for what may pass.

        Whoever remembers accounts, in whatever process, reads them anew after it.
        """
        with self._stamp.changing(), busy_named():
            with self._engine.begin() as writing:
                # An old key is overwritten wherever it stood, and not left in a page
                # that is free now.
                writing.exec_driver_sql("PRAGMA secure_delete=ON")
                yield writing
            self._empty_log()

    def _empty_log(self) -> None:
        """Move the log into the database: what was overwritten leaves it, too.

        Where others are at work it may not succeed; then the next start or stop does.
        """
        with suppress(OperationalError), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=500")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _row(self, name: str) -> Row[Any]:
        with reading(self._engine) as connection:
            row = connection.execute(
                select(accounts).where(accounts.c.name == name)
            ).one_or_none()
        if row is None:
            raise _nobody(name)
        return row

    def _change(self, row: Row[Any], values: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            changed = connection.execute(
                update(accounts)
                .where(accounts.c.id == row.id, accounts.c.version == row.version)
                .values(version=row.version + 1, **values)
            )
        if changed.rowcount != 1:
            raise ChangedMeanwhileError(f"{row.name} was changed by another hand")

    def _by_password(
        self, account: int, secret_key: bytes, password: bytes
    ) -> dict[str, Any]:
        """Return the columns of a key wrapped under a password."""
        wrapped = wrap(secret_key, password, self.cost, by_password(account))
        return {
            "salt": wrapped.salt,
            "passes": self.cost.passes,
            "memory_kib": self.cost.memory_kib,
            "verifier": wrapped.verifier,
            "wrapped_key": wrapped.key,
        }


def _nobody(name: str) -> NoSuchAccountError:
    return NoSuchAccountError(f"there is no account {name}")


def _by_new_code(account: int, secret_key: bytes) -> tuple[str, dict[str, Any]]:
    """Return a new recovery code and the columns of the key wrapped under it."""
    code = new_code()
    wrapped = wrap(secret_key, code, RECOVERY_COST, by_recovery(account))
    return print_code(code), {
        "recovery_salt": wrapped.salt,
        "recovery_verifier": wrapped.verifier,
        "recovery_wrapped_key": wrapped.key,
    }


def _account(row: Row[*tuple[Any, ...]]) -> Account:
    values = row._asdict()
    return Account(**values | {"disabled": bool(values["disabled"])})
