"""The table of what mail clients disclose, made from the captures.

    python -m tests.corpus_table > postmand/web/clients.json

What files and texts hold was put there for the captures, and is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from postmand.message.disclosure import Finding
from postmand.message.disclosure.attached import PLACE
from postmand.message.disclosure.finding import MEANINGS, score
from tests.captured import Capture, captures

# Captures of a client that was set up in a way of its own have a row of their own.
_APART = {
    "alpine-default": "Alpine, as installed",
    "alpine-hostid": "Alpine, as installed",
    "mutt-hardened": "mutt, set up with care",
    "thunderbird-lanip": "Thunderbird, tunnel on another machine",
}
_TITLES = {
    "alpine": "Alpine, with user-domain set",
    "claws-mail": "Claws Mail",
    "mutt": "mutt",
    "python": "Python smtplib",
    "swaks": "swaks",
    "thunderbird": "Thunderbird",
}
_PART = re.compile(r"part \d+ ?")


def table() -> list[dict[str, Any]]:
    """Return the rows, by title."""
    titled = sorted(captures(), key=_title)
    return [_row(title, list(some)) for title, some in groupby(titled, key=_title)]


def text() -> str:
    """Return the file."""
    return json.dumps(table(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _title(capture: Capture) -> str:
    return _APART.get(capture.name) or _TITLES[capture.client]


def _row(title: str, some: list[Capture]) -> dict[str, Any]:
    told = [
        [one for one in capture.disclosed().findings if _is_clients(one)]
        for capture in some
    ]
    scores = [score(findings) for findings in told]
    return {
        "title": title,
        "version": some[0].version,
        "captures": len(some),
        "lowest": min(scores),
        "highest": max(scores),
        "tells": _merged(one for findings in told for one in findings),
    }


def _is_clients(one: Finding) -> bool:
    """Whether the client told it, and not the file or text it was given."""
    written = one.where.startswith("part") and one.category in ("exif", "path")
    signed = one.shown.startswith(("PGP", "issuer"))
    given = one.where == "attachment file name" or one.where.startswith(PLACE)
    return not (written or signed or given)


def _merged(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return what is told, by category and fate, with the places it is told at."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in findings:
        row = rows.setdefault(
            (one.category, one.fate),
            {
                "category": one.category,
                "fate": one.fate,
                "places": [],
                "example": one.shown,
            },
        )
        place = "the text" if _PART.match(one.where) else one.where
        place = "charset" if one.where.endswith("charset") else place
        if place.lower() not in map(str.lower, row["places"]):
            row["places"].append(place)
    ranked = list(MEANINGS)
    return sorted(
        rows.values(), key=lambda row: (ranked.index(row["category"]), row["fate"])
    )


if __name__ == "__main__":
    print(text(), end="")
