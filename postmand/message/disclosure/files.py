"""What attached files tell, by their names and by what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from postmand.message.disclosure import documents, exif
from postmand.message.disclosure.anatomy import Section
from postmand.message.disclosure.budget import Budget
from postmand.message.disclosure.finding import Finding, found
from postmand.message.disclosure.scene import Scene

_NAME = "attachment file name"
_HEAD = 262_144
_TAIL = 131_072
_ARCHIVE = 4_194_304
# As cameras, phones and screens name them.
_TAKEN = re.compile(
    r"(?<!\d)(20\d\d|19\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?([0-2]\d|3[01])"
    r"(?:(?:[-_. ]{1,2}|T| at | um )([01]\d|2[0-3])[-_.h:]?([0-5]\d)[-_.m:]?([0-5]\d)?)"
)
_DAY = re.compile(
    r"(?:IMG|VID|PXL|DSC|Screenshot|WhatsApp Image)[-_ ](20\d{6}|20\d\d-\d\d-\d\d)"
)
_PERSON = re.compile(
    r"\b([^\W\d_]{2,30}[ _.-]+[^\W\d_]{2,30})[ _.-]+"
    r"(?i:cv|resume|résumé|lebenslauf|curriculum|bewerbung|anschreiben)\b"
    r"|\b(?i:cv|resume|résumé|lebenslauf|curriculum vitae|bewerbung|anschreiben)"
    r"[ _.-]+([^\W\d_]{2,30}[ _.-]+[^\W\d_]{2,30})\b"
)
_FOLDERS = re.compile(r"(?:[A-Za-z]:[\\/]|[\\/]).*[\\/]|file:")
_PATH = re.compile(r"\((/|[A-Za-z]:\\|file:)")


def contents(
    section: Section, octets: bytes, scene: Scene, budget: Budget
) -> Iterator[Finding]:
    """Yield what is in one file, which begins with `octets`.

    The names it gives go into the scene.
    """
    for text, note, person in _told(section, octets, budget):
        if person:
            scene.people.add(re.sub(r"\A[/\w:]+ |[()]", "", text).strip())
        path = text.startswith("/Title") and _PATH.search(text)
        if text.startswith("/Title") and not path:
            continue
        category = "path" if path else "exif"
        yield found(category, section.place, text, note)


def _told(section: Section, octets: bytes, budget: Budget) -> Iterator[documents.Told]:
    if octets.startswith(b"%PDF") or section.kind == "application/pdf":
        whole = octets
        if len(octets) >= _HEAD:
            whole += b"\n" + section.ending(budget.search(_TAIL))
        yield from documents.pdf(whole, budget)
        yield from documents.xmp(whole)
    elif octets.startswith(b"PK\x03\x04"):
        if budget.archive(min(section.stop - section.start, _ARCHIVE)):
            yield from documents.archive(section.decoded(_ARCHIVE), budget)
    elif section.kind.startswith(("image/", "video/")) or octets.startswith(_PICTURES):
        yield from exif.read(octets)
        yield from documents.xmp(octets)
        if octets.startswith(b"\x89PNG"):
            yield from documents.png(octets)


_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*")


def names(section: Section, scene: Scene) -> Iterator[Finding]:
    """Yield what the name of a file tells."""
    name = section.file_name[:500]
    if not name:
        return
    if _FOLDERS.match(name):
        yield found("path", _NAME, name, "where the file lies on your disk")
    base = name.replace("\\", "/").rpartition("/")[2]
    if _TAKEN.search(base) or _DAY.search(base):
        note = "the local time it was made at, in the file's name"
        yield found("timestamp-in-message-id", _NAME, base, note)
    person = _person(base, scene)
    if person:
        note = "a person's name in the file's name"
        yield found("realname", _NAME, person, note)
    if base.lower() == "winmail.dat":
        note = "Outlook's own format, with your names and paths in it"
        yield found("software", _NAME, base, note)


def _person(base: str, scene: Scene) -> str:
    flat = re.sub(r"[ _.-]+", " ", base).lower()
    for name in sorted(scene.people):
        if len(name) > 2 and re.sub(r"[ _.-]+", " ", name).lower() in flat:
            return name
    match = _PERSON.search(base)
    return (match[1] or match[2]) if match else ""


def when(section: Section) -> Iterator[Finding]:
    """Yield the times that Content-Disposition gives a file (RFC 2183 2.4)."""
    value = section.first(b"content-disposition")[:2_000]
    for match in re.finditer(
        rb'(creation|modification|read)-date\s{0,9}=\s{0,9}"([^"]{1,80})"', value
    ):
        note = f"the file's {match[1].decode('ascii')} time"
        yield found(
            "timestamp-in-message-id", "part header Content-Disposition", match[2], note
        )
