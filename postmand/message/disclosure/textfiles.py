"""What files of text tell by their own lines: cards, calendars, patches."""

from __future__ import annotations

import re
from collections.abc import Iterator

from postmand.message.disclosure.finding import Finding, found
from postmand.message.disclosure.scene import Scene

# vCard (RFC 6350 6) and iCalendar (RFC 5545 3.8): NAME;PARAMETERS:VALUE.
_LINE = re.compile(
    r"^(?:item\d{1,3}\.)?(FN|N|NICKNAME|ORG|ADR|EMAIL|TEL|BDAY|TZ|GEO|PRODID|UID"
    r"|ORGANIZER|ATTENDEE|TZID|X-WR-TIMEZONE|DTSTAMP)(;[^:\r\n]{0,200})?:([^\r\n]{1,300})",
    re.MULTILINE,
)
_LINES = {
    "FN": ("realname", "a name in the file"),
    "N": ("realname", "a name in the file"),
    "NICKNAME": ("realname", "a name in the file"),
    "ORG": ("realname", "whom the person in the file works for"),
    "ADR": ("realname", "where the person in the file lives"),
    "EMAIL": ("realname", "an address in the file"),
    "TEL": ("realname", "a telephone's number in the file"),
    "BDAY": ("realname", "a birthday in the file"),
    "ORGANIZER": ("realname", "who called the meeting"),
    "ATTENDEE": ("realname", "who is called to the meeting"),
    "GEO": ("exif", "a place on the earth"),
    "TZ": ("timezone", "a time zone in the file"),
    "TZID": ("timezone", "a time zone in the file"),
    "X-WR-TIMEZONE": ("timezone", "a time zone in the file"),
    "PRODID": ("software", "the program that wrote the file"),
    "UID": ("random-fingerprintable", "an id that the file has in other copies"),
    "DTSTAMP": ("timestamp-in-message-id", "when the file was written"),
}
_NAMED = re.compile(r";CN=\"?([^\";:]{1,80})", re.IGNORECASE)
# git format-patch's header, and those of diff.
_PATCH = re.compile(
    r"^(From|Author|Committer|Signed-off-by|Co-authored-by): +"
    r"([^<>\r\n]{0,100}<[^<>\s]{1,200}>)",
    re.MULTILINE,
)
_ZONE = re.compile(
    r"^(?:Date|AuthorDate|CommitDate): [^\r\n]{10,40}?([+-]\d{4})\s*$"
    r"|^(?:---|\+\+\+) [^\t\r\n]{1,200}\t[\d-]{10} [\d:.]{8,20} ([+-]\d{4})\s*$",
    re.MULTILINE,
)
_DIFFED = re.compile(r"^(?:---|\+\+\+) (/[^\t\r\n]{1,200})", re.MULTILINE)
_HOST = re.compile(r"<[^<>@\s]{1,64}@([\w.-]{1,253})>")
_MOST = 20


def findings(text: str, place: str, scene: Scene) -> Iterator[Finding]:
    """Yield what the lines of a file tell; the names go into the scene."""
    yield from _properties(text, place, scene)
    for match, _ in zip(_PATCH.finditer(text), range(_MOST), strict=False):
        yield found("realname", place, match[2], f"{match[1]} of a patch")
        scene.people.add(match[2].partition("<")[0].strip())
        host = _HOST.search(match[2])
        if host:
            yield from scene.host(host[1].encode(), place)
    for match, _ in zip(_ZONE.finditer(text), range(_MOST), strict=False):
        zone = match[1] or match[2]
        if zone.strip("+-0"):
            yield found("timezone", place, zone, "the time zone of a patch")
    for match, _ in zip(_DIFFED.finditer(text), range(_MOST), strict=False):
        if match[1] != "/dev/null":
            yield found("path", place, match[1], "a place on your disk")


def _properties(text: str, place: str, scene: Scene) -> Iterator[Finding]:
    told: dict[str, int] = {}
    for match, _ in zip(_LINE.finditer(text), range(10 * _MOST), strict=False):
        name, value = match[1], match[3].strip(" ;")
        told[name] = told.get(name, 0) + 1
        if not value or told[name] > _MOST:
            continue
        category, note = _LINES[name]
        person = _NAMED.search(match[2] or "")
        if person:
            value = f"{person[1]} {value}"
        if name in ("FN", "NICKNAME") or person:
            scene.people.add(person[1] if person else value)
        yield found(category, place, value, note)
