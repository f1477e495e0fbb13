"""Whether an account of a name can be made now, and what pays for it."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, insert, select

from postmand.store import closed_names
from postmand.store.refusals import (
    AccountExistsError,
    NameClosedError,
    StampUsedError,
)
from postmand.store.schema import accounts, stamps


@frozen
class Payment:
    """A stamp that pays for an account: what it is marked by, and until which day."""

    tag: bytes
    expires_day: int


def check_free(
    connection: Connection,
    name: str,
    day: int,
    payment: Payment | None,
    *,
    reopen: bool,
) -> None:
    """Raise the reason why an account of this name can not be made now."""
    if payment is not None:
        spent = select(stamps.c.tag).where(stamps.c.tag == payment.tag)
        if connection.execute(spent).first() is not None:
            raise StampUsedError("this stamp was used before")
    known = select(accounts.c.id).where(accounts.c.name == name)
    if connection.execute(known).first() is not None:
        raise AccountExistsError(f"there is an account {name} already")
    if not reopen and closed_names.is_closed(connection, name, day):
        raise NameClosedError(
            f"the name {name} was an account's that is gone, and is closed"
        )


def spend(connection: Connection, payment: Payment) -> None:
    """Mark the stamp; `check_free` was asked in the same transaction."""
    connection.execute(
        insert(stamps).values(tag=payment.tag, expires_day=payment.expires_day)
    )
