"""SPF, DKIM and DMARC of mail from outside: verdicts, bounds, and hostile words."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import dkim as dkimpy
import pytest
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from postmand.inbound import Records
from postmand.message import signatures
from postmand.message.authentication import (
    SECONDS,
    Authenticated,
    authenticate,
    hashed,
    own_signature,
)
from postmand.message.bodyhash import RelaxedHash
from postmand.message.dkim import Signer, new_key, public_key
from postmand.message.dmarc import are_aligned, organisation
from postmand.message.questions import Questions, host_name
from postmand.message.spf import Spf, check

pytestmark = pytest.mark.long

NOW = 1_795_348_800.0
INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"
HEADER = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"From: Ann <ann@example.org>\r\n"
    b"To: bob@i2pmail.org\r\n"
    b"Subject: Greetings\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"\r\n"
)
BODY = b"Hello,\r\nworld \t wide\r\n\r\n"
PEM = new_key()


def quoted(text: str) -> str:
    """Return a TXT record in presentation form, cut into strings of 255."""
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)] or [""]
    return " ".join(f'"{piece}"' for piece in pieces)


@lru_cache
def key_record(pem: bytes = PEM) -> str:
    """Return the TXT value that publishes a key."""
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public_key(pem)).decode()}"


@define
class World:
    """A DNS: names to records by kind, what fails, and what was asked."""

    zone: dict[tuple[str, str], tuple[str, ...]] = field(factory=dict)
    failing: set[str] = field(factory=set)
    asked: list[tuple[str, str]] = field(factory=list)

    def txt(self, name: str, *texts: str) -> World:
        """Put TXT records there."""
        self.zone[name, "TXT"] = tuple(map(quoted, texts))
        return self

    def put(self, name: str, kind: str, *texts: str) -> World:
        """Put records there, in presentation form."""
        self.zone[name, kind] = texts
        return self

    def ask(self, name: str, kind: str) -> Records:
        """Answer."""
        assert name == name.lower()
        assert not name.endswith(".")
        self.asked.append((name, kind))
        if name in self.failing:
            return Records("failed")
        found = self.zone.get((name, kind))
        return Records("found", found) if found else Records("none")

    def questions(self, most: int = 150) -> Questions:
        """Return a purse of questions to it."""
        return Questions(self.ask, lambda: 0.0, 1.0, most)


def spf(
    record: str,
    *,
    ip: str = INSIDE,
    world: World | None = None,
    sender: bytes = b"ann@example.org",
    helo: bytes = b"mx.example.org",
) -> Spf:
    """Check a sender of example.org under this record."""
    world = (world or World()).txt("example.org", record)
    return check(ip, helo, sender, world.questions(), NOW)


def judged(
    world: World,
    header: bytes = HEADER,
    *,
    ip: str = OUTSIDE,
    body: bytes = BODY,
    sender: bytes = b"ann@example.org",
) -> Authenticated:
    """Authenticate a message from somewhere."""
    return authenticate(
        ip,
        b"mx.example.org",
        sender,
        header,
        [body],
        ask=world.ask,
        authserv_id=b"mx.i2pmail.org",
        now=lambda: NOW,
    )


@lru_cache
def signed(
    header: bytes = HEADER, body: bytes = BODY, domain: bytes = b"example.org"
) -> bytes:
    """Return the header with a signature of `domain` in front."""
    return Signer(domain, b"s1", PEM).sign(header, body) + header


def published(policy: str | None = None, domain: str = "example.org") -> World:
    """Return a world with the key, and with a DMARC policy if there is one."""
    world = World().txt(f"s1._domainkey.{domain}", key_record())
    return world.txt(f"_dmarc.{domain}", policy) if policy else world


# RFC 7208, Appendix A.


def appendix_a() -> World:
    """Return the zone of the appendix."""
    world = World()
    world.put("example.com", "MX", "10 mail-a.example.com.", "20 mail-b.example.com.")
    world.put("example.com", "A", "192.0.2.10", "192.0.2.11")
    world.put("amy.example.com", "A", "192.0.2.65")
    world.put("bob.example.com", "A", "192.0.2.66")
    world.put("mail-a.example.com", "A", "192.0.2.129")
    world.put("mail-b.example.com", "A", "192.0.2.130")
    world.put("mail-c.example.org", "A", "192.0.2.140")
    world.put("example.org", "MX", "10 mail-c.example.org.")
    world.put("10.2.0.192.in-addr.arpa", "PTR", "example.com.")
    world.put("65.2.0.192.in-addr.arpa", "PTR", "amy.example.com.")
    world.put("140.2.0.192.in-addr.arpa", "PTR", "mail-c.example.org.")
    world.put("4.0.0.10.in-addr.arpa", "PTR", "bob.example.com.")
    return world


@pytest.mark.parametrize(
    ("record", "passing", "failing"),
    [
        ("v=spf1 +all", ["192.0.2.129", "1.2.3.4"], []),
        ("v=spf1 a -all", ["192.0.2.10", "192.0.2.11"], ["192.0.2.129"]),
        ("v=spf1 a:example.org -all", [], ["192.0.2.10"]),
        ("v=spf1 mx -all", ["192.0.2.129", "192.0.2.130"], ["192.0.2.10"]),
        ("v=spf1 mx:example.org -all", ["192.0.2.140"], ["192.0.2.129"]),
        (
            "v=spf1 mx mx:example.org -all",
            ["192.0.2.129", "192.0.2.130", "192.0.2.140"],
            ["192.0.2.10"],
        ),
        (
            "v=spf1 mx/30 mx:example.org/30 -all",
            ["192.0.2.131", "192.0.2.143"],
            ["192.0.2.132"],
        ),
        ("v=spf1 ptr -all", ["192.0.2.10", "192.0.2.65"], ["192.0.2.140", "10.0.0.4"]),
        ("v=spf1 ip4:192.0.2.128/28 -all", ["192.0.2.129"], ["192.0.2.65"]),
    ],
)
def test_appendix_a(record: str, passing: list[str], failing: list[str]) -> None:
    """The RFC's own examples."""
    for ip in passing + failing:
        world = appendix_a().txt("example.com", record)
        result = check(ip, b"h.example", b"x@example.com", world.questions(), NOW)
        assert result.result == ("pass" if ip in passing else "fail"), ip


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass"),
        ("v=spf1 ip4:203.0.113.0/24 -all", "fail"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1", "neutral"),
        ("v=spf10 -all", "none"),
        ("something else", "none"),
        ("v=spf1 ip4:192.0.2.0/99 -all", "permerror"),
        ("v=spf1 moo -all", "permerror"),
        ("v=spf1 include:nowhere.example -all", "permerror"),
        ("v=spf1 redirect=nowhere.example", "permerror"),
        ("v=spf1 exists:%{l}.%{d}.x.example -all", "fail"),
        ("v=spf1 a:%(d) -all", "permerror"),
        ("v=spf1 include:example.org -all", "permerror"),
        ("v=spf1 redirect=example.org", "permerror"),
        ("v=spf1 " + "ip4:10.0.0.1 " * 400 + "-all", "permerror"),
        ("v=spf1 exists:" + "%{" * 2_000, "permerror"),
    ],
)
def test_spf(record: str, result: str) -> None:
    """Each result of a record, of one that is broken, too long, or leads in circles."""
    assert spf(record).result == result


def test_spf_of_two_records() -> None:
    """Two policies are none (4.5)."""
    world = World().txt("example.org", "v=spf1 -all", "v=spf1 +all")
    result = check(INSIDE, b"h.example", b"a@example.org", world.questions(), NOW)
    assert result.result == "permerror"


def test_spf_ends_at_ten_lookups() -> None:
    """The tenth term that asks is read, the eleventh breaks the record (4.6.4)."""
    for terms, result in ((10, "pass"), (11, "permerror")):
        world = World()
        names = [f"h{number}.example.org" for number in range(terms)]
        for name in names:
            world.put(name, "A", INSIDE if name == names[-1] else "203.0.113.1")
        record = " ".join(["v=spf1", *(f"a:{name}" for name in names), "-all"])
        assert spf(record, world=world).result == result


def test_spf_ends_at_void_lookups() -> None:
    """Two names that lead nowhere are borne, a third is not (4.6.4)."""
    nowhere = [f"a:n{number}.example.net" for number in range(3)]
    assert spf(" ".join(["v=spf1", *nowhere[:2], "+all"])).result == "pass"
    assert spf(" ".join(["v=spf1", *nowhere, "+all"])).result == "permerror"


def test_spf_mx_over_ipv6() -> None:
    """Servers without an IPv6 address are no void terms: the next term is read."""
    names = [f"m{number}.example.org" for number in range(5)]
    world = World().put("example.org", "MX", *(f"10 {name}." for name in names))
    for name in names:
        world.put(name, "A", "192.0.2.1")
    found = spf("v=spf1 mx ip6:2001:db8::/32 -all", ip="2001:db8::1", world=world)
    assert found.result == "pass"


def test_spf_asks_only_so_many_names() -> None:
    """More than ten servers break the record, and none of them is asked for."""
    names = [f"10 m{number}.example.org." for number in range(11)]
    world = World().put("example.org", "MX", *names)
    assert spf("v=spf1 mx -all", world=world).result == "permerror"
    assert world.asked == [("example.org", "TXT"), ("example.org", "MX")]


def test_spf_asks_for_no_explanation() -> None:
    """Words that nobody is shown are not fetched."""
    world = World().txt("why.example.org", "because")
    assert spf("v=spf1 exp=why.example.org -all", world=world).result == "fail"
    assert world.asked == [("example.org", "TXT")]


@pytest.mark.parametrize("name", ["example.org", "a.example.org"])
def test_spf_without_dns(name: str) -> None:
    """No answer is a temporary error, at the record and at a term alike."""
    world = World(failing={name})
    assert spf("v=spf1 a:a.example.org -all", world=world).result == "temperror"


def test_spf_ptr_without_dns() -> None:
    """A PTR that can not be asked for does not match (5.5): it is no error."""
    world = World(failing={"7.2.0.192.in-addr.arpa"})
    assert spf("v=spf1 ptr -all", world=world).result == "fail"


def test_spf_identities() -> None:
    """The null sender is checked by HELO; a domain is named as DNS has it."""
    world = World().txt("mx.example.org", "v=spf1 ip4:192.0.2.7 -all")
    found = spf("v=spf1 -all", world=world, sender=b"")
    assert found == Spf("pass", "mx.example.org", "helo")
    assert spf("v=spf1 -all", sender=b"", helo=b"[192.0.2.7]").result == "none"
    assert spf("v=spf1 -all", sender=b"x@localhost").result == "none"
    assert spf("v=spf1 -all", sender=b'"a@b"@EXAMPLE.org.').domain == "example.org"
    umlaut = World().txt("xn--bcher-kva.example", "v=spf1 +all")
    found = spf("v=spf1 -all", world=umlaut, sender="x@bücher.example".encode())
    assert found == Spf("pass", "xn--bcher-kva.example", "mailfrom")


def test_spf_macros() -> None:
    """A local part stands in a question as it is, whatever prints in it."""
    world = World().put("a+b=c.7.2.0.192.in-addr.example.org", "A", "127.0.0.2")
    found = spf(
        "v=spf1 exists:%{l}.%{ir}.%{v}.%{d} -all",
        world=world,
        sender=b"a+b=c@example.org",
    )
    assert found.result == "pass"


def test_spf_in_threads() -> None:
    """Checks at the same time do not see each other's answers."""

    def one(number: int) -> tuple[int, str]:
        ok = number % 2
        record = f"v=spf1 a:h{number}.example.org -all"
        world = World().put(
            f"h{number}.example.org", "A", INSIDE if ok else "203.0.113.9"
        )
        return ok, spf(record, world=world).result

    with ThreadPoolExecutor(8) as threads:
        for ok, result in threads.map(one, range(400)):
            assert result == ("pass" if ok else "fail")


@given(st.text('v=spf1 aimx:%{}ldo/0129.-+~?,=rect"\\ü\x00', max_size=80), st.binary())
def test_spf_never_raises(record: str, sender: bytes) -> None:
    """Whatever a record or a sender holds, there is a result."""
    world = World()
    world.zone["example.org", "TXT"] = (quoted(f"v=spf1 {record}"), record)
    for who in (b"x@example.org", sender + b"@example.org", sender):
        found = check(INSIDE, sender, who, world.questions(), NOW)
        assert found.result in {
            *("pass", "fail", "softfail", "neutral", "none"),
            *("permerror", "temperror"),
        }


def test_purse() -> None:
    """When a message's questions or its time are spent, DNS has failed for it."""
    world = World().txt("a.example", "x")
    few = Questions(world.ask, lambda: 0.0, 1.0, 1)
    assert few.txt("a.example") == [b"x"]
    assert few.txt("a.example") == [b"x"]
    assert few.txt("b.example") is None
    late = Questions(world.ask, lambda: 2.0, 1.0, 10)
    assert late("a.example", "A").status == "failed"
    assert len(world.asked) == 1
    assert not few("a..example", "A").exists
    assert not few("x" * 64 + ".example", "A").exists


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"Example.ORG.", "example.org"),
        ("Bücher.example".encode(), "xn--bcher-kva.example"),
        (b"_x.example", "_x.example"),
        (b"[192.0.2.1]", ""),
        (b"a..b", ""),
        (b"-a.example", ""),
        (b"\xff.example", ""),
        (b"a b.example", ""),
        (b"x" * 64 + b".example", ""),
        (b"a." * 130 + b"example", ""),
        (b"", ""),
    ],
)
def test_host_name(octets: bytes, name: str) -> None:
    """A domain is a name of the DNS, or nothing."""
    assert host_name(octets) == name


# DKIM.

RFC_8463 = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    b" subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    b" date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    b" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    b" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    b"\r\n"
)
RFC_8463_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
RFC_8463_KEYS = {
    "brisbane": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
        "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
        "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
        "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}


def results(header: bytes, body: bytes = BODY, **keys: str) -> list[str]:
    """Return the results of all signatures, with keys by their selectors."""

    def texts(name: str) -> list[bytes] | None:
        selector = name.partition(".")[0]
        return [keys[selector].encode()] if selector in keys else []

    message = signatures.SignedMessage.of(header, [body])
    return [one.result for one in signatures.verify(message, texts, NOW)]


def test_rfc_8463() -> None:
    """The RFC's own message, with a signature of each kind."""
    assert results(RFC_8463, RFC_8463_BODY, **RFC_8463_KEYS) == ["pass", "pass"]
    assert results(RFC_8463, b"x" + RFC_8463_BODY, **RFC_8463_KEYS) == ["fail", "fail"]
    other = RFC_8463.replace(b"dinner", b"supper")
    assert results(other, RFC_8463_BODY, **RFC_8463_KEYS) == ["fail", "fail"]


def retagged(tag: bytes, value: bytes) -> bytes:
    """Return the signed header with one tag of the signature changed or added."""
    field_, rest = signed().split(b"\r\nDate:", 1)
    name, _, tags = field_.partition(b":")
    kept = [
        one for one in tags.split(b";") if one.strip()[: len(tag) + 1] != tag + b"="
    ]
    kept.insert(1, b" %s=%s" % (tag, value))
    return name + b":" + b";".join(kept) + b"\r\nDate:" + rest


@pytest.mark.parametrize(
    ("tag", "value", "result"),
    [
        (b"l", b"5", "policy"),
        (b"a", b"rsa-sha1", "policy"),
        (b"a", b"ed25519-sha256", "permerror"),
        (b"h", b"to:subject", "neutral"),
        (b"h", b":".join([b"from"] * 300), "policy"),
        (b"x", b"1795000000", "fail"),
        (b"x", b"9" * 5_000, "neutral"),
        (b"t", b"soon", "neutral"),
        (b"d", b"", "neutral"),
        (b"d", b"a..b", "neutral"),
        (b"d", b"other.example", "fail"),
        (b"s", b"elsewhere", "permerror"),
        (b"s", b"../x", "neutral"),
        (b"i", b"example.org", "neutral"),
        (b"i", b"x@other.example", "neutral"),
        (b"c", b"relaxed/nonsense", "neutral"),
        (b"v", b"2", "neutral"),
        (b"q", b"pigeon", "neutral"),
        (b"bh", b"!", "neutral"),
        (b"b", b"AAAA", "fail"),
        (b"b", b"!", "neutral"),
        (b"z", b"x" * 9_000, "policy"),
        (b"z", b" " * 200, "policy"),
    ],
)
def test_tags(tag: bytes, value: bytes, result: str) -> None:
    """A tag that is missing sense, or asks for more than we grant, has its result."""
    assert results(retagged(tag, value), s1=key_record()) == [result]


@pytest.mark.parametrize(
    ("change", "result"),
    [
        (lambda text: text, "pass"),
        (lambda text: text.replace("v=DKIM1; ", ""), "pass"),
        (lambda text: text + "; t=y; n=note", "pass"),
        (lambda text: text + "; s=other : email; h=sha1:sha256", "pass"),
        (lambda text: text + "; s=tlsrpt", "permerror"),
        (lambda text: text + "; h=sha1", "permerror"),
        (lambda text: text.replace("DKIM1", "DKIM2"), "permerror"),
        (lambda text: text.replace("k=rsa", "k=dsa"), "permerror"),
        (lambda text: text.partition("p=")[0] + "p=", "permerror"),
        (lambda text: text[:-40], "permerror"),
        (lambda _: "p", "permerror"),
        (lambda _: "p=!!!!", "permerror"),
        (lambda _: "p=" + "A" * 5_000, "permerror"),
        (lambda _: key_record(new_key()), "fail"),
    ],
)
def test_keys(change: Callable[[str], str], result: str) -> None:
    """A record is a key for mail, or none; a revoked one is none."""
    assert results(signed(), s1=change(key_record())) == [result]


def rsa_record(modulus: int, exponent: int) -> str:
    """Return a record with a key that nobody made by the rules."""
    der = (
        RSAPublicNumbers(exponent, modulus)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    return f"p={base64.b64encode(der).decode()}"


@pytest.mark.parametrize(
    ("bits", "exponent"), [(1_023, 65_537), (4_097, 65_537), (4_096, 2**64 + 1)]
)
def test_costly_keys(bits: int, exponent: int) -> None:
    """A key too weak to believe, or too long to calculate with, is none."""
    modulus = random.Random(1).getrandbits(bits) | 1 << (bits - 1) | 1
    assert results(signed(), s1=rsa_record(modulus, exponent)) == ["permerror"]


def test_five_signatures() -> None:
    """The uppermost five are looked at; a key that several name is asked for once."""
    world = published()
    many = b"".join([signed().split(b"Date:", 1)[0]] * 8) + HEADER
    assert judged(world, many).results.count(b"dkim=pass") == 5
    assert world.asked.count(("s1._domainkey.example.org", "TXT")) == 1


@pytest.mark.parametrize(
    "line",
    [b"From : x@example.net\r\n", b"not a field\r\n", b" folded\r\n", b"A: b\n\r\n"],
)
def test_unclear_header(line: bytes) -> None:
    """A block that two readers could read in two ways has no good signature."""
    header = line + signed()
    with pytest.raises(signatures.NotReadableError):
        signatures.SignedMessage.of(header, [BODY])
    assert b"dkim=none" in judged(published(), header).results
    assert not own_signature(header, [BODY], "example.org", key_record().encode())


def test_added_from() -> None:
    """A From above the signed one breaks the signature."""
    assert results(b"From: x@example.net\r\n" + signed(), s1=key_record()) == ["fail"]


def test_hostile_blanks() -> None:
    """Words that take dkimpy the square of their length are not given to it."""
    blank = b" \r\n" * 80_000
    slow = b"DKIM-Signature: v=1;" + blank + b" b=" + blank + b" x\r\n" + HEADER
    body = b" " * 4_000_000 + b"x\r\n"
    begun = time.process_time()
    assert results(slow, body, s1=key_record()) == ["policy"]
    assert results(signed(body=body), body, s1=key_record()) == ["pass"]
    assert time.process_time() - begun < 20  # hours, without


@given(st.data())
def test_relaxed_body(data: st.DataObject) -> None:
    """However it is cut, a body's hash is the one of its canonical form."""
    words = st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r\n\r\n", b"b c"])
    body = b"".join(data.draw(st.lists(words, max_size=20))) + b"\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    hashed = RelaxedHash()
    for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True):
        hashed.update(body[start:stop])
    expected = hashlib.sha256(Relaxed.canonicalize_body(body)).digest()
    assert hashed.digest() == expected


def test_relaxed_body_long_end() -> None:
    """Very many empty lines at a place where something follows them count all."""
    body = b"a" + b"\r\n" * 50_000 + b"b" + b" \r\n" * 9_000
    hashed = RelaxedHash()
    hashed.update(body)
    expected = hashlib.sha256(Relaxed.canonicalize_body(body)).digest()
    assert hashed.digest() == expected


def test_relaxed_signature() -> None:
    """What dkimpy signs "relaxed/relaxed" passes, spaces changed on the way or not."""
    field_ = dkimpy.sign(
        HEADER + BODY,
        b"s1",
        b"example.org",
        PEM,
        canonicalize=(b"relaxed", b"relaxed"),
    )
    assert results(field_ + HEADER, s1=key_record()) == ["pass"]
    changed = HEADER.replace(b"Subject: ", b"Subject:   ")
    body = BODY.replace(b"world \t wide", b"world wide  ") + b"\r\n\r\n"
    assert results(field_ + changed, body, s1=key_record()) == ["pass"]
    assert results(field_ + HEADER, b"x" + BODY, s1=key_record()) == ["fail"]


@given(st.binary(max_size=200), st.text("vabhdsclitxqz=;:, \r\n/@.+A9", max_size=200))
def test_signature_never_raises(octets: bytes, tags: str) -> None:
    """Whatever a signature holds, it has a result."""
    value = tags.encode().replace(b"\r", b"").replace(b"\n", b"\r\n ")
    base = signed().partition(b"\r\n")[0].partition(b":")[2]
    raw = octets.translate(None, b"\r\n")
    for text in (value, base + b";" + value, raw, base + raw):
        header = b"DKIM-Signature:" + text + b"\r\n" + HEADER
        (result,) = results(header, s1=key_record())
        assert result in {"neutral", "policy", "fail", "permerror", "pass"}


@given(st.text("vkp=;:shDKIM1rsaed25519 AQ/+=", max_size=120), st.binary(max_size=90))
def test_key_never_raises(text: str, der: bytes) -> None:
    """Whatever a key record holds, the signature has a result."""
    octets = base64.b64encode(der).decode()
    for record in (text, f"p={octets}", f"k=rsa; p=MIGf{octets}", f"p={text}"):
        (result,) = results(signed(), s1=record)
        assert result in {"permerror", "fail"}


# DMARC.

REJECT = "v=DMARC1; p=reject"


@pytest.mark.parametrize(
    ("domain", "own"),
    [
        ("example.org", "example.org"),
        ("a.b.example.org", "example.org"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("com", "com"),
        ("a.b.unknown-tld", "b.unknown-tld"),
        ("x.someone.github.io", "someone.github.io"),
    ],
)
def test_organisation(domain: str, own: str) -> None:
    """The organisational domain is one below a public suffix."""
    assert organisation(domain) == own


def test_alignment() -> None:
    """Relaxed: one owner; strict: one name; nothing is aligned with nothing."""
    assert are_aligned("a.example.org", "b.example.org")
    assert not are_aligned("a.example.org", "b.example.org", strict=True)
    assert are_aligned("a.example.org", "a.example.org", strict=True)
    assert not are_aligned("one.co.uk", "two.co.uk")
    assert not are_aligned("", "")
    assert not are_aligned("", "", strict=True)


@pytest.mark.parametrize(
    ("policy", "result", "reject"),
    [
        (None, b"dmarc=none header.from", False),
        (REJECT, b"dmarc=fail (p=reject dis=reject)", True),
        ("v=DMARC1; p=quarantine", b"dmarc=fail (p=quarantine dis=quarantine)", False),
        ("v=DMARC1; p=none", b"dmarc=fail (p=none dis=none)", False),
        ("v = DMARC1 ; P = Reject ;", b"dmarc=fail (p=reject dis=reject)", True),
        (REJECT + "; pct=0", b"dmarc=fail (p=reject dis=quarantine)", False),
        (REJECT + "; pct=100", b"dmarc=fail (p=reject dis=reject)", True),
        (REJECT + "; pct=999", b"dmarc=fail (p=reject dis=reject)", True),
        (REJECT + "; pct=some", b"dmarc=fail (p=reject dis=reject)", True),
        (REJECT + "; sp=none", b"dmarc=fail (p=reject dis=reject)", True),
        ("v=DMARC1; p=maybe", b"dmarc=none header.from", False),
        ("v=DMARC1; p=maybe; rua=mailto:x@y.example", b"(p=none dis=none)", False),
        ("v=DMARC1; p=reject; sp=maybe", b"dmarc=none header.from", False),
        ("v=DMARC2; p=reject", b"dmarc=none header.from", False),
        ("p=reject; v=DMARC1", b"dmarc=none header.from", False),
    ],
)
def test_policies(policy: str | None, result: bytes, reject: bool) -> None:
    """What a record asks for, and what counts as none, for mail that fails."""
    found = judged(published(policy))
    assert result in found.results
    assert found.reject is reject


def test_two_policies() -> None:
    """Two records are none, and the domain above is not asked then (6.6.3)."""
    world = World().txt("_dmarc.a.example.org", REJECT, REJECT)
    world.txt("_dmarc.example.org", REJECT)
    found = judged(world, HEADER.replace(b"ann@", b"ann@a."))
    assert (found.dmarc, found.reject) == ("none", False)


@pytest.mark.parametrize(
    ("policy", "reject"),
    [
        (REJECT, True),
        (REJECT + "; sp=none", False),
        ("v=DMARC1; p=none; sp=reject", True),
    ],
)
def test_subdomain(policy: str, reject: bool) -> None:
    """Below the organisational domain its `sp` holds, or else its `p`."""
    found = judged(published(policy), HEADER.replace(b"ann@", b"ann@a.b."))
    assert found.reject is reject
    assert found.from_domain == "a.b.example.org"


def test_pass() -> None:
    """One aligned identifier is enough: SPF's or a signature's."""
    by_dkim = judged(published(REJECT), signed())
    assert (by_dkim.dmarc, by_dkim.spf, by_dkim.vouched) == ("pass", "none", True)
    assert by_dkim.dkim_domains == ("example.org",)
    by_spf = judged(published(REJECT).txt("example.org", "v=spf1 +all"))
    assert (by_spf.dmarc, by_spf.spf, by_spf.vouched) == ("pass", "pass", True)


def test_not_aligned() -> None:
    """A good signature, and a pass of SPF, of somebody else do not help."""
    world = published(REJECT).txt("other.example", "v=spf1 +all")
    world.txt("s1._domainkey.other.example", key_record())
    header = signed(domain=b"other.example")
    found = judged(world, header, sender=b"x@other.example")
    assert (found.spf, found.dkim_domains) == ("pass", ("other.example",))
    assert found.reject


@pytest.mark.parametrize("tag", ["adkim", "aspf"])
def test_strict(tag: str) -> None:
    """Strict alignment wants the name itself; each tag rules its own mechanism."""
    world = published(f"{REJECT}; {tag}=s", "example.org")
    world.txt("s1._domainkey.a.example.org", key_record())
    world.txt("a.example.org", "v=spf1 +all")
    by_dkim = judged(world, signed(domain=b"a.example.org"), sender=b"")
    by_spf = judged(world, sender=b"x@a.example.org")
    assert by_dkim.reject is (tag == "adkim")
    assert by_spf.reject is (tag == "aspf")


@pytest.mark.parametrize(
    "name", ["_dmarc.example.org", "example.org", "s1._domainkey.example.org"]
)
def test_dns_fails(name: str) -> None:
    """While nobody can tell, nothing is refused for good."""
    world = published(REJECT)
    world.failing.add(name)
    found = judged(world, signed(), body=BODY if name.startswith("s1") else b"other")
    assert (found.dmarc, found.reject) == ("temperror", False)


def test_dns_fails_for_another() -> None:
    """What fails for a domain that is not aligned excuses nobody."""
    world = published(REJECT)
    world.failing.add("s1._domainkey.other.example")
    assert judged(world, signed(domain=b"other.example")).reject


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"From:\r\n",
        b"From: nobody\r\n",
        b"From: a@example.org, b@example.com\r\n",
        b"From: a@example.org\r\nFrom: b@example.com\r\n",
        b"From: a@example.org\r\nfrom : b@example.com\r\n",
        b"From: a@example.org\r\nFrom: nobody\r\n",
        b"From: friends: a@example.org, b@example.org;\r\n",
        b"From: undisclosed:;\r\n",
    ],
)
def test_not_one_from(lines: bytes) -> None:
    """Without exactly one From address nothing can be judged, so it is refused."""
    header = HEADER.replace(b"From: Ann <ann@example.org>\r\n", lines)
    found = judged(World(), header)
    assert (found.dmarc, found.reject, found.from_domain) == ("permerror", True, "")


def test_literal_from() -> None:
    """An address literal has no policy, and forges no domain."""
    found = judged(World(), HEADER.replace(b"example.org>", b"[192.0.2.1]>"))
    assert (found.dmarc, found.reject) == ("permerror", False)


def test_percentage() -> None:
    """Of many messages that many fall to the policy; the same one always alike."""
    world = published(REJECT + "; pct=30")
    headers = [b"X-Number: %d\r\n%s" % (number, HEADER) for number in range(300)]
    rejected = [judged(world, header).reject for header in headers]
    assert 60 < sum(rejected) < 120
    assert rejected == [judged(world, header).reject for header in headers]


# What is told.


def test_results() -> None:
    """The field names each method, its result and whose it is (RFC 8601)."""
    world = published(REJECT).txt("example.org", "v=spf1 ip4:192.0.2.0/24 -all")
    assert judged(world, signed(), ip=INSIDE).results == (
        b"mx.i2pmail.org; spf=pass smtp.mailfrom=example.org; "
        b"dkim=pass header.d=example.org header.s=s1; "
        b"dmarc=pass (p=reject dis=none) header.from=example.org"
    )


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_results_are_one_line(sender: bytes, author: bytes, tag: bytes) -> None:
    """Nothing of the far end's words can end the field or begin a result."""
    header = b"DKIM-Signature: d=%s; s=%s\r\nFrom: <%s>\r\n\r\n" % (tag, tag, author)
    found = judged(World(), header, sender=sender).results
    assert found.isascii()
    assert found.decode().isprintable()
    assert found.count(b"spf=") == found.count(b"dmarc=") == 1
    assert b"spf=pass" not in found
    assert b"dkim=pass" not in found


def test_vouched() -> None:
    """Only who is who the envelope says is answered, and the null sender never."""
    world = published().txt("example.org", "v=spf1 ip4:192.0.2.0/24 ~all")
    assert judged(world, ip=INSIDE).vouched
    assert not judged(world).vouched
    assert judged(world, signed()).vouched
    assert judged(world, signed(), sender=b"bounce@mail.example.org").vouched
    assert not judged(world, signed(), sender=b"x@other.example").vouched
    assert not judged(world, signed(), sender=b"").vouched
    assert not judged(world, signed(), body=b"other").vouched
    world.txt("mx.example.org", "v=spf1 +all")
    assert not judged(world, sender=b"").vouched


def test_slow_strangers() -> None:
    """Nobody's slow servers keep the author's domain from being heard."""
    moment = [NOW]
    world = published("v=DMARC1; p=reject").txt("slow.example", "v=spf1 a:slow.example")

    def ask(name: str, kind: str) -> Records:
        moment[0] += SECONDS if name.endswith("slow.example") else 0
        return world.ask(name, kind)

    strangers = signed(domain=b"slow.example").removesuffix(HEADER)
    ours = signed().removesuffix(HEADER)
    for header, told in (
        (HEADER, "fail"),
        (strangers + HEADER, "fail"),
        (strangers + ours + HEADER, "pass"),
        (strangers + ours + HEADER.replace(b"Greetings", b"Bills"), "fail"),
    ):
        moment[0] = NOW
        found = authenticate(
            *(OUTSIDE, b"h.example", b"x@slow.example", header, [BODY]),
            ask=ask,
            authserv_id=b"x",
            now=lambda: moment[0],
        )
        assert (found.dmarc, found.reject) == (told, told == "fail")
        assert moment[0] <= NOW + 2 * SECONDS


def test_hashed() -> None:
    """What was hashed stands for the body, and holds nothing of it."""
    for header, body, told in (
        (signed(), BODY, "pass"),
        (signed(), b"other", "fail"),
        (HEADER, BODY, "fail"),
        (b"no field\r\n\r\n", BODY, "permerror"),
    ):
        bodies = hashed(header, [body])
        assert bodies._pieces == ()
        found = authenticate(
            *(OUTSIDE, b"h.example", b"", header, bodies),
            ask=published("v=DMARC1; p=reject").ask,
            authserv_id=b"x",
            now=lambda: NOW,
        )
        assert found.dmarc == told


def test_body_is_read_once() -> None:
    """The body may be a stream: it is read once, and only for a signature."""
    pieces: list[Any] = [BODY[:5], BODY[5:9], BODY[9:]]

    def authenticated(header: bytes) -> tuple[bytes, int]:
        stream = iter(pieces)
        found = authenticate(
            *(OUTSIDE, b"h.example", b"", header, stream),
            ask=published().ask,
            authserv_id=b"x",
            now=lambda: NOW,
        )
        return found.results, len(list(stream))

    assert authenticated(HEADER)[1] == 3
    told, left = authenticated(_twice())
    assert told.count(b"dkim=pass") == 2
    assert left == 0


def _twice() -> bytes:
    return signed().split(b"Date:", 1)[0] + signed()


# Our own.


def test_own_signature() -> None:
    """What our signer signed is ours, and as long as nothing of it is changed."""
    record = key_record().encode()
    header = signed(
        HEADER.replace(b"example.org", b"i2pmail.org"), BODY, b"i2pmail.org"
    )

    def own(header: bytes, body: bytes = BODY, key: bytes = record) -> bool:
        return own_signature(header, [body[:3], body[3:]], "i2pmail.org", key)

    assert own(header)
    assert own(b"List-Id: <x.example>\r\n" + header)
    assert not own(header, BODY + b"more\r\n")
    assert not own(header.replace(b"Greetings", b"Regards"))
    assert not own(b"From: Eve <eve@i2pmail.org>\r\n" + header)
    assert not own(b"Reply-To: eve@example.net\r\n" + header)
    assert not own(header, key=key_record(new_key()).encode())
    assert not own(header, key=b"")
    assert not own(HEADER)
    elsewhere = signed(domain=b"sub.i2pmail.org")
    assert not own(elsewhere)
