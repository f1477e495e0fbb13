"""Whether the mail host takes mail for somebody: asked live, and by no peer too often.

What a host may be asked is everybody's (`[link] questions_per_minute`, and its own cap
of an hour), so each network has a share of it. So it is with the DNS, which each sender
costs a score of questions.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from postmand.rules.shares import Shares
from postmand.rules.verdict import Verdict
from postmand.servers.reception import link_is_away, verdict_of

if TYPE_CHECKING:
    from postmand.config import Exchange
    from postmand.inbound import IHost

TOO_MANY_QUESTIONS = Verdict(
    "network-questions", 451, "4.7.1", "Too much for now; come again in a while"
)
# What a recipient costs that is refused for good, beside the question itself: who asks
# for strangers guesses names, and who has mail for members does not.
_STRANGER = 4
_MARK_BYTES = 32


class Recipients:
    """Asks the mail host for all sessions of an exchange."""

    def __init__(self, host: IHost, settings: Exchange) -> None:
        self._host = host
        self._unseen = settings.inbound == "seal"
        minute = settings.questions_per_network_minute, 60.0
        hour = settings.questions_per_network_hour, 3_600.0
        self._senders = Shares((minute,), os.urandom(_MARK_BYTES))
        self._shares = Shares((minute, hour), os.urandom(_MARK_BYTES))

    def may_begin(self, peer: str, now: float) -> bool:
        """Tell whether a peer's network may name one more sender; it is counted."""
        return self._senders.take(peer, 1, now)

    async def verdict(
        self, peer: str, sender: bytes, mailbox: bytes, size: int, now: float
    ) -> Verdict | None:
        """Return why a mailbox gets nothing; None where it does, or nobody can tell.

        `peer` is the client's address, `sender` the envelope's; `now` is a monotonic
        time in seconds.
        """
        if not self._shares.take(peer, 1, now):
            return TOO_MANY_QUESTIONS
        reply = await self._host.recipient(sender, mailbox, size)
        if reply.permanent:
            self._shares.charge(peer, _STRANGER, now)
        if self._unseen and link_is_away(reply):
            return None
        return verdict_of(reply)
