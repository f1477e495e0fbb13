"""Where a gateway takes mail for the Internet from its mail host: LMTP (RFC 2033).

The session is the link's: whoever speaks here has shown the mail host's key before. All
the same the header block is looked at (`rules.outgoing`), and nothing is altered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from postmand.inbound import Outward
from postmand.message.address import Address, Group, parse_list
from postmand.message.restamp import RELEASED, utc_date
from postmand.message.trace import received
from postmand.rules import outgoing
from postmand.rules.outgoing import Lock
from postmand.rules.routing import Internet, Routing
from postmand.rules.verdict import Verdict
from postmand.servers.factory import DialogueFactory
from postmand.servers.smtp import ESMTP, Answer, Transaction
from postmand.servers.within import GreetsWithin

if TYPE_CHECKING:
    from random import Random

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from postmand.config import Limits
    from postmand.counts import Counts
    from postmand.internet import Reply
    from postmand.queue.spool import Spool
    from postmand.servers.intake import Intake
    from postmand.servers.ledger import Ledger

ONE_DOMAIN = Verdict(
    "one-domain", 451, "4.5.3", "One domain at a time; send to this one by itself"
)
NOT_ABROAD = Verdict(
    "not-abroad", 550, "5.7.1", "That is no address on the Internet to send to"
)
# A pause that is shorter than the mail host's patience: who has no verdict by then is
# told to ask for it, and the session is free for the next message.
_HOLD = 60.0
# A body is handed on in pieces of this size.
_PIECE = 65_536
# So much of what a server said is told to who asks what became of a message.
_TEXT_OCTETS = 80
_TRANSACTION = re.compile(rb"[0-9A-Za-z-]{1,64}")
_HEADER_END = b"\r\n\r\n"


@frozen
class Settings:
    """What a gateway takes, and what it is called.

    `domain` is the internet domain: senders are of it, and nobody is sent to in it or
    in `mail_domain`.
    """

    host_name: str
    domain: str
    mail_domain: str
    max_message_bytes: int
    max_recipients: int
    hold_seconds: float = _HOLD

    @property
    def lock(self) -> Lock:
        """What header blocks may hold."""
        names = frozenset((*RELEASED, b"DKIM-Signature"))
        return Lock(names, self.domain.encode())

    @property
    def routing(self) -> Routing:
        """What is on the Internet, seen from here."""
        own = frozenset((self.domain.encode(), self.mail_domain.encode()))
        return Routing(own, {}, relays=True)


@frozen
class Party:
    """A recipient: the address as it is sent to, and its domain in ASCII."""

    address: bytes
    domain: bytes


@frozen
class Desk:
    """What all sessions share. `wall` is the time of day, `in_thread` runs what blocks.

    `rng` gives the ids of Received lines, which join nothing.
    """

    ledger: Ledger
    wall: Callable[[], float]
    rng: Random
    in_thread: Callable[..., Deferred[Any]]


class OutgoingServer(GreetsWithin, ESMTP[Party]):
    """One session of the mail host's courier."""

    verbs: ClassVar[dict[bytes, str]] = {
        b"LHLO": "_lhlo",
        b"MAIL": "_mail",
        b"RCPT": "_rcpt",
        b"DATA": "_data",
        b"RSET": "_rset",
        b"NOOP": "_noop",
        b"QUIT": "_quit",
        b"XASK": "_xask",
    }

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        desk: Desk,
        counts: Counts,
    ) -> None:
        super().__init__(
            settings.host_name.encode(),
            settings.max_message_bytes,
            settings.max_recipients,
            limits,
            reactor,
            new_spool,
            counts,
        )
        self._settings = settings
        self._lock = settings.lock
        self._routing = settings.routing
        self._desk = desk
        self._name = b""

    def greeting(self) -> bytes:
        """Return the banner (RFC 2033 4)."""
        return b"220 " + self.host_name + b" LMTP"

    def extensions(self) -> list[bytes]:
        """XASK: a transaction has a name, by which is asked what became of it."""
        return [b"XASK"]

    def _lhlo(self, argument: bytes) -> None:
        if not argument:
            self.protest(501, "5.5.4", "LHLO needs a name")
            return
        self.admit(self.limits.command_seconds)
        self._ehlo(argument)

    # The envelope.

    def _path(
        self, argument: bytes, keyword: bytes
    ) -> tuple[Address | None, dict[bytes, bytes | None]] | None:
        """Read a path; of the sender's parameters ENVID is the transaction's name."""
        path = super()._path(argument, keyword)
        if path is None or keyword != b"FROM:":
            return path
        name = path[1].pop(b"ENVID", b"")
        if name is None or (name and not _TRANSACTION.fullmatch(name)):
            self.protest(501, "5.5.4", "ENVID has a wrong value")
            return None
        self._name = name
        return path

    def sender_verdict(self, sender: Address | None) -> Verdict | None:
        """Let members' addresses pass, and the null sender."""
        return self._lock.sender_verdict(b"" if sender is None else bytes(sender))

    async def recipient(
        self,
        address: Address,
        size: int,  # noqa: ARG002 - a subclass's to look at
    ) -> Party | Verdict:
        """Let addresses on the Internet pass, all of one domain."""
        route = self._routing.route(address.local, address.domain)
        if not isinstance(route, Internet):
            return route if isinstance(route, Verdict) else NOT_ABROAD
        transaction = self.transaction
        others = transaction.recipients if transaction is not None else []
        if others and others[0].domain != route.domain:
            return ONE_DOMAIN
        return Party(bytes(address), route.domain)

    # The message.

    async def _received(self, intake: Intake) -> None:
        """Answer for every recipient by itself (RFC 2033 4.2)."""
        transaction, self.transaction = self.transaction, None
        name, self._name = self._name, b""
        outward: Outward | Verdict | None = None
        try:
            outward = intake.verdict(bare_lf_is_refused=True)
            if outward is None and transaction is not None:
                outward = await self._outward(name, transaction, intake.spool)
        finally:
            intake.spool.close()
        if transaction is None or outward is None:
            return
        if isinstance(outward, Verdict):
            self._counts.count("refused", outward.reason)
            for _ in transaction.recipients:
                self.reply(outward.code, outward.enhanced, outward.text)
            self.refused()
            return
        to = [party.address for party in transaction.recipients]
        hold = self._settings.hold_seconds
        told = await self._desk.ledger.send(outward, hold)
        del outward  # it is the ledger's to keep as long as it needs it
        self._counts.count("accepted")
        self.fine()
        for recipient in to:
            reply = told[recipient]
            self.reply(reply.code, reply.enhanced, reply.text)

    async def _outward(
        self, name: bytes, transaction: Transaction[Party], spool: Spool
    ) -> Outward | Verdict:
        """Return the message as it leaves, or why it does not."""
        if spool.on_disk:
            octets = await self._desk.in_thread(spool.read)
        else:
            octets = spool.read()
        sender = b"" if transaction.sender is None else bytes(transaction.sender)
        begin = octets.find(_HEADER_END) + len(_HEADER_END)
        block = octets[:begin] if begin >= len(_HEADER_END) else b""
        fields = outgoing.read(block)
        verdict = self._lock.verdict(fields, _authors(fields or ()), sender)
        if verdict is not None:
            return verdict
        pieces = range(begin, len(octets), _PIECE)
        parties = transaction.recipients
        return Outward(
            transaction=name,
            sender=sender,
            recipients=tuple(dict.fromkeys(party.address for party in parties)),
            domain=parties[0].domain,
            header=self._trace() + block,
            body=[octets[start : start + _PIECE] for start in pieces],
        )

    def _trace(self) -> bytes:
        """Return the one Received line (RFC 5321 4.4), which names nobody."""
        date = utc_date(self._desk.wall())
        return received(self.host_name, date, b"%016x" % self._desk.rng.getrandbits(64))

    # Asking again.

    def _xask(self, argument: bytes) -> Answer:
        if not self.hello:
            self.protest(503, "5.5.1", "Say LHLO first")
        elif self.transaction is not None:
            self.protest(503, "5.5.1", "Not inside a mail transaction")
        elif not _TRANSACTION.fullmatch(argument):
            self.protest(501, "5.5.4", "XASK needs a transaction")
        else:
            return self._answer_for(argument)
        return None

    async def _answer_for(self, name: bytes) -> None:
        told = await self._desk.ledger.ask(name, self._settings.hold_seconds)
        self.fine()
        if told is None:
            self.reply(550, "5.5.0", "unknown")
        else:
            self.send(_lines(told))


def _authors(fields: Sequence[outgoing.Field]) -> list[bytes]:
    """Return the addresses in From, groups opened."""
    found: list[bytes] = []
    for name, body in fields:
        if name != b"From":
            continue
        for one in parse_list(body):
            members = one.members if isinstance(one, Group) else (one,)
            found += [bytes(member.address) for member in members]
    return found


def _lines(told: Mapping[bytes, Reply]) -> bytes:
    """Return a reply of several lines: `250-<recipient> code enhanced text`.

    A text is a stranger's. However long, the mail host reads to the reply's end.
    """
    lines = [
        b"<%s> %d %s %s" % (one, reply.code, reply.enhanced.encode(), _brief(reply))
        for one, reply in told.items()
    ]
    between = b"\r\n".join(b"250-" + line for line in lines[:-1])
    last = b"250 " + lines[-1]
    return b"\r\n".join([between, last]) if between else last


def _brief(reply: Reply) -> bytes:
    return reply.text.encode()[:_TEXT_OCTETS]


class OutgoingFactory(DialogueFactory):
    """Makes the sessions of a gateway's way out; to be wrapped by the pinned TLS."""

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        desk: Desk,
        counts: Counts,
    ) -> None:
        super().__init__(limits)
        self._settings = settings
        self._reactor = reactor
        self._new_spool = new_spool
        self._desk = desk
        self._counts = counts

    def session(self, peer: str) -> OutgoingServer:  # noqa: ARG002 (there is one host)
        """Make a session."""
        return OutgoingServer(
            self._settings,
            self.limits,
            self._reactor,
            self._new_spool,
            self._desk,
            self._counts,
        )
