"""DMARC (RFC 7489): what the domain in From says of mail that is not its own.

Reports are sent to nobody: they would tell who writes to our members.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from attrs import frozen
from publicsuffixlist import PublicSuffixList

from postmand.message.questions import Questions
from postmand.message.signatures import Signature
from postmand.message.spf import Spf

_VERSION = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_LONGEST_RECORD = 4_096
_REQUESTS = frozenset({"none", "quarantine", "reject"})
_PERCENT = re.compile(r"\d{1,3}")
# The next milder request (RFC 7489 6.6.4).
_MILDER = {"reject": "quarantine", "quarantine": "none", "none": "none"}


@frozen
class Policy:
    """A published policy: `request` is what it asks for mail that fails.

    `percent` of it; the rest is to be treated as the next milder request says.
    """

    request: str
    strict_dkim: bool = False
    strict_spf: bool = False
    percent: int = 100


@frozen
class Dmarc:
    """The result, a word of RFC 8601 2.7.2 / RFC 7489 11.2, and what follows from it.

    `disposition` is "none", "quarantine" or "reject"; `policy` is None where the domain
    has none.
    """

    result: str
    disposition: str = "none"
    policy: Policy | None = None


def judge(
    domain: str,
    spf: Spf,
    signatures: Iterable[Signature],
    questions: Questions,
    draw: int,
) -> Dmarc:
    """Judge a message whose one From address is in `domain` (a name of the DNS).

    `draw`, 0 to 99, is the message's lot where a policy is for a percentage only.
    """
    policy = look_up(domain, questions)
    if isinstance(policy, str):
        return Dmarc(policy)
    heard = [(one.result, one.domain, policy.strict_dkim) for one in signatures]
    heard.append((spf.result, spf.domain, policy.strict_spf))
    results = {
        result for result, other, strict in heard if are_aligned(other, domain, strict)
    }
    if "pass" in results:
        return Dmarc("pass", policy=policy)
    if "temperror" in results:
        # It may well be the domain's own: another try will tell.
        return Dmarc("temperror", policy=policy)
    meant = policy.request
    return Dmarc("fail", meant if draw < policy.percent else _MILDER[meant], policy)


def are_aligned(one: str, other: str, strict: bool = False) -> bool:
    """Whether two domains are of one owner (3.1), or the same if `strict`."""
    if not one or not other or strict:
        return bool(one) and one == other
    return one == other or organisation(one) == organisation(other)


def organisation(domain: str) -> str:
    """Return the organisational domain (3.2); a public suffix is its own."""
    return _suffixes().privatesuffix(domain) or domain


@lru_cache(1)
def _suffixes() -> PublicSuffixList:
    """Return the list that comes with its package: it is never fetched."""
    return PublicSuffixList()


def look_up(domain: str, questions: Questions) -> Policy | str:
    """Return the policy for a domain, "none", or "temperror" (6.6.3)."""
    owner = organisation(domain)
    for at in dict.fromkeys((domain, owner)):
        texts = questions.txt(f"_dmarc.{at}")
        if texts is None:
            return "temperror"
        records = [text for text in texts if _VERSION.match(text)]
        if len(records) == 1:
            return _read(records[0], below=at != domain) or "none"
        if records:
            return "none"
    return "none"


def _read(record: bytes, *, below: bool) -> Policy | None:
    """Read a record; `below` its domain `sp` stands before `p`.

    One that asks for nothing we know is no policy, unless it wants reports: then it
    asks for nothing else (6.6.3).
    """
    tags: dict[str, str] = {}
    for item in record[:_LONGEST_RECORD].decode("ascii", "replace").split(";"):
        name, _, value = item.partition("=")
        tags.setdefault(name.strip().lower(), value.strip().lower())
    request = tags.get("p", "")
    subdomains = tags.get("sp", request)
    if request not in _REQUESTS or subdomains not in _REQUESTS:
        if not tags.get("rua", "").startswith("mailto:"):
            return None
        request = subdomains = "none"
    percent = tags.get("pct", "")
    return Policy(
        subdomains if below else request,
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
        percent=min(100, int(percent)) if _PERCENT.fullmatch(percent) else 100,
    )
