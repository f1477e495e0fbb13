"""check@: tells a member what their mail client told, and what was left of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import Factory, field, frozen
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from postmand.faults import log_fault
from postmand.message.disclosure import disclose
from postmand.message.disclosure.report import report
from postmand.message.restamp import compose, utc_date
from postmand.postoffice.desks import Question, Stationery

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

MOST_WAITING = 32

Told = tuple[str, str]
"""The subject and the text of an answer."""

_BUSY = (
    "Your mail was not looked at",
    "This desk looks at one mail at a time, and at one of yours. Please wait for its "
    "answer\nand send this mail again.\n",
)
_UNREAD = (
    "Your mail could not be looked at",
    "Your mail could not be read here. That is a fault of ours; it is noted, without\n"
    "anything of your mail, and will be mended.\n",
)


class Line:
    """Who waits at a desk: one is served at a time, and each account stands once."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._lock = DeferredLock()
        self._accounts: set[int] = set()

    async def stand(
        self, account: int, serve: Callable[[], Awaitable[Told]]
    ) -> Told | None:
        """Return what is said when it is the account's turn; None if the line is full.

        It is so for an account that stands in it already.
        """
        if account in self._accounts or len(self._accounts) >= self._most:
            return None
        self._accounts.add(account)
        try:
            await self._lock.acquire()
            try:
                return await serve()
            finally:
                self._lock.release()
        finally:
            self._accounts.discard(account)


@frozen
class CheckDesk:
    """Answers any message of a member's; reads it in a thread, one at a time."""

    stationery: Stationery
    in_thread: Callable[..., Deferred[Any]]
    line: Line = Factory(Line)
    log: Logger = field(factory=Logger, repr=False)

    async def answer(self, question: Question) -> tuple[bytes, bytes]:
        """Say what was told, removed and is still there (see Answer).

        Always answers: the message may be for others, too, and a desk that is busy or
        broken is none of their business.
        """

        async def serve() -> Told:
            try:
                told: Told = await self.in_thread(self._told, question)
            except Exception as fault:
                log_fault(self.log, "a message could not be looked at", fault)
                return _UNREAD
            return told

        told = await self.line.stand(question.credential.account, serve)
        subject, text = told or _BUSY
        return self.stationery.answer(question, b"check", subject, text)

    def _told(self, question: Question) -> Told:
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
