"""The exchange on the stage, in an Internet of a few domains.

    example.org        has a mail server
    nowhere.example    has neither MX nor address
    lost.example       can not be looked up now
    null.example       takes no mail (RFC 7505)
    private.example    has an MX at 10.0.0.1
    stranger.example   was never seen before: the greylist says to wait
    forged.example     asks to reject what fails DMARC, and this fails

The mail host behind it is the stage's own store, without washing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from postmand.config import Config
from postmand.counts import Counts
from postmand.inbound import Crate
from postmand.interfaces import Copy
from postmand.internet import Reply
from postmand.message.authentication import Authenticated
from postmand.queue.spool import Spool
from postmand.rules.facts import Domain, Facts, Host, Session
from postmand.servers.exchange import Entrance, ExchangeFactory
from postmand.servers.reception import Reception, ReceptionSettings
from tests.contracts.memory import MemoryStore

_DOMAINS = {
    "example.org": Domain("example.org", mx="found"),
    "nowhere.example": Domain("nowhere.example", mx="none", address="none"),
    "lost.example": Domain("lost.example", mx="failed"),
    "null.example": Domain("null.example", mx="found", null_mx=True),
    "private.example": Domain(
        "private.example",
        mx="found",
        hosts=(Host("MX", "mx.private.example", "10.0.0.1", "private"),),
    ),
    "stranger.example": Domain("stranger.example", mx="found"),
    "forged.example": Domain("forged.example", mx="found"),
}


@frozen
class _Inquiry:
    _facts: Facts

    async def facts(self) -> Facts:
        return self._facts

    async def greylist(self, _: bytes) -> str:
        return "wait" if self._facts.domain.name == "stranger.example" else "known"

    def end(self) -> None:
        pass


class _Evidence:
    def begin(self, peer: str, session: Session, sender: bytes) -> _Inquiry:
        name = sender.rpartition(b"@")[2].decode()
        domain = _DOMAINS.get(name, Domain(name))
        return _Inquiry(Facts(peer, sender.decode(), session, domain=domain))


@define
class _MailHost:
    """Takes what the stage's store takes."""

    store: MemoryStore
    crates: list[Crate]

    def recipient(self, sender: bytes, recipient: bytes, size: int) -> Deferred[Reply]:
        def told(found: Any) -> Reply:
            if found is None:
                return Reply(550, "5.1.1", "There is no such user here")
            return Reply(250, "2.1.5", "Ok")

        name = recipient.partition(b"@")[0].decode()
        return self.store.accounts.recipient(name).addCallback(told)

    def takes(self, octets: int) -> bool:
        return True

    def hand_over(self, sealed: bytes) -> Deferred[Reply]:
        crate = self.crates[int(sealed)]
        copies: list[Copy] = []
        for recipient in crate.recipients:
            name = recipient.partition(b"@")[0].decode()
            self.store.accounts.recipient(name).addCallback(
                lambda found: copies.append(Copy(found, crate.header, crate.body))
            )
        return self.store.mailboxes.deliver(copies, {}).addCallback(
            lambda _: Reply(250, "2.0.0", "Ok")
        )

    def seal(self, crate: Crate) -> bytes:
        self.crates.append(crate)
        return b"%d" % (len(self.crates) - 1)


async def _authenticate(
    _peer: str, _helo: bytes, sender: bytes, _header: bytes, _body: Sequence[bytes]
) -> Authenticated:
    domain = sender.rpartition(b"@")[2].decode()
    return Authenticated(
        results=b"mx.i2pmail.org; spf=none",
        vouched=False,
        reject=domain == "forged.example",
        spf="none",
        dmarc="none",
        dkim_domains=(),
        from_domain=domain,
    )


def exchange(
    config: Config,
    store: MemoryStore,
    seam: Callable[[Any], Any],
    new_spool: Callable[[], Spool],
    in_thread: Callable[..., Any],
    clock: Clock,
) -> ExchangeFactory:
    """Return the exchange before the stage's own store."""
    assert config.exchange is not None
    plain = _MailHost(store, [])
    host = seam(plain)
    settings = config.exchange
    reception = Reception(
        ReceptionSettings(
            header_bytes=config.limits.header_bytes,
            memory=config.limits.wash_memory,
            obey_dmarc=settings.obey_dmarc,
        ),
        host,
        _authenticate,
        plain.seal,
        None,
        in_thread=in_thread,
        reactor=clock,
    )
    entrance = Entrance.of(
        settings, config.node, evidence=_Evidence(), host=host, reception=reception
    )
    return ExchangeFactory(entrance, config.limits, clock, new_spool, Counts())
