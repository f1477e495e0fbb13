"""Where a domain's mail goes: its MX hosts in order, their addresses (RFC 5321 5.1).

Nothing the DNS says is believed to be harmless: names are checked, numbers bounded, and
an address that does not lie on the Internet is not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from postmand.internet import Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from postmand.inbound import IResolver, Records

# More hosts, and more addresses of one, are not tried.
MOST_HOSTS = 5
MOST_ADDRESSES = 4
_HOPS = 4

_LABEL = r"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_NUMBER = re.compile(r"\.?[0-9]+\Z")
_MX = re.compile(r"([0-9]{1,5}) (\S+)")

NO_DNS = Reply(451, "4.4.3", "the domain's servers can not be looked up now")
NO_DOMAIN = Reply(550, "5.1.2", "there is no such domain")
NO_MAIL = Reply(556, "5.1.10", "the domain takes no mail")
NO_SERVER = Reply(550, "5.4.4", "no mail server of the domain can be reached by name")
LOOP = Reply(554, "5.4.6", "the domain's mail leads back to this gateway")


class NoRouteError(Exception):
    """Nowhere to go; `reply` says why, for every recipient."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.enhanced)
        self.reply = reply


@frozen
class Host:
    """A mail server by name, without the final dot, in lower case.

    `secure` tells that a validating resolver vouched for what led to the name.
    """

    name: str
    preference: int = 0
    secure: bool = False


@frozen
class Places:
    """A host's addresses. `failed`: what the DNS did not say may be more.

    `beyond` tells that it has some that are out of reach from here, not from elsewhere.
    `secure` as in Host; `canonical` is where CNAMEs lead that are secure all the way.
    """

    addresses: tuple[str, ...]
    secure: bool
    failed: bool
    canonical: str
    beyond: bool = False


async def hosts(
    domain: str, resolver: IResolver, rng: Random, own_name: str
) -> tuple[Host, ...]:
    """Return a domain's mail servers, the first to be tried first; NoRouteError.

    Among equals the order is random. Where `own_name` is among them, neither it nor
    what is not preferred to it is returned (RFC 5321 5.1).
    """
    if not _is_name(domain):
        raise NoRouteError(NO_DOMAIN)
    records = await resolver.ask(domain, "MX")
    if records.status == "failed":
        raise NoRouteError(NO_DNS)
    if records.status == "none":
        if not records.exists:
            raise NoRouteError(NO_DOMAIN)
        found = [Host(domain.lower(), 0, records.secure)]
    else:
        found = _exchanges(records)
    found = _before(found, own_name.lower())
    rng.shuffle(found)
    found.sort(key=lambda host: host.preference)
    return tuple(found[:MOST_HOSTS])


def _exchanges(records: Records) -> list[Host]:
    found: dict[str, Host] = {}
    null = False
    for text in records.texts:
        match = _MX.fullmatch(text)
        if match is None:
            continue
        name, preference = match[2].removesuffix(".").lower(), int(match[1])
        null = null or not name
        known = found.get(name)
        if _is_name(name) and (known is None or preference < known.preference):
            found[name] = Host(name, preference, records.secure)
    if not found:
        raise NoRouteError(NO_MAIL if null else NO_SERVER)  # RFC 7505 3
    return list(found.values())


def _before(found: list[Host], own_name: str) -> list[Host]:
    own = [host.preference for host in found if host.name == own_name]
    if own:
        found = [host for host in found if host.preference < min(own)]
    if not found:
        raise NoRouteError(LOOP)
    return found


def _is_name(name: str) -> bool:
    return bool(_NAME.match(name)) and not _NUMBER.search(name)


async def places(
    host: Host,
    resolver: IResolver,
    rng: Random,
    public: Callable[[str], bool],
    within_reach: Callable[[str], bool] = lambda _: True,
) -> Places:
    """Return where a host is: IPv6 and IPv4 in turn, those `public` takes, and few.

    Of those it returns the ones that are `within_reach`.
    What a lookup that failed would have said is not there: it makes nothing less secure
    than it is, or whoever stops an answer could switch DANE off (RFC 7672 2.1.2).
    """
    aliases = await _canonical(host, resolver)
    if aliases is None:
        return Places((), secure=False, failed=True, canonical=host.name)
    canonical, secure = aliases
    lots: list[list[str]] = []
    failed = beyond = False
    for kind in ("AAAA", "A"):
        records = await resolver.ask(host.name, kind)
        if records.status == "failed":
            failed = True
            continue
        secure = secure and records.secure
        there = [text for text in records.texts if public(text)]
        lot = [text for text in there if within_reach(text)]
        beyond = beyond or len(lot) < len(there)
        rng.shuffle(lot)
        lots.append(lot)
    longest = max(map(len, lots), default=0)
    turns = [lot[turn] for turn in range(longest) for lot in lots if turn < len(lot)]
    return Places(tuple(turns[:MOST_ADDRESSES]), secure, failed, canonical, beyond)


async def _canonical(host: Host, resolver: IResolver) -> tuple[str, bool] | None:
    """Follow CNAMEs while they are vouched for (RFC 7672 2.2.2); None: no answer.

    An MX that names an alias is against RFC 5321 5.1, and many do.
    """
    name = host.name
    if not host.secure:
        return name, False
    for _ in range(_HOPS):
        records = await resolver.ask(name, "CNAME")
        if records.status == "failed":
            return None
        if records.status != "found":
            return name, records.secure
        further = records.texts[0].removesuffix(".").lower()
        if not (records.secure and _is_name(further)):
            break
        name = further
    return host.name, False
