# ruff: noqa: D102 - what a transport does, its interfaces say
"""Sessions without sockets: a wire as Twisted's TCP has it, and a house behind it.

The wire keeps what makes a server stumble: a peer's window that fills, a producer that
is paused and resumed, bytes that wait while nothing is read, a connection that is lost
at any moment. Time is a Clock; work for threads is done at once or when a test says.
"""

from __future__ import annotations

import base64
import random
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import (
    LogEvent,
    LogLevel,
    eventAsText,
    formatEvent,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from postmand.config import Accounts, Config, Limits, Node, Pop3, Submission
from postmand.counts import Counts
from postmand.interfaces import Member, Recipient
from postmand.message.limits import Limits as MessageLimits
from postmand.postoffice import Maildrop, OfficeSettings, PostOffice, Submitter
from postmand.queue.spool import Memory, Spool
from postmand.rules.routing import Routing
from postmand.servers.cred import Checker, Gate, Realm
from postmand.servers.maildrop import IMaildrop
from postmand.servers.pop3 import Pop3Factory
from postmand.servers.submission import ISubmitter, SubmissionFactory
from tests.contracts.memory import MemoryStore

BUFFER = 65_536  # Twisted's: over it a producer is paused
READ = 65_536  # the most that one read of a socket brings
SEND = 131_072  # the most that one write to a socket takes

NOON = 1_795_348_800.0
PASSWORD = b"correct horse"
HOST = "127.83.21.9"
PEER = IPv4Address("TCP", HOST, 49_152)


@frozen
class Destination:
    """An I2P peer: it has no host and no port."""

    destination: str


@implementer(ITCPTransport)
class Wire:
    """One connection, seen from the server. `window` is what the peer still reads.

    `said` is what came out at the peer. With a window of None it reads everything.
    """

    def __init__(self, clock: Clock, address: Any = PEER) -> None:
        self.clock = clock
        self.address = address
        self._said = bytearray()
        self.window: int | None = None
        self.unsent = b""
        self.reading = True
        self.connected = True
        self.disconnecting = False
        self.aborted = False
        self.no_delay = False
        self.most_unsent = 0
        self.pauses = 0
        self.protocol: Any = None
        self._producer: Any = None
        self._producer_paused = False

    @property
    def said(self) -> bytes:
        """All that came out at the peer."""
        return bytes(self._said)

    @property
    def heard(self) -> int:
        """How many octets that is."""
        return len(self._said)

    # ITCPTransport, as far as a server uses it.

    def getPeer(self) -> Any:
        return self.address

    def getHost(self) -> Any:
        return IPv4Address("TCP", "127.0.0.1", 2525)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = bool(enabled)

    def getTcpNoDelay(self) -> bool:
        return self.no_delay

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def loseWriteConnection(self) -> None:
        raise NotImplementedError

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.connected:
            return
        self.unsent += data
        self._drain()
        self.most_unsent = max(self.most_unsent, len(self.unsent))
        if len(self.unsent) > BUFFER and self._producer is not None:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSomeData(self, data: bytes) -> int:
        """Write past the buffer, as tcp.Connection's: after a loss it has no socket."""
        if not self.connected:
            raise AttributeError("'Server' object has no attribute 'socket'")
        assert not self.unsent, "octets overtake others"
        taken = min(len(data), SEND)
        if self.window is not None:
            taken = min(taken, self.window)
            self.window -= taken
        self._said += data[:taken]
        return taken

    def _drain(self) -> None:
        taken = len(self.unsent)
        if self.window is not None:
            taken = min(taken, self.window)
            self.window -= taken
        self._said += self.unsent[:taken]
        self.unsent = self.unsent[taken:]

    def read(self, octets: int | None = None) -> None:
        """Let the peer read so much more; None: all, from now on."""
        self.window = None if octets is None else (self.window or 0) + octets
        while self.unsent and self.window != 0:
            self._drain()
            if not self.unsent and self._producer is not None and self._producer_paused:
                self._producer_paused = False
                self._producer.resumeProducing()
        if not self.unsent and self.disconnecting:
            self.clock.callLater(0, self.lose, ConnectionDone())

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            assert self._producer is None, "it waits for the producer to unregister"
            if not self.unsent:
                self.clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        if self.connected and not self.aborted:
            self.aborted = self.disconnecting = True
            self.unsent = b""
            self.clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, error: Exception | None = None) -> None:
        """Lose the connection, as the reactor tells it."""
        if self.connected:
            self.connected = False
            self.unsent = b""
            producer, self._producer = self._producer, None
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(Failure(error or ConnectionLost()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self._producer is None
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.pauses += 1
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()


class Session:
    """A peer's end of one connection to a factory's server."""

    def __init__(self, factory: Factory, clock: Clock, address: Any = PEER) -> None:
        self.clock = clock
        self.wire = Wire(clock, address)
        self.arriving = b""
        self.cut = False
        self.server: Any = factory.buildProtocol(address)
        self.refused = self.server is None
        if self.server is not None:
            self.wire.protocol = self.server
            self.server.makeConnection(self.wire)

    def send(self, data: bytes, chunk: int = READ) -> bytes:
        """Send, in pieces of `chunk`; return what is answered at once."""
        before = self.wire.heard
        self.arriving += data
        self.pump(chunk)
        return bytes(self.wire._said[before:])

    def pump(self, chunk: int = READ) -> None:
        """Let what waits arrive, as far as the server reads, and timers of now run."""
        while True:
            self._run_due()
            if not (self.arriving and self.open and self.wire.reading):
                return
            piece, self.arriving = self.arriving[:chunk], self.arriving[chunk:]
            self.server.dataReceived(piece)

    def _run_due(self) -> None:
        now = self.clock.seconds()
        while any(call.getTime() <= now for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def line(self, line: bytes) -> bytes:
        """Send one line, with CRLF; return the answer."""
        return self.send(line + b"\r\n")

    def codes(self, data: bytes) -> list[int]:
        """Send; return the codes of the SMTP replies that come at once."""
        return reply_codes(self.send(data))

    def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in small steps."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step

    @property
    def said(self) -> bytes:
        """All that came out so far."""
        return self.wire.said

    @property
    def open(self) -> bool:
        """Whether the server still talks to us."""
        return self.wire.connected and not self.wire.disconnecting

    def drop(self) -> None:
        """Lose the connection from outside."""
        self.cut = self.cut or self.wire.connected
        self.wire.lose()
        self._run_due()


def reply_codes(octets: bytes) -> list[int]:
    """Return the code of each SMTP reply (a multi-line one counts once)."""
    assert octets == b"" or octets.endswith(b"\r\n"), octets[-80:]
    lines = octets.split(b"\r\n")[:-1]
    for line in lines:
        assert re.fullmatch(rb"[2-5][0-9][0-9][ -][ -~]*", line), line
    return [int(line[:3]) for line in lines if line[3:4] == b" "]


def plain(name: bytes, password: bytes = PASSWORD, authzid: bytes = b"") -> bytes:
    """Return the response of AUTH PLAIN."""
    return base64.b64encode(b"\0".join((authzid, name, password)))


class Work:
    """Stands for a pool of threads. While `held`, what is asked for waits."""

    def __init__(self) -> None:
        self.held = False
        self.fails: Exception | None = None
        self.calls = 0
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], Any]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        self.calls += 1
        if self.held:
            done: Deferred[Any] = Deferred()
            self.waiting.append((done, function, arguments))
            return done
        if self.fails is not None:
            return execute(self._fail)
        return execute(function, *arguments)

    def _fail(self) -> None:
        assert self.fails is not None
        raise self.fails

    def step(self) -> bool:
        """Do what waits longest; False when nothing does."""
        if not self.waiting:
            return False
        done, function, arguments = self.waiting.pop(0)
        if self.fails is not None:
            execute(self._fail).chainDeferred(done)
        else:
            execute(function, *arguments).chainDeferred(done)
        return True

    def release(self) -> None:
        """Do all that waits, and what comes at once from now on."""
        self.held = False
        while self.step():
            pass


class Held:
    """A seam whose answers wait until a test lets them go, or makes them fail."""

    def __init__(self, seam: Any, *names: str) -> None:
        self._seam = seam
        self._names = names
        self.waiting: list[tuple[Deferred[Any], Callable[[], Deferred[Any]]]] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._seam, name)
        if name not in self._names:
            return method

        def call(*arguments: Any, **named: Any) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            self.waiting.append((done, lambda: method(*arguments, **named)))
            return done

        return call

    def step(self, error: Exception | None = None) -> None:
        """Answer the call that waits longest."""
        done, call = self.waiting.pop(0)
        if error is not None:
            done.errback(error)
        else:
            call().chainDeferred(done)


@define(eq=False)
class House:
    """A mail host without disk and network. `limits` are Limits' fields."""

    limits: Limits = field(factory=Limits)
    submission: Submission = field(factory=Submission)
    accounts: Accounts = field(factory=Accounts)
    mailbox_bytes: int = 52_428_800
    copies_bytes: int | None = None
    aliases: dict[str, str] = field(factory=dict)
    clock: Clock = field(init=False)
    store: MemoryStore = field(init=False)
    washing: Work = field(init=False)
    argon2: Work = field(init=False)
    memory: Memory = field(init=False)
    checker: Checker = field(init=False)
    gate: Gate = field(init=False)
    office: PostOffice = field(init=False)
    spools: list[Spool] = field(factory=list)
    smtp: SubmissionFactory = field(init=False)
    pop3: Pop3Factory = field(init=False)
    directory: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOON)
        self.store = MemoryStore(self.mailbox_bytes)
        self.washing, self.argon2 = Work(), Work()
        self.memory = Memory(self.limits.body_memory)
        self.directory = Path(tempfile.gettempdir())
        config = Config(node=Node(), submission=self.submission, pop3=Pop3())
        self.office = PostOffice(
            OfficeSettings(
                host_name=self.submission.host_name.encode(),
                mail_domain=b"mail.i2p",
                routing=Routing(config.domains, self.aliases),
                message=MessageLimits(),
                mailbox_bytes=self.mailbox_bytes,
                copies_bytes=self.copies_bytes or self.limits.copies_bytes,
                inline_bytes=self.limits.inline_bytes,
                wash_memory=self.limits.wash_memory,
            ),
            self.store.accounts,
            self.store.mailboxes,
            self.store.threads,
            seconds=self.clock.seconds,
            random=random.Random(1),
            in_thread=self.washing,
        )
        self.checker = Checker(
            self.store.accounts,
            self.store.keyring,
            self.argon2,
            self.clock,
            self.accounts,
            self.limits,
            random.Random(2),
        )
        avatars = {
            ISubmitter: lambda member: Submitter(self.office, member),
            IMaildrop: lambda member: Maildrop(self.office, member),
        }
        self.gate = Gate(Portal(Realm(avatars), [self.checker]), config.domains)
        self.smtp = SubmissionFactory(
            self.submission,
            self.limits,
            self.clock,
            self.new_spool,
            self.gate,
            Counts(),
        )
        self.pop3 = Pop3Factory(self.limits, self.clock, self.gate)

    def new_spool(self) -> Spool:
        """Make a spool, and keep it for the test to look at."""
        limits = self.limits
        spool = Spool(self.memory, limits.spool_bytes, self.directory, self.washing)
        self.spools.append(spool)
        return spool

    def member(self, name: str) -> Member:
        """Return an account opened."""
        member: Member = self.store._kept.accounts[name].member
        return member

    def recipient(self, name: str) -> Recipient:
        """Return an account as others see it."""
        member = self.member(name)
        return Recipient(member.account, name, member.public_key, self.mailbox_bytes)

    def put(self, name: str, *messages: bytes) -> None:
        """Put messages into a mailbox as they are."""
        from postmand.interfaces import Copy  # noqa: PLC0415

        for message in messages:
            header, blank, body = message.partition(b"\r\n\r\n")
            copy = Copy(self.recipient(name), header + blank, [body])
            self.store.mailboxes.deliver([copy], {})

    def mailbox(self, name: str) -> list[bytes]:
        """Return what lies in a mailbox, whole messages, oldest first."""
        number = self.member(name).account
        return [
            kept.header + kept.body
            for kept in self.store._kept.messages.values()
            if kept.account == number
        ]

    def submit(self, address: Any = PEER) -> Session:
        """Connect to the submission server."""
        return Session(self.smtp, self.clock, address)

    def collect(self, address: Any = PEER) -> Session:
        """Connect to the POP3 server."""
        return Session(self.pop3, self.clock, address)

    def submitting(self, name: bytes = b"jondoe", address: Any = PEER) -> Session:
        """Connect to the submission server and log in."""
        session = self.submit(address)
        session.line(b"EHLO localhost")
        assert session.codes(b"AUTH PLAIN " + plain(name) + b"\r\n") == [235]
        return session

    def collecting(self, name: bytes = b"jondoe", address: Any = PEER) -> Session:
        """Connect to the POP3 server and log in."""
        session = self.collect(address)
        answer = session.send(b"USER %s\r\nPASS %s\r\n" % (name, PASSWORD))
        assert answer.count(b"+OK") == 2, answer
        return session

    def data(self, *names: bytes) -> Session:
        """Connect and go as far as the 354."""
        session = self.submitting()
        session.send(b"MAIL FROM:<jondoe@mail.i2p>\r\n")
        for name in names or (b"alice",):
            assert session.codes(b"RCPT TO:<%s@mail.i2p>\r\n" % name) == [250]
        assert session.codes(b"DATA\r\n") == [354]
        return session


class HouseCase(SynchronousTestCase):
    """A test with a house of three members, and an eye on what is logged.

    Anything that is logged as a fault fails the test, unless it calls `faults()`.
    `traces` are octets that no event of the log may hold in any form.
    """

    settings: dict[str, Any] = {}  # noqa: RUF012 - a class sets it once
    traces = (HOST, "49152", "correct horse")

    def setUp(self) -> None:
        """Build the house and listen to the log."""
        self.events: list[LogEvent] = []
        self._taken = 0
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(self._check_log)
        self.house = self.build()

    def build(self, **changes: Any) -> House:
        """Return a house; `changes` are fields of Limits, or of House."""
        settings = {**self.settings, **changes}
        own = {
            name: settings.pop(name)
            for name in ("submission", "accounts", "mailbox_bytes", "aliases")
            if name in settings
        }
        house = House(limits=evolve(Limits(), **settings), **own)
        for name in ("jondoe", "alice", "bob"):
            house.store.add(name, PASSWORD)
        return house

    def logged(self) -> str:
        """Return all that was logged so far, in every form an observer could write."""
        return "\n".join(
            f"{eventAsText(event)}\n{formatEvent(event)}\n{event!r}"
            for event in self.events
        )

    def faults(self) -> int:
        """Return how many faults were logged since this was asked last."""
        found = [one for one in self.events[self._taken :] if _is_fault(one)]
        self._taken = len(self.events)
        return len(found)

    def _check_log(self) -> None:
        globalLogPublisher.removeObserver(self.events.append)
        logged = self.logged()
        for trace in self.traces:
            self.assertNotIn(trace, logged)
        unexpected = [one for one in self.events[self._taken :] if _is_fault(one)]
        self.assertEqual([formatEvent(one) for one in unexpected], [])


def _is_fault(event: LogEvent) -> bool:
    return event.get("log_level", LogLevel.info) >= LogLevel.warn
