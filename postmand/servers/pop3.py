"""Where members collect mail (RFC 1939, 2449, 3206, 5034; the guide's words)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from postmand.interfaces import LoginOverError, StoreBusyError, Stored
from postmand.servers import sasl
from postmand.servers.cred import Gate, LoginBusyError, WrongLoginError
from postmand.servers.dialogue import Dialogue
from postmand.servers.factory import DialogueFactory
from postmand.servers.maildrop import Holders, IMaildrop
from postmand.servers.retrieval import let_go, send_message

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from postmand.config import Limits

Answer = Coroutine[Any, Any, None] | None

_CAPABILITIES = (
    b"USER",
    b"TOP",
    b"UIDL",
    b"PIPELINING",
    b"RESP-CODES",
    b"AUTH-RESP-CODE",
    b"SASL PLAIN",
    b"EXPIRE NEVER",
)


class Pop3Server(Dialogue):
    """One session."""

    def __init__(
        self,
        limits: Limits,
        reactor: IReactorTime,
        gate: Gate,
        holders: Holders,
        peer: str,
    ) -> None:
        super().__init__(limits, reactor)
        self._gate = gate
        self._holders = holders
        self._peer = peer
        self._name: bytes | None = None
        self._drop: Any = None
        self._deleted: set[int] = set()
        self._count = 0
        self._octets = 0
        self._failures = 0
        self._heard = reactor.seconds()
        self._next: Callable[[bytes], Answer] | None = None

    # Replies.

    def ok(self, text: bytes = b"") -> None:
        """Send a positive answer."""
        self.fine()
        self.send(b"+OK " + text if text else b"+OK")

    def err(self, text: bytes) -> None:
        """Send a negative answer and count it as an error of the peer's."""
        self.send(b"-ERR " + text)
        self.erred()

    def no(self, text: bytes) -> None:
        """Send a negative answer to a sound question."""
        self.send(b"-ERR " + text)
        self.refused()

    def greeting(self) -> bytes:
        """No APOP stamp: it would show a process id and a clock."""
        return b"+OK ready"

    def say_too_long(self) -> None:
        """See Dialogue."""
        self.send(b"-ERR Line too long; closing the connection")

    def say_timeout(self) -> None:
        """See Dialogue."""
        self.send(b"-ERR [SYS/TEMP] Silent for too long; closing the connection")

    def say_fault(self) -> None:
        """See Dialogue."""
        self.send(b"-ERR [SYS/TEMP] A fault of this server; try again later")

    def say_enough(self) -> None:
        """See Dialogue."""
        self.send(b"-ERR Too many errors; closing the connection")

    # Commands.

    def command(self, line: bytes) -> Answer:
        """Dispatch one line to its verb, or to the exchange that waits for it."""
        self.stir()
        if self._next is not None:
            waiting, self._next = self._next, None
            return waiting(line)
        verb, _, argument = line.partition(b" ")
        verb = verb.strip().upper()
        if verb != b"PASS":  # spaces belong to a password
            argument = argument.strip()
        known = _ANYWHERE.get(verb) or (
            _TRANSACTION if self._drop is not None else _AUTHORIZATION
        ).get(verb)
        if known is not None:
            return known(self, argument)
        if verb in _TRANSACTION:
            self.err(b"Log in first")
        elif verb in _AUTHORIZATION:
            self.err(b"You are logged in already")
        else:
            self.err(b"Command not recognised")
        return None

    def stir(self) -> None:
        """Note that the peer is there: it spoke, or took what we sent."""
        self._heard = self.reactor.seconds()

    def gives_way(self) -> bool:
        """End a session whose peer went silent; its deletes are dropped."""
        if self.reactor.seconds() - self._heard < self.limits.pop3_silent_seconds:
            return False
        self.close(abort=True)
        return True

    def gone(self) -> None:
        """Give the mailbox back; nothing is deleted."""
        drop, self._drop = self._drop, None
        if drop is not None:
            drop.close()
            self._holders.give(drop.account, self.gives_way)

    def _capa(self, _: bytes) -> None:
        self.ok(b"Capability list follows")
        self.send(b"\r\n".join(_CAPABILITIES) + b"\r\n.")

    def _noop(self, _: bytes) -> None:
        self.ok()

    # Before the login.

    def _user(self, name: bytes) -> None:
        if not name:
            self.err(b"USER needs a name")
            return
        self._name = name
        self.ok(b"Password required for " + _shown(name))

    def _pass(self, password: bytes) -> Answer:
        if self._name is None:
            self.err(b"Say USER first")
            return None
        name, self._name = self._name, None
        if not password:
            self.err(b"PASS needs a password")
            return None
        return self._log_in(sasl.Login(name, password))

    def _auth(self, argument: bytes) -> Answer:
        """AUTH (RFC 5034): PLAIN, with its response along or on the next line."""
        mechanism, _, initial = argument.partition(b" ")
        if not mechanism:
            self.ok(b"Mechanisms follow")
            self.send(b"PLAIN\r\n.")
        elif mechanism.upper() != b"PLAIN":
            self.err(b"Use AUTH PLAIN, or USER and PASS")
        elif initial:
            return self._plain(initial)
        else:
            self._next = self._plain
            self.send(b"+ ")
        return None

    def _plain(self, response: bytes) -> Answer:
        try:
            return self._log_in(sasl.plain(response))
        except sasl.SASLError:
            self.err(b"Authentication was cancelled, or is not base64")
            return None

    async def _log_in(self, login: sasl.Login) -> None:
        try:
            drop = await self._gate.enter(login, self._peer, IMaildrop)
        except WrongLoginError:
            self._failures += 1
            self.no(b"[AUTH] Name or password is wrong")
            if self._failures >= self.limits.login_failures:
                self.say_enough()
                self.close()
            return
        except LoginBusyError:
            self.no(b"[SYS/TEMP] Too many logins at once; try again in a minute")
            return
        if self.lost:
            return
        if not self._holders.take(drop.account, self.gives_way):
            self.no(b"[IN-USE] Another session has this mailbox open")
            return
        try:
            await drop.open()
        except BaseException:
            self._holders.give(drop.account, self.gives_way)
            raise
        if self.lost:
            self._holders.give(drop.account, self.gives_way)
            return
        self._drop = drop
        self._undelete()
        self.admit(self.limits.pop3_idle_seconds)
        plural = b"" if self._count == 1 else b"s"
        self.ok(
            b"%s has %d visible message%s (0 hidden) in %d octets."
            % (_shown(login.name), self._count, plural, self._octets)
        )

    def _undelete(self) -> None:
        """Mark no message as deleted."""
        self._deleted.clear()
        self._count = len(self._drop.sizes)
        self._octets = sum(self._drop.sizes)

    # After it.

    def _kept(self) -> Iterator[tuple[int, int]]:
        """Yield (number, size) of every message not marked deleted."""
        for index, size in enumerate(self._drop.sizes):
            if index not in self._deleted:
                yield index + 1, size

    def _number(self, argument: bytes) -> int | None:
        """Return the index of the message named; answer and return None for none."""
        if not argument.isdigit() or len(argument) > 9:
            self.err(b"Give the number of a message")
            return None
        index = int(argument) - 1
        if not 0 <= index < len(self._drop.sizes):
            self.no(b"There is no such message")
        elif index in self._deleted:
            self.no(b"That message is marked as deleted")
        else:
            return index
        return None

    def _stat(self, _: bytes) -> None:
        self.ok(b"%d %d" % (self._count, self._octets))

    def _list(self, argument: bytes) -> Answer:
        return self._listing(argument, lambda _, size: b"%d" % size)

    def _uidl(self, argument: bytes) -> Answer:
        return self._listing(argument, lambda index, _: self._drop.uid(index))

    def _listing(self, argument: bytes, shown: Callable[[int, int], bytes]) -> Answer:
        if not argument:
            return self._list_all(shown)
        index = self._number(argument)
        if index is not None:
            self.ok(b"%d %s" % (index + 1, shown(index, self._drop.sizes[index])))
        return None

    async def _list_all(self, shown: Callable[[int, int], bytes]) -> None:
        self.ok(b"Listing follows")
        lines: list[bytes] = []
        for number, size in self._kept():
            lines.append(b"%d %s\r\n" % (number, shown(number - 1, size)))
            if len(lines) >= 1000:
                self.say(b"".join(lines))
                lines = []
                if not await self.room():
                    return
        self.say(b"".join([*lines, b".\r\n"]))

    def _retr(self, argument: bytes) -> Answer:
        index = self._number(argument)
        return None if index is None else self._retrieve(index)

    async def _retrieve(self, index: int) -> None:
        stored = await self._fetched(self._drop.message(index))
        if stored is None:
            return
        size = self._drop.sizes[index]
        await send_message(self, stored, b"+OK %d octets\r\n" % size, None)

    def _top(self, argument: bytes) -> Answer:
        number, _, lines = argument.partition(b" ")
        lines = lines.strip()
        if not lines.isdigit() or len(lines) > 9:
            self.err(b"Write it as TOP message lines")
            return None
        index = self._number(number)
        return None if index is None else self._head(index, int(lines))

    async def _head(self, index: int, lines: int) -> None:
        drop = self._drop
        stored = await self._fetched(
            drop.message(index) if lines else drop.header(index)
        )
        if stored is not None:
            await send_message(self, stored, b"+OK Top of message follows\r\n", lines)

    async def _fetched(self, fetching: Awaitable[Stored]) -> Stored | None:
        """Return the message, or answer that it is gone (None)."""
        try:
            stored = await fetching
        except LookupError:
            self.no(b"That message is gone")
            return None
        except LoginOverError:
            self._log_out()
            return None
        if self.lost:
            let_go(stored)
            return None
        return stored

    def _dele(self, argument: bytes) -> None:
        index = self._number(argument)
        if index is not None:
            self._deleted.add(index)
            self._count -= 1
            self._octets -= self._drop.sizes[index]
            self.ok()

    def _rset(self, _: bytes) -> None:
        self._undelete()
        self.ok()

    def _quit(self, _: bytes) -> Answer:
        if self._drop is None or not self._deleted:
            self._bye()
            return None
        return self._commit()

    async def _commit(self) -> None:
        """Delete, and say so only once it is on disk (RFC 1939 6)."""
        try:
            await self._drop.remove(sorted(self._deleted))
        except StoreBusyError:
            self.send(b"-ERR [SYS/TEMP] Nothing was deleted; try again later")
            self.close()
            return
        except LoginOverError:
            self._log_out()
            return
        self._bye()

    def _log_out(self) -> None:
        self.send(b"-ERR [AUTH] Your account was changed; log in again")
        self.close()

    def _bye(self) -> None:
        self.ok(b"OK - Bye")
        self.gone()
        self.close()


_ANYWHERE = {b"CAPA": Pop3Server._capa, b"QUIT": Pop3Server._quit}
_AUTHORIZATION = {
    b"USER": Pop3Server._user,
    b"PASS": Pop3Server._pass,
    b"AUTH": Pop3Server._auth,
}
_TRANSACTION = {
    b"STAT": Pop3Server._stat,
    b"LIST": Pop3Server._list,
    b"UIDL": Pop3Server._uidl,
    b"RETR": Pop3Server._retr,
    b"TOP": Pop3Server._top,
    b"DELE": Pop3Server._dele,
    b"RSET": Pop3Server._rset,
    b"NOOP": Pop3Server._noop,
}


def _shown(name: bytes) -> bytes:
    """Return what of a login name may stand in an answer."""
    return bytes(octet for octet in name[:64] if 0x21 <= octet <= 0x7E)


class Pop3Factory(DialogueFactory):
    """Makes the sessions of one POP3 server."""

    def __init__(self, limits: Limits, reactor: IReactorTime, gate: Gate) -> None:
        super().__init__(limits)
        self._reactor = reactor
        self._gate = gate
        self._holders = Holders()

    def session(self, peer: str) -> Pop3Server:
        """Make a session."""
        return Pop3Server(self.limits, self._reactor, self._gate, self._holders, peer)
