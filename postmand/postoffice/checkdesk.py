"""check@: tells a member what their mail client told, and what was left of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from postmand.message.disclosure import disclose
from postmand.message.disclosure.report import report
from postmand.message.restamp import compose, utc_date
from postmand.postoffice.desks import Question, Stationery

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


@frozen
class CheckDesk:
    """Answers any message of a member's; reads it in a thread."""

    stationery: Stationery
    in_thread: Callable[..., Deferred[Any]]

    async def answer(self, question: Question) -> tuple[bytes, bytes]:
        """Say what was told, removed and is still there (see Answer)."""
        subject, text = await self.in_thread(self._told, question)
        return self.stationery.answer(question, b"check", subject, text)

    def _told(self, question: Question) -> tuple[str, str]:
        washed = compose(
            question.washed,
            date=utc_date(self.stationery.seconds()),
            message_id=question.given_out,
        )
        disclosed = disclose(
            question.raw(),
            question.spoken,
            question.identity,
            washed + b"".join(question.washed.body),
        )
        return f"Your mail client: {disclosed.score} of 100", report(disclosed)
