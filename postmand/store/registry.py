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
from sqlalchemy.exc import OperationalError

from postmand.config import DELAYS
from postmand.interfaces import Member
from postmand.membership import Visitor
from postmand.rules.names import check_display_name, check_name
from postmand.store import closed_names
from postmand.store.admission import Payment, check_free, spend
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
from postmand.store.refusals import (
    ChangedMeanwhileError,
    NoSuchAccountError,
    WrongSecretError,
)
from postmand.store.schema import accounts, messages, public_keys, watches
from postmand.store.stamp import Stamp


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
        self,
        name: str,
        password: bytes,
        *,
        day: int,
        display_name: str = "",
        reopen: bool = False,
        payment: Payment | None = None,
    ) -> str:
        """Make an account and return its recovery code, which is kept nowhere.

        `day` is today, in days since 1970-01-01 UTC. With `reopen` a closed name may be
        had. A `payment` is spent in the same transaction: on an error it is not. Raises
        BadNameError, BadPasswordError, AccountExistsError, NameClosedError or
        StampUsedError.
        """
        check_name(name)
        check_display_name(display_name)
        check_password(password)
        with reading(self._engine) as connection:
            # What is refused anyway costs no Argon2id; it is looked at again below.
            check_free(connection, name, day, payment, reopen=reopen)
        account = secrets.randbits(63)
        public_key, secret_key = bindings.crypto_box_keypair()
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
            **self._by_password(account, secret_key, password),
            **recovery,
        )
        with self._writing() as connection:
            check_free(connection, name, day, payment, reopen=reopen)
            closed_names.reopen(connection, name)
            if payment is not None:
                spend(connection, payment)
            connection.execute(row)
        return code

    def is_closed(self, name: str, day: int) -> bool:
        """Tell whether the name of an account that is gone is closed on that day."""
        with reading(self._engine) as connection:
            return closed_names.is_closed(connection, name, day)

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

        What was registered with biff under the old one ends. With the same password
        twice it is wrapped anew at today's cost. Raises NoSuchAccountError,
        WrongSecretError, BadPasswordError.
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
        return self._recovered(row, secret_key, new)

    def change_password(self, member: Member, new: bytes) -> Visitor:
        """Wrap an opened account's key under a new password; return its new version.

        What was registered with biff under the old one ends. Raises BadPasswordError,
        NoSuchAccountError, or ChangedMeanwhileError where the account is not as
        `member` was opened.
        """
        check_password(new)
        row = self._row(member.name, visitor_of(member))
        return self._change(row, self._by_password(row.id, member.secret_key, new))

    def recovered(self, member: Member, new: bytes) -> str:
        """Set a password of an account that its recovery code opened; a new code.

        Raises as change_password does.
        """
        check_password(new)
        row = self._row(member.name, visitor_of(member))
        return self._recovered(row, member.secret_key, new)

    def new_recovery(self, member: Member) -> tuple[Visitor, str]:
        """Make a new recovery code for an opened account; the old one is void.

        Returns the account in its new version, and the code. Raises
        NoSuchAccountError or ChangedMeanwhileError.
        """
        row = self._row(member.name, visitor_of(member))
        code, recovery = _by_new_code(row.id, member.secret_key)
        return self._change(row, recovery), code

    def set_display_name(
        self, name: str, display_name: str, at: Visitor | None = None
    ) -> Visitor:
        """Set the name beside the address, empty for none; may raise BadNameError.

        With `at` the account must be that one in that version, or it raises
        ChangedMeanwhileError. Returns the account in its new version.
        """
        check_display_name(display_name)
        return self._change(self._row(name, at), {"display_name": display_name})

    def set_delay(self, name: str, delay: str, at: Visitor | None = None) -> None:
        """Set when mail for the Internet leaves: one of DELAYS, "" for the default.

        Sessions that are open stay so, and what is sent in them from now on leaves by
        the new choice. Raises NoSuchAccountError, with `at` ChangedMeanwhileError;
        ValueError for another delay.
        """
        if delay not in ("", *DELAYS):
            raise ValueError("a delay must be one of DELAYS, or empty")
        row = self._row(name, at)
        with self._writing() as connection:
            changed = connection.execute(
                update(accounts).where(accounts.c.id == row.id).values(delay=delay)
            )
        if changed.rowcount != 1:
            raise _nobody(name)

    def disable(self, name: str) -> None:
        """Close an account: no login, no mail taken for it. What it holds stays."""
        self._change(self._row(name), {"disabled": 1})

    def enable(self, name: str) -> None:
        """Open a disabled account again."""
        self._change(self._row(name), {"disabled": 0})

    def remove(
        self, name: str, at: Visitor | None = None, closed_until: int | None = None
    ) -> None:
        """Remove an account with its messages, watches and published key.

        Its name stays closed up to and with the day `closed_until`, or is free at once.
        With `at` the account must be that one in that version; ChangedMeanwhileError.
        """
        row = self._row(name, at)
        mine = messages.c.account == row.id
        with self._writing() as connection:
            files = connection.scalars(
                select(messages.c.file).where(mine, messages.c.file.is_not(None))
            ).all()
            connection.execute(delete(messages).where(mine))
            for table in (watches, public_keys):
                connection.execute(delete(table).where(table.c.account == row.id))
            gone = connection.execute(
                delete(accounts).where(
                    accounts.c.id == row.id, accounts.c.version == row.version
                )
            )
            if gone.rowcount != 1:
                raise ChangedMeanwhileError(f"{name} was changed by another hand")
            if closed_until is not None:
                closed_names.close(connection, name, closed_until)
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

    def _row(self, name: str, at: Visitor | None = None) -> Row[Any]:
        with reading(self._engine) as connection:
            row = connection.execute(
                select(accounts).where(accounts.c.name == name)
            ).one_or_none()
        if row is None:
            raise _nobody(name)
        if at is not None and (row.id, row.version) != (at.account, at.version):
            raise ChangedMeanwhileError(f"{name} was changed by another hand")
        return row

    def _change(self, row: Row[Any], values: Mapping[str, Any]) -> Visitor:
        with self._writing() as connection:
            changed = connection.execute(
                update(accounts)
                .where(accounts.c.id == row.id, accounts.c.version == row.version)
                .values(version=row.version + 1, **values)
            )
            if changed.rowcount == 1 and "wrapped_key" in values:
                # Whoever made them had the old password, or a token from its owner.
                connection.execute(delete(watches).where(watches.c.account == row.id))
        if changed.rowcount != 1:
            raise ChangedMeanwhileError(f"{row.name} was changed by another hand")
        return Visitor(row.id, row.name, row.version + 1)

    def _recovered(self, row: Row[Any], secret_key: bytes, new: bytes) -> str:
        code, recovery = _by_new_code(row.id, secret_key)
        self._change(row, self._by_password(row.id, secret_key, new) | recovery)
        return code

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


def visitor_of(member: Member) -> Visitor:
    """Return an opened account, in the version in which it was opened."""
    return Visitor(member.account, member.name, member.version)


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
