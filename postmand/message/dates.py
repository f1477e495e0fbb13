"""Date and time of a message (RFC 5322 3.3, 4.3), always UTC when written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_NUMBERS = {name.lower().encode(): place for place, name in enumerate(_MONTHS, 1)}
_ZONES = {
    b"edt": -4,
    b"est": -5,
    b"cdt": -5,
    b"cst": -6,
    b"mdt": -6,
    b"mst": -7,
    b"pdt": -7,
    b"pst": -8,
}
_DATE = re.compile(
    rb"(?:[a-z]{3,9}+[ \t]*,?)?[ \t]*(\d{1,2})[ \t-]+([a-z]{3})[a-z]{0,6}+[ \t-]+"
    rb"(\d{2,4})[ \t]+(\d{1,2})[ \t]*:[ \t]*(\d{2})(?:[ \t]*:[ \t]*(\d{2}))?"
    rb"(?:[ \t]*(?:(?:GMT|UTC?)?([+-])(\d{2}):?(\d{2})|([a-z]{1,5})))?",
    re.IGNORECASE,
)


def write(moment: datetime) -> bytes:
    """Return `Sun, 22 Nov 2026 15:21:00 +0000` for a moment in UTC."""
    text = (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} "
        f"{moment.year:04} {moment.hour:02}:{moment.minute:02}:{moment.second:02} +0000"
    )
    return text.encode("ascii")


def in_utc(value: bytes) -> bytes | None:
    """Return a Date field's moment written in UTC, None where it can not be read.

    A zone nobody knows counts as UTC (RFC 5322 4.3).
    """
    match = _DATE.match(value[:200].strip())
    month = _NUMBERS.get(match[2].lower()) if match else None
    if match is None or month is None:
        return None
    year = int(match[3])
    if len(match[3]) < 4:
        year += 2000 if year < 50 else 1900
    try:
        moment = datetime(
            year,
            month,
            int(match[1]),
            int(match[4]),
            int(match[5]),
            min(int(match[6] or 0), 59),  # a leap second is the one before it
            tzinfo=UTC,
        )
        return write(moment - _offset(match))
    except (ValueError, OverflowError):
        return None


def _offset(match: re.Match[bytes]) -> timedelta:
    if match[7]:
        offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
        return -offset if match[7] == b"-" else offset
    return timedelta(hours=_ZONES.get((match[10] or b"").lower(), 0))
