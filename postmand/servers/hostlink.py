"""The mail host's server for gateways: questions about recipients, and sealed crates.

ESMTP as far as it fits: MAIL and RCPT ask whether mail would be taken, and no DATA
follows. `BDAT octets LAST` (RFC 3030) hands over a crate, whose envelope is sealed
within, so that it needs no transaction. `LIVE` behind it (XLIVE) says that whoever
brought it to the gateway waits for the answer. Who a gateway is, its key alone tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IHandshakeListener
from zope.interface import implementer

from postmand.internet import Reply
from postmand.link import Admitting, pin_shown
from postmand.rules.verdict import Verdict
from postmand.servers.crate_intake import NO_SPACE, CrateIntake
from postmand.servers.doubles import Doubles
from postmand.servers.factory import DialogueFactory
from postmand.servers.neighbours import Neighbour, Neighbours
from postmand.servers.smtp import ESMTP, Answer
from postmand.servers.within import Within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import (
        IProtocolFactory,
        IReactorTime,
    )

    from postmand.config import Gateway, Inbound, Limits
    from postmand.counts import Counts
    from postmand.inbound import Crate, IOffice
    from postmand.message.address import Address
    from postmand.queue.spool import Spool

# A gateway keeps few connections; some more may be dead ones that nobody closed.
_CONNECTIONS = 24
# So many crates are open in memory at once, over all gateways.
_OPEN = 4
# A large crate is taken in large pieces: each costs a turn of the reactor.
_READ = 262_144
_DIGITS = 20
# What follows the octets; an older gateway knows the first alone.
_LIVE = b"LAST LIVE"
_LAST = b"LAST", _LIVE
# The reason of what the office refuses: counted there.
_OFFICE = "office"

_QUESTIONS = Verdict(
    "gateway-questions", 451, "4.7.1", "Too many questions this hour; try again later"
)
_CRATES = Verdict(
    "gateway-crates", 451, "4.7.1", "Too much mail this hour; try again later"
)
# Of a crate, and unopened: the gateway has told its caller 250, and nobody can write it
# again. It comes again, until the two ends agree on what is too large.
_TOO_LARGE = Verdict(
    "crate-too-large", 452, "4.3.4", "The crate is larger than the mail host takes now"
)
_UNOPENED = Verdict("crate-unopened", 554, "5.6.0", "The crate does not open")
_CROWDED = Verdict(
    "gateway-connections", 421, "4.7.0", "Too many connections; close another first"
)


@implementer(IHandshakeListener)
class HostSession(ESMTP["Address"]):
    """One connection of a gateway. `neighbour` is None until its key was shown."""

    verbs: ClassVar[dict[bytes, str]] = {
        b"EHLO": "_ehlo",
        b"MAIL": "_mail",
        b"RCPT": "_rcpt",
        b"BDAT": "_bdat",
        b"RSET": "_rset",
        b"NOOP": "_noop",
        b"QUIT": "_quit",
    }

    def __init__(self, house: HostLink, neighbour: Neighbour | None) -> None:
        super().__init__(
            house.host_name,
            house.max_message_bytes,
            1,
            house.limits,
            house.reactor,
            house.new_spool,
            house.counts,
        )
        self.neighbour = neighbour
        self._house = house
        self._crate: CrateIntake | None = None
        self._drained = 0

    def connectionMade(self) -> None:
        """Greet who needs no key; else wait for the handshake.

        What is written before its end has TLS tell its writer to pause, who would read
        no more then: the handshake would never end.
        """
        if self.neighbour is not None:
            self._enter(self.neighbour)
        else:
            self.patience(self.limits.login_seconds)

    def handshakeCompleted(self) -> None:
        """Learn who it is, and greet (IHandshakeListener)."""
        neighbour = self._house.neighbours.by_pin(pin_shown(self.transport))
        if neighbour is None or not self._house.neighbours.admits(neighbour):
            self.transport.abortConnection()
        else:
            self.neighbour = neighbour
            self._enter(neighbour)

    def timeoutConnection(self) -> None:
        """Close: there is nobody to tell before the handshake."""
        if self.neighbour is None:
            self.transport.abortConnection()
        else:
            super().timeoutConnection()

    def _enter(self, neighbour: Neighbour) -> None:
        super().connectionMade()
        if len(neighbour.sessions) >= _CONNECTIONS:
            self.refuse(_CROWDED)
            self.close()
        else:
            self._house.neighbours.enter(neighbour, self)

    def gone(self) -> None:
        """Forget a crate whose end never came."""
        super().gone()
        if self.neighbour is not None:
            self._house.neighbours.leave(self.neighbour, self)
        crate, self._crate = self._crate, None
        if crate is not None:
            crate.close()

    # What ESMTP asks.

    def command(self, line: bytes) -> Answer:
        """Dispatch a line, while the gateway is one of ours."""
        if self.neighbour is None or not self._house.neighbours.admits(self.neighbour):
            self.close(abort=True)
            return None
        return super().command(line)

    def extensions(self) -> list[bytes]:
        """Return what else EHLO announces (RFC 3030).

        XDKIM is ours: the selector of the key that members' mail is signed with, for
        the gateway's doctor to look for.
        """
        signs = [b"XDKIM " + self._house.signs] if self._house.signs else []
        return [b"CHUNKING", b"XLIVE", b"BINARYMIME", *signs]

    def sender_verdict(self, sender: Address | None) -> Verdict | None:  # noqa: ARG002
        """Let any sender pass: it was judged where it came in."""
        return None

    async def recipient(self, address: Address, size: int) -> Address | Verdict:
        """Have the office judge a recipient, while there are questions left."""
        if self.neighbour is None:
            return _QUESTIONS
        if not self.neighbour.may_ask(1, self.reactor.seconds()):
            return _QUESTIONS
        reply = await self._house.office.recipient(
            self.neighbour.number, bytes(address), size
        )
        if reply.delivered:
            return address
        return Verdict(_OFFICE, reply.code, reply.enhanced, reply.text)

    def refuse(self, verdict: Verdict) -> None:
        """Speak a refusal; what the office says it has counted, by its own reason."""
        if verdict.reason == _OFFICE:
            self.reply(verdict.code, verdict.enhanced, verdict.text)
            self.refused()
        else:
            super().refuse(verdict)

    def refused(self) -> None:
        """Let a gateway be refused as often as its caps let it ask."""
        self.fine()

    def still_moving(self) -> bool:
        """Whether a crate keeps the smallest rate."""
        return self._crate is not None and self._crate.still_moving()

    def _ehlo(self, argument: bytes) -> None:
        super()._ehlo(argument)
        if self.hello:
            self.admit(self.limits.command_seconds)

    # A crate.

    def _bdat(self, argument: bytes) -> Answer:
        octets, _, last = argument.upper().partition(b" ")
        word = b" ".join(last.split())
        if not octets.isdigit() or len(octets) > _DIGITS or word not in _LAST:
            # Where the chunk ends nobody knows: none of it must become a command.
            self.protest(501, "5.5.4", "Write it as BDAT octets LAST")
            self.close()
        elif not self.hello:
            self.protest(503, "5.5.1", "Say EHLO first")
            self.close()
        elif int(octets) > self._house.max_crate_bytes:
            self.refuse(_TOO_LARGE)
            self.close()
        else:
            return self._begin(int(octets), live=word == _LIVE)
        return None

    def _begin(self, octets: int, *, live: bool) -> Answer:
        """Take a crate, or say at once that it will not be taken, and drain it."""
        self.reset()
        if not self._may_bring(octets):
            self.refuse(_CRATES)
            self._drained = octets
            self.raw = self._drain if octets else None
            return None
        crate = CrateIntake(self._new_spool(), octets, self.limits, live=live)
        if not octets:
            return self._arrived(crate)
        self._crate = crate
        self.raw = self._chunk
        self.read_ahead(_READ)
        self.patience(self.limits.body_seconds)
        return None

    def _may_bring(self, octets: int) -> bool:
        neighbour = self.neighbour
        return neighbour is not None and neighbour.may_bring(
            octets, self.reactor.seconds()
        )

    def _drain(self, data: bytes) -> bytes:
        """Let a refused crate go by; return what follows it."""
        rest = data[self._drained :]
        self._drained -= len(data) - len(rest)
        self.heard()
        if not self._drained:
            self.raw = None
        return rest

    def _chunk(self, data: bytes) -> bytes:
        """Take a piece of a crate; return what follows its end."""
        crate = self._crate
        if crate is None:
            return b""
        rest, flushing = crate.take(data)
        if crate.whole:
            self.raw = self._crate = None
            self.read_ahead(None)
            self.patience(self.limits.command_seconds)
            self.pending(self._arrived(crate))
        elif flushing is not None:
            self.pending(flushing)
        return rest

    async def _arrived(self, crate: CrateIntake) -> None:
        neighbour = self.neighbour
        try:
            if crate.no_space or neighbour is None:
                answer: Reply | Verdict = NO_SPACE
            else:
                answer = await self._house.take(neighbour, crate.spool, live=crate.live)
        finally:
            crate.close()
        if isinstance(answer, Verdict):
            self.refuse(answer)
            return
        if answer.delivered:
            self._counts.count("accepted")
        self.fine()
        self.reply(answer.code, answer.enhanced, answer.text)


class HostLink(DialogueFactory):
    """Makes the sessions of gateways. `listening()` is what a port is given.

    `gateways` are numbered from 1. With the `identity` (key and certificate, PEM) TLS
    is spoken from the first octet, and who has no pin stays outside; where no gateway
    has one there is no TLS, and whoever connects is the first. `open_sealed` blocks,
    and is called by way of `in_thread`; `retired` tells of a pin that was shut out,
    and is asked often (see Neighbours). `signs` is the selector of DKIM's key.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        inbound: Inbound,
        limits: Limits,
        *,
        host_name: bytes,
        max_message_bytes: int,
        max_crate_bytes: int,
        identity: bytes,
        office: IOffice,
        open_sealed: Callable[[bytes], tuple[bytes, Crate] | None],
        new_spool: Callable[[], Spool],
        in_thread: Callable[..., Deferred[Any]],
        reactor: IReactorTime,
        counts: Counts,
        retired: Callable[[str], bool] = lambda _: False,
        signs: bytes = b"",
    ) -> None:
        super().__init__(limits)
        self.signs = signs
        self.host_name = host_name
        self.max_message_bytes = max_message_bytes
        self.max_crate_bytes = max_crate_bytes
        self.office = office
        self.new_spool = new_spool
        self.reactor = reactor
        self.counts = counts
        self._identity = identity
        self._open_sealed = open_sealed
        self._in_thread = in_thread
        self._doubles = Doubles(reactor.seconds)
        self._opening = DeferredSemaphore(_OPEN)
        self.neighbours = Neighbours(gateways, inbound, reactor, retired)

    def listening(self) -> IProtocolFactory:
        """Return what listens: this, within TLS where a gateway has a pin."""
        if self.neighbours.open_door is not None:
            return self
        admitting = Admitting(self._identity, self.neighbours.knows)
        return Within(admitting, self, self.reactor)

    def session(self, peer: str) -> HostSession:  # noqa: ARG002 (its key tells it)
        """Make a session."""
        return HostSession(self, self.neighbours.open_door)

    async def take(
        self, neighbour: Neighbour, spool: Spool, *, live: bool
    ) -> Reply | Verdict:
        """Open a crate and give it to the office, once."""
        await self._opening.acquire()
        try:
            sealed = (
                await self._in_thread(spool.read) if spool.on_disk else spool.read()
            )
            spool.close()
            opened = await self._in_thread(self._open_sealed, sealed)
            del sealed
            if opened is None:
                return _UNOPENED
            ident, crate = opened
            return await self._doubles.once(
                (neighbour.number, ident),
                lambda: self._accepted(neighbour, crate, live=live),
            )
        finally:
            self._opening.release()

    async def _accepted(
        self, neighbour: Neighbour, crate: Crate, *, live: bool
    ) -> Reply:
        """Give a crate to the office, while there are questions left for it.

        Each recipient is one, too: else reports would tell who is a member.
        """
        if not neighbour.may_ask(len(crate.recipients), self.reactor.seconds()):
            self.counts.count("refused", _QUESTIONS.reason)
            return Reply(_QUESTIONS.code, _QUESTIONS.enhanced, _QUESTIONS.text)
        return await self.office.accept(neighbour.number, crate, live=live)
