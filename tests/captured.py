"""The corpus' messages disclosed: what each capture told, and what its notes list."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import frozen

from postmand.message.disclosure import Disclosed, Finding, Spoken, disclose
from postmand.message.disclosure.attached import PLACE
from tests.fuzz_sanitizer import CORPUS, ME, washed

_AUTH = re.compile(r"^C: AUTH PLAIN ?(\S*)\n(?:S: 334[^\n]*\nC: (\S+))?", re.MULTILINE)


@frozen
class Leak:
    """One thing that was found by hand in a capture."""

    category: str
    octets: str
    where: str


@frozen
class Capture:
    """A message as a client handed it in, with its session."""

    name: str
    client: str
    version: str
    raw: bytes
    spoken: Spoken
    leaks: tuple[Leak, ...]

    def disclosed(self) -> Disclosed:
        """Return what the code finds in it."""
        return disclose(self.raw, self.spoken, ME, washed(self.raw))


@lru_cache(1)
def captures() -> tuple[Capture, ...]:
    """Return the corpus, by name."""
    return tuple(_capture(file.parent) for file in sorted(CORPUS.glob("*/meta.json")))


def _capture(place: Path) -> Capture:
    meta: dict[str, Any] = json.loads((place / "meta.json").read_text("utf-8"))
    session = (place / "session.txt").read_text("utf-8")
    return Capture(
        place.name,
        meta["client"],
        meta["version"],
        (place / "message.eml").read_bytes(),
        Spoken(
            meta["ehlo"].encode(),
            meta["mail"][0].encode(),
            (meta["mechanism"] or "").encode(),
            _authzid(session),
            meta["pipelined"],
        ),
        tuple(
            Leak(one["category"], one["bytes"], one["where"]) for one in meta["leaks"]
        ),
    )


def _authzid(session: str) -> bytes:
    found = _AUTH.search(session)
    octets = base64.b64decode((found[1] or found[2] or "") if found else "")
    return octets.partition(b"\0")[0]


def listed(leak: Leak, findings: tuple[Finding, ...]) -> bool:
    """Tell whether a leak of the notes is among the findings.

    Category, place and octets are the same; but an AUTH response holds the password,
    and of that the octets are not shown.
    """
    place = leak.where.lower().removesuffix(" decoded")
    return any(
        one.category == leak.category
        and one.where.lower() == place
        and (
            leak.octets in one.shown
            or one.shown in leak.octets
            or leak.where == "AUTH PLAIN"
        )
        for one in findings
    )


def unlisted(capture: Capture, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield findings of categories and octets that the notes do not have.

    Into the header of an attached message the notes did not look.
    """
    for one in findings:
        if not one.where.startswith(PLACE) and not any(
            one.category == leak.category
            and (leak.octets in one.shown or one.shown in leak.octets)
            for leak in capture.leaks
        ):
            yield one
