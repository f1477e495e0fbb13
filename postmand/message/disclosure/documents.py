"""What documents tell: PDF's document information, Office's properties, XMP.

All readers are bounded, take whatever octets, and never fail.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from html import unescape

from postmand.message.disclosure.budget import Budget

_PDF = re.compile(
    rb"/(Author|Creator|Producer|Title|CreationDate|ModDate)\s{0,20}"
    rb"(?:\(((?:\\.|[^\\()]){0,400})\)|<([0-9A-Fa-f\s]{0,1600})>)",
    re.DOTALL,
)
_OBJECT_STREAM = re.compile(
    rb"/ObjStm\b[^<>]{0,200}(?:<<[^<>]{0,200}>>[^<>]{0,200})?>>\s{0,8}stream\r?\n"
)
_STREAMS = 16
_STREAM = 65_536
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_PDF_NOTES = {
    b"Author": ("who wrote it", True),
    b"Creator": ("the program it was written with", False),
    b"Producer": ("the program that made the PDF", False),
    b"Title": ("its title", False),
    b"CreationDate": ("when it was made, in your time zone", False),
    b"ModDate": ("when it was changed, in your time zone", False),
}
_XML = re.compile(
    r"<(dc:creator|cp:lastModifiedBy|meta:initial-creator|dc:title|meta:generator"
    r"|Application|AppVersion|Company|Manager|xmp:CreatorTool|pdf:Producer"
    r"|photoshop:AuthorsPosition|xmpMM:DocumentID|aux:SerialNumber|aux:OwnerName)\b"
    r"[^<>]{0,200}>((?:\s|<rdf:\w{1,40}[^<>]{0,100}>){0,6})([^<>]{1,200})<"
)
_XML_NOTES = {
    "dc:creator": ("who wrote it", True),
    "cp:lastModifiedBy": ("who changed it last", True),
    "meta:initial-creator": ("who began it", True),
    "aux:OwnerName": ("the camera's owner", True),
    "aux:SerialNumber": ("serial number of the camera", False),
    "Company": ("whom the program belongs to", False),
    "Manager": ("whom you work for", False),
}
_PROPERTIES = ("docProps/core.xml", "docProps/app.xml", "meta.xml")
_ARCHIVE = 4_194_304
_MEMBERS = 3_000
_MEMBER = 65_536
# What reading an entry of the directory costs, in octets that are searched.
_ENTRY = 256
# Office and OpenDocument know no others (ISO/IEC 29500-2, OpenDocument part 2).
_PACKINGS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_PNG = re.compile(
    rb"(?:tEXt|iTXt)(Author|Artist|Software|Creation Time|Comment|Copyright)\0"
)

Told = tuple[str, str, bool]
"""What it says, what it is, and whether it is somebody's name."""


def pdf(data: bytes, budget: Budget) -> Iterator[Told]:
    """Yield a PDF's document information (ISO 32000-1, 14.3.3)."""
    seen: set[tuple[bytes, str]] = set()
    for octets in (data, *_streams(data, budget)):
        for found in _PDF.finditer(octets):
            name = found[1]
            text = _pdf_text(found[2], found[3])
            if text.strip() and (name, text) not in seen and len(seen) < 40:
                seen.add((name, text))
                note, person = _PDF_NOTES[name]
                yield f"/{name.decode('ascii')} ({text})", note, person


def _streams(data: bytes, budget: Budget) -> Iterator[bytes]:
    """Yield the object streams, unpacked: newer PDFs hide the information there."""
    for found, _ in zip(_OBJECT_STREAM.finditer(data), range(_STREAMS), strict=False):
        yield budget.inflate(data[found.end() :], _STREAM)


def _pdf_text(plain: bytes | None, coded: bytes | None) -> str:
    if plain is not None:
        octets = _ESCAPE.sub(_unescaped, plain)
    else:
        digits = re.sub(rb"\s", b"", coded or b"")
        octets = bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
    if octets.startswith(b"\xfe\xff"):
        return octets[2:].decode("utf-16-be", "replace")
    return octets.decode(
        "utf-8" if octets.startswith(b"\xef\xbb\xbf") else "latin-1", "replace"
    ).lstrip("\ufeff")


def _unescaped(found: re.Match[bytes]) -> bytes:
    word = found[1]
    return bytes((int(word, 8) & 255,)) if word[:1].isdigit() and word[0] < 56 else word


def xml(text: str) -> Iterator[Told]:
    """Yield the properties written in XML: Office's, OpenDocument's, XMP's."""
    for found, _ in zip(_XML.finditer(text), range(40), strict=False):
        value = unescape(found[3]).strip()
        if value:
            note, person = _XML_NOTES.get(
                found[1], ("the program it was made with", False)
            )
            yield f"{found[1]} {value}", note, person


def xmp(data: bytes) -> Iterator[Told]:
    """Yield what XMP in a picture or a PDF says."""
    at = data.find(b"<x:xmpmeta")
    if at >= 0:
        yield from xml(data[at : at + _MEMBER].decode("utf-8", "replace"))


def png(data: bytes) -> Iterator[Told]:
    """Yield a PNG's own texts (RFC 2083 4.2.3)."""
    for found, _ in zip(_PNG.finditer(data), range(20), strict=False):
        size = int.from_bytes(data[max(0, found.start() - 4) : found.start()], "big")
        value = data[found.end() : found.start() + 4 + min(size, 300)]
        text = value.decode("latin-1").strip("\0 ")
        if text:
            person = found[1] in (b"Author", b"Artist")
            yield (
                f"{found[1].decode('ascii')} {text}",
                "written into the picture",
                person,
            )


def archive(data: bytes, budget: Budget) -> Iterator[Told]:
    """Yield what an Office or OpenDocument file says of who wrote it."""
    members = data.count(b"PK\x01\x02")
    if len(data) >= _ARCHIVE or members > _MEMBERS:
        return
    if budget.search(members * _ENTRY) < members * _ENTRY:
        budget.unread += 1
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as files:
            for name in _PROPERTIES:
                entry = files.NameToInfo.get(name)
                if entry is not None and entry.compress_type in _PACKINGS:
                    with files.open(name) as member:
                        granted = budget.unpack(_MEMBER)
                        octets = member.read(granted)
                    budget.inflated += granted - len(octets)
                    yield from xml(octets.decode("utf-8", "replace"))
    except _BROKEN:
        return


# All that zipfile says of archives that are broken, encrypted or of another kind.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
