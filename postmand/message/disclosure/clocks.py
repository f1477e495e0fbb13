"""Clocks that clients write into their ids, and the zone that their Date names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import frozen

_MONTHS = b"jan feb mar apr may jun jul aug sep oct nov dec".split()
_DATE = re.compile(
    rb"(\d{1,2})[ \t]+([A-Za-z]{3})[a-z]{0,6}[ \t]+(\d{4})[ \t]+"
    rb"(\d{1,2}):(\d\d)(?::(\d\d))?[ \t]*([+-]\d{4}|[A-Za-z]{1,5})?"
)
# What is further from Date than this is no clock but chance.
_NEAR = 2 * 86_400
_EARLIEST, _LATEST = 1_000_000_000, 4_102_444_800
_HUNDREDS_OF_NS_TO_1970 = 116_444_736_000_000_000
_HUNDREDS_OF_NS_1582_TO_1970 = 122_192_928_000_000_000
# Ticks of a second by the length of the number that counts them.
_UNITS = {9: 1, 10: 1, 12: 100, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}
_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_TEXT = re.compile(rb"(?<!\d)(?:19|20)\d{10}(?:\d\d)?(?!\d)")
_PINE = re.compile(rb"(?<!\d)\d{12}(?=\d(?!\d)|(?!\d))")
_NUMBER = re.compile(rb"(?<!\d)\d{9,19}(?!\d)")
_TOKEN = re.compile(rb"[0-9A-Za-z]{6,13}")
_HEX = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:[0-9a-f]{5})?(?![0-9A-Za-z])")
_FILETIME = re.compile(rb"(01[0-9A-Fa-f]{6})[$.]([0-9A-Fa-f]{8})(?![0-9A-Fa-f])")
_UUID_1 = re.compile(
    rb"([0-9A-Fa-f]{8})-([0-9A-Fa-f]{4})-1([0-9A-Fa-f]{3})-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
)


@frozen
class Moment:
    """What Date says: seconds since 1970 in UTC, and how far the zone is from it."""

    unix: int
    offset: int = 0


@frozen
class Clock:
    """A clock found: what tells it, what it is, whether it is the local one's time."""

    octets: bytes
    form: str
    unix: int
    local: bool = False

    @property
    def utc(self) -> str:
        """The time it tells, as text."""
        return stamp(self.unix)


def stamp(unix: int) -> str:
    """Return a time as text, in UTC; one beyond the calendar as a number."""
    try:
        return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return str(unix)


def of_filetime(ticks: int) -> int:
    """Return the Unix time of Windows' file time, in 100 ns since 1601."""
    return (ticks - _HUNDREDS_OF_NS_TO_1970) // 10_000_000


def moment(date: bytes) -> Moment | None:
    """Read a Date field's value; None where it has no time."""
    match = _DATE.search(date[:200])
    if match is None or match[2].lower() not in _MONTHS:
        return None
    month = _MONTHS.index(match[2].lower()) + 1
    day, hour, minute, second = (int(match[group] or 0) for group in (1, 4, 5, 6))
    wall = _unix(int(match[3]), month, day, hour, minute, second)
    if wall is None:
        return None
    zone = match[7] or b""
    offset = 0
    if zone[:1] in (b"+", b"-"):
        offset = (int(zone[1:3]) * 60 + int(zone[3:5])) * 60
        offset = -offset if zone[:1] == b"-" else offset
    return Moment(wall - offset, offset)


def clocks(octets: bytes, date: Moment | None) -> Iterator[Clock]:
    """Yield the clocks in an id; where Date is missing only the plain ones."""
    yield from _texts(octets, date)
    for found in _NUMBER.finditer(octets):
        unit = _UNITS.get(len(found[0]))
        if unit and _is_near(int(found[0]) // unit, date):
            name = "Unix time" if unit == 1 else f"Unix time in 1/{unit:,} s"
            yield Clock(found[0], name, int(found[0]) // unit)
    for found in _FILETIME.finditer(octets):
        unix = of_filetime(int(found[1] + found[2], 16))
        if _is_near(unix, date):
            yield Clock(found[0], "Windows' file time", unix)
    for found in _UUID_1.finditer(octets):
        ticks = int(found[3] + found[2] + found[1], 16) - _HUNDREDS_OF_NS_1582_TO_1970
        if _is_near(ticks // 10_000_000, date):
            yield Clock(found[0], "UUID of time and network card", ticks // 10_000_000)
    if date is not None:
        yield from _hidden(octets, date)


def _texts(octets: bytes, date: Moment | None) -> Iterator[Clock]:
    """Yield times written as year, month, day and so on."""
    spans = [(one[0], one[0].ljust(14, b"0")) for one in _TEXT.finditer(octets)]
    if b"ine." in octets:
        spans += [(one[0], b"20" + one[0]) for one in _PINE.finditer(octets)]
    for written, digits in spans:
        month, day, hour, minute, second = (
            int(digits[at : at + 2]) for at in range(4, 14, 2)
        )
        wall = _unix(int(digits[:4]), month, day, hour, minute, second)
        if wall is None or not _is_near(wall, date):
            continue
        local = bool(
            date
            and date.offset
            and abs(wall - date.unix - date.offset) < abs(wall - date.unix)
        )
        unix = wall - date.offset if date and local else wall
        yield Clock(written, "local time" if local else "UTC time", unix, local)


def _hidden(octets: bytes, date: Moment) -> Iterator[Clock]:
    """Yield clocks in other bases than ten: only Date shows that they are clocks."""
    if len(octets) >= 12 and all(one in _BASE64URL for one in octets[:6]):
        value = 0
        for one in octets[:6]:
            value = value * 64 + _BASE64URL.index(one)
        if _is_near(value >> 4, date):
            yield Clock(octets[:6], "Unix time in base64url", value >> 4)
    for found in _HEX.finditer(octets):
        if not found[0].isdigit() and _is_near(int(found[0][:8], 16), date):
            yield Clock(found[0], "Unix time in base 16", int(found[0][:8], 16))
    for token in _TOKEN.findall(octets):
        if token.isdigit():
            continue
        for form, text in (("base 36", token), ("reversed base 36", token[::-1])):
            seconds = _base36(text, date)
            if seconds is not None:
                yield Clock(token, f"Unix time in {form}", seconds)
                break


def _base36(text: bytes, date: Moment) -> int | None:
    value = int(text, 36)
    for unit in (1, 1_000, 1_000_000, 1_000_000_000):
        if _is_near(value // unit, date):
            return value // unit
    return None


def _is_near(seconds: int, date: Moment | None) -> bool:
    if date is None:
        return _EARLIEST <= seconds <= _LATEST
    return abs(seconds - date.unix) <= _NEAR


def _unix(
    year: int, month: int, day: int, hour: int, minute: int, second: int
) -> int | None:
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return int(when.timestamp())
