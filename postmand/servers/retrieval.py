"""Sending a stored message to a POP3 client, piece by piece (RFC 1939 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmand.faults import log_fault
from postmand.interfaces import Stored
from postmand.message.wire import Stuffing, first_lines

if TYPE_CHECKING:
    from postmand.servers.pop3 import Pop3Server


async def send_message(
    session: Pop3Server, stored: Stored, first: bytes, lines: int | None
) -> None:
    """Send `first`, then the message, or its header and first `lines` lines.

    Once the answer has begun nothing but the message may follow: a fault then ends the
    connection, or the client would take our words for the sender's.
    """
    session.fine()
    try:
        stuffed = Stuffing()
        body, left = _cut(stored.body, lines)
        session.say(first + stuffed.piece(stored.header + body))
        while stored.more is not None and left != 0 and await session.room():
            piece = await stored.more.next()
            if not piece:
                break
            session.stir()
            body, left = _cut(piece, left)
            session.say(stuffed.piece(body))
        session.say(stuffed.end())
        await session.room()
    except Exception as error:
        log_fault(session.log, "a message could not be read to its end", error)
        session.close(abort=True)
    finally:
        let_go(stored)


def let_go(stored: Stored) -> None:
    """Close what a message read back holds open."""
    if stored.more is not None:
        stored.more.close()


def _cut(piece: bytes, lines: int | None) -> tuple[bytes, int | None]:
    """Return the piece's first `lines` lines and what is left of them; None: all."""
    return (piece, None) if lines is None else first_lines(piece, lines)
