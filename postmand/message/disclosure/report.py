"""The letter that tells a member what their client told."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from postmand.message.answers import text_part
from postmand.message.disclosure.advice import ADVICE, ALWAYS
from postmand.message.disclosure.finding import (
    MEANINGS,
    SCORE_RULE,
    Disclosed,
    Finding,
)

_WIDTH = 76
# Of the whole letter as it is encoded: an answer has a small place in a mailbox, and
# its header takes of that, too.
_MOST = 14_336
_REST = "  ... and more of it"
_HEADINGS = (
    ("stays", "What your recipients get to see"),
    ("replaced", "What was replaced by a value of this server's own"),
    ("removed", "What was removed, and only this server saw"),
)


def report(disclosed: Disclosed) -> str:
    """Return the letter's text: score, findings by what became of them, advice.

    Encoded for mail it takes at most 14,336 octets, in whatever script it is.
    """
    lines = [f"Score: {disclosed.score} of 100.", "", *_wrapped(SCORE_RULE)]
    for fate, heading in _HEADINGS:
        told = [one for one in disclosed.findings if one.fate == fate]
        lines += ["", f"{heading}:", "", *(_grouped(told) or ["  nothing"])]
    if disclosed.more:
        lines += ["", f"... and {disclosed.more} more."]
    if disclosed.unread:
        note = (
            f"Not looked into, or not to their end: {disclosed.unread} parts. The "
            "message is too large for that; send fewer files at a time."
        )
        lines += ["", *_wrapped(note)]
    return _bounded(lines, list(_advice(disclosed)))


def _grouped(told: Sequence[Finding]) -> list[str]:
    """Return the findings by category; what the category says is not said again."""
    lines: list[str] = []
    for category, some in groupby(told, key=lambda one: one.category):
        lines += _wrapped(f"{MEANINGS[category]}:", "  ")
        for note, same in groupby(some, key=lambda one: one.note):
            lines += [f"    {one.where}: {one.shown}" for one in same]
            if note != MEANINGS[category]:
                lines += _wrapped(f"({note})", "      ")
    return lines


def _advice(disclosed: Disclosed) -> Iterator[str]:
    if not disclosed.findings:
        yield from ("", "Your client told nothing that we know of.")
        return
    advice = ADVICE.get(disclosed.client)
    if advice is None:
        yield from ("", "Which program it is, we can not tell.")
    else:
        yield from ("", f"It looks like {advice.title}. What helps there:", "")
        yield from _items(advice.quiet)
    yield from ("", "What helps with every program:", "")
    yield from _items(ALWAYS)
    yield from (
        "",
        *_wrapped(
            "We remove what we can, but nobody has to trust a server with what it "
            "was never told. This answer is kept nowhere but in your mailbox."
        ),
    )


def _items(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        first, *rest = _wrapped(text, "    ")
        yield "  - " + first.lstrip()
        yield from rest


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _bounded(lines: list[str], advice: list[str]) -> str:
    """Return as many of the lines as there is room for, and all of the advice."""
    text = _joined(lines, advice)
    if _fits(text):
        return text
    fitting, over = 0, len(lines)
    while over - fitting > 1:
        middle = (fitting + over) // 2
        if _fits(_joined([*lines[:middle], _REST], advice)):
            fitting = middle
        else:
            over = middle
    return _joined([*lines[:fitting], _REST], advice)


def _joined(lines: list[str], advice: list[str]) -> str:
    return "\n".join((*lines, *advice, ""))


def _fits(text: str) -> bool:
    return len(text_part(text)[1]) <= _MOST
