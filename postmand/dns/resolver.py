"""Questions to a validating resolver: UDP first, TCP where an answer does not fit.

A stub (RFC 1035 5.3.1): recursion, caching and DNSSEC are the resolver's work. Nothing
is logged, for a name asked about tells who writes to whom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from attrs import frozen
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    ensureDeferred,
    succeed,
)
from twisted.internet.defer import TimeoutError as SilenceError
from zope.interface import implementer

from postmand.dns.wire import PAYLOAD, Server, by_tcp, by_udp
from postmand.inbound import IResolver, Records

if TYPE_CHECKING:
    from random import Random

    from dns.message import QueryMessage
    from dns.rdatatype import RdataType

FAILED = Records("failed")
NO_SUCH_NAME = Records("none", exists=False)


@frozen
class Patience:
    """How long is waited, in seconds, and how often is asked.

    `reply` for one reply, `whole` for all that a question takes; each server is asked
    `rounds` times. `at_once` questions are under way, `waiting` more wait for them, and
    the next one fails.
    """

    reply: float = 4.0
    whole: float = 15.0
    rounds: int = 2
    at_once: int = 200
    waiting: int = 5_000


@implementer(IResolver)
class Resolver:
    """See IResolver. `servers` are asked in turn, beginning with who answered last."""

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server],
        random: Random,
        patience: Patience | None = None,
    ) -> None:
        if not servers:
            raise ValueError("a resolver needs a server to ask")
        self._reactor = reactor
        self._servers = tuple(servers)
        self._random = random
        self._patience = patience or Patience()
        self._places = DeferredSemaphore(self._patience.at_once)
        self._first = 0

    def ask(self, name: str, kind: str) -> Deferred[Records]:
        """See IResolver. ValueError for a kind that DNS does not have."""
        try:
            rdtype = dns.rdatatype.from_text(kind)
        except (dns.rdatatype.UnknownRdatatype, ValueError) as error:
            raise ValueError("there is no such kind of record") from error
        asked = _name(name)
        if asked is None:
            return succeed(NO_SUCH_NAME)
        if len(self._places.waiting) >= self._patience.waiting:
            return succeed(FAILED)
        answer = ensureDeferred(self._asked(asked, rdtype))
        answer.addTimeout(self._patience.whole, self._reactor)
        answer.addErrback(_out_of_time)
        return answer

    async def _asked(self, name: dns.name.Name, kind: RdataType) -> Records:
        await self._places.acquire()
        try:
            return await self._in_turn(name, kind)
        finally:
            self._places.release()

    async def _in_turn(self, name: dns.name.Name, kind: RdataType) -> Records:
        """Ask until somebody gives a usable answer.

        A server that refuses or fails has said its word; only a silent one is asked
        once more.
        """
        first = self._first
        places = [(first + n) % len(self._servers) for n in range(len(self._servers))]
        for _ in range(self._patience.rounds):
            silent = []
            for place in places:
                server = self._servers[place]
                reply = await self._reply(server, self._query(name, kind))
                if reply is None:
                    silent.append(place)
                    continue
                records = _read(reply, vouched=server.vouches)
                if records is not None:
                    self._first = place
                    return records
            places = silent
        return FAILED

    def _query(self, name: dns.name.Name, kind: RdataType) -> QueryMessage:
        query = dns.message.make_query(
            name,
            kind,
            use_edns=0,
            want_dnssec=True,
            payload=PAYLOAD,
            id=self._random.getrandbits(16),
        )
        query.flags |= dns.flags.AD  # RFC 6840 5.7
        return query

    async def _reply(
        self, server: Server, query: QueryMessage
    ) -> dns.message.Message | None:
        """Return what a server says, None for nothing."""
        wait = self._patience.reply
        reply = await by_udp(self._reactor, server, query, wait)
        if reply is None or not reply.flags & dns.flags.TC:
            return reply
        # RFC 7766 5: a truncated answer is asked for again, never used.
        return await by_tcp(self._reactor, server, query, wait)


def _name(text: str) -> dns.name.Name | None:
    """Return a name of DNS, None for a text that can be none (RFC 1035 2.3.4)."""
    try:
        labels = text.encode("ascii").split(b".")
        return dns.name.Name((*labels, b""))
    except (UnicodeEncodeError, dns.exception.DNSException):
        return None


def _read(reply: dns.message.Message, *, vouched: bool) -> Records | None:
    """Return what a reply tells of its question, None for nothing of use."""
    rcode = reply.rcode()
    # Without recursion an empty answer is a referral, and says nothing of the name.
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) or not (
        reply.flags & dns.flags.RA and isinstance(reply, dns.message.QueryMessage)
    ):
        return None
    try:
        found = reply.resolve_chaining().answer
    except dns.exception.DNSException:
        return None
    secure = vouched and bool(reply.flags & dns.flags.AD)
    if found is None:
        return Records("none", (), secure, exists=rcode != dns.rcode.NXDOMAIN)
    return Records("found", tuple(rdata.to_text() for rdata in found), secure)


def _out_of_time(failure: Any) -> Records:
    failure.trap(SilenceError, CancelledError)
    return FAILED
