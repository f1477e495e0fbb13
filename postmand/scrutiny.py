"""How a gateway looks at who brings mail, and at the mail: DNS, lists, signatures.

What strangers have it ask is bounded three times: in seconds, in questions, and in what
one network may have asked at once.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred

from postmand.config import Exchange, Exit
from postmand.config.places import listens_at
from postmand.delivery.callout import Caller
from postmand.delivery.dialling import tcp, within_reach
from postmand.dns.addresses import Networks
from postmand.dns.blocking import Blocking
from postmand.dns.resolver import Resolver
from postmand.message import authentication, spf
from postmand.message.authentication import Authenticated, authenticate
from postmand.message.questions import Questions
from postmand.rules.greylist import Greylist, GreylistSettings
from postmand.servers.blacklists import Blacklists
from postmand.servers.callout import Callouts, CalloutSettings
from postmand.servers.domains import Domains
from postmand.servers.evidence import Evidence, Sources
from postmand.servers.turns import Turns, in_turn
from postmand.services import Threads, Timer
from postmand.site import Site

AT_ONCE = 32
"""So many senders are checked at once, and so many messages judged."""

# Of these so many for one network.
_OF_ONE = 4
# How much SPF may ask of the DNS (RFC 7208 4.6.4), and for how many seconds.
_SPF_QUESTIONS, _SPF_SECONDS = 40, 15.0
# A process's own marks: greylist and callouts remember nothing over a restart.
_MARK_BYTES = 32
_SWEEP_SECONDS = 60.0


def networks(exchange: Exchange, exit_: Exit) -> Networks:
    """Return what is on the Internet for this gateway: not what it is itself.

    Loopback is nobody's place there in any case, unless a test or a demo allows it.
    """
    named = [*exit_.source, *filter(None, map(listens_at, exchange.listen))]
    own = [one for one in named if not ip_address(one).is_loopback]
    return Networks(own=own, allowed=exit_.allowed_networks)


class Scrutiny:
    """All that a gateway finds out with. `threads` are what its services need below.

    `resolver` is for strangers' questions alone.
    """

    def __init__(
        self,
        site: Site,
        exchange: Exchange,
        exit_: Exit,
        resolver: Resolver,
        networks: Networks,
    ) -> None:
        self._site = site
        self._exchange = exchange
        self._exit = exit_
        self._resolver = resolver
        self._networks = networks
        self._blocking = Blocking(resolver, site.reactor)
        self._greylist = Greylist(_greylist(exchange), os.urandom(_MARK_BYTES))
        # Questions to the DNS block for seconds, and must not keep what is on its way
        # to the disk or to the host waiting; nor may who but names senders hold up the
        # mail that has come.
        self._asking = Threads(AT_ONCE, site.reactor, "asking")
        self._judging = Threads(AT_ONCE, site.reactor, "judging")
        self._checked = Turns(AT_ONCE, _OF_ONE)

    @property
    def threads(self) -> list[Threads]:
        """What has to run while it is asked."""
        return [self._asking, self._judging]

    @property
    def sweeping(self) -> Timer:
        """What has the greylist forget."""
        seconds = self._site.reactor.seconds
        return Timer(_SWEEP_SECONDS, lambda: self._greylist.sweep(seconds()))

    async def authenticated(self, *facts: Any) -> Authenticated:
        """Judge a message (see servers.reception.Authenticate)."""
        site = self._site
        until = site.reactor.seconds() + authentication.SECONDS

        def judge() -> Authenticated:
            return authenticate(
                *facts,
                ask=self._blocking.until(until),
                authserv_id=self._exchange.host_name.encode(),
                now=site.clocks.wall,
            )

        judgement: Authenticated = await self._judging(judge)
        return judgement

    async def _spf(self, peer: str, helo: bytes, sender: bytes) -> str:
        """Return what SPF says of a peer, when it is its network's turn."""
        site = self._site

        def check() -> str:
            until = site.reactor.seconds() + _SPF_SECONDS
            ask = self._blocking.until(until)
            questions = Questions(ask, site.reactor.seconds, until, _SPF_QUESTIONS)
            return spf.check(peer, helo, sender, questions, site.clocks.wall()).result

        told: str = await in_turn(
            self._checked, peer, self._asking, site.reactor, check
        )
        return told

    def evidence(self) -> Evidence:
        """Return what finds out about callers while they speak."""
        exchange, reactor = self._exchange, self._site.reactor
        dial = tcp(reactor, self._exit.source)
        reached = within_reach(self._exit.source)
        caller = Caller(exchange.host_name, dial, self._exit.port, reactor)
        return Evidence(
            Sources(
                self._resolver,
                Domains(self._resolver, self._networks.place, reactor),
                Blacklists(self._resolver, exchange.blacklists, reactor),
                Callouts(
                    lambda address, places: caller.call(
                        address, [one for one in places if reached(one)]
                    ),
                    CalloutSettings(domains=exchange.callout_domains),
                    reactor,
                    os.urandom(_MARK_BYTES),
                ),
                self._greylist,
                lambda *facts: Deferred.fromCoroutine(self._spf(*facts)),
            ),
            reactor,
        )


def _greylist(exchange: Exchange) -> GreylistSettings:
    return GreylistSettings(
        wait=float(exchange.greylist_seconds),
        known=exchange.greylist_days * 86_400.0,
        domains=exchange.known_good,
    )
