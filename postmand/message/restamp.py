"""Date and Message-ID, put into a washed message when it leaves and not before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from postmand.message import dates, headers
from postmand.message.border import Border
from postmand.message.fields import Field
from postmand.message.sanitizer import Washed

RELEASED = (
    b"Date",
    b"From",
    b"Reply-To",
    b"To",
    b"Cc",
    b"Subject",
    b"Message-ID",
    b"In-Reply-To",
    b"References",
    b"Auto-Submitted",
    b"MIME-Version",
    b"Content-Type",
    b"Content-Transfer-Encoding",
    b"Content-Disposition",
)
"""All fields a message has on the Internet but for its signature, in their order."""


def utc_date(seconds: float) -> bytes:
    """Return the Date field's body for seconds since the epoch, cut to the minute."""
    return _minute(int(seconds // 60))


@lru_cache(2)
def _minute(minute: int) -> bytes:
    return dates.write(datetime.fromtimestamp(minute * 60, UTC))


def compose(washed: Washed, *, date: bytes, message_id: bytes) -> bytes:
    """Return the header block in canonical order, the final empty line included.

    `date` is a Date field's body, `message_id` has its angle brackets. With the body's
    chunks behind it this is the whole message.
    """
    fields = [(b"Date", date)]
    for field in washed.fields:
        fields.append(field)
        if field[0] == b"Subject":
            fields.append((b"Message-ID", message_id))
    return headers.write(fields)


def release_block(
    fields: Iterable[Field], *, date: bytes, message_id: bytes, border: Border
) -> bytes:
    """Return the header block for the Internet, the final empty line included.

    `fields` are a washed message's, `date` is a Date field's body, `message_id` the id
    given out, in either domain. Domains are swapped as `border` says. The fields of
    RELEASED leave, in that order, and nothing else; it depends on nothing else either:
    the same arguments give the same octets, whenever the message was handed in.
    """
    kept = {name: border.field_body(name, body) for name, body in fields}
    kept[b"Date"] = date
    kept[b"Message-ID"] = border.message_id(message_id)
    return headers.write((name, kept[name]) for name in RELEASED if name in kept)
