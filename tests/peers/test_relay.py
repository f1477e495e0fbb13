"""No open relay: every form of an address, in and out, over the real programs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from postmand.config import load
from postmand.inbound import Crate
from postmand.pairing import key_octets
from postmand.store.crates import seal
from tests.flow.program import PATIENCE
from tests.link_office import bdat
from tests.test_exchange import FORMS_OF_RELAY
from tests.test_outgoing import HEADER
from tests.world.lenient import PEER, Lenient, need_all
from tests.world.stolen import as_gateway, as_host

# Where no mail goes, and what the gateway says to it. By name, by DNS, by address.
NO_WAY_OUT = [
    (b"alice@mail.i2p", "550 5.7.1"),
    (b"alice@i2pmail.org", "550 5.7.1"),
    (b"alice@I2PMAIL.ORG.", "550 5.7.1"),
    (b"alice%example.org@i2pmail.org", "553 5.1.3"),
    (b"@example.org:alice@strict.lax", "553 5.1.3"),
    (b"alice@[127.0.0.1]", "550 5.1.2"),
    (b"alice@[127.0.0.50]", "550 5.1.2"),
    (b"alice@[IPv6:::1]", "550 5.1.2"),
    (b"alice@127.0.0.50", "550 5.1.2"),
    (b"alice@localhost", "550 5.1.2"),
    (b"alice@strict.lax@example.org", "553 5.1.3"),
    (b"alice", "550 5.7.1"),
    (b"a\rb@strict.lax", "553 5.1.3"),
    (b"alice@null.example", "556 5.1.10"),
    (b"alice@nowhere.example", "550 5.1.2"),
    (b"alice@number.example", "550 5.4.4"),
    (b"alice@ten.example", "550 5.4.4"),
    (b"alice@loop.example", "550 5.4.4"),
    (b"alice@local.example", "550 5.4.4"),
    (b"alice@six.example", "550 5.4.4"),
    (b"alice@mapped.example", "550 5.4.4"),
    (b"alice@alias.example", "550 5.4.4"),
    (b"alice@inner.example", "550 5.4.4"),
    (b"alice@us.example", "554 5.4.6"),
    (b"alice@ours.example", "550 5.4.4"),
]
# What a gateway may not ask the host to take: there is nobody of that name.
FOREIGN = [
    b"bob@example.org", b"b@strict.lax", b"alice%strict.lax@mail.i2p",
    b"@mail.i2p:b@strict.lax", b'"b@strict.lax"@mail.i2p', b"strict.lax!b@mail.i2p",
    b"b@[127.0.0.50]", b"alice@mail.i2p@strict.lax",
]  # fmt: skip
_MESSAGE = b"From: alice@mail.i2p\r\nSubject: nowhere\r\n\r\ntext\r\n"
_NOWHERE = {
    "null.example": "@ MX 0 .",
    "number.example": "@ MX 10 127.0.0.50.",
    "ten.example": "@ MX 10 mx\nmx A 10.1.2.3",
    "loop.example": "@ MX 10 mx\nmx A 127.0.0.1",
    "local.example": "@ MX 10 mx\nmx A 169.254.1.1",
    "six.example": "@ MX 10 mx\nmx AAAA fd00::1",
    "mapped.example": "@ MX 10 mx\nmx AAAA ::ffff:127.0.0.1",
    "alias.example": "@ MX 10 mx\nmx CNAME mx.loop.example.",
    "inner.example": "@ A 192.168.0.1",
    "us.example": "@ MX 10 mx1.i2pmail.org.",
    "ours.example": "@ MX 10 mx\nmx A 127.0.0.21",
}


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lenient]:
    """Run all of it for the module."""
    need_all()
    with Lenient(tmp_path_factory.mktemp("relay"), _NOWHERE) as made:
        yield made


def test_no_relay_in(lenient: Lenient) -> None:
    """Each form of the table, from the Internet: our members' mail and no other."""
    calls = lenient.calls()
    kept = 0
    for recipient, code in FORMS_OF_RELAY:
        with lenient.gateway.wire(PEER) as wire:
            assert wire.reply().startswith("220 ")
            for line in ("EHLO mx.good.example", "MAIL FROM:<a@good.example>"):
                wire.say(line)
                assert wire.reply()[:3] == "250"
            wire.say(b"RCPT TO:<%s>" % recipient)
            assert wire.reply()[:3] == str(code), recipient
            wire.say("DATA")
            assert wire.reply()[:3] == ("354" if code == 250 else "554"), recipient
            if code == 250:
                wire.say("From: a@good.example", "Subject: form", "", "text", ".")
                assert wire.reply()[:3] == "250"
                kept += 1
    assert len(lenient.house.collect("alice")) == kept
    assert lenient.house.collect("bob") == []
    assert lenient.calls() == calls


@pytest.mark.parametrize("recipient", [one for one, _ in NO_WAY_OUT])
def test_no_relay_out(lenient: Lenient, recipient: bytes) -> None:
    """Nothing leaves for where no mail may go, and nobody there is called."""
    calls = lenient.calls()
    expected = dict(NO_WAY_OUT)[recipient]
    with as_host(lenient.house, lenient.gateway) as line:
        to = b"RCPT TO:<%s>" % recipient
        told = line.told(b"MAIL FROM:<jondoe@i2pmail.org>", to, b"DATA")
        if told.startswith("354 "):
            told = line.told(HEADER + b"text\r\n.")
    assert told.startswith(expected), told
    assert lenient.calls() == calls


def test_no_relay_of_a_member(lenient: Lenient) -> None:
    """The same from a member: refused at RCPT, or told in a report; nobody calls."""
    calls = lenient.calls()
    taken = []
    for recipient, _ in NO_WAY_OUT:
        with lenient.house.smtp("alice") as session:
            session.mail("alice@mail.i2p")
            session.send(b"RCPT TO:<%s>\r\n" % recipient)
            code = session.getreply()[0]
            assert code in (250, 550, 553)
            if code == 250:
                assert session.data(_MESSAGE)[0] == 250
                taken.append(recipient)
    reports = [one for one in taken if one.endswith(b".example")]
    assert len(reports) >= len(_NOWHERE)
    # The others name a member in our own domain: alice herself.
    found: list[bytes] = []
    until = time.monotonic() + PATIENCE
    while len(found) < len(taken):
        assert time.monotonic() < until
        found += lenient.house.collect("alice")
        time.sleep(0.05)
    assert len([one for one in found if b"multipart/report" in one]) == len(reports)
    assert len(found) == len(taken)
    assert lenient.calls() == calls


@pytest.mark.parametrize("recipient", FOREIGN)
def test_no_relay_of_a_stolen_gateway(lenient: Lenient, recipient: bytes) -> None:
    """The host takes crates for its members alone, and asks no gateway to send them."""
    calls = lenient.calls()
    config = load(str(lenient.gateway.config))
    assert config.link
    header = b"From: a@good.example\r\nSubject: crate\r\n\r\n"
    crate = Crate(b"", (recipient,), b"mx", False, header, (b"text\r\n",))
    sealed = b"".join(seal(crate, key_octets(config.link.host_key)))
    with as_gateway(lenient.gateway) as line:
        told = line.told(b"MAIL FROM:<>", b"RCPT TO:<%s>" % recipient)
        assert told[:2] == "55", told
        line.link.sendall(bdat(sealed))
        assert line.reply()[:2] == "55"
    assert lenient.calls() == calls
