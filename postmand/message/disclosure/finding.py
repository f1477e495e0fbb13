"""What a message tells of its sender: one finding each, and what all of them weigh."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from attrs import frozen

from postmand.message.encoded import clean

Fate = Literal["removed", "replaced", "stays"]
"""What becomes of it here. What is not removed or replaced, all recipients get."""

MEANINGS: dict[str, str] = {
    "realname": "your name",
    "username": "your login on your machine",
    "exif": "what files tell of you and your camera or programs",
    "hostname": "your machine's name",
    "local-ip": "your machine's address",
    "timezone": "your time zone, and so about where you live",
    "path": "a place on your disk",
    "attached": "of a message that you attached: its people, its id, its time",
    "language": "your language",
    "os": "your operating system",
    "software": "your mail program",
    "version": "its version",
    "timestamp-in-message-id": "a second clock beside Date",
    "pid": "the number of a process, which ties mails of one session together",
    "random-fingerprintable": "a shape that only one program makes",
}
"""The categories there are, in words; the worst come first."""

# What each category takes of the score, in hundredths of what is left of it.
_SHARES = {
    "realname": 30,
    "username": 20,
    "exif": 25,
    "hostname": 20,
    "local-ip": 20,
    "timezone": 12,
    "path": 12,
    "attached": 5,
    "language": 10,
    "os": 8,
    "software": 4,
    "version": 4,
    "timestamp-in-message-id": 4,
    "pid": 3,
    "random-fingerprintable": 3,
}
SCORE_RULE = (
    "100 is a mail that tells nothing; each kind of thing told takes its share of what "
    "is left, the whole share if it reaches the recipients and half of it if only this "
    "server sees it, because you have to trust us that it goes no further."
)

_NUMBER = re.compile(r"\bpart \d+")
_SHOWN = 120
_WHERE = 80


@frozen
class Finding:
    """One thing told. `shown` is what tells it, at most 120 characters on one line.

    `where` is the place in the field's words: `EHLO`, `header Date`, `boundary`,
    `part 2 (image/jpeg)`; `note` says in plain words what it means.
    """

    category: str
    where: str
    shown: str
    note: str
    fate: Fate = "stays"

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same in another copy of the message.

        Parts may be numbered otherwise there, and names of fields be spelt otherwise.
        """
        return self.category, self.shown, _NUMBER.sub("", self.where.lower())


@frozen
class Disclosed:
    """All that a message and its session told, the worst first, and the score.

    `client` is the short name of the program (see `advice`), empty where it is not
    known; `more` counts findings beyond those here, `unread` the parts that were not
    looked into, or not to their end.
    """

    findings: tuple[Finding, ...]
    score: int
    more: int = 0
    client: str = ""
    unread: int = 0


def found(category: str, where: str, shown: bytes | str, note: str) -> Finding:
    """Return a finding, bounded and on one line whatever was sent."""
    return Finding(category, clip(where, _WHERE), clip(shown, _SHOWN), note)


def clip(value: bytes | str, most: int) -> str:
    """Return text on one line, of at most that many characters."""
    if isinstance(value, bytes):
        value = value[: 4 * most].decode("utf-8", "backslashreplace")
    # Through UTF-8 once: a lone surrogate could not be written into an answer.
    value = value[: 2 * most].encode("utf-8", "backslashreplace").decode("utf-8")
    text = clean(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def score(findings: Iterable[Finding]) -> int:
    """Return 0 to 100 by `SCORE_RULE`."""
    shares: dict[str, float] = {}
    for one in findings:
        share = _SHARES[one.category] / (1 if one.fate == "stays" else 2)
        shares[one.category] = max(share, shares.get(one.category, 0))
    left = 100.0
    for share in shares.values():
        left *= 1 - share / 100
    return round(left)


def rank(finding: Finding) -> tuple[bool, int]:
    """Sort by this: what stays comes first, then the worst."""
    return finding.fate != "stays", list(MEANINGS).index(finding.category)
