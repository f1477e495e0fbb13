"""One connection of a gateway to its mail host: questions in a stream, and crates.

A question is MAIL, RCPT and RSET in one burst, and the next leaves before the answer to
the last has come (RFC 2920). A crate is `BDAT octets LAST` (RFC 3030) and needs no turn
before it; while it is on its way nothing is asked here. `LIVE` behind it, for a host
that offers XLIVE, says that its caller waits for the answer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from postmand.delivery.client import Client
from postmand.delivery.connection import Gone
from postmand.delivery.replies import extensions
from postmand.internet import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from random import Random

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from postmand.delivery.replies import Answer
    from postmand.interfaces import IChunks
    from postmand.link import Pinned

# Seconds for a reply. A tunnel's turn may take five.
PATIENCE = 60.0
# So long a tunnel may take for what is in our own buffer.
_STUCK = 120.0
# What is written at this pace still moves, in octets a second; and so much may stand in
# buffers on our side of the tunnel when all is written.
_SLOWEST = 1_024
_UNDERWAY = 4_194_304
# A line that has nothing to do says so after so many seconds, that the tunnel lives.
_IDLE = (60.0, 120.0)
# So many questions wait for their answers on one line.
_ASKED = 50

# What a host offers that knows a crate whose caller waits from one that was kept.
XLIVE = b"XLIVE"

# What a host says of a line it can not read (RFC 5321 4.2.2).
_MALFORMED = frozenset({500, 501, 502, 503, 504})

TOO_LARGE = Reply(552, "5.3.4", "The message is larger than the mail host takes")


@define(eq=False)
class Errand:
    """What is wanted of the host. `tries` counts the lines it was given to."""

    done: Deferred[Reply] = field(factory=Deferred, init=False)
    tries: int = field(default=0, init=False)
    timer: IDelayedCall | None = field(default=None, init=False)

    def settle(self, reply: Reply) -> None:
        """Answer, unless it was answered already."""
        self._finish(lambda: self.done.callback(reply))

    def fail(self, fault: Exception) -> None:
        """Give a fault of ours to whoever waits."""
        self._finish(lambda: self.done.errback(fault))

    def _finish(self, fire: Callable[[], None]) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if not self.done.called:
            fire()


@define(eq=False)
class Question(Errand):
    """Whether mail of this size would be taken for this recipient."""

    sender: bytes
    recipient: bytes
    size: int

    @property
    def burst(self) -> bytes:
        """The commands that ask it."""
        return b"MAIL FROM:<%s> SIZE=%d\r\nRCPT TO:<%s>\r\nRSET\r\n" % (
            self.sender,
            self.size,
            self.recipient,
        )


@define(eq=False)
class Load(Errand):
    """A sealed crate of so many octets; `begin` gives them, anew for each try.

    `live` says that who brought it has heard nothing yet.
    """

    octets: int
    begin: Callable[[], IChunks]
    live: bool = False

    def command(self, offered: Container[bytes]) -> bytes:
        """The line before its octets, for a host that offers this.

        Whoever waited may have gone on by now: then it counts as kept.
        """
        live = self.live and not self.done.called and XLIVE in offered
        return b"BDAT %d LAST%s\r\n" % (self.octets, b" LIVE" if live else b"")


class Company(Protocol):
    """Who a line works for."""

    def ready(self, line: HostLine) -> None:
        """The line was greeted, or has room for more."""

    def parted(self, line: HostLine, reason: str, left: list[Errand]) -> None:
        """The line is over, with what it did not finish."""


def _on_a_crate(answer: Answer, *, cut: bool) -> Reply:
    """Return what was said of a crate; for good is only what opened it.

    A refusal of the line that announced it, or one that came before its end, is of no
    mail: what the two ends disagree about may be mended, and nobody can write it again.
    """
    reply = answer.reply()
    if reply.permanent and (cut or reply.code in _MALFORMED):
        return evolve(reply, code=451, enhanced=f"4{reply.enhanced[1:]}")
    return reply


class HostLine(Client):
    """A conversation from greeting to QUIT.

    `greeted` tells that the host answered, `proven` that it did so more than once;
    `ended` fires when the connection is gone.
    """

    far_end: ClassVar[str] = "the mail host"

    def __init__(
        self,
        company: Company,
        name: bytes,
        pinned: Pinned | None,
        reactor: IReactorTime,
        rng: Random,
    ) -> None:
        super().__init__(PATIENCE, reactor)
        self.pinned = pinned
        self.proven = False
        self.ended: Deferred[None] = Deferred()
        self._company = company
        self._name = name
        self._rng = rng
        self._asked: deque[Question] = deque()
        self._load: Load | None = None
        # The largest message the host takes (RFC 1870), 0 for no bound.
        self.most = 0
        self._offered: Container[bytes] = ()

    # What the company asks.

    @property
    def works(self) -> bool:
        """Whether it takes errands at all."""
        return self.greeted and not self._retired and self.over is None

    @property
    def laden(self) -> bool:
        """Whether it has a crate."""
        return self._load is not None

    @property
    def asked(self) -> int:
        """How many questions wait for their answer."""
        return len(self._asked)

    @property
    def takes_questions(self) -> bool:
        """Whether a question given to it now would leave at once."""
        return self.works and not self.laden and self.asked < _ASKED

    def ask(self, question: Question) -> None:
        """Ask at once."""
        if 0 < self.most < question.size:  # RFC 1870 6.1
            question.settle(TOO_LARGE)
            return
        question.tries += 1
        self._asked.append(question)
        self.say(question.burst, 3)
        self.wake()

    def carry(self, load: Load) -> None:
        """Bring a crate, after the answers to what was asked."""
        load.tries += 1
        self._load = load
        self.wake()

    def withdraw(self, load: Load) -> None:
        """Bring a crate no further: what the host has not whole it does not have."""
        if self._load is load:
            self._load = None
            self.end("withdrawn")

    # The conversation.

    async def _greet(self) -> None:
        self.owe(1)
        if (await self.answer(PATIENCE)).code != 220:
            raise Gone("greeting-refused")
        answer = await self._ask(b"EHLO %s\r\n" % self._name)
        offered = extensions(answer)
        if answer.code != 250 or not offered.keys() >= {b"PIPELINING", b"CHUNKING"}:
            raise Gone("hello-refused")
        most = offered.get(b"SIZE", b"")
        self._offered = offered
        self.most = int(most) if most.isdigit() and len(most) <= 20 else 0
        self.greeted = True
        self._company.ready(self)

    async def _turn(self) -> bool:
        """Do what is next; False when it is time to go."""
        if self._asked:
            await self._hear(self._asked[0])
            self.proven = True
        elif self._load is not None:
            await self._bring(self._load)
        elif self.over is not None:
            raise Gone(self.over)
        elif self._retired:
            return False
        elif not await self.event(self.reactor.seconds() + self._rng.uniform(*_IDLE)):
            await self._ask(b"NOOP\r\n")
            self.proven = True
        self._company.ready(self)
        return True

    async def _hear(self, question: Question) -> None:
        mail, rcpt, reset = [await self.answer(PATIENCE) for _ in range(3)]
        word = rcpt if mail.code < 300 else mail
        if word.code // 100 == 3 or reset.code >= 300:
            raise Gone("no-reply")
        self._asked.popleft()
        question.settle(word.reply())

    async def _bring(self, load: Load) -> None:
        """Send a crate and hear what becomes of it.

        A host that refuses it before its end is heard at once; what is left of it is
        not sent, and this connection ends.
        """
        self.say(load.command(self._offered), 1)
        left = await self._pour(load)
        underway = min(load.octets, _UNDERWAY) / _SLOWEST
        answer = await self.answer(PATIENCE + underway)
        if answer.code // 100 == 3:
            raise Gone("no-reply")
        self._load = None
        self.proven = True
        load.settle(_on_a_crate(answer, cut=left > 0))
        if left:
            raise Gone("")

    async def _pour(self, load: Load) -> int:
        """Send the octets; return how many were left when the answer came."""
        left = load.octets
        last = self.reactor.seconds() + _STUCK + left / _SLOWEST
        chunks = load.begin()
        try:
            while left and not self._answers:
                piece = await self._piece(load, chunks, left)
                if self.over is not None:
                    raise Gone(self.over)
                left -= len(piece)
                self.say(piece)
                await self.room(min(last, self.reactor.seconds() + _STUCK))
        finally:
            chunks.close()
        return left

    async def _piece(self, load: Load, chunks: IChunks, left: int) -> bytes:
        """Read on; a crate that can not be read is its owner's fault, and ends here."""
        try:
            piece = await chunks.next()
            if not 0 < len(piece) <= left:
                raise EOFError("a crate has not the length it was said to have")
        except Exception as fault:
            self._load = None
            load.fail(fault)
            raise Gone("") from fault
        return piece

    def _part(self, reason: str) -> None:
        """Hand everything back."""
        self.over = self.over or "parted"
        left: list[Errand] = [*self._asked]
        if self._load is not None:
            left.append(self._load)
        self._asked.clear()
        self._load = None
        self._company.parted(self, reason, left)

    def _closed(self) -> None:
        """Tell that the connection is gone."""
        self.ended.callback(None)
