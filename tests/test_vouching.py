"""Whether the DNS vouches for what a gateway sends: SPF twice, and DKIM's key."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from postmand.admin.vouching import check_dkim, check_spf
from postmand.inbound import Records

DOMAIN, NAME, OWN = "i2pmail.org", "mx1.i2pmail.org", "198.51.100.25"
PRINTED = {
    f"{DOMAIN} MX": [f"10 {NAME}."],
    f"{NAME} A": [OWN],
    f"{DOMAIN} TXT": ['"v=spf1 mx -all"'],
    f"{NAME} TXT": ['"v=spf1 a -all"'],
}


def levels(records: Mapping[str, list[str]] = PRINTED, address: str = OWN) -> list[str]:
    """Return the levels of what is said of the domain, and of HELO."""

    def ask(name: str, kind: str) -> Records:
        texts = records.get(f"{name} {kind}", [])
        return Records("found", tuple(texts)) if texts else Records("none")

    return [one.level for one in check_spf(DOMAIN, NAME, [address], ask)]


def test_what_is_printed() -> None:
    """The records that gateway records prints vouch for its address, and no other."""
    assert levels() == ["ok", "ok"]
    assert levels(address="198.51.100.26") == ["FAIL", "FAIL"]


@pytest.mark.parametrize(
    ("where", "texts", "expected"),
    [
        (f"{DOMAIN} TXT", [], ["FAIL", "ok"]),
        (f"{DOMAIN} TXT", ['"v=spf1 ip4:192.0.2.1 -all"'], ["FAIL", "ok"]),
        (f"{DOMAIN} TXT", ['"v=spf1 mx -all"', '"v=spf1 -all"'], ["FAIL", "ok"]),
        (f"{DOMAIN} TXT", ['"v=spf1 ?all"'], ["FAIL", "ok"]),
        (f"{NAME} TXT", [], ["ok", "FAIL"]),
        (f"{NAME} A", [], ["FAIL", "FAIL"]),
    ],
)
def test_what_vouches_for_nobody(
    where: str, texts: list[str], expected: list[str]
) -> None:
    """A record that only looks like one is none: it is weighed as receivers do."""
    assert levels({**PRINTED, where: texts}) == expected


def test_dns_fails() -> None:
    """Without an answer nobody is vouched for."""
    found = check_spf(DOMAIN, NAME, [OWN], lambda *_: Records("failed"))
    assert [one.level for one in found] == ["FAIL", "FAIL"]


@pytest.mark.parametrize(
    ("records", "level"),
    [
        (Records("found", ('"v=DKIM1; k=rsa; " "p=MIIB"',)), "ok"),
        (Records("found", ('"p=MIIB"',)), "ok"),
        (Records("found", ('"v=DKIM1; p="',)), "FAIL"),
        (Records("found", ('"v=spf1 -all"',)), "FAIL"),
        (Records("none"), "FAIL"),
        (Records("failed"), "warn"),
    ],
)
def test_dkim(records: Records, level: str) -> None:
    """The key of the selector that the mail host named has to be there."""
    asked = []

    def ask(name: str, kind: str) -> Records:
        asked.append((name, kind))
        return records

    assert [one.level for one in check_dkim(DOMAIN, "s2026", ask)] == [level]
    assert asked == [("s2026._domainkey.i2pmail.org", "TXT")]
