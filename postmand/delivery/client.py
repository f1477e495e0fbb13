"""A client's conversation with a server, from its greeting to QUIT."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from twisted.internet.defer import Deferred

from postmand.delivery.connection import Connection, Gone
from postmand.delivery.replies import LINES
from postmand.faults import log_fault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.delivery.replies import Answer

# So long the answer to QUIT is waited for, in seconds.
_FAREWELL = 10.0


class Client(Connection):
    """What is done on a connection: greet, take turns for as long as there are any, go.

    `greeted` tells that the server was willing to talk; `patience` are the seconds for
    each reply. A fault of ours ends this conversation and is logged.
    """

    far_end: ClassVar[str] = "a server"

    def __init__(
        self, patience: float, reactor: IReactorTime, lines: int = LINES
    ) -> None:
        super().__init__(reactor, lines)
        self.greeted = False
        self._patience = patience
        self._retired = False

    def retire(self) -> None:
        """Take leave when what was begun is done."""
        self._retired = True
        if not self.greeted:
            self.end("")
        self.wake()

    def connectionMade(self) -> None:
        """Begin."""
        super().connectionMade()
        conversing = Deferred.fromCoroutine(self._converse())
        conversing.addErrback(partial(log_fault, self.log, "a conversation's end"))

    async def _converse(self) -> None:
        reason = ""
        try:
            await self._greet()
            while await self._turn():
                pass
            await self._take_leave()
        except Gone as gone:
            reason = str(gone)
        except Exception as fault:
            log_fault(self.log, f"a conversation with {self.far_end} failed", fault)
            reason = "fault"
        self._part(reason)
        await self.close()
        self._closed()

    async def _take_leave(self) -> None:
        self._patience = _FAREWELL
        with suppress(Gone):  # it is over, in whatever way
            await self._ask(b"QUIT\r\n")

    async def _ask(self, line: bytes) -> Answer:
        self.say(line, 1)
        return await self.answer(self._patience)

    # What it is about.

    async def _greet(self) -> None:
        """Hear the greeting, and introduce ourselves; Gone where we are not welcome."""
        raise NotImplementedError

    async def _turn(self) -> bool:
        """Do what is next; False when it is time to go."""
        raise NotImplementedError

    def _part(self, reason: str) -> None:
        """Hand everything back; `reason` is why it ended, "" for no fault."""
        raise NotImplementedError

    def _closed(self) -> None:
        """Learn that the connection is gone."""
        raise NotImplementedError
