"""The queue's clock: it follows the wall's, but no jump of that empties the queue."""

from __future__ import annotations

from collections.abc import Callable

# How fast the queue's time runs at most: a jump of a day is caught up with in 75 min.
PACE = 20
# Silence that counts for catching up, in seconds. Two ticks (of the default) may be
# that far apart; a clock that nobody asked for an hour has not saved up a day's jump.
_COUNTED = 60.0
_DAY = 86_400
# 2026-01-01: no clock that is set says a time before this program was written.
_BORN = 1_767_225_600.0


class QueueClock:
    """The queue's time, in seconds since 1970-01-01 UTC. It never runs backward.

    It goes by `steady` (seconds of any epoch that nobody sets, as time.monotonic),
    and follows `wall` (as time.time) like this:

    - **The wall's clock jumps ahead** (NTP answers, somebody sets it, the machine was
      suspended): the queue's time runs at most PACE times as fast until it has caught
      up. It is never ahead of what the wall says or said, so nothing leaves early by
      more than the jump; and a tick sees the time of PACE ticks at most, so that no
      jump, not even one made by who controls the machine's time servers, lets all
      leave at once. A wait in progress is cut to a twentieth of itself at worst.
    - **It jumps back**: the queue's time goes on at its own pace, ahead of the wall,
      until the wall has come after it. Nothing stands still. To and fro does not add
      up: it is never later than the latest the wall ever said, plus what has passed.
    - **The node was off for days**: the wait of those days is over for real, and a
      start takes the wall's word. What is overdue leaves in the ticks after the start,
      in random order, so many a tick (`runner.Pace`).
    - **It starts in the past** by the days it was off (a board without a clock of its
      own that keeps the last time it knew): that is a jump ahead, caught up with at
      PACE. Better is to start the node after the time is known (time-sync.target).
    - **It has no time at all** (the same board, before 2026): what it says is taken for
      no time, and the first that is one at its word. Nothing was due before that.
    - **It starts in the future** and is put right later: what was handed in meanwhile
      has a due of that future, and waits for it after the next start. No rule can
      tell it from a true one here; whoever lists the queue can, for no delay is as
      long as that.

    `now` is for what is due; `base` for the dues of what comes.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._seen = steady()
        self._time = wall()

    def now(self) -> int:
        """Return the queue's time."""
        self._follow()
        return int(self._time)

    def base(self) -> int:
        """Return the time from which a new message's delay is to be counted.

        It is later than `now` while the clock catches up: what the wall says, so that
        no delay begun meanwhile is cut short. It may last longer, until the clock has
        caught up; and should the wall's clock turn out to be wrong by years, such a
        message is late by some weeks only.
        """
        self._follow()
        lead = min(max(0.0, self._wall() - self._time), (PACE - 1) * _DAY)
        return int(self._time + lead)

    def _follow(self) -> None:
        steady = self._steady()
        passed = max(0.0, steady - self._seen)
        self._seen = steady
        self._time += passed
        wall = self._wall()
        if self._time < _BORN <= wall:
            self._time = wall
        behind = max(0.0, wall - self._time)
        self._time += min(behind, min(passed, _COUNTED) * (PACE - 1))
