"""The servers on a stage: real protocols and post office, no socket, no disk, no time.

The wiring is the node's own with a store in memory. A `pace` says how things arrive:
`prompt` answers at once, `late` lets every look into the store take a while, `dribble`
brings each octet of the client by itself.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from postmand.config import (
    Accounts,
    Config,
    Exchange,
    Limits,
    Mailboxes,
    Pop3,
    Submission,
)
from postmand.counts import Counts
from postmand.interfaces import Copy, Member
from postmand.mailhost import _office_settings
from postmand.postoffice import Maildrop, PostOffice, Submitter
from postmand.queue.spool import Memory, Spool
from postmand.servers.cred import Checker, Gate, Realm
from postmand.servers.pop3 import IMaildrop, Pop3Factory
from postmand.servers.submission import ISubmitter, SubmissionFactory
from tests.contracts.memory import MemoryStore
from tests.dialogues.internet import exchange

PACES = ("prompt", "late", "dribble")
PASSWORD = "thepassword"
STEP = 0.05


class Link(StringTransport):
    """A connection whose server side may hang up."""

    closed = False

    def loseConnection(self) -> None:
        """Note that the server hung up."""
        self.closed = True

    def abortConnection(self) -> None:
        """Note that the server hung up, what it said before being lost or not."""
        self.closed = True


class Late:
    """A seam whose Deferreds fire a step of the clock later."""

    def __init__(self, seam: Any, clock: Clock) -> None:
        self._seam = seam
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._seam, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            if not isinstance(result, Deferred):
                return result
            return deferLater(self._clock, STEP, lambda: result)

        return call


class Session:
    """One connection, seen from the client."""

    def __init__(self, stage: Stage, protocol: Any) -> None:
        self.link = Link(IPv4Address("TCP", "127.0.0.1", 31_337))
        self._stage = stage
        self._protocol = protocol
        self._unsent = b""
        self._gone = False
        protocol.makeConnection(self.link)

    def send(self, data: bytes) -> None:
        """Send octets; they wait where the server does not read."""
        self._unsent += data
        self._pump()

    def _pump(self) -> None:
        size = 1 if self._stage.pace == "dribble" and len(self._unsent) < 4096 else 1460
        while self._unsent and not self.link.closed:
            if self.link.producerState != "producing":
                return
            piece, self._unsent = self._unsent[:size], self._unsent[size:]
            self._protocol.dataReceived(piece)
        self._settle()

    def _settle(self) -> None:
        if self.link.closed and not self._gone:
            self.hang_up()

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        while seconds > 0:
            self._stage.clock.advance(min(STEP, seconds))
            seconds -= STEP
            self._pump()

    def line(self) -> bytes | None:
        """Return the server's next line, waiting some seconds for it; None: no line."""
        for _ in range(400):
            said = self.link.value()
            line, found, rest = said.partition(b"\r\n")
            if found:
                self.link.clear()
                self.link.write(rest)
                return line
            if self.link.closed:
                break
            self.advance(STEP)
        return None

    def rest(self) -> bytes:
        """Return all that the server says within a second."""
        self.advance(1.0)
        said = self.link.value()
        self.link.clear()
        return said

    def hang_up(self) -> None:
        """End the connection, from whichever side."""
        if not self._gone:
            self._gone = True
            self._protocol.connectionLost(Failure(ConnectionDone()))


class Stage:
    """The node in memory, with the members it is given."""

    def __init__(
        self, directory: Path, pace: str = "prompt", **settings: dict[str, Any]
    ) -> None:
        self.pace = pace
        self.clock = Clock()
        self.config = Config(
            submission=Submission(**settings.get("submission", {})),
            pop3=Pop3(),
            mailboxes=Mailboxes(**settings.get("mailboxes", {})),
            accounts=Accounts(),
            aliases={"postmaster": "jondoe"},
            limits=Limits(**settings.get("limits", {})),
            exchange=Exchange(**{"banner_seconds": 0.0} | settings.get("exchange", {})),
        )
        self.store = MemoryStore(self.config.mailboxes.max_bytes)
        self.members: dict[str, Member] = {}
        self._directory = directory
        self._factories = self._wire()

    def _seam(self, seam: Any) -> Any:
        return Late(seam, self.clock) if self.pace == "late" else seam

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        done = execute(function, *arguments)
        if self.pace != "late":
            return done
        return deferLater(self.clock, STEP, lambda: done)

    def _wire(self) -> dict[str, Any]:
        config, limits, store = self.config, self.config.limits, self.store
        accounts = self._seam(store.accounts)
        office = PostOffice(
            _office_settings(config),
            accounts,
            self._seam(store.mailboxes),
            self._seam(store.threads),
            seconds=lambda: 1_795_343_411.0,
            random=random.Random(7),
            in_thread=self._in_thread,
        )
        checker = Checker(
            accounts,
            store.keyring,
            self._in_thread,
            self.clock,
            config.accounts,
            limits,
            random.Random(8),
        )
        avatars = {
            ISubmitter: lambda member: Submitter(office, member),
            IMaildrop: lambda member: Maildrop(office, member),
        }
        gate = Gate(Portal(Realm(avatars), [checker]), config.domains)
        memory = Memory(limits.body_memory)

        def new_spool() -> Spool:
            return Spool(memory, limits.spool_bytes, self._directory, self._in_thread)

        return {
            "smtp": SubmissionFactory(
                config.submission, limits, self.clock, new_spool, gate, Counts()
            ),
            "pop3": Pop3Factory(limits, self.clock, gate),
            "exchange": exchange(
                config, store, self._seam, new_spool, self._in_thread, self.clock
            ),
        }

    def add(self, name: str) -> None:
        """Make an account; every member has the same password."""
        self.members[name] = self.store.add(name, PASSWORD.encode())

    def connect(self, server: str) -> Session:
        """Open a connection to `smtp`, `pop3` or `exchange`."""
        address = IPv4Address("TCP", "127.0.0.1", 31_337)
        return Session(self, self._factories[server].buildProtocol(address))

    def put(self, name: str, subject: str) -> None:
        """Put a letter into a mailbox, past every server."""
        member = self.members[name]
        copies: list[Copy] = []

        def ready(recipient: Any) -> None:
            header = f"Subject: {subject}\r\n\r\n".encode()
            body = f"The text of {subject}\r\n.dot\r\nthird line\r\n".encode()
            copies.append(Copy(recipient, header, [body]))

        self.store.accounts.recipient(member.name).addCallback(ready)
        self.store.mailboxes.deliver(copies, {})

    def mailbox(self, name: str) -> list[bytes]:
        """Return what lies in a mailbox."""
        found: list[bytes] = []
        mailboxes, member = self.store.mailboxes, self.members[name]

        def opened(stored: Any) -> None:
            for one in stored:
                rest = one.more._rest if one.more is not None else b""
                found.append(one.header + one.body + rest)

        mailboxes.entries(member).addCallback(
            lambda entries: mailboxes.read(member, entries)
        ).addCallback(opened)
        return found


def plain(name: str, password: str = PASSWORD) -> str:
    """Return the response of AUTH PLAIN."""
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()
