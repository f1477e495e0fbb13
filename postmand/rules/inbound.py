"""The seven steps against spam (guide 7.6). Pure: facts in, a Verdict or None out.

Each step is a function of its own, asked in the guide's order; the first that refuses
has the word. Where DNS gives no usable answer the mail passes, and the step says so:
only a sender's domain that nobody can resolve is asked to try again.

Postmaster's mail is judged by the first step alone (RFC 5321 4.5.1): whoever is shut
out by another must have somebody to tell, and what that is nobody has read yet. Who
does not keep to the protocol is no mail server, and has no message to bring.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen

from postmand.rules.facts import Domain, Facts, Listing, plain_name, plain_names
from postmand.rules.verdict import Verdict

if TYPE_CHECKING:
    from postmand.config import Exchange

EARLY_TALKER = Verdict(
    "early-talker", 554, "5.5.1", "You spoke before you were greeted; wait for 220"
)
PIPELINED_EARLY = Verdict(
    "pipelined-early", 554, "5.5.1", "Commands came before their turn; wait for replies"
)
BARE_NEWLINE = Verdict(
    "bare-newline", 554, "5.5.2", "Lines end with CRLF and with nothing else"
)
NO_HELO = Verdict("no-helo", 503, "5.5.1", "Say EHLO with your name first")
BAD_HELO = Verdict(
    "bad-helo",
    550,
    "5.7.1",
    "EHLO needs the full name of your host, or its address in brackets",
)
HELO_IS_OURS = Verdict(
    "helo-is-ours", 550, "5.7.1", "EHLO named this host; say the name of your own"
)
NO_SENDER_DOMAIN = Verdict(
    "no-sender-domain",
    550,
    "5.1.8",
    "The sender's domain has no mail server; use an address that takes answers",
)
SENDER_TAKES_NO_MAIL = Verdict(  # RFC 7505 4.2
    "sender-null-mx",
    550,
    "5.7.27",
    "The sender's domain takes no mail; use an address that does",
)
SENDER_DOMAIN_UNKNOWN = Verdict(
    "sender-domain-unknown",
    451,
    "4.1.8",
    "The sender's domain can not be looked up now; try again later",
)
PRIVATE_NETWORK = Verdict(
    "private-network",
    550,
    "5.1.8",
    "The sender's domain names servers that are not on the Internet",
)
SENDER_REFUSED = Verdict(
    "sender-refused", 550, "5.1.8", "The sender's own server does not know that sender"
)
GREYLISTED = Verdict(
    "greylisted", 451, "4.7.1", "Not seen before; try again in a few minutes"
)

# What lists answer when they do not answer: 127.255.255.254 to a public resolver, and
# 127.0.0.1 to who asks too often. No entry has such a code (RFC 5782 2.1).
_ERRORS = "127.255.255."
_NO_ENTRY = "127.0.0.1"
_POSTMASTER = "postmaster"
_LABEL = r"[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z_])?"
# A name of two labels or more whose last is no number (RFC 5321 4.1.2, RFC 1123 2.1).
_NAME = re.compile(rf"(?:{_LABEL}\.)+(?=[^.]*[a-z]){_LABEL}\.?", re.IGNORECASE)


@frozen
class Step:
    """What one step found; `why` says it in words.

    `outcome` is "refused" (then there is a verdict), "passed", "off" (by the settings),
    "skipped" (does not apply here), or "unknown": there was no usable answer, and the
    mail passes.
    """

    name: str
    outcome: str
    why: str
    verdict: Verdict | None = None


@frozen
class _Finding:
    outcome: str
    why: str
    verdict: Verdict | None = None


def judge(facts: Facts, settings: Exchange) -> Verdict | None:
    """Return the refusal of the first step that has one, None to take the mail."""
    for step in _steps(facts, settings):
        if step.verdict is not None:
            return step.verdict
    return None


def explain(facts: Facts, settings: Exchange) -> tuple[Step, ...]:
    """Return every step with its outcome, in order; those after a refusal too."""
    return tuple(_steps(facts, settings))


def _steps(facts: Facts, settings: Exchange) -> Iterator[Step]:
    refused = ""
    excused = _for_postmaster(facts)
    for name, wanted, check in _ORDER:
        if not wanted(settings):
            yield Step(name, "off", "switched off")
        elif excused and check is not _session:
            yield Step(name, "skipped", "it is for postmaster")
        else:
            found = check(facts, settings)
            yield Step(name, found.outcome, found.why, found.verdict)
            if found.verdict is not None:
                refused = refused or name
    if refused:
        yield Step("accept", "skipped", f"refused at {refused}")
    else:
        yield Step("accept", "passed", "nothing stands against it")


def _for_postmaster(facts: Facts) -> bool:
    """Tell whether the recipient is the one name that every domain has, in any case."""
    return facts.recipient.rpartition("@")[0].lower() == _POSTMASTER


def _refused(verdict: Verdict, why: str) -> _Finding:
    return _Finding("refused", why, verdict)


# 1. Session sanity.


def _session(facts: Facts, _: Exchange) -> _Finding:
    session = facts.session
    if session.early:
        return _refused(EARLY_TALKER, "it spoke before the banner")
    if session.pipelined:
        return _refused(PIPELINED_EARLY, "it sent commands before their turn")
    if session.bare_newlines:
        return _refused(BARE_NEWLINE, "it ended lines with CR or LF alone")
    return _helo(facts)


def _helo(facts: Facts) -> _Finding:
    helo = facts.session.helo
    if not helo:
        return _refused(NO_HELO, "it gave no name")
    if helo.startswith("["):
        return _literal(helo, facts)
    if not _NAME.fullmatch(helo) or len(helo) > 254:
        return _refused(BAD_HELO, "its name is no full name of a host")
    if plain_name(helo) in plain_names(facts.session.own_names):
        return _refused(HELO_IS_OURS, "it took our own name")
    return _Finding("passed", "its name is one of a host")


def _literal(helo: str, facts: Facts) -> _Finding:
    """Judge an address in brackets (RFC 5321 4.1.3): it must be the peer's."""
    inner = helo.removeprefix("[").removesuffix("]")
    tagged = inner[:5].lower() == "ipv6:"
    try:
        named = ip_address(inner[5:] if tagged else inner)
    except ValueError:
        return _refused(BAD_HELO, "its name is no address in brackets")
    if not helo.endswith("]") or tagged != (named.version == 6):
        return _refused(BAD_HELO, "its name is no address in brackets")
    if named != ip_address(facts.peer):
        return _refused(BAD_HELO, "it named an address that is not its own")
    return _Finding("passed", "it named its own address")


# 2. and 3. The sender's domain.


def _sender_domain(facts: Facts, _: Exchange) -> _Finding:
    domain = facts.domain
    if not facts.sender:
        return _Finding("skipped", "the sender is null")
    if not domain.name or domain.name.startswith("["):
        return _refused(NO_SENDER_DOMAIN, "the sender has no domain")
    if domain.null_mx:
        return _refused(SENDER_TAKES_NO_MAIL, "the domain has a null MX")
    return _mail_server(domain)


def _mail_server(domain: Domain) -> _Finding:
    if "found" in (domain.mx, domain.address):
        return _Finding("passed", "the domain has a mail server")
    if "failed" in (domain.mx, domain.address):
        return _refused(SENDER_DOMAIN_UNKNOWN, "DNS has no answer now")
    if domain.mx == domain.address == "none":
        return _refused(NO_SENDER_DOMAIN, "the domain has neither MX nor address")
    return _Finding("unknown", "the domain was not asked about")


def _private_networks(facts: Facts, _: Exchange) -> _Finding:
    if not facts.sender:
        return _Finding("skipped", "the sender is null")
    if not facts.domain.hosts:
        return _Finding("unknown", "no address of its servers is known")
    for host in facts.domain.hosts:
        if host.place not in ("public", "own"):
            why = f"its {host.kind} {host.name} is at {host.address} ({host.place})"
            return _refused(PRIVATE_NETWORK, why)
    return _Finding("passed", "all its servers are on the Internet")


# 4. The named domains' own word.


def _callout(facts: Facts, settings: Exchange) -> _Finding:
    named = plain_names(settings.callout_domains)
    if facts.domain.name not in named:
        return _Finding("skipped", "the domain is not one to be asked")
    if facts.callout == "refused":
        return _refused(SENDER_REFUSED, "the sender's server refused it")
    if facts.callout == "accepted":
        return _Finding("passed", "the sender's server takes mail for it")
    return _Finding("unknown", "the sender's server gave no clear word")


# 5. Blacklists.


def _blacklists(facts: Facts, settings: Exchange) -> _Finding:
    weights = {plain_name(zone): weight for zone, weight in settings.blacklists.items()}
    asked = [one for one in facts.blacklists if one.zone in weights]
    hits = [one.zone for one in asked if hit(one)]
    faults = [f"{one.zone} ({fault})" for one in asked if (fault := list_fault(one))]
    ignored = f"; ignored: {', '.join(faults)}" if faults else ""
    weight = sum(weights[zone] for zone in hits)
    why = f"weight {weight} of {settings.blacklist_weight}{ignored}"
    if weight >= settings.blacklist_weight:
        return _refused(_listed(max(hits, key=weights.__getitem__)), why)
    if len(faults) == len(asked):
        return _Finding("unknown", why)
    return _Finding("passed", why)


def hit(listing: Listing) -> bool:
    """Whether a zone lists the peer, and is to be believed."""
    return listing.status == "found" and not list_fault(listing)


def list_fault(listing: Listing) -> str:
    """Return why a zone's answer counts for nothing, "" if it counts (RFC 5782)."""
    if listing.status == "failed":
        return "no answer"
    if listing.status != "found":
        return ""
    if any(not code.startswith("127.") for code in listing.codes) or not listing.codes:
        return "answers outside 127.0.0.0/8"
    if any(code.startswith(_ERRORS) or code == _NO_ENTRY for code in listing.codes):
        return "says it is in error"
    # RFC 5782 5: 127.0.0.2 is listed, and 127.0.0.1 is not.
    return "" if listing.points in ("", "good") else f"test points: {listing.points}"


def _listed(zone: str) -> Verdict:
    return Verdict(
        "blacklisted", 554, "5.7.1", f"Your address is listed by {zone}; ask there why"
    )


# 6. Greylist.


def _greylist(facts: Facts, _: Exchange) -> _Finding:
    if facts.greylist == "wait":
        return _refused(GREYLISTED, "its first try was too short a time ago")
    if facts.greylist == "known":
        return _Finding("passed", "it came back before")
    if facts.greylist == "excused":
        return _Finding("passed", "its domain is excused")
    return _Finding("unknown", "the table was not asked")


_Wanted = Callable[["Exchange"], bool]
_Check = Callable[[Facts, "Exchange"], _Finding]

_ORDER: tuple[tuple[str, _Wanted, _Check], ...] = (
    ("session-sanity", lambda settings: settings.session_sanity, _session),
    ("sender-domain", lambda settings: settings.sender_domain, _sender_domain),
    ("private-networks", lambda settings: settings.private_networks, _private_networks),
    ("callout", lambda settings: bool(settings.callout_domains), _callout),
    ("blacklists", lambda settings: bool(settings.blacklists), _blacklists),
    ("greylist", lambda settings: settings.greylist, _greylist),
)
