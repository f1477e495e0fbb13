"""No way down: DANE, MTA-STS and STARTTLS taken away, against a whole gateway.

The gateway is its own process; nsd and unbound are the DNS, with zones signed here, and
unbound validates them. Its OpenSSL is told of the authority that the certificates of
`tests.world.protected` are below. The test speaks for the mail host, over the link.
"""

from __future__ import annotations

import contextlib
import os
import smtplib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import define
from nacl.public import PrivateKey

from postmand.link import new_identity, pin_of
from postmand.pairing import HostText
from tests.conftest import need
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL, free_port
from tests.world.dns import World
from tests.world.protected import (
    BETWEEN,
    DANE,
    GOOD,
    NEITHER,
    NO_DNS,
    NO_TLS,
    PLAIN,
    POLICIES,
    POSTFIX,
    ROOT,
    SELF,
    STS,
    TAKEN,
    WRONG_KEY,
    Domains,
    Shown,
    Strangers,
    domains,
    strangers,
)
from tests.world.strangers import write_anchor

OWN = "127.0.0.21"
SENDER = "jondoe@i2pmail.org"
LETTER = (
    b"Date: Sun, 22 Nov 2026 15:21:00 +0000\r\n"
    b"Message-ID: <1@i2pmail.org>\r\n"
    b"From: jondoe@i2pmail.org\r\n"
    b"Subject: hello\r\n\r\n"
    b"Hello.\r\n"
)


class HostEnd(smtplib.SMTP_SSL):
    """The mail host's end of the link: LMTP (RFC 2033) within TLS, by its key."""

    ehlo_msg = "lhlo"

    def reply(self, domain: str) -> str:
        """Send a message to alice there; return code and status of the reply."""
        self.ehlo_or_helo_if_needed()
        self.rset()
        for code, words in (self.mail(SENDER), self.rcpt(f"alice@{domain}")):
            assert code == 250, words
        code, words = self.data(LETTER)
        return f"{code} {words.split()[0].decode()}"


@define
class Scene:
    """All that runs."""

    world: World
    zones: Domains
    strangers: Strangers
    reply: Callable[[str], str]


def gateway(base: Path, world: World, port: int, host_pin: str) -> Gateway:
    """Return a gateway that believes ROOT, and knows the test as its mail host."""
    told = HostText(host_pin, bytes(PrivateKey.generate().public_key))
    made = Gateway(
        base,
        OWN,
        port,
        free_port(),
        exit={
            "resolver": world.resolver,
            "mta_sts": True,
            "idle_seconds": 0.0,
            "source": [OWN],
        },
        link={"host_pin": host_pin, "host_key": str(told).split(":")[3]},
    )
    made.before = ["env", f"SSL_CERT_FILE={write_anchor(base, ROOT.issued)}"]
    return made


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run all of it for the module."""
    need("nsd")
    need("unbound")
    need("postconf", "postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix runs as root only, and 443 is root's port")
    base = tmp_path_factory.mktemp("downgrade")
    port, shown, identity = free_port(), Shown(), new_identity()
    zones = domains(port, shown)
    world = World(
        base / "dns",
        {"i2pmail.org": f"mx1 A {OWN}\n", **zones.zones},
        signed=zones.signed,
        forged=zones.forged,
    )
    key = base / "host.pem"
    key.write_bytes(identity)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.load_cert_chain(key)
    with contextlib.ExitStack() as running:
        running.enter_context(world)
        far = running.enter_context(strangers(port, shown, zones.files))
        out = gateway(base / "gateway", world, port, pin_of(identity)).start()
        running.callback(out.stop)
        host = HostEnd(LOCAL, out.link_port, "localhost", timeout=60, context=tls)
        running.enter_context(host)
        yield Scene(world, zones, far, host.reply)


@pytest.mark.parametrize("domain", DANE)
def test_dane(scene: Scene, domain: str) -> None:
    """Who shows the key of the signed DNS gets it over TLS; others get nothing."""
    address, _, expected = DANE[domain]
    assert scene.reply(domain) == expected
    if expected == TAKEN and address == POSTFIX:
        assert scene.strangers.postfix_got(domain) == [True]
    else:
        assert scene.strangers.arrived(domain) == [True] * (expected == TAKEN)


@pytest.mark.parametrize("domain", STS)
def test_mta_sts(scene: Scene, domain: str) -> None:
    """Who proves the policy's name gets it over TLS; others, if it is enforced, not."""
    address, _, expected = STS[domain]
    assert scene.reply(domain) == expected
    assert f"mta-sts.{domain}" in scene.strangers.policies.asked
    if expected == TAKEN and address == POSTFIX:
        assert scene.strangers.postfix_got(domain) == [True]
    else:
        assert scene.strangers.arrived(domain) == [True] * (expected == TAKEN)


@pytest.mark.parametrize("domain", NEITHER)
def test_neither(scene: Scene, domain: str) -> None:
    """Without a policy: TLS if it comes about, whoever shows what, or else none."""
    _, over_tls = NEITHER[domain]
    assert scene.reply(domain) == TAKEN
    assert scene.strangers.arrived(domain) == [over_tls]


@pytest.mark.parametrize("how", BETWEEN)
@pytest.mark.parametrize("by", ["dane", "sts"])
def test_who_sits_between_hears_nothing(scene: Scene, how: str, by: str) -> None:
    """Who takes TLS away is told of no sender, no recipient and no word."""
    between = scene.strangers.between[how]
    before = len(between.heard)
    assert scene.reply(f"{by}-{how}.example") == NO_TLS
    words = {line[:8].upper() for line in between.heard[before:].split(b"\r\n")}
    assert words - {b"", b"RSET", b"QUIT"} <= {b"EHLO MX1", b"STARTTLS"}
    assert b"EHLO MX1" in words


@pytest.mark.parametrize(
    ("domain", "over_tls"),
    [
        ("insecure.example", True),
        ("insecure-plain.example", False),
        ("cut.example", True),
    ],
)
def test_keys_that_nobody_signed(scene: Scene, domain: str, over_tls: bool) -> None:
    """A TLSA record in a zone without signatures is anybody's, and asks for nothing."""
    assert scene.reply(domain) == TAKEN
    assert scene.strangers.arrived(domain) == [over_tls]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("bogus-tlsa.example", WRONG_KEY),
        ("bogus-mx.example", NO_DNS),
        ("bogus-a.example", NO_DNS),
    ],
)
def test_bogus(scene: Scene, domain: str, expected: str) -> None:
    """What was changed after it was signed puts mail off, whichever record it is."""
    assert scene.reply(domain) == expected
    assert scene.strangers.arrived(domain) == []


def test_both(scene: Scene) -> None:
    """DANE goes before MTA-STS, and MTA-STS never excuses from it (RFC 8461 2)."""
    assert scene.reply("both.example") == TAKEN
    assert scene.strangers.arrived("both.example") == [True]
    assert scene.reply("both-wrong.example") == WRONG_KEY
    assert scene.strangers.arrived("both-wrong.example") == []


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("unusable.example", TAKEN),
        ("unusable-self.example", WRONG_KEY),
        ("unusable-plain.example", NO_TLS),
    ],
)
def test_keys_of_no_use(scene: Scene, domain: str, expected: str) -> None:
    """Signed keys that decide nothing leave an enforced policy as it is."""
    assert scene.reply(domain) == expected
    assert scene.strangers.arrived(domain) == [True] * (expected == TAKEN)


def test_not_named(scene: Scene) -> None:
    """A server that the policy does not name gets nothing, good as it may be."""
    assert scene.reply("not-named.example") == WRONG_KEY
    assert scene.strangers.arrived("not-named.example") == []


def test_policy_that_nobody_proves(scene: Scene) -> None:
    """Whose policy server proves nothing has no policy (RFC 8461 3.3)."""
    assert scene.reply("unproven.example") == TAKEN
    assert scene.strangers.arrived("unproven.example") == [True]


def test_names_asked_for(scene: Scene) -> None:
    """Servers of many names are told which is meant (RFC 7672 8.1, RFC 8461 4.2)."""
    asked = scene.strangers.servers[GOOD].asked
    for domain in ("ee.example", "sts.example"):
        scene.reply(domain)
        assert asked[-1] == f"mx.{domain}"


def test_source(scene: Scene) -> None:
    """All of it leaves from the one address that the configuration names."""
    far = scene.strangers
    for domain in ("sts.example", "dane-hidden.example", "any-plain.example"):
        scene.reply(domain)
    met = (far.servers[GOOD], far.servers[PLAIN], far.between["hidden"], far.policies)
    assert [one.peers - {*BETWEEN.values()} for one in met] == [{OWN}] * 4


def test_remembered_policy(scene: Scene) -> None:
    """Once there was a policy, it holds: its server away, its record new or gone.

    Last in the module: the policies' server does not come back.
    """
    domain, far = "moves.example", scene.strangers
    before = scene.zones.zones[domain]
    newer = f'_mta-sts TXT "v=STSv1; id=2;"\nmta-sts A {POLICIES}\n'
    assert scene.reply(domain) == TAKEN
    far.policies.stop()
    for zone, expected in (
        (f"@ MX 10 mx\nmx A {GOOD}\n{newer}", TAKEN),
        (f"@ MX 10 mx\nmx A {BETWEEN['hidden']}\n{newer}", NO_TLS),
        (f"@ MX 10 mx\nmx A {SELF}\n", WRONG_KEY),
        (f"@ MX 10 mx2\nmx2 A {GOOD}\n", WRONG_KEY),
        (before, TAKEN),
    ):
        scene.world.serve({domain: zone})
        assert scene.reply(domain) == expected, zone
    assert far.arrived(domain) == [True] * 3
    # Who has not been met before can not be told from one without a policy.
    assert scene.reply("sts-late.example") == TAKEN
    assert far.arrived("sts-late.example") == [False]
