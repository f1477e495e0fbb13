"""Where members hand in mail: ESMTP behind a login (RFC 6409, in the guide's words)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from zope.interface import Interface

from postmand.interfaces import Recipient
from postmand.internet import Desk, Outbound
from postmand.message.address import Address
from postmand.message.disclosure import Spoken
from postmand.queue.spool import Spool
from postmand.rules.verdict import Verdict
from postmand.servers import sasl
from postmand.servers.cred import Gate, LoginBusyError, WrongLoginError
from postmand.servers.factory import DialogueFactory
from postmand.servers.overheard import Overheard
from postmand.servers.smtp import ESMTP, Answer, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IReactorTime

    from postmand.config import Limits, Submission
    from postmand.counts import Counts

NOT_YOURS = Verdict(
    "not-your-address",
    553,
    "5.7.1",
    "That is not your address; the sender must be the one you log in with",
)
LOGIN_FIRST = Verdict(
    "login-first", 530, "5.7.0", "Authentication required; log in with AUTH"
)


Accepted = Recipient | Outbound | Desk
"""What a recipient's address is found to be."""


class ISubmitter(Interface):
    """A member at the submission server (an avatar), with one transaction at a time."""

    def is_own(address: Address) -> bool:
        """Whether the address is the member's, in either domain."""

    async def recipient(address: Address, size: int) -> Accepted | Verdict:
        """Judge a recipient for a message of `size` octets (0: not known yet).

        One on the Internet is reserved of the member's quota.
        """

    async def accept(
        recipients: Iterable[Accepted], spool: Spool, spoken: Spoken
    ) -> Verdict | None:
        """Wash and keep the message; None means: on disk for all recipients.

        `spoken` is for a desk that tells the member of it, and is not kept.
        """

    def dropped() -> None:
        """Give back what was reserved: the transaction ended without a message."""


class SubmissionServer(ESMTP[Accepted]):
    """One session of a member's mail client."""

    bare_lf_is_refused = False
    verbs: ClassVar[dict[bytes, str]] = {**ESMTP.verbs, b"AUTH": "_auth"}

    def __init__(
        self,
        settings: Submission,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        gate: Gate,
        counts: Counts,
        peer: str,
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
        self._gate = gate
        self._peer = peer
        self._member: ISubmitter | None = None
        self._failures = 0
        self._overheard = Overheard()

    def extensions(self) -> list[bytes]:
        """AUTH, beside what every server of ours announces."""
        return [b"AUTH PLAIN LOGIN"]

    def sender_verdict(self, sender: Address | None) -> Verdict | None:
        """Let only the login's own address pass (guide 7.1)."""
        if self._member is None:
            return LOGIN_FIRST
        if sender is None or not self._member.is_own(sender):
            return NOT_YOURS
        return None

    async def recipient(self, address: Address, size: int) -> Accepted | Verdict:
        """Ask the member's avatar."""
        member = self._member
        if member is None:
            return LOGIN_FIRST
        answer = await member.recipient(address, size)
        if self.lost:
            # `gone` came before what was reserved meanwhile.
            member.dropped()
        return answer

    async def accept(
        self, transaction: Transaction[Accepted], spool: Spool
    ) -> Verdict | None:
        """Ask the member's avatar."""
        if self._member is None:
            return LOGIN_FIRST
        return await self._member.accept(
            transaction.recipients, spool, self._overheard.spoken()
        )

    def dropped(self) -> None:
        """Tell the member's avatar."""
        if self._member is not None:
            self._member.dropped()

    def welcome(self, accepted: Accepted) -> str:
        """Say what is left of the day's quota (guide 7.5)."""
        if isinstance(accepted, Outbound):
            return f"Ok, {accepted.left} Internet recipients left until 0:00 UTC"
        return "Ok"

    def gone(self) -> None:
        """Let go of the member's keys, too."""
        super().gone()
        self._member = None
        self._overheard = Overheard()

    def command(self, line: bytes) -> Answer:
        """Note what the client tells of itself on the way to the command."""
        if not self.awaiting:
            self._overheard.command(line, more=self.waits_behind)
        return super().command(line)

    # AUTH (RFC 4954).

    def _auth(self, argument: bytes) -> Answer:
        mechanism, _, initial = argument.partition(b" ")
        if not self.hello:
            self.protest(503, "5.5.1", "Say EHLO first")
        elif self._member is not None:
            self.protest(503, "5.5.1", "You are logged in already")
        elif self.transaction is not None:
            self.protest(503, "5.5.1", "Not inside a mail transaction")
        elif mechanism.upper() == b"PLAIN":
            return self._ask(self._plain, b"", initial.strip())
        elif mechanism.upper() == b"LOGIN":
            return self._ask(self._login_name, b"VXNlcm5hbWU6", initial.strip())
        else:
            self.protest(504, "5.5.4", "Use AUTH PLAIN or AUTH LOGIN")
        return None

    def _ask(
        self, answer: Callable[[bytes], Answer], challenge: bytes, initial: bytes = b""
    ) -> Answer:
        """Go on with what the client sent along, or challenge it for the answer."""
        if initial:
            return answer(initial)
        self.then(answer)
        self.send(b"334 " + challenge)
        return None

    def _plain(self, response: bytes) -> Answer:
        try:
            return self._log_in(sasl.plain(response))
        except sasl.SASLError:
            return self._bad_response()

    def _login_name(self, response: bytes) -> Answer:
        try:
            name = sasl.decode(response)
        except sasl.SASLError:
            return self._bad_response()

        def password(response: bytes) -> Answer:
            try:
                return self._log_in(sasl.Login(name, sasl.decode(response)))
            except sasl.SASLError:
                return self._bad_response()

        return self._ask(password, b"UGFzc3dvcmQ6")

    def _bad_response(self) -> Answer:
        # "*" cancels, and is no base64 either.
        self.protest(501, "5.5.2", "Authentication was cancelled, or is not base64")
        return None

    async def _log_in(self, login: sasl.Login) -> None:
        try:
            member = await self._gate.enter(login, self._peer, ISubmitter)
        except WrongLoginError:
            self._failures += 1
            self.reply(535, "5.7.8", "Name or password is wrong")
            self.refused()
            if self._failures >= self.limits.login_failures:
                self.say_enough()
                self.close()
        except LoginBusyError:
            self.reply(454, "4.7.0", "Too many logins at once; try again in a minute")
            self.refused()
        else:
            if self.lost:
                return
            self._member = member
            self._overheard.authzid = login.authzid
            self.fine()
            self.admit(self.limits.command_seconds)
            self.reply(235, "2.7.0", "Authentication successful")


class SubmissionFactory(DialogueFactory):
    """Makes the sessions of one submission server."""

    def __init__(
        self,
        settings: Submission,
        limits: Limits,
        reactor: IReactorTime,
        new_spool: Callable[[], Spool],
        gate: Gate,
        counts: Counts,
    ) -> None:
        super().__init__(limits)
        self._settings = settings
        self._reactor = reactor
        self._new_spool = new_spool
        self._gate = gate
        self._counts = counts

    def session(self, peer: str) -> SubmissionServer:
        """Make a session."""
        return SubmissionServer(
            self._settings,
            self.limits,
            self._reactor,
            self._new_spool,
            self._gate,
            self._counts,
            peer,
        )
