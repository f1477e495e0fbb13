"""Date and Message-ID, put into a washed message when it leaves and not before."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from postmand.message import dates, headers
from postmand.message.sanitizer import Washed


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
