"""How often what happened, for the metrics: words of the code, and never data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Name = Literal["accepted", "refused", "released", "held", "relay", "bounces", "faults"]
"""What is counted. `refused` is told apart by a verdict's reason, `relay` by result,
`faults` by what went wrong."""

OTHER = "other"
"""The reason of what is not told apart."""

_WORD = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST = 40


class Counts:
    """A table of (name, reason) and how often, kept in memory alone.

    A reason is a fixed word of the code, like a verdict's: nothing of a member or a
    peer may be one. What does not look like such a word, and what is over `most`
    entries, is counted under OTHER. Not to be called from several threads.
    """

    def __init__(self, most: int = 500) -> None:
        self._most = most
        self._table: dict[tuple[str, str], int] = {}

    def count(self, name: Name, reason: str = "", times: int = 1) -> None:
        """Add `times` to what is counted under a name and a reason."""
        entry = name, reason
        if entry not in self._table and not self._fits(reason):
            entry = name, OTHER
        self._table[entry] = self._table.get(entry, 0) + times

    def snapshot(self) -> Mapping[tuple[str, str], int]:
        """Return a copy of the table as it is now."""
        return dict(self._table)

    def _fits(self, reason: str) -> bool:
        if len(self._table) >= self._most or len(reason) > _LONGEST:
            return False
        return not reason or _WORD.fullmatch(reason) is not None
