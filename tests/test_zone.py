"""The DNS records of a gateway."""

from __future__ import annotations

from postmand.admin.zone import records

TLSA = "3 1 1 0123456789abcdef0123456789abcdef"


def published(*addresses: str, certified: bool = False) -> list[str]:
    """Return the lines of a zone, all comments in them too."""
    name = "mx.i2pmail.org"
    return list(records("i2pmail.org", name, TLSA, addresses, certified=certified))


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
        '_mta-sts.i2pmail.org. IN TXT "v=STSv1; id=0123456789abcdef"',
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
