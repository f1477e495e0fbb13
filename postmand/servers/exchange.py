"""What the Internet meets on port 25 of a gateway (RFC 5321, guide 7.3 and 7.6).

Everybody may come, and nobody is believed: mail is taken for our own domain alone, from
who keeps to the protocol's order, passes the rules, and names somebody the mail host
knows. A caller's address serves those rules; it is never written and never logged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from attrs import Factory, evolve, field, frozen

from postmand.inbound import IHost
from postmand.message.address import Address
from postmand.queue.spool import Spool
from postmand.rules.facts import Facts, Session
from postmand.rules.inbound import BARE_NEWLINE, EARLY_TALKER, PIPELINED_EARLY, judge
from postmand.rules.verdict import Verdict
from postmand.servers.dialogue import Running
from postmand.servers.factory import PublicFactory
from postmand.servers.own_senders import OUR_SENDER, OwnSenders
from postmand.servers.reception import Origin, Reception
from postmand.servers.recipients import TOO_MANY_QUESTIONS, Recipients
from postmand.servers.smtp import BAD_ADDRESS, ESMTP, Transaction
from postmand.servers.starttls import ServerTls, UnderTls

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from postmand.config import Exchange, Limits, Node
    from postmand.counts import Counts

RELAYING_DENIED = Verdict(
    "relaying-denied", 550, "5.7.1", "Relaying denied; we take mail for our own domain"
)
NO_SENDER_DOMAIN = Verdict(
    "no-sender-domain", 553, "5.1.8", "The sender's address needs a domain of its own"
)

# Nothing may be sent behind these before they are answered (RFC 5321 4.1.1.1, 4.1.1.4;
# RFC 2920 3.1). NOOP and QUIT, too, but nobody gains by a wrong one.
_END_OF_GROUP = (b"EHLO", b"HELO", b"DATA")
# Where these are in a message, its sender and we may not agree where it ended; so what
# comes behind it is not listened to. CR CR LF . CR LF is an end for us.
_SMUGGLED = ("bare-lf", "bare-cr", "nul")
# So many commands that bring no mail on its way are answered between two messages.
_CHATTER = 100


class Inquiry(Protocol):
    """What is being found out about one transaction."""

    async def facts(self) -> Facts:
        """Return what was found, as far as it was in time; may be asked again."""

    async def greylist(self, recipient: bytes) -> str:
        """Return the greylist's word on this recipient, as in `Facts.greylist`."""

    def end(self) -> None:
        """Stop asking: the transaction is over. May be called twice."""


class Evidence(Protocol):
    """Finds out about callers, concurrently, while they go on with their commands."""

    def begin(self, peer: str, session: Session, sender: bytes) -> Inquiry:
        """Begin, at MAIL, with the client's address and the envelope's sender."""


@frozen
class Entrance:
    """What all sessions of an exchange share. Domains are in lower case."""

    settings: Exchange
    mail_domain: bytes
    internet_domain: bytes
    evidence: Evidence
    host: IHost
    reception: Reception
    tls: ServerTls | None = None
    recipients: Recipients = field(
        default=Factory(lambda self: Recipients(self.host, self.settings), True)
    )

    @property
    def own_senders(self) -> OwnSenders:
        """Who may name a sender of ours."""
        return OwnSenders(self.mail_domain, self.internet_domain)

    @property
    def names(self) -> tuple[str, ...]:
        """Our own names, that no caller may have."""
        domains = self.mail_domain.decode(), self.internet_domain.decode()
        return self.settings.host_name, *domains

    @classmethod
    def of(cls, settings: Exchange, node: Node, **rest: Any) -> Entrance:
        """Take the domains from the configuration."""
        domains = node.mail_domain.encode().lower(), node.internet_domain.encode()
        return cls(settings, domains[0], domains[1].lower(), **rest)


class ExchangeServer(UnderTls, ESMTP[bytes]):
    """One session of a mail server, or of what pretends to be one.

    A recipient that was accepted is kept as its address in the mail domain.
    """

    bare_lf_is_refused = True
    verbs: ClassVar[dict[bytes, str]] = {**ESMTP.verbs, b"STARTTLS": "_starttls"}

    def __init__(
        self,
        entrance: Entrance,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        counts: Counts,
    ) -> None:
        settings = entrance.settings
        super().__init__(
            settings.host_name.encode(),
            settings.max_message_bytes,
            settings.max_recipients,
            limits,
            reactor,
            new_spool,
            counts,
        )
        self._entrance = entrance
        self._strict = settings.session_sanity
        self._banner: IDelayedCall | None = None
        self._secret = False
        self._name = b""
        self._bare = self._pipelined = False
        self._inquiry: Inquiry | None = None
        self._chatter = 0
        self._named = False

    # The first words (RFC 5321 3.1).

    def greeting(self) -> bytes:
        """Return the banner: the configured name, never the machine's."""
        return b"220 " + self.host_name + b" ESMTP"

    def greet(self) -> None:
        """Let the caller wait: who can not is no mail server."""
        seconds = self._entrance.settings.banner_seconds if self._strict else 0
        if seconds:
            self._banner = self.reactor.callLater(seconds, self._greet_now)
        else:
            super().greet()

    def _greet_now(self) -> None:
        self._banner = None
        super().greet()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes as they come, but none before the greeting."""
        if self._banner is None:
            super().dataReceived(data)
        elif not self.lost:
            self._stop_banner()
            self._dismissed(EARLY_TALKER)

    def _stop_banner(self) -> None:
        banner, self._banner = self._banner, None
        if banner is not None:
            banner.cancel()

    def gone(self) -> None:
        """Let go of the banner and of what is being asked, too."""
        self._stop_banner()
        super().gone()

    def refuse(self, verdict: Verdict) -> None:
        """Speak a refusal; who hides line ends in a message says no more after it."""
        super().refuse(verdict)
        if verdict.reason in _SMUGGLED:
            self.close()

    def _dismissed(self, verdict: Verdict) -> None:
        """Speak a refusal, and end the session."""
        self.refuse(verdict)
        self.close()

    # Commands.

    def extensions(self) -> list[bytes]:
        """STARTTLS, until it was used (RFC 3207 4.2)."""
        offered = self._entrance.tls is not None and not self._secret
        return [b"STARTTLS"] if offered else []

    def command(self, line: bytes) -> Running:
        """Dispatch one line, if it came in its turn."""
        verb = line.strip().partition(b" ")[0].upper()
        # Under HELO nothing may be pipelined at all: it was not announced.
        grouped = self.extended or verb in (b"QUIT", b"STARTTLS")
        if self.more_came and (verb in _END_OF_GROUP or not grouped):
            self._pipelined = True
            if self._strict:
                self._dismissed(PIPELINED_EARLY)
                return None
        if verb not in (b"RCPT", b"DATA"):
            self._chatter += 1
            if self._chatter > _CHATTER:
                self.say_enough()
                self.close()
                return None
        return super().command(line)

    def bare_line(self, line: bytes) -> Running:
        """Refuse a line that ended with LF alone: what smugglers rely on."""
        self._bare = True
        if not self._strict:
            return self.command(line)
        self._counts.count("refused", BARE_NEWLINE.reason)
        self.protest(BARE_NEWLINE.code, BARE_NEWLINE.enhanced, BARE_NEWLINE.text)
        return None

    def _ehlo(self, argument: bytes) -> None:
        self._name = argument
        super()._ehlo(argument)

    def _helo(self, argument: bytes) -> None:
        self._name = argument
        super()._helo(argument)

    def _starttls(self, argument: bytes) -> None:
        tls = self._entrance.tls
        if argument:
            self.protest(501, "5.5.4", "STARTTLS takes no argument")
        elif not self.extended:
            self.protest(503, "5.5.1", "Say EHLO first")
        elif self._secret:
            self.protest(503, "5.5.1", "TLS is active already")
        elif tls is None:
            self.protest(502, "5.5.1", "STARTTLS is not offered")
        else:
            self.reset()
            self.reply(220, "2.0.0", "Go ahead")
            # Nothing that was said in the clear holds any more (RFC 3207 4.2).
            self._secret = True
            self._name = b""
            self.hello = self.extended = False
            self.begin_tls(tls)

    # The transaction.

    def sender_verdict(self, sender: Address | None) -> Verdict | None:
        """Refuse senders that can not be out there; begin to ask about the others."""
        if sender is not None:
            if not sender.domain or sender.domain.startswith(b"["):
                return NO_SENDER_DOMAIN
            if self._entrance.own_senders.is_within(sender):
                return OUR_SENDER
        if not self._entrance.recipients.may_begin(self._peer, self.reactor.seconds()):
            return TOO_MANY_QUESTIONS
        self._inquiry = self._entrance.evidence.begin(
            self._peer, self._session(), _envelope(sender)
        )
        return None

    @property
    def _peer(self) -> str:
        """The client's IP address as text, "" for one that has none."""
        return str(getattr(self.transport.getPeer(), "host", "") or "")

    def _session(self) -> Session:
        return Session(
            helo=self._name.decode("utf-8", "backslashreplace"),
            own_names=self._entrance.names,
            pipelined=self._pipelined,
            bare_newlines=self._bare,
        )

    def unreadable(self, keyword: bytes) -> Verdict:
        """Take a recipient with a route in it for what it is."""
        return RELAYING_DENIED if keyword == b"TO:" else BAD_ADDRESS

    async def recipient(self, address: Address, size: int) -> bytes | Verdict:
        """Judge by what costs least first: whose it is, the rules, the mail host."""
        transaction, inquiry = self.transaction, self._inquiry
        local = self._local(address)
        if local is None or transaction is None or inquiry is None:
            return RELAYING_DENIED
        mailbox = bytes(Address(local, self._entrance.mail_domain))
        if mailbox in transaction.recipients:
            # Asked once: the host's patience for questions is everybody's.
            return mailbox
        verdict = await self._by_the_rules(inquiry, mailbox)
        if verdict is None:
            sender, now = _envelope(transaction.sender), self.reactor.seconds()
            verdict = await self._entrance.recipients.verdict(
                self._peer, sender, mailbox, size, now
            )
        return verdict or mailbox

    async def _by_the_rules(self, inquiry: Inquiry, mailbox: bytes) -> Verdict | None:
        """Judge the facts, and then, if nothing stands against it, by the greylist."""
        settings = self._entrance.settings
        to = mailbox.decode("utf-8", "backslashreplace")
        facts = evolve(await inquiry.facts(), recipient=to)
        sender = self.transaction.sender if self.transaction else None
        verdict = self._entrance.own_senders.verdict(sender, facts.spf)
        verdict = verdict or judge(facts, settings)
        if verdict is None and settings.greylist:
            word = await inquiry.greylist(mailbox)
            verdict = judge(evolve(facts, greylist=word), settings)
        return verdict

    def _local(self, address: Address) -> bytes | None:
        """Return the member's name in an address of our own; None for all others."""
        # Members' names have no capitals: how somebody writes them is a habit.
        local = address.local.lower()
        if not address.domain:
            # RFC 5321 4.5.1: the one name that needs no domain.
            return local if local == b"postmaster" else None
        ours = address.domain == self._entrance.internet_domain
        return local if ours and b"@" not in local else None

    def welcome(self, accepted: bytes) -> str:  # noqa: ARG002 - all are alike
        """Let a caller stay that has named somebody: until its next step, no longer.

        It is never admitted for good, and a message has this once: a chat of RCPT and
        RSET that comes to nothing holds no place.
        """
        if not self._named:
            self._named = True
            self.patience(self.limits.command_seconds)
        return "Ok"

    async def accept(
        self, transaction: Transaction[bytes], spool: Spool
    ) -> Verdict | None:
        """Have the message received for the mail host."""
        origin = Origin(self._peer, self._name, _envelope(transaction.sender))
        try:
            return await self._entrance.reception.accept(
                origin, transaction.recipients, spool
            )
        finally:
            self.dropped()
            self._chatter = 0
            self._named = False

    def dropped(self) -> None:
        """End what is being asked about the transaction."""
        inquiry, self._inquiry = self._inquiry, None
        if inquiry is not None:
            inquiry.end()


class ExchangeFactory(PublicFactory):
    """Makes the sessions of one exchange.

    `connections` at once, of one peer `connections_per_peer`: an IPv6 peer has a whole
    /64 of addresses.
    """

    def __init__(
        self,
        entrance: Entrance,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        counts: Counts,
        *,
        connections: int = 2_000,
        connections_per_peer: int = 20,
    ) -> None:
        super().__init__(
            evolve(
                limits,
                connections=min(connections, limits.connections),
                connections_per_peer=min(
                    connections_per_peer, limits.connections_per_peer
                ),
            ),
            counts,
        )
        self._entrance = entrance
        self._reactor = reactor
        self._new_spool = new_spool
        self._counts = counts

    def session(self, peer: str) -> ExchangeServer:  # noqa: ARG002 - it asks the wire
        """Make a session."""
        return ExchangeServer(
            self._entrance, self.limits, self._reactor, self._new_spool, self._counts
        )


def _envelope(sender: Address | None) -> bytes:
    """Return the envelope's sender as octets, b"" for the null sender."""
    return b"" if sender is None else bytes(sender)
