"""The DNS records of a gateway."""

from __future__ import annotations

from collections.abc import Sequence

from postmand.admin.zone import policy, policy_id, records
from postmand.delivery import mta_sts

POLICY = ["version: STSv1", "mode: testing", "mx: mx.i2pmail.org", "max_age: 604800"]
TLSA = "3 1 1 0123456789abcdef0123456789abcdef"


def published(
    *addresses: str,
    certified: bool = False,
    others: Sequence[str] = (),
    tlsa: str = TLSA,
) -> list[str]:
    """Return the lines of a zone, all comments in them too."""
    name, domain = "mx.i2pmail.org", "i2pmail.org"
    return list(
        records(domain, name, tlsa, addresses, certified=certified, others=others)
    )


def sts(lines: list[str]) -> str:
    """Return the line of the policy's id."""
    (line,) = [one for one in lines if one.startswith("_mta-sts.")]
    return line


def test_records() -> None:
    """Each record once, and no other; comments say the rest."""
    lines = published("203.0.113.7", "2001:db8::7")
    assert [line for line in lines if not line.startswith(";")] == [
        "i2pmail.org. IN MX 10 mx.i2pmail.org.",
        "mx.i2pmail.org. IN A 203.0.113.7",
        "mx.i2pmail.org. IN AAAA 2001:db8::7",
        'i2pmail.org. IN TXT "v=spf1 mx -all"',
        'mx.i2pmail.org. IN TXT "v=spf1 a -all"',
        '_dmarc.i2pmail.org. IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"',
        f"_25._tcp.mx.i2pmail.org. IN TLSA {TLSA}",
        f'_mta-sts.i2pmail.org. IN TXT "v=STSv1; id={policy_id(POLICY)}"',
    ]


def test_no_address() -> None:
    """An address that is not known is left for the operator to fill in."""
    lines = published()
    assert "; mx.i2pmail.org. IN A <the gateway's address>" in lines
    assert not [line for line in lines if " IN AAAA " in line]


def test_policy() -> None:
    """MTA-STS asks for a certificate that an authority vouches for, or is a test."""
    assert ";   mode: enforce" in published(certified=True)
    assert ";   mode: testing" in published()
    assert ";   mx: mx.i2pmail.org" in published()


def test_id() -> None:
    """It changes with the policy's text, and with nothing else (RFC 8461 3.2)."""
    first = sts(published())
    assert sts(published(tlsa="3 1 1 ff")) == first
    assert sts(published("203.0.113.7")) == first
    assert sts(published(certified=True)) != first
    assert sts(published(others=["mx2.i2pmail.org"])) != first
    assert mta_sts.record_id([first.partition(" TXT ")[2]]) == policy_id(POLICY)


def test_others() -> None:
    """Each gateway prints the same MX and the same policy, its own name where it is."""
    lines = published(others=["mx2.i2pmail.org", "mx.i2pmail.org"])
    assert [line for line in lines if " IN MX " in line] == [
        "i2pmail.org. IN MX 10 mx.i2pmail.org.",
        "i2pmail.org. IN MX 10 mx2.i2pmail.org.",
    ]
    names = ["mx.i2pmail.org", "mx2.i2pmail.org"]
    text = policy(names, certified=True)
    assert policy(names[::-1], certified=True) == text
    read = mta_sts.read("".join(f"{line}\r\n" for line in text).encode())
    assert read == mta_sts.Policy("enforce", 604_800, tuple(names))
