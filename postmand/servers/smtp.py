"""The hardened ESMTP both SMTP servers share (RFC 5321 and what EHLO announces).

Who may say what is a subclass's: submission asks for a login, an exchange asks its
rules. Nothing a client says of itself, its EHLO name first of all, is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from attrs import define, field

from postmand.message.address import Address, AddressError, parse_path
from postmand.queue.spool import Spool
from postmand.rules.verdict import Verdict
from postmand.servers.dialogue import Dialogue, Running
from postmand.servers.intake import TOO_LARGE, Intake
from postmand.servers.parameters import declared_size

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.config import Limits
    from postmand.counts import Counts

Answer = Running
Accepted = TypeVar("Accepted")

# A large body is taken in large pieces: each costs a turn of the reactor.
_BODY_READ = 262_144

BAD_ADDRESS = Verdict(
    "bad-address", 553, "5.1.3", "That is no address; write it as <name@domain>"
)
TOO_MANY_RECIPIENTS = Verdict(
    "too-many-recipients", 452, "4.5.3", "Too many recipients; send to these first"
)


@define
class Transaction(Generic[Accepted]):
    """One mail transaction: from MAIL to the answer to its last dot, or to RSET."""

    sender: Address | None
    size: int
    recipients: list[Accepted] = field(factory=list)


class ESMTP(Dialogue, Generic[Accepted]):
    """An ESMTP server without policy.

    Replies carry enhanced codes once EHLO was said (RFC 2034). DATA is taken in chunks;
    whatever is wrong with a message, its end is found before the refusal is spoken, so
    that no line of it is ever run as a command.
    """

    bare_lf_is_refused = True
    # All verbs there are, and the methods that answer them: nothing else is reachable.
    verbs: ClassVar[dict[bytes, str]] = {
        b"EHLO": "_ehlo",
        b"HELO": "_helo",
        b"MAIL": "_mail",
        b"RCPT": "_rcpt",
        b"DATA": "_data",
        b"RSET": "_rset",
        b"NOOP": "_noop",
        b"QUIT": "_quit",
        b"HELP": "_help",
        b"VRFY": "_vrfy",
        b"EXPN": "_expn",
    }

    def __init__(
        self,
        host_name: bytes,
        max_message_bytes: int,
        max_recipients: int,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        counts: Counts,
    ) -> None:
        super().__init__(limits, reactor)
        self.host_name = host_name
        self.max_message_bytes = max_message_bytes
        self.max_recipients = max_recipients
        self.transaction: Transaction[Accepted] | None = None
        self.hello = False
        self.extended = False
        self._new_spool = new_spool
        self._counts = counts
        self._intake: Intake | None = None
        self._next: Callable[[bytes], Answer] | None = None

    # What a subclass gives.

    def extensions(self) -> list[bytes]:
        """Return what EHLO announces beyond what every server of ours does."""
        return []

    def sender_verdict(self, sender: Address | None) -> Verdict | None:
        """Judge MAIL FROM; None lets it pass."""
        raise NotImplementedError

    async def recipient(self, address: Address, size: int) -> Accepted | Verdict:
        """Judge RCPT TO. `size` is what MAIL declared, 0 where it did not."""
        raise NotImplementedError

    async def accept(
        self, transaction: Transaction[Accepted], spool: Spool
    ) -> Verdict | None:
        """Keep the message for all its recipients; None means: kept, on disk."""
        raise NotImplementedError

    def unreadable(self, keyword: bytes) -> Verdict:  # noqa: ARG002 - a subclass's
        """Return what is said of a path (of `FROM:` or `TO:`) that is no address."""
        return BAD_ADDRESS

    def dropped(self) -> None:
        """Learn that a transaction ended, and that nothing of it will be accepted."""

    def welcome(self, accepted: Accepted) -> str:  # noqa: ARG002 - a subclass's
        """Return what a recipient's 250 says."""
        return "Ok"

    # Replies.

    def reply(self, code: int, enhanced: str, text: str) -> None:
        """Send one reply line."""
        if self.extended:
            self.send(f"{code} {enhanced} {text}".encode())
        else:
            self.send(f"{code} {text}".encode())

    def refuse(self, verdict: Verdict) -> None:
        """Speak a refusal by policy and count it."""
        self._counts.count("refused", verdict.reason)
        self.reply(verdict.code, verdict.enhanced, verdict.text)
        self.refused()

    def protest(self, code: int, enhanced: str, text: str) -> None:
        """Speak a protocol error and count it."""
        self.reply(code, enhanced, text)
        self.erred()

    def greeting(self) -> bytes:
        """Return the banner: the configured name, never the machine's."""
        return b"220 " + self.host_name + b" ESMTP I2PNet Mailservice"

    def say_too_long(self) -> None:
        """See Dialogue."""
        self.reply(500, "5.5.6", "Line too long; closing the connection")

    def say_timeout(self) -> None:
        """See Dialogue."""
        self.reply(421, "4.4.2", "Silent for too long; closing the connection")

    def say_fault(self) -> None:
        """See Dialogue."""
        self.reply(451, "4.3.0", "A fault of this server; try again later")

    def say_enough(self) -> None:
        """See Dialogue."""
        self.reply(421, "4.7.0", "Too many errors; closing the connection")

    # Commands.

    def command(self, line: bytes) -> Answer:
        """Dispatch one line to its verb, or to the exchange that waits for it."""
        if self._next is not None:
            waiting, self._next = self._next, None
            return waiting(line)
        verb, _, argument = line.strip().partition(b" ")
        name = self.verbs.get(verb.upper())
        if name is None:
            self.protest(500, "5.5.2", "Command not recognised")
            return None
        answer: Callable[[bytes], Answer] = getattr(self, name)
        return answer(argument.strip())

    @property
    def awaiting(self) -> bool:
        """Whether the next line is an answer to a challenge, and no command."""
        return self._next is not None

    @property
    def waits_behind(self) -> bool:
        """Whether the peer has sent more than the line that is carried out."""
        return bool(self._buffer)

    def then(self, waiting: Callable[[bytes], Answer]) -> None:
        """Hand the next line to `waiting` instead of to a verb."""
        self._next = waiting

    def reset(self) -> None:
        """Drop the transaction."""
        if self.transaction is not None:
            self.transaction = None
            self.dropped()

    def _ehlo(self, argument: bytes) -> None:
        if not argument:
            self.protest(501, "5.5.4", "EHLO needs a name")
            return
        self.reset()
        self.hello = self.extended = True
        self.fine()
        lines = [
            self.host_name,
            b"PIPELINING",
            b"SIZE %d" % self.max_message_bytes,
            b"8BITMIME",
            b"SMTPUTF8",
            b"ENHANCEDSTATUSCODES",
            b"LIMITS RCPTMAX=%d" % self.max_recipients,
            *self.extensions(),
        ]
        self.send(b"\r\n".join(b"250-" + line for line in lines[:-1]))
        self.send(b"250 " + lines[-1])

    def _helo(self, argument: bytes) -> None:
        if not argument:
            self.protest(501, "5.5.4", "HELO needs a name")
            return
        self.reset()
        self.hello = True
        self.extended = False
        self.fine()
        self.send(b"250 " + self.host_name)

    def _mail(self, argument: bytes) -> None:
        if not self.hello:
            self.protest(503, "5.5.1", "Say EHLO first")
            return
        if self.transaction is not None:
            self.protest(503, "5.5.1", "A sender was given already; RSET to begin anew")
            return
        path = self._path(argument, b"FROM:")
        if path is None:
            return
        sender, parameters = path
        size = declared_size(parameters)
        if isinstance(size, Verdict):
            self.protest(size.code, size.enhanced, size.text)
            return
        verdict = TOO_LARGE if size > self.max_message_bytes else None
        verdict = verdict or self.sender_verdict(sender)
        if verdict is not None:
            self.refuse(verdict)
            return
        self.transaction = Transaction(sender, size)
        self.fine()
        self.reply(250, "2.1.0", "Ok")

    def _path(
        self, argument: bytes, keyword: bytes
    ) -> tuple[Address | None, dict[bytes, bytes | None]] | None:
        """Read `FROM:<path> parameters`; answer and return None where it is not one."""
        if argument[: len(keyword)].upper() != keyword:
            form = keyword.decode() + "<name@domain>"
            self.protest(501, "5.5.4", f"Write it as {form}")
            return None
        try:
            return parse_path(argument[len(keyword) :])
        except AddressError:
            self.refuse(self.unreadable(keyword))
            return None

    def _rcpt(self, argument: bytes) -> Answer:
        transaction = self.transaction
        if transaction is None:
            self.protest(503, "5.5.1", "Say MAIL first")
            return None
        path = self._path(argument, b"TO:")
        if path is None:
            return None
        address, parameters = path
        if parameters:
            self.protest(555, "5.5.4", "RCPT takes no parameters here")
            return None
        if address is None:
            self.refuse(BAD_ADDRESS)
            return None
        if len(transaction.recipients) >= self.max_recipients:
            # Not counted: the client is to send to these, and to come again with the
            # others (RFC 5321 4.5.3.1.10).
            verdict = TOO_MANY_RECIPIENTS
            self.reply(verdict.code, verdict.enhanced, verdict.text)
            return None
        return self._judge_recipient(transaction, address)

    async def _judge_recipient(
        self, transaction: Transaction[Accepted], address: Address
    ) -> None:
        answer = await self.recipient(address, transaction.size)
        if self.transaction is not transaction:
            self.dropped()  # the connection went meanwhile
        elif isinstance(answer, Verdict):
            self.refuse(answer)
        else:
            transaction.recipients.append(answer)
            self.fine()
            self.reply(250, "2.1.5", self.welcome(answer))

    def _data(self, argument: bytes) -> None:
        transaction = self.transaction
        if argument:
            self.protest(501, "5.5.4", "DATA takes no argument")
        elif transaction is None:
            self.protest(503, "5.5.1", "Say MAIL first")
        elif not transaction.recipients:
            self.protest(554, "5.5.1", "No recipient was accepted")  # RFC 5321 3.3
        else:
            self._intake = Intake(
                self._new_spool(), self.max_message_bytes, self.limits
            )
            self.raw = self._body
            self.read_ahead(_BODY_READ)
            self.patience(self.limits.body_seconds)
            self.fine()
            self.send(b"354 End data with <CR><LF>.<CR><LF>")

    def _body(self, chunk: bytes) -> bytes:
        """Take a chunk of the message; return what follows its end."""
        intake = self._intake
        if intake is None:
            return b""
        rest, first = intake.take(chunk)
        if rest is not None:
            self.raw = self._intake = None
            self.read_ahead(None)
            self.patience(self.limits.command_seconds)
            self.pending(self._received(intake))
            return rest
        if intake.endless:
            self.refuse(TOO_LARGE)
            self.close()
        elif first is not None:
            self.pending(first)
        return b""

    def still_moving(self) -> bool:
        """Whether the body keeps the smallest rate."""
        return self._intake is not None and self._intake.still_moving()

    async def _received(self, intake: Intake) -> None:
        transaction, self.transaction = self.transaction, None
        try:
            verdict = intake.verdict(bare_lf_is_refused=self.bare_lf_is_refused)
            if verdict is not None:
                self.dropped()
            elif transaction is not None:
                verdict = await self.accept(transaction, intake.spool)
        finally:
            intake.spool.close()
        if verdict is None:
            self._counts.count("accepted")
            self.fine()
            self.reply(250, "2.0.0", "Ok: kept")
        else:
            self.refuse(verdict)

    def _rset(self, argument: bytes) -> None:
        if argument:
            self.protest(501, "5.5.4", "RSET takes no argument")
            return
        self.reset()
        self.fine()
        self.reply(250, "2.0.0", "Ok")

    def _noop(self, _: bytes) -> None:
        self.fine()
        self.reply(250, "2.0.0", "Ok")

    def _quit(self, _: bytes) -> None:
        self.reply(221, "2.0.0", "Bye")
        self.close()

    def _help(self, _: bytes) -> None:
        verbs = " ".join(sorted(verb.decode() for verb in self.verbs))
        self.fine()
        self.reply(214, "2.0.0", verbs)

    def _vrfy(self, _: bytes) -> None:
        # The same for everybody: no oracle (RFC 5321 7.3).
        self.fine()
        self.reply(252, "2.5.0", "Send some mail, and see")

    def _expn(self, _: bytes) -> None:
        self.protest(502, "5.5.1", "EXPN is not offered")

    def gone(self) -> None:
        """Forget a message whose end never came: it was never delivered."""
        self.reset()
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.spool.close()
