"""A sealed crate on its way in: counted to its end, and spooled while it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from postmand.rules.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from postmand.config import Limits
    from postmand.queue.spool import Spool

NO_SPACE = Verdict(
    "no-space", 452, "4.3.1", "The server can not store it now; try again later"
)


class CrateIntake:
    """Takes the `octets` that follow a BDAT.

    `live` is whether its caller waits for the answer; `no_space` tells that the disk
    did not take all: the rest goes by unkept.
    """

    def __init__(
        self, spool: Spool, octets: int, limits: Limits, *, live: bool = False
    ) -> None:
        self.spool = spool
        self.live = live
        self.no_space = False
        self._left = octets
        self._came = 0
        # What has to come in one time of waiting, or the peer is too slow.
        self._least = limits.body_bytes_per_second * limits.body_seconds

    @property
    def whole(self) -> bool:
        """Whether all has come."""
        return not self._left

    def take(self, data: bytes) -> tuple[bytes, Coroutine[Any, Any, None] | None]:
        """Take a piece; return what follows the crate.

        The second value, if any, has to be done before the next piece is taken.
        """
        piece, rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self._came += len(piece)
        if self.no_space or not self.spool.write(piece) or self.whole:
            return rest, None
        return rest, self._flush()

    def still_moving(self) -> bool:
        """Whether the smallest rate was kept since this was asked last."""
        came, self._came = self._came, 0
        return came > 0 and came >= self._least

    def close(self) -> None:
        """Forget it; may be called twice."""
        self.spool.close()

    async def _flush(self) -> None:
        try:
            await self.spool.flush()
        except OSError:
            self.no_space = True
