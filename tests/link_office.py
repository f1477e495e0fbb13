"""The mail host's end of the link for tests: a fake office behind a real HostLink."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from nacl.public import PrivateKey
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from postmand.config import Gateway, Inbound, Limits
from postmand.counts import Counts
from postmand.inbound import Crate, IOffice
from postmand.internet import Reply
from postmand.queue.spool import Memory, Spool
from postmand.servers.hostlink import HostLink
from postmand.store import crates
from tests.sessions import Work

SECRET = PrivateKey.generate()
PUBLIC = bytes(SECRET.public_key)
MOST = 1_000_000
PLAIN = (Gateway("tcp:127.0.0.1:2526"),)
KEPT = Reply(250, "2.0.0", "Ok: kept")
UNKNOWN = Reply(550, "5.1.1", "No such mailbox")


def crate(body: bytes = b"Hello\r\n", *recipients: bytes) -> Crate:
    """Make a crate."""
    to = recipients or (b"alice@mail.i2p",)
    header = b"From: carol@example.org\r\n\r\n"
    return Crate(b"carol@example.org", to, b"mx; spf=pass", True, header, (body,))


def sealed(*of: Any) -> bytes:
    """Make a sealed crate."""
    return b"".join(crates.seal(crate(*of), PUBLIC))


def bdat(octets: bytes) -> bytes:
    """Return what hands a crate over."""
    return b"BDAT %d LAST\r\n" % len(octets) + octets


@implementer(IOffice)
class Office:
    """Knows alice, and says what it is told to. While `held`, crates wait."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bytes, int]] = []
        self.taken: list[tuple[int, Crate]] = []
        self.live: list[bool] = []
        self.says = KEPT
        self.held = False
        self.waiting: list[Deferred[Reply]] = []
        self.fails: Exception | None = None

    def recipient(self, gateway: int, address: bytes, size: int) -> Deferred[Reply]:
        """Answer at once."""
        self.asked.append((gateway, address, size))
        known = address == b"alice@mail.i2p"
        return succeed(Reply(250, "2.1.5", "Ok") if known else UNKNOWN)

    def accept(
        self, gateway: int, crate: Crate, *, live: bool = False
    ) -> Deferred[Reply]:
        """Note it."""
        if self.fails is not None:
            raise self.fails
        self.live.append(live)
        self.taken.append((gateway, crate))
        if not self.held:
            return succeed(self.says)
        waiting: Deferred[Reply] = Deferred()
        self.waiting.append(waiting)
        return waiting

    @property
    def bodies(self) -> list[bytes]:
        """The bodies that were taken."""
        return [b"".join(crate.body) for _, crate in self.taken]


class HostHouse:
    """A HostLink on a clock, with an office, a thread pool and a spool of its own."""

    def __init__(
        self,
        reactor: Any,
        gateways: Sequence[Gateway] = PLAIN,
        inbound: Inbound | None = None,
        *,
        identity: bytes = b"",
        retired: Callable[[str], bool] = lambda _: False,
        work: Any = None,
        office: Any = None,
        most: int = MOST,
        **limits: Any,
    ) -> None:
        self.office = Office() if office is None else office
        self.work = Work() if work is None else work
        self.counts = Counts()
        self.limits = evolve(Limits(), **limits)
        self.directory = tempfile.TemporaryDirectory()
        self.memory = Memory(self.limits.body_memory)
        self.link = HostLink(
            gateways,
            inbound or Inbound(),
            self.limits,
            host_name=b"mail.i2p",
            max_message_bytes=most,
            max_crate_bytes=crates.most_octets(most),
            identity=identity,
            office=self.office,
            open_sealed=crates.opener(PUBLIC, bytes(SECRET)),
            new_spool=self.new_spool,
            in_thread=self.work,
            reactor=reactor,
            counts=self.counts,
            retired=retired,
        )

    def new_spool(self) -> Spool:
        """Make a spool."""
        keep = self.limits.spool_bytes
        return Spool(self.memory, keep, Path(self.directory.name), self.work)

    def close(self) -> None:
        """Remove what was written."""
        self.directory.cleanup()
