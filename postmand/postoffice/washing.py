"""Reading and washing a member's message: what may run in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from postmand.message.sanitizer import Draft, Identity, Limits, Washed, parse, wash
from postmand.queue.spool import Spool

if TYPE_CHECKING:
    from random import Random


def read(
    spool: Spool, limits: Limits, identity: Identity, random: Random
) -> tuple[Draft, Washed | None]:
    """Read the message, and wash it in the same go if no id has to be looked up."""
    draft = parse(spool.read(), limits, clean=True)
    return draft, None if others(draft) else wash(draft, identity, {}, random)


def others(draft: Draft) -> list[bytes]:
    """Return the ids in a message that may be given-out ones of the member's own."""
    return [one for one in draft.thread_ids if one != draft.client_id]


async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it here and now, where its caller would otherwise wait for a thread."""
    return function(*arguments)
