"""How many lines the other end takes now without calling it a flood. Pure.

A server counts our lines and forgives one in a while (InspIRCd one at each second that
it notices). Our clock does not know how it fares: a link that stalls hands over in one
go what was written over many seconds, and a busy server forgives more slowly. So every
few lines the server is to be asked for a PONG, which says that all before it has come.
Few lines are ever under way, and time counts only as far as the answers vouch for it.
"""

from __future__ import annotations

import math

# After so many lines the server is asked whether they have come.
_ASKED_AFTER = 4
# So many lines may be under way: a stall makes one burst of them, and that is to be
# well below ten, the lowest limit known of a server that throws out.
_UNDER_WAY = 5
# An answer vouches for the time of so many lines: those written between two, the
# question, and one more for a server that is merely slow.
_VOUCHED = _ASKED_AFTER + 2
# An answer that takes the time of so many lines longer than the quickest is late.
_LATE = 2
# How much more slowly lines are written than they are forgiven: what is not counted
# here, as our PONGs, would else add up over the hours.
_SLOWER = 1.1
# A link lost while lines are written as fast as they may be has perhaps been ended for
# a flood: then they come more slowly by this factor, to a limit, and each answer takes
# back a little, those to the heartbeat, too: else who has little to say, after some
# links that were lost for other reasons, would say it slowly for months.
_BACK_OFF, _SLOWEST, _RECOVERY = 1.5, 8.0, 0.998


class Credit:
    """Somewhat less than a line in `line_seconds`, and `burst` after a silence.

    All times are in seconds, of one clock that does not go back.
    """

    def __init__(self, line_seconds: float, burst: int, now: float) -> None:
        self._usual = self._line_seconds = line_seconds * _SLOWER
        self._burst = float(burst)
        self._left = self._burst
        self._since = now
        self._new_link()

    def _new_link(self) -> None:
        # The quickest answer so far, or what would be a quick one.
        self._quickest = _UNDER_WAY * self._line_seconds
        self._nothing_out()

    def _nothing_out(self) -> None:
        # Written before the last question and behind it, neither known to have come.
        self._before = self._behind = 0
        self._asked_at: float | None = None
        self._is_ours = False
        self._vouched_until = math.inf

    def lost(self, now: float) -> None:
        """The link is lost, and what was under way on it."""
        if self.left(now) < 1.0:
            slower = self._line_seconds * _BACK_OFF
            self._line_seconds = min(slower, self._usual * _SLOWEST)
        self._new_link()

    def left(self, now: float) -> float:
        """Return how many lines there are to spend; below zero is a debt."""
        counted = min(now, self._vouched_until) - self._since
        gained = max(0.0, counted) / self._line_seconds
        self._left = min(self._burst, self._left + gained)
        self._since = now
        return self._left

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be under way before an answer comes."""
        return self._before + self._behind >= _UNDER_WAY

    def pause(self, now: float) -> float | None:
        """Return after how many seconds a line is free, None if an answer is needed."""
        pause = max(0.0, (1.0 - self.left(now)) * self._line_seconds)
        return None if self.is_full or now + pause > self._vouched_until else pause

    def spend(self, lines: int, now: float) -> None:
        """So many lines are written."""
        self._left = self.left(now) - lines
        if not self._before + self._behind:
            self._vouch(now)
        self._behind += lines

    def give_back(self, lines: int) -> None:
        """So many lines were not written after all."""
        self._left += lines
        self._behind = max(0, self._behind - lines)

    def wants_answer(self, now: float) -> bool:
        """Tell whether the server is to be asked for a PONG now."""
        if self._asked_at is not None or not self._before + self._behind:
            return False
        return self._behind >= _ASKED_AFTER or self.pause(now) is None

    def asked(self, now: float, *, is_new: bool) -> None:
        """The server was asked; that is a line of its own.

        Without `is_new` another question is still out, older than our last lines: its
        answer says nothing of them, and only then can they be asked for.
        """
        self._asked_at, self._is_ours = now, is_new
        if is_new:
            self._left = self.left(now) - 1
            self._before, self._behind = self._before + self._behind, 0

    def answered(self, now: float) -> None:
        """The server has answered what it was asked last."""
        left = self.left(now)
        if self._asked_at is None:
            self._recover()  # somebody else's question
            return
        took = now - self._asked_at
        if self._is_ours:
            self._quickest = min(self._quickest, took)
        if took > self._quickest + _LATE * self._line_seconds:
            # Then all may have come just now, as one burst.
            self._left = min(left, self._burst - self._before - self._behind)
        else:
            self._recover()
        self._before, self._asked_at = 0, None
        if self._behind:
            self._vouch(now)
        else:
            self._nothing_out()

    def _recover(self) -> None:
        self._line_seconds = max(self._usual, self._line_seconds * _RECOVERY)

    def _vouch(self, now: float) -> None:
        self._vouched_until = now + _VOUCHED * self._line_seconds
