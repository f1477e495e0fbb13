"""The corpus: messages as real clients sent them, with what each of them discloses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path

from attrs import frozen

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
PUBLIC_KEY = CORPUS / "jondoe-pubkey.asc"

_FOLD = re.compile(rb"\r\n(?=[ \t])")
_BOUNDARY = re.compile(rb'boundary="?([^";\r\n]+)"?', re.IGNORECASE)
_USERS_OWN = re.compile(
    rb'(?i);\s*(?:(?:file)?name\*?[0-9*]*=(?:"[^"]*"|[^;]*)|format=flowed)'
)


@frozen
class Leak:
    """A string of the message that tells something about its sender's machine."""

    category: str
    text: str
    where: str


@frozen
class Captured:
    """One message of the corpus."""

    name: str
    message: bytes
    recipients: tuple[str, ...]
    leaks: tuple[Leak, ...]


def load() -> list[Captured]:
    """Return the whole corpus, by name."""
    return [_captured(file.parent) for file in sorted(CORPUS.glob("*/message.eml"))]


def _captured(place: Path) -> Captured:
    meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
    return Captured(
        place.name,
        (place / "message.eml").read_bytes(),
        tuple(re.search(r"<(.*)>", line)[1] for line in meta["rcpt"]),  # type: ignore[index]
        tuple(Leak(x["category"], x["bytes"], x["where"]) for x in meta["leaks"]),
    )


def parsed(message: bytes) -> EmailMessage:
    """Parse with Python's own parser, which is nobody's judge here but a reader."""
    return message_from_bytes(message, policy=policy.SMTP)  # type: ignore[return-value]


@frozen
class Part:
    """A node of the MIME tree: raw header block, raw body, what stands around parts."""

    header: bytes
    body: bytes
    glue: bytes
    parts: tuple[Part, ...]

    @property
    def type(self) -> bytes:
        """The media type, in lower case; text/plain where none is named."""
        value = self.field(b"content-type").partition(b";")[0].strip().lower()
        return value or b"text/plain"

    def field(self, name: bytes) -> bytes:
        """Return a field's unfolded value, b"" where there is none."""
        for line in fields(self.header):
            key, _, value = line.partition(b":")
            if key.strip().lower() == name:
                return value.strip()
        return b""

    def walk(self) -> Iterator[Part]:
        """Yield this part and all below, first to last."""
        yield self
        for part in self.parts:
            yield from part.walk()


def fields(header: bytes) -> list[bytes]:
    """Return the unfolded lines of a header block."""
    return [line for line in _FOLD.sub(b"", header).split(b"\r\n") if line]


def field_names(header: bytes) -> list[bytes]:
    """Return the names of a header block's fields, as they are spelt."""
    return [line.partition(b":")[0] for line in fields(header)]


def tree(raw: bytes) -> Part:
    """Take a message apart by its boundaries and nothing else."""
    if raw.startswith(b"\r\n"):
        header, body = b"", raw[2:]
    else:
        header, _, body = raw.partition(b"\r\n\r\n")
    bare = Part(header, body, b"", ())
    match = _BOUNDARY.search(bare.field(b"content-type"))
    if not bare.type.startswith(b"multipart/") or match is None:
        return bare
    line = re.compile(
        rb"(?:\A|\r\n)--" + re.escape(match[1]) + rb"(--)?[ \t]*(?=\r\n|\Z)"
    )
    cuts = list(line.finditer(body))
    ends = [cut.start() for cut in cuts[1:]]
    parts = tuple(
        tree(body[cut.end() + 2 : end]) for cut, end in zip(cuts, ends, strict=False)
    )
    glue = body[: cuts[0].start()] + b"".join(cut[0] for cut in cuts)
    return Part(header, body, glue + body[cuts[-1].end() :], parts)


def skeleton(part: Part) -> bytes:
    """Return what is neither text nor attachment: headers, boundaries, between parts.

    What lies inside a signature cannot be touched and is left out, and so are Subject,
    file names and format=flowed, which are the user's.
    """
    pieces = [_without_users_own(part.header), part.glue]
    below = part.parts
    if part.type == b"multipart/signed":
        below = part.parts[1:]
    pieces.extend(skeleton(one) for one in below)
    return b"\r\n".join(pieces)


def _without_users_own(header: bytes) -> bytes:
    kept = []
    for line in fields(header):
        if line.lower().startswith(b"subject:"):
            continue
        kept.append(_USERS_OWN.sub(b"", line))
    return b"\r\n".join(kept)


def decoded(header: bytes) -> str:
    """Return a header block with its encoded words decoded."""
    return str(make_header(decode_header(header.decode("utf-8", "replace"))))
