"""A small bounded reader of EXIF (CIPA DC-008): what a camera writes of its owner.

It looks for the TIFF structure wherever a picture may carry it (JPEG, PNG, WebP, HEIC,
TIFF itself), follows no more than a handful of directories, and never fails.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import Factory, define

_TAGS = {
    0x010F: "camera make",
    0x0110: "camera model",
    0x0131: "camera software",
    0x0132: "time of the last change",
    0x013B: "owner or artist",
    0x013C: "the computer it was made on",
    0x8298: "copyright, with the owner's name",
    0x9003: "time it was taken",
    0x9004: "time it was digitized",
    0x9010: "time zone",
    0x9011: "time zone",
    0x9012: "time zone",
    0xA430: "owner or artist",
    0xA431: "serial number of the camera",
    0xA434: "lens model",
    0xA435: "serial number of the lens",
}
_PEOPLE = frozenset((0x013B, 0xA430))
_EXIF, _GPS = 0x8769, 0x8825
_GPS_DAY = 0x001D
_ASCII, _RATIONAL = 2, 5
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
_ENTRIES = 128
_DIRECTORIES = 6
_STRING = 200


@define
class _Tiff:
    """One TIFF structure; offsets count from its first octet."""

    data: bytes
    order: str
    directories: int = 0
    people: list[str] = Factory(list)

    def number(self, form: str, at: int) -> int:
        """Return a number, 0 beyond the end."""
        size = struct.calcsize(form)
        if not 0 <= at <= len(self.data) - size:
            return 0
        value: int = struct.unpack_from(self.order + form, self.data, at)[0]
        return value

    def entries(self, at: int) -> dict[int, bytes]:
        """Return the directory at an offset: tags, and the octets of their values."""
        self.directories += 1
        if at <= 0 or self.directories > _DIRECTORIES:
            return {}
        values: dict[int, bytes] = {}
        for index in range(min(self.number("H", at), _ENTRIES)):
            entry = at + 2 + 12 * index
            kind, count = self.number("H", entry + 2), self.number("I", entry + 4)
            size = _SIZES.get(kind, 0) * count
            place = entry + 8 if size <= 4 else self.number("I", entry + 8)
            values[self.number("H", entry)] = self.data[
                place : place + min(size, _STRING)
            ]
        return values

    def degrees(self, value: bytes) -> str:
        """Return degrees, minutes and seconds of three fractions."""
        numbers = []
        for at in range(0, 24, 8):
            if len(value) < at + 8:
                return ""
            over, under = struct.unpack_from(self.order + "II", value, at)
            numbers.append(over / under if under else 0.0)
        return f"{numbers[0]:g}°{numbers[1]:g}'{numbers[2]:g}\""


def read(data: bytes) -> Iterator[tuple[str, str, bool]]:
    """Yield (text, what it is, whether it is somebody's name) of a picture."""
    tiff = _tiff(data)
    if tiff is None:
        return
    first = tiff.entries(tiff.number("I", 4))
    inner = tiff.entries(_offset(tiff, first.get(_EXIF, b"")))
    place = tiff.entries(_offset(tiff, first.get(_GPS, b"")))
    for directory in (first, inner):
        for tag, value in directory.items():
            text = _text(value)
            if tag in _TAGS and text:
                yield text, _TAGS[tag], tag in _PEOPLE
    if 2 in place and 4 in place:
        north, east = tiff.degrees(place[2]), tiff.degrees(place[4])
        if north and east:
            text = f"GPS {north}{_text(place.get(1, b''))} "
            text += f"{east}{_text(place.get(3, b''))}"
            yield text, "the place it was taken at", False
    if _text(place.get(_GPS_DAY, b"")):
        yield _text(place[_GPS_DAY]), "day of the place", False


def _tiff(data: bytes) -> _Tiff | None:
    """Find it: behind `Exif`, in a PNG's or WebP's chunk, or at the top."""
    for mark, behind in ((b"Exif\0\0", 6), (b"eXIf", 4), (b"EXIF", 8)):
        at = data.find(mark)
        if at >= 0 and data[at + behind : at + behind + 4] in _ORDERS:
            data = data[at + behind :]
            break
    order = _ORDERS.get(data[:4])
    return None if order is None else _Tiff(data, order)


_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def _offset(tiff: _Tiff, value: bytes) -> int:
    if len(value) < 4:
        return 0
    number: int = struct.unpack_from(tiff.order + "I", value)[0]
    return number


def _text(value: bytes) -> str:
    """Return the text of a value; blanks, zeros and question marks tell nothing."""
    text = value.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return text if text.strip(" 0:?") else ""
