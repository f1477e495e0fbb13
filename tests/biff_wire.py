"""biff on a wire in memory: endpoint, server, and the store's own SQL behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from postmand.biff.casemap import is_nick
from postmand.biff.service import service
from postmand.claims import Claims
from postmand.config import Accounts, Biff, Limits
from postmand.interfaces import Credential
from postmand.notice import IClaims
from postmand.servers.cred import Checker
from postmand.store.accounts import read_account
from postmand.store.tokens import Mint, Tokens
from postmand.store.watches import Roll, Watches
from tests.contracts.queue_cases import NODE_KEY, RealQueueCase
from tests.sessions import Work

DOMAINS = frozenset((b"mail.i2p", b"i2pmail.org"))
HOST = b"services.example"
# Stands in what people say and are called.
SAID = b"zqSAIDqz"
# The bot's own password.
SECRET = b"zqSECRETqz"


class Wire(StringTransport):
    """Tells the protocol when it is closed, unless it hangs."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.hangs = False

    def loseConnection(self) -> None:
        """Close, now or never."""
        super().loseConnection()
        if not self.hangs:
            self.end()

    def abortConnection(self) -> None:
        """Close at once."""
        self.end()

    def end(self) -> None:
        """Be gone."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Server:
    """An endpoint that takes every connection, or refuses, or never answers."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.wires: list[Wire] = []
        self.times: list[float] = []
        self.refuses = False
        self.is_silent = False

    def connect(self, factory: Any) -> Deferred[Any]:
        """See IStreamClientEndpoint."""
        self.times.append(self.clock.seconds())
        if self.refuses:
            return fail(ConnectError())
        if self.is_silent:
            return Deferred(lambda _self: None)
        protocol = factory.buildProtocol(None)
        wire = Wire(protocol)
        self.wires.append(wire)
        done: Deferred[Any] = Deferred()
        protocol.makeConnection(wire)
        done.callback(protocol)
        return done

    def say(self, *lines: bytes) -> None:
        """Say these lines over the last connection."""
        self.wires[-1].protocol.dataReceived(b"".join(one + b"\r\n" for one in lines))

    def let_in(self) -> None:
        """Welcome, and let into the channel."""
        self.say(
            b":irc.test CAP * LS :",
            b":irc.test 001 biff :Hi",
            b":irc.test 376 biff :End",
            b":biff!b@h JOIN #mail.i2p",
        )


@frozen
class Disk:
    """The store's one connection: reads and writes at once, without threads."""

    connection: Any

    def call(self, read: Callable[[Any], Any]) -> Deferred[Any]:
        """See Crew."""
        return execute(read, self.connection)

    change = call

    def credential(self, name: str) -> Deferred[Credential | None]:
        """See IAccounts."""
        known = read_account(self.connection, name)
        return succeed(known and known.credential)


@frozen
class Careful:
    """Claims that look at what they are asked."""

    claims: IClaims
    asked: list[tuple[bytes, bytes]] = field(factory=list)

    def watch(
        self, address: bytes, secret: bytes, peer: str, tag: bytes
    ) -> Deferred[Any]:
        """See IClaims."""
        assert not set(address + secret) & set(b"\0\r\n")
        assert secret
        self.asked.append((address, secret))
        return self.claims.watch(address, secret, peer, tag)


@define
class Ircd:
    """The server's lawful side: reads what the bot writes, and answers it."""

    wire: Any
    clock: Clock
    read: int = 0
    written: list[tuple[float, bytes]] = field(factory=list)

    def hear(self, octets: bytes) -> int:
        """Let octets arrive; return how many lines the bot wrote at once."""
        self.wire.protocol.dataReceived(octets)
        return self.answer()

    def say(self, *lines: bytes) -> None:
        """Say whole lines."""
        for line in lines:
            self.wire.protocol.dataReceived(line + b"\r\n")

    def answer(self) -> int:
        """Read what was written since the last time, and answer; return its lines."""
        count = 0
        while len(self.wire.value()) > self.read:
            octets = self.wire.value()[self.read :]
            self.read += len(octets)
            assert octets.endswith(b"\r\n"), "half a line"
            for line in octets[:-2].split(b"\r\n"):
                assert len(line) <= 510, "too long"
                assert not set(line) & set(b"\0\r\n"), "a control character"
                if line.startswith(b"NOTICE "):
                    assert is_nick(line.split(b" ")[1]), "to more than one"
                if SECRET in line:
                    assert line.startswith((b"PRIVMSG NickServ@" + HOST, b"SQUERY "))
                count += 1
                self.written.append((self.clock.seconds(), line))
                self._answer(line)
        return count

    def _answer(self, line: bytes) -> None:
        command, *params = line.split(b" ")
        match command, params:
            case b"USER", _:
                self.say(
                    b":irc.test 001 biff :Hi",
                    b":irc.test 005 biff CASEMAPPING=rfc1459 WHOX :are here",
                    b":irc.test 376 biff :End",
                )
            case b"CAP", [b"LS", *_]:
                self.say(b":irc.test CAP * LS :extended-join account-tag sasl")
            case b"CAP", [b"REQ", name]:
                self.say(b":irc.test CAP * ACK :" + name.lstrip(b":"))
            case b"JOIN", [channel]:
                self.say(b":biff!b@h JOIN " + channel)
            case b"NAMES", [channel]:
                self.say(
                    b":irc.test 353 biff = %b :biff @alice eve" % channel,
                    b":irc.test 366 biff %b :End" % channel,
                )
            case b"WHOIS", [nick]:
                account = nick.lower() in (b"alice", b"eve", b"biff") and nick
                told = [b":irc.test 330 biff %b %b :is" % (nick, nick)]
                self.say(
                    b":irc.test 311 biff %b u h * :name" % nick,
                    *(told if account else ()),
                    b":irc.test 318 biff %b :End" % nick,
                )
            case b"PRIVMSG", [_, b":ACC", nick]:
                self.say(b":NickServ!s@%b NOTICE biff :%b ACC 1" % (HOST, nick))
            case b"PRIVMSG", [_, b":IDENTIFY", *_]:
                self.say(b":NickServ!s@%b NOTICE biff :You are in" % HOST)
            case b"PING", [word]:
                self.say(b":irc.test PONG irc.test " + word)


class House:
    """biff on a wire and on a disk."""

    def __init__(self, connection: Any, keyring: Any, **chosen: Any) -> None:
        self.clock = Clock()
        self.server = Server(self.clock)
        disk: Any = Disk(connection)
        self.connection = connection
        tokens = Tokens(disk, disk, self.wall, Mint(NODE_KEY))
        checker = Checker(
            disk, keyring, Work(), self.clock, Accounts(), Limits(), Random(3)
        )
        watches = Watches(disk, disk, Roll(NODE_KEY, 10, 5))
        self.claims = Careful(Claims(checker, DOMAINS, tokens, watches))
        self.config = Biff(services_host=HOST.decode(), **chosen)
        self.biff = service(
            self.config,
            self.server,
            SECRET.decode(),
            watches,
            self.claims,
            reactor=self.clock,
            random=Random(3),
            wall=self.wall,
            domains=DOMAINS,
            mail_domain=b"mail.i2p",
        )
        self.biff.startService()
        self.ircd = Ircd(self.server.wires[0], self.clock)
        self.ircd.answer()
        self.wait(5)

    @property
    def line(self) -> Any:
        """What the bot speaks through."""
        return self.biff._connection.line

    def wall(self) -> float:
        """Return a time within a day of 2024."""
        return 20_000 * 86_400.0 + self.clock.seconds()

    def wait(self, seconds: float) -> None:
        """Let time pass, and answer what is asked meanwhile."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.ircd.answer()

    def heard_by(self, nick: bytes) -> list[bytes]:
        """Return what was said to somebody."""
        head = b"NOTICE " + nick + b" :"
        return [line for _, line in self.ircd.written if line.startswith(head)]

    def ask(self, nick: bytes, text: bytes, seconds: float = 15.0) -> list[bytes]:
        """Say something in private; return the answers."""
        before = len(self.heard_by(nick))
        self.ircd.say(b":%b!u@h PRIVMSG %b :%b" % (nick, self.line.nick, text))
        self.wait(seconds)
        return self.heard_by(nick)[before:]


class Case(RealQueueCase):
    """A store whose one connection is biff's alone."""

    def setUp(self) -> None:
        """Two members."""
        super().setUp()
        for name in ("alice", "bob"):
            self.add(name)
        self.disk = self.connection()

    @contextmanager
    def house(self, **chosen: Any) -> Iterator[House]:
        """Biff for a while; what it wrote is undone, and what it logged looked at."""
        logged: list[Any] = []
        self.disk.execute("BEGIN")
        globalLogPublisher.addObserver(logged.append)
        try:
            house = House(self.disk, self.store.keyring, **chosen)
            yield house
            written = "\n".join(self.disk.iterdump())
            assert SAID.decode() not in written, "on the disk"
        finally:
            globalLogPublisher.removeObserver(logged.append)
            self.disk.execute("ROLLBACK")
        for event in logged:
            assert event.get("log_level") not in (LogLevel.error, LogLevel.critical), (
                event
            )
            assert "log_failure" not in event, event
            assert SAID.decode() not in repr(event), event
            assert SECRET.decode() not in repr(event), event
