"""The DNS records a gateway needs, as they are written into a zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address


def records(
    domain: str, name: str, tlsa: str, addresses: Sequence[str], *, certified: bool
) -> Iterator[str]:
    """Yield the lines to publish for the gateway `name` of `domain`, with comments.

    `tlsa` is what a TLSA record says of the certificate on port 25, `certified` whether
    an authority vouches for that: who obeys MTA-STS believes no other. DKIM's record is
    the mail host's (`postmanctl dkim show` there).
    """
    yield "; where mail for the domain is taken (one line a gateway)"
    yield f"{domain}. IN MX 10 {name}."
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
    yield "; TLS for senders without DNSSEC (RFC 8461): change the id with the policy"
    yield f'_mta-sts.{domain}. IN TXT "v=STSv1; id={tlsa.rsplit(maxsplit=1)[-1][:16]}"'
    yield f"; to be served at https://mta-sts.{domain}/.well-known/mta-sts.txt :"
    yield ";   version: STSv1"
    yield f";   mode: {'enforce' if certified else 'testing'}"
    yield f";   mx: {name}"
    yield ";   max_age: 604800"
    yield f"; the reverse of the gateway's address, at its provider: PTR {name}."
    yield "; DKIM: postmanctl dkim show, on the mail host"
