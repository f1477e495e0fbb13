"""The DNS records a gateway needs, as they are written into a zone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address

_ID_DIGITS = 20
_WEEK = 604_800


def policy(names: Collection[str], *, certified: bool) -> list[str]:
    """Return the lines of the domain's MTA-STS policy (RFC 8461 3.2).

    `names` are those of all its mail servers: who obeys the policy calls no other.
    """
    return [
        "version: STSv1",
        f"mode: {'enforce' if certified else 'testing'}",
        *(f"mx: {one}" for one in sorted(set(names))),
        f"max_age: {_WEEK}",
    ]


def policy_id(lines: Sequence[str]) -> str:
    """Return the id to publish with a policy: another for every other text."""
    text = "".join(f"{line}\r\n" for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def records(
    domain: str,
    name: str,
    tlsa: str,
    addresses: Sequence[str],
    *,
    certified: bool,
    others: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the lines to publish for the gateway `name` of `domain`, with comments.

    `tlsa` is what a TLSA record says of the certificate on port 25, `certified` whether
    an authority vouches for that: who obeys MTA-STS believes no other. `others` are the
    names of the domain's other gateways. DKIM's record is the mail host's (`postmanctl
    dkim show` there).
    """
    yield "; where mail for the domain is taken (one line a gateway)"
    for one in dict.fromkeys((name, *others)):
        yield f"{domain}. IN MX 10 {one}."
    if not addresses:
        yield f"; {name}. IN A <the gateway's address>"
    for address in addresses:
        kind = "AAAA" if ip_address(address).version == 6 else "A"
        yield f"{name}. IN {kind} {address}"
    yield "; who may send from it (RFC 7208): its gateways and nobody else"
    yield f'{domain}. IN TXT "v=spf1 mx -all"'
    yield f'{name}. IN TXT "v=spf1 a -all"'
    yield "; what is to become of forgeries (RFC 7489)"
    yield f'_dmarc.{domain}. IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"'
    yield "; the key of the gateway's certificate (RFC 7672); needs DNSSEC"
    yield f"_25._tcp.{name}. IN TLSA {tlsa}"
    lines = policy((name, *others), certified=certified)
    yield "; TLS for senders without DNSSEC (RFC 8461): the id changes with the policy"
    yield f'_mta-sts.{domain}. IN TXT "v=STSv1; id={policy_id(lines)}"'
    yield f"; to be served at https://mta-sts.{domain}/.well-known/mta-sts.txt :"
    for line in lines:
        yield f";   {line}"
    yield f"; the reverse of the gateway's address, at its provider: PTR {name}."
    yield "; DKIM: postmanctl dkim show, on the mail host"
