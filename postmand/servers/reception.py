"""What becomes of a message from the Internet behind its last dot.

Judged by who signed it, stripped of what relays traced, sealed to the mail host, and
handed over or kept sealed: nothing that is readable goes from here to a disk or a link.
Who wrote it chooses whose DNS is asked about it. So while it is judged, its body is
held by nobody, and each network has so many judged at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as OutOfTimeError

from postmand.inbound import Crate, IHost
from postmand.interfaces import StoreBusyError
from postmand.internet import Reply
from postmand.message.authentication import Authenticated, hashed
from postmand.message.signatures import Bodies
from postmand.queue.room import Room
from postmand.queue.spool import Spool
from postmand.rules.verdict import Verdict
from postmand.servers.intake import TOO_LARGE
from postmand.servers.traces import Letter, letter
from postmand.servers.turns import Turns

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

LOOP = Verdict(
    "mail-loop", 554, "5.4.6", "Too many hops; the message goes round in a loop"
)
HEADER_TOO_LONG = Verdict(
    "header-too-long", 554, "5.6.0", "The header block is too long; shorten it"
)
DMARC = Verdict(
    "dmarc",
    550,
    "5.7.1",
    "The author's domain asks that mail which fails its DMARC policy is rejected",
)
NOT_NOW = Verdict(
    "not-kept", 451, "4.3.0", "The message can not be kept now; try again later"
)
# What the link says for itself (RFC 3463 X.4): there is none, or nobody answers.
_LINK_AWAY = ("4.4.1", "4.4.2")
_LINK_BUSY = "4.3.2"
# What a tunnel of 20 KB a second does not take well within `hand_over_seconds` goes to
# the disk, and from there: given up half way, it would go over the link twice.
_PROMPT_OCTETS = 262_144
# The message, its parts, and what its signatures are checked with.
_READING = 4
_LONGEST_TEXT = 200


@frozen
class Origin:
    """Where a message comes from, for those who judge it: never written, never logged.

    `peer` is the client's address, `helo` what it called itself, `sender` the
    envelope's (b"" for the null sender).
    """

    peer: str = field(repr=False)
    helo: bytes = field(repr=False)
    sender: bytes = field(repr=False)


Authenticate = Callable[[str, bytes, bytes, bytes, Bodies], Awaitable[Authenticated]]
"""`message.authentication.authenticate` in a thread: peer, HELO, envelope's sender,
header block, and the hashes of the body."""


@frozen
class ReceptionSettings:
    """What a reception takes and how long it waits, in octets, hops and seconds.

    `judged` messages are judged at once, of one network `judged_of_one`; who has no
    turn within `turn_seconds` is asked to come again.
    """

    header_bytes: int
    memory: int
    obey_dmarc: bool = True
    hops: int = 50
    hand_over_seconds: float = 30.0
    judged: int = 32
    judged_of_one: int = 4
    turn_seconds: float = 120.0


class Reception:
    """Takes messages over for the mail host. One for a gateway.

    `seal` makes a crate unreadable for all but the host; it blocks. `keep` brings what
    was sealed to the disk, synced, for the link to hand over later; it fails with
    StoreBusyError where there is no room. Without `keep` only the host's word counts.
    """

    def __init__(
        self,
        settings: ReceptionSettings,
        host: IHost,
        authenticate: Authenticate,
        seal: Callable[[Crate], bytes],
        keep: Callable[[bytes], Awaitable[Any]] | None,
        *,
        in_thread: Callable[..., Deferred[Any]],
        reactor: IReactorTime,
    ) -> None:
        self._settings = settings
        self._host = host
        self._authenticate = authenticate
        self._seal = seal
        self._keep = keep
        self._in_thread = in_thread
        self._reactor = reactor
        self._turns = Turns(settings.judged, settings.judged_of_one)
        self._reading = Room(settings.memory)
        self._sealed = Room(settings.memory)

    async def accept(
        self, origin: Origin, recipients: Sequence[bytes], spool: Spool
    ) -> Verdict | None:
        """Take a message; None means that the host has it or that it is on the disk.

        `recipients` are in the mail domain. A Verdict means that nobody has it.
        """
        judged = await self._in_turn(origin, spool)
        if isinstance(judged, Verdict):
            return judged
        async with self._reading.of(_READING * spool.size):
            to = tuple(dict.fromkeys(recipients))
            sealed = await self._crated(origin, to, judged, spool)
            # Under the other room still: what is sealed may not gather in between.
            waiting = self._sealed.of(len(sealed))
            await waiting.__aenter__()
        try:
            return await self._over(sealed)
        finally:
            await waiting.__aexit__(None, None, None)

    async def _in_turn(self, origin: Origin, spool: Spool) -> Authenticated | Verdict:
        turn = self._turns.take(origin.peer)
        turn.addTimeout(self._settings.turn_seconds, self._reactor)
        try:
            await turn
        except OutOfTimeError:
            return NOT_NOW
        try:
            return await self._judged(origin, spool)
        finally:
            self._turns.give(origin.peer)

    async def _judged(self, origin: Origin, spool: Spool) -> Authenticated | Verdict:
        """Judge a message; while DNS is asked all that is held of it is its header."""
        async with self._reading.of(_READING * spool.size):
            read = await self._read(spool)
            header, hops = read.header, read.hops
            if len(header) > self._settings.header_bytes:
                return HEADER_TOO_LONG
            # Before it is kept: later nobody would be told.
            if not self._host.takes(len(read.clean_header) + len(read.body)):
                return TOO_LARGE
            body: Bodies = await self._in_thread(hashed, header, (read.body,))
            del read
        if hops > self._settings.hops:
            return LOOP
        found = await self._authenticate(
            origin.peer, origin.helo, origin.sender, header, body
        )
        return DMARC if found.reject and self._settings.obey_dmarc else found

    async def _read(self, spool: Spool) -> Letter:
        run = self._in_thread if spool.on_disk else _at_once
        read: Letter = await run(_read, spool)
        return read

    async def _crated(
        self,
        origin: Origin,
        recipients: tuple[bytes, ...],
        judged: Authenticated,
        spool: Spool,
    ) -> bytes:
        read = await self._read(spool)
        crate = Crate(
            sender=origin.sender,
            recipients=recipients,
            results=judged.results,
            vouched=judged.vouched,
            header=read.clean_header,
            body=(read.body,),
        )
        sealed: bytes = await self._in_thread(self._seal, crate)
        return sealed

    async def _over(self, sealed: bytes) -> Verdict | None:
        """Hand over or keep: what is small is given to the host, whose word counts."""
        if len(sealed) > _PROMPT_OCTETS and await self._kept(sealed):
            return None
        giving = self._host.hand_over(sealed)
        if not await self._answered(giving) and await self._kept(sealed):
            # The host may have it all the same: it knows it by the id within.
            giving.addErrback(lambda _: None)
            giving.cancel()
            return None
        # Where it can not be kept a caller that comes again would bring it twice.
        reply = await giving
        if _is_the_links(reply) and await self._kept(sealed):
            return None
        return verdict_of(reply)

    async def _answered(self, giving: Deferred[Reply]) -> bool:
        """Wait for the host's word, but not for long; tell whether it has come."""
        waiting: Deferred[None] = Deferred()

        def go_on(word: Any = None) -> Any:
            if not waiting.called:
                waiting.callback(None)
            return word

        late = self._reactor.callLater(self._settings.hand_over_seconds, go_on)
        giving.addBoth(go_on)
        await waiting
        if late.active():
            late.cancel()
        return giving.called

    async def _kept(self, sealed: bytes) -> bool:
        if self._keep is None:
            return False
        try:
            await self._keep(sealed)
        except StoreBusyError:
            return False
        return True


def link_is_away(reply: Reply) -> bool:
    """Tell whether a reply is the gateway's own: the host can not be asked now."""
    return reply.code == 451 and reply.enhanced in _LINK_AWAY


def _is_the_links(reply: Reply) -> bool:
    """Tell whether a reply to a crate is not the host's word."""
    busy = reply.code == 451 and reply.enhanced == _LINK_BUSY
    return busy or link_is_away(reply)


def verdict_of(reply: Reply) -> Verdict | None:
    """Return the host's word as a refusal, None where it is none.

    What is no refusal's code, or not to be said on a line, is not passed on.
    """
    if reply.delivered:
        return None
    if not 400 <= reply.code < 600:
        return NOT_NOW
    reason = "host-refuses" if reply.permanent else "host-delays"
    text = "".join(one if " " <= one <= "~" else "?" for one in reply.text)
    enhanced = reply.enhanced if _fits(reply) else f"{reply.code // 100}.0.0"
    return Verdict(reason, reply.code, enhanced, text[:_LONGEST_TEXT])


def _fits(reply: Reply) -> bool:
    """Tell whether code and enhanced code agree (RFC 2034 4)."""
    kind, *rest = reply.enhanced.split(".")
    return (
        kind == str(reply.code // 100)
        and len(rest) == 2
        and all(one.isascii() and one.isdigit() and len(one) <= 3 for one in rest)
    )


def _read(spool: Spool) -> Letter:
    return letter(spool.read())


async def _at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
