"""A message on its way in: found its end, judged, and spooled while it comes."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from postmand.config import Limits
from postmand.message.wire import DataScan
from postmand.queue.spool import Spool
from postmand.rules.verdict import Verdict

TOO_LARGE = Verdict(
    "too-large", 552, "5.3.4", "The message is larger than this server takes"
)
_FAULTS = {
    "nul": Verdict("nul", 554, "5.6.0", "The message holds a NUL octet"),
    "bare-cr": Verdict(
        "bare-cr", 554, "5.6.0", "The message holds a bare CR; end lines with CRLF"
    ),
    "long-line": Verdict(
        "long-line", 554, "5.6.0", "A line of the message is too long"
    ),
}
_NO_SPACE = Verdict(
    "no-space", 452, "4.3.1", "The server can not store it now; try again later"
)
_BARE_LF = Verdict(
    "bare-lf", 554, "5.6.0", "The message holds a bare LF; end lines with CRLF"
)


class Intake:
    """Takes the chunks of one DATA.

    Whatever is wrong with a message, its end is looked for all the same, and nothing
    more of it is kept: what follows the end, and only that, are commands again.
    """

    def __init__(self, spool: Spool, most: int, limits: Limits) -> None:
        self.spool = spool
        self._most = most
        self._limits = limits
        self._scan = DataScan(limits.body_line_bytes)
        self._taken = 0
        self._seen = 0

    @property
    def endless(self) -> bool:
        """Whether so much came after the refusal that no end is to be expected."""
        return self._taken > 2 * self._most

    def take(
        self, chunk: bytes
    ) -> tuple[bytes | None, Coroutine[Any, Any, None] | None]:
        """Take a chunk; return what follows the message's end (None: no end yet).

        The second value, if any, has to be done before the next chunk is taken.
        """
        self._taken += len(chunk)
        piece, rest = self._scan.feed(chunk)
        if self.spool.size + len(piece) > self._most:
            self._scan.faults.add("too-large")
        full = False
        if piece and not self._scan.faults:
            full = self.spool.write(piece)
        return rest, self._flush() if full and rest is None else None

    async def _flush(self) -> None:
        """Bring what was gathered to the disk; a full one is told at the end."""
        try:
            await self.spool.flush()
        except OSError:
            self._scan.faults.add("no-space")

    def still_moving(self) -> bool:
        """Whether the smallest rate was kept since this was asked last."""
        came, self._seen = self._taken - self._seen, self._taken
        least = self._limits.body_bytes_per_second * self._limits.body_seconds
        return came > 0 and came >= least

    def verdict(self, *, bare_lf_is_refused: bool) -> Verdict | None:
        """Judge the message as it came over the wire."""
        faults = self._scan.faults
        if "too-large" in faults:
            return TOO_LARGE
        if self._scan.bare_lf and bare_lf_is_refused:
            return _BARE_LF
        if "no-space" in faults:
            return _NO_SPACE
        return _FAULTS[min(faults)] if faults else None
