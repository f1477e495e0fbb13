"""Our end of a conversation with a gateway: SMTP (RFC 5321) or LMTP (RFC 2033).

As few turns as the protocol allows (RFC 2920): MAIL, RCPT and DATA leave together, and
they leave with the dot of the message before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from postmand.delivery.client import Client
from postmand.delivery.connection import Gone
from postmand.delivery.errand import Stage
from postmand.delivery.replies import LINES, extensions
from postmand.delivery.transaction import (
    DATA,
    Inquiry,
    Transaction,
    begin,
    inquire,
)
from postmand.message.wire import Stuffing

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.delivery.company import Company
    from postmand.delivery.errand import Errand
    from postmand.delivery.replies import Answer

# Pieces are gathered to this size before they are written.
_GATHER = 65_536
# What was written may still stand in buffers on our side of a slow tunnel, of up to so
# many octets, which leave at so many a second at least.
_UNDERWAY = 4_194_304
_SLOWEST = 1_024
# A gateway tells of all recipients of a transaction in one reply, and takes so many at
# most ([exchange] max_recipients there).
MOST_TOLD = 1_000
# How a connection that has worked may end without anybody's fault.
_WORN = frozenset({"lost", "closing"})


class Dialogue(Client):
    """One connection's conversation from greeting to QUIT, any number of errands.

    `name` is what we call ourselves, `patience` the seconds for each reply. `greeted`
    tells that the gateway answered, `free` that `begin` may be called. `refusal` is the
    greeting, or the answer to our hello, that ended it.
    """

    far_end: ClassVar[str] = "a gateway"
    # A connection with nothing to do is kept so long, in seconds.
    idle = 60.0

    def __init__(
        self,
        company: Company,
        name: bytes,
        patience: float,
        reactor: IReactorTime,
        *,
        lmtp: bool,
    ) -> None:
        super().__init__(patience, reactor, MOST_TOLD if lmtp else LINES)
        self.free = False
        self.refusal: Answer | None = None
        self._company = company
        self._name = name
        self._lmtp = lmtp
        self._offered: dict[bytes, bytes] = {}
        self._current: Transaction | None = None
        self._upcoming: Transaction | None = None
        self._given: Transaction | None = None
        self._proven = False
        self._unfinished = False

    # What the company says.

    def begin(self, errand: Errand) -> None:
        """Carry out an errand."""
        self._given = self._begun(errand)
        self.free = self._given is None
        self.wake()

    def retire(self) -> None:
        """Take leave when what was begun is done."""
        self.free = False
        super().retire()

    # The conversation.

    async def _greet(self) -> None:
        self.owe(1)
        answer = await self.answer(self._patience)
        if answer.code != 220:
            self.refusal = answer
            raise Gone("greeting-refused")
        self._offered = await self._hello()
        self.greeted = True

    async def _hello(self) -> dict[bytes, bytes]:
        """Introduce ourselves; return what is offered."""
        hello = b"LHLO" if self._lmtp else b"EHLO"
        answer = await self._ask(b"%s %s\r\n" % (hello, self._name))
        if answer.code != 250:
            self.refusal = answer
            raise Gone("hello-refused")
        return extensions(answer)

    async def _turn(self) -> bool:
        """Carry out the next errand; False when there will be none."""
        self._current, self._upcoming = self._upcoming, None
        if self._current is None:
            self._current = await self._next()
        if self._current is None:
            return False
        await self._carry(self._current)
        self._proven = True
        done, self._current = self._current, None
        if done.refused:
            # Before its errand comes back: it has to see that we are away.
            self._company.failed(self, "refused")
        self._company.finished(done.errand)
        if done.refused or done.last:
            raise Gone("")
        return True

    async def _next(self) -> Transaction | None:
        """Wait for something to do; None when it is time to go."""
        deadline = self.reactor.seconds() + self.idle
        self._given = self._fetch()
        while self._given is None:
            if self.over is not None:
                # Whoever ends before it did anything would be called again at once.
                raise Gone("" if self._proven else self.over)
            if self._retired:
                return None
            self.free = True
            if not await self.event(deadline) and self._given is None:
                self._retired = True
            self.free = False
        given, self._given = self._given, None
        return given

    def _fetch(self) -> Transaction | None:
        """Return what waits to be done."""
        while not self._retired and self.over is None:
            errand = self._company.work()
            if errand is None:
                return None
            transaction = self._begun(errand)
            if transaction is not None:
                return transaction
        return None

    def _begun(self, errand: Errand) -> Transaction | None:
        start = inquire if self._company.asks(errand) else begin
        transaction = start(errand, self._offered)
        if transaction is None:
            self._company.finished(errand)
        return transaction

    # A transaction.

    async def _carry(self, transaction: Transaction) -> None:
        if not transaction.sent:
            await self._open(transaction)
        if isinstance(transaction, Inquiry):
            transaction.hear_memory(await self._step(transaction, transaction.burst))
            return
        if not await self._envelope(transaction):
            return
        if not transaction.accepted:
            await self._nobody(transaction)
            return
        await self._pour(transaction)
        await self._verdicts(transaction)

    async def _open(self, transaction: Transaction) -> None:
        """Send the envelope where it may go in one burst.

        What was refused before its data is still open at the other end: RSET first.
        """
        reset = b"RSET\r\n" if self._unfinished else b""
        self._unfinished = False
        if b"PIPELINING" in self._offered:
            self.say(reset + transaction.burst, bool(reset) + transaction.replies)
            transaction.sent = True
        elif reset:
            self.say(reset, 1)
        if reset and (await self.answer(self._patience)).code >= 300:
            raise Gone("reset-refused")

    async def _step(self, transaction: Transaction, line: bytes) -> Answer:
        """Return the answer to a command, which may have been sent with others."""
        if not transaction.sent:
            self.say(line, 1)
        answer = await self.answer(self._patience)
        if answer.code // 100 == 3 and line is not DATA:
            raise Gone("no-reply")
        return answer

    async def _envelope(self, transaction: Transaction) -> bool:
        """Ask for sender and recipients; tell whether the gateway waits for data."""
        answer = await self._step(transaction, transaction.mail)
        begun = transaction.hear_mail(answer)
        self._unfinished = begun
        if not (begun or transaction.sent):
            return False
        commands = zip(transaction.asked, transaction.recipients, strict=True)
        for recipient, command in commands:
            answer = await self._step(transaction, command)
            if begun:
                transaction.hear_recipient(recipient, answer)
        if not (transaction.accepted or transaction.sent):
            return False
        answer = await self._step(transaction, DATA)
        if answer.code == 354:
            self._unfinished = False
            return True
        if answer.code < 400:
            raise Gone("no-reply")
        transaction.hear(transaction.accepted, Stage.DATA, answer)
        return False

    async def _nobody(self, transaction: Transaction) -> None:
        """End data that nobody is to get (RFC 2920 3.1): its reply says nothing."""
        if self._lmtp:  # how many replies there would be, RFC 2033 does not say
            transaction.last = True
            return
        await self._ask(b".\r\n")

    async def _pour(self, transaction: Transaction) -> None:
        """Send header, body and dot, and with the dot what comes next."""
        errand = transaction.errand
        stuffing = Stuffing()
        gathered = [stuffing.piece(errand.parcel.leg.header)]
        octets = len(gathered[0])
        last = self.reactor.seconds() + self._patience + errand.octets / _SLOWEST
        while True:
            piece = await self._piece(errand)
            self._heed(transaction)
            if not piece:
                break
            gathered.append(stuffing.piece(piece))
            octets += len(piece)
            if octets > _GATHER:
                self.say(b"".join(gathered))
                gathered, octets = [], 0
                await self.room(min(last, self.reactor.seconds() + self._patience))
                self._heed(transaction)
        transaction.dotted = True
        self.owe(len(transaction.accepted) if self._lmtp else 1)
        gathered.append(stuffing.end())
        gathered.append(self._follow())
        self.say(b"".join(gathered))

    async def _piece(self, errand: Errand) -> bytes:
        try:
            return await errand.body.next()
        except Exception as fault:
            # Whatever it is, it is the errand's owner's; without a dot nothing is sent.
            errand.fail(fault)
            raise Gone("") from fault

    def _heed(self, transaction: Transaction) -> None:
        """Stop when it is over, or the message was refused before its end."""
        if self.over is None:
            return
        if (
            self.unasked is not None
            and self.unasked.code >= 400
            and self.over != "closing"
        ):
            transaction.hear(transaction.accepted, Stage.END, self.unasked)
            raise Gone("")
        raise Gone(self.over)

    def _follow(self) -> bytes:
        """Return the commands that go along with the dot."""
        if b"PIPELINING" not in self._offered:
            return b""
        self._upcoming = self._fetch()
        if self._upcoming is None:
            return b""
        self._upcoming.sent = True
        self.owe(self._upcoming.replies)
        return self._upcoming.burst

    async def _verdicts(self, transaction: Transaction) -> None:
        """Hear what becomes of the message: with LMTP for each recipient (RFC 2033)."""
        underway = min(transaction.errand.octets, _UNDERWAY) / _SLOWEST
        accepted = transaction.accepted
        lots = [[one] for one in accepted] if self._lmtp else [accepted]
        for lot in lots:
            answer = await self.answer(self._patience + underway)
            if answer.code // 100 == 3:
                raise Gone("no-reply")
            transaction.hear(lot, Stage.END, answer)

    # The end.

    def _part(self, reason: str) -> None:
        """Hand everything back."""
        self.free = False
        self.over = self.over or "parted"
        taken = [self._current, self._upcoming, self._given]
        held = [one for one in taken if one is not None]
        self._current = self._upcoming = self._given = None
        stale = self._proven and reason in _WORN
        if reason and not (stale and not any(one.heard for one in held)):
            self._company.failed(self, reason)
        for transaction in held:
            errand = transaction.errand
            if not errand.remaining:
                self._company.finished(errand)
            elif transaction.dotted and reason != "closing":
                self._company.doubtful(errand)
            else:
                self._company.returned(errand, stale=stale and not transaction.heard)

    def _closed(self) -> None:
        """Tell that the connection is gone."""
        self._company.ended(self)
