"""All that a message tells, and what is left of it when it was washed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve

from postmand.message.disclosure import (
    anatomy,
    attached,
    boundaries,
    clocks,
    files,
    header,
    ids,
    spoken,
)
from postmand.message.disclosure.anatomy import Letter, Section
from postmand.message.disclosure.budget import Budget
from postmand.message.disclosure.client import identify
from postmand.message.disclosure.contents import Contents
from postmand.message.disclosure.finding import (
    Disclosed,
    Fate,
    Finding,
    found,
    rank,
    score,
)
from postmand.message.disclosure.scene import Scene
from postmand.message.disclosure.spoken import Spoken
from postmand.message.fields import Identity

_MOST = 100
_FILES = 20
_TEXTS = 20
_CONTENT = re.compile(r"part \d+ \(")


def disclose(raw: bytes, said: Spoken, identity: Identity, washed: bytes) -> Disclosed:
    """Return what a message and its session told of its sender, the worst first.

    `washed` is the same message as the sanitiser wrote it for `identity`: what is found
    there again stays, all else was removed or replaced. Never raises; time and result
    are bounded (100 findings, and a Budget to find them) whatever the octets are.
    """
    letter = anatomy.read(raw)
    scene = Scene(identity, clocks.moment(letter.top.first(b"date")))
    contents = Contents(scene, Budget())
    told = [*_distinct(_of_letter(letter, contents))]
    left = anatomy.read(washed)
    again = contents.again()
    kept = {one.key for one in _of_letter(left, again)}
    fates = [evolve(one, fate=_fate(one, kept, left, cut=again.cut)) for one in told]
    wire = [
        evolve(one, fate="replaced" if one.where == "MAIL FROM" else "removed")
        for one in spoken.findings(said, scene)
    ]
    findings = sorted([*_distinct(iter(wire)), *fates], key=rank)
    return Disclosed(
        tuple(findings[:_MOST]),
        score(findings),
        max(0, len(findings) - _MOST),
        identify(letter, said),
        contents.budget.unread,
    )


def _distinct(findings: Iterator[Finding]) -> Iterator[Finding]:
    seen = set()
    for one in findings:
        if (one.key, one.where) not in seen:
            seen.add((one.key, one.where))
            yield one


def _fate(
    one: Finding, kept: set[tuple[str, str, str]], left: Letter, *, cut: bool
) -> Fate:
    """Say what became of it: by looking into what was washed.

    What is in a part counts as still there where not all was read again.
    """
    if one.key in kept or (cut and _CONTENT.match(one.where)):
        return "stays"
    heads = (left.top, *left.attached)
    names = {
        spelt.lower().decode("latin-1") for head in heads for spelt, _ in head.fields
    }
    place, _, rest = one.where.removeprefix(attached.PLACE).partition(" ")
    if place == "header" and (rest in ("name", "order") or rest.lower() in names):
        return "replaced"
    if one.where == "boundary" and any(part.boundary for part in left.sections):
        return "replaced"
    return "replaced" if rest.endswith("charset") else "removed"


def _of_letter(letter: Letter, contents: Contents) -> Iterator[Finding]:
    scene = contents.scene
    yield from header.findings(letter.top, scene)
    attachments = [
        one for one in letter.sections[1:] or letter.sections if _is_file(one)
    ]
    shown = list(letter.texts)[:_TEXTS]
    for section in attachments[:_FILES]:
        yield from contents.of_file(section)
    for section in letter.attached:
        yield from contents.of_message(section)
    for section in letter.sections:
        yield from _frame(section, scene)
    for section in shown:
        yield from contents.of_text(section)


def _frame(section: Section, scene: Scene) -> Iterator[Finding]:
    """Yield what stands around a part's content."""
    yield from files.names(section, scene)
    yield from files.when(section)
    if section.boundary:
        yield from boundaries.findings(section.boundary, scene)
    preamble = section.preamble.strip()
    if preamble:
        note = "words for programs without MIME: each program has its own"
        line = preamble.partition(b"\r\n")[0]
        yield found("software", "MIME preamble", line, note)
    value = section.first(b"content-id")
    if value:
        yield from ids.findings(value, "part header Content-ID", scene)
    if not section.heads:
        yield from header.of_part(section)


def _is_file(section: Section) -> bool:
    kind = section.kind
    return not kind.startswith(("multipart/", "message/")) and (
        bool(section.file_name) or not kind.startswith("text/")
    )
