"""How a fault of ours is logged: whole, but without a value.

The message of an exception may quote what it stumbled over, an address or a line of a
mail; its type and the places in our code are enough to mend it.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.logger import Logger


def describe(error: BaseException | None) -> str:
    """Return the types and code places of `error` and its causes, innermost last."""
    told: list[str] = []
    seen = error
    while seen is not None and len(told) < 8:
        frames = traceback.extract_tb(seen.__traceback__)[-12:]
        places = " > ".join(
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in frames
        )
        told.append(f"{type(seen).__name__} [{places}]")
        seen = seen.__cause__ or seen.__context__
    return " from ".join(told)


def log_fault(log: Logger, where: str, fault: BaseException | Failure) -> None:
    """Log a fault of ours: `where` is a constant of the code, never data."""
    # Twisted's Failure is an exception, too.
    error = fault.value if isinstance(fault, Failure) else fault
    log.error("{where}: {fault}", where=where, fault=describe(error))
