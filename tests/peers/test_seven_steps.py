"""The seven steps of a running gateway: each refuses its case and passes its neighbour.

Clients are smtplib and bare sockets, each from an address of its own; what the gateway
asks is answered by nsd and unbound, and by a mail server that knows one sender.
"""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator

import pytest

from postmand.rules.inbound import (
    BAD_HELO,
    GREYLISTED,
    HELO_IS_OURS,
    NO_SENDER_DOMAIN,
    PRIVATE_NETWORK,
    SENDER_DOMAIN_UNKNOWN,
    SENDER_REFUSED,
    SENDER_TAKES_NO_MAIL,
)
from postmand.rules.verdict import Verdict
from postmand.servers import exchange
from postmand.servers.blacklists import reversed_octets
from postmand.servers.own_senders import OUR_SENDER, SENDER_IS_OURS
from tests.conftest import need
from tests.flow.outpost import Gateway
from tests.flow.sink import Sink
from tests.world.whole import Whole

ALICE, GOOD = "alice@i2pmail.org", "a@good.example"
PEER = "127.0.1.1"
HELO = "mx.good.example"
_SPF = '@ TXT "v=spf1 ip4:127.0.0.0/8 -all"\n'
_MX = _SPF + "@ MX 10 mx.good.example.\n"
_POINTS = "2.0.0.127 A 127.0.0.2\n"
_ZONES = {
    "good.example": _SPF + "@ MX 10 mx\nmx A 127.0.1.1",
    "plain.example": _SPF + "@ A 11.0.0.26",
    "public.example": _SPF + "@ MX 10 mx\nmx A 11.0.0.27\n@ NS ns\nns A 11.0.0.28",
    "public6.example": _SPF + "@ MX 10 mx\nmx AAAA 2a00::25",
    "text.example": '@ TXT "no mail here"',
    "null.example": "@ MX 0 .",
    "bogus.example": "@ MX 10 mx.good.example.\nbad A 11.0.0.66",
    "ten.example": "@ MX 10 mx\nmx A 10.1.2.3",
    "second.example": "@ MX 10 mx\n@ MX 20 mx2\nmx A 11.0.0.1\nmx2 A 192.168.0.1",
    "six.example": "@ MX 10 mx\nmx AAAA fd00::1",
    "mapped.example": "@ MX 10 mx\nmx AAAA ::ffff:10.0.0.1",
    "nat64.example": "@ MX 10 mx\nmx AAAA 64:ff9b::10.0.0.1",
    "local.example": "@ MX 10 mx\nmx A 169.254.1.1",
    "shared.example": "@ MX 10 mx\nmx A 100.64.0.1",
    "alias.example": "@ MX 10 mx\nmx CNAME inner.elsewhere.example.",
    "elsewhere.example": "inner A 172.16.0.1",
    "number.example": "@ MX 10 10.0.0.1.",
    "ns.example": "@ NS ns\nns A 10.9.9.9\n@ MX 10 mx.good.example.",
    "asked.example": _SPF + "@ MX 10 mx\nmx A 127.0.0.1",
    "silent.example": _SPF + "@ MX 10 mx\nmx A 127.0.0.41",
    "unasked.example": _SPF + "@ MX 10 mx\nmx A 127.0.0.1",
    "zen.example": _POINTS
    + f"{reversed_octets('::ffff:7f00:2')} A 127.0.0.2\n"
    + f"{reversed_octets('::1')} A 127.0.0.4\n"
    + "66.1.0.127 A 127.0.0.4\n67.1.0.127 A 127.255.255.254\n"
    + "70.1.0.127 A 127.0.0.1\n71.1.0.127 A 10.0.0.1",
    "light.example": _POINTS + "68.1.0.127 A 127.0.0.2\n69.1.0.127 A 127.0.0.2",
    "other.example": _POINTS + "69.1.0.127 A 127.0.0.2",
    "world.example": "* A 127.0.0.2",
    "dead.example": "* A 11.0.0.66",
    "grey.test": "@ MX 10 mx.good.example.",
    "six-peer.example": '@ TXT "v=spf1 ip4:127.0.0.1 ip6:::1 -all"\n'
    "@ MX 10 mx.good.example.\n",
    "strict.example": '_dmarc TXT "v=DMARC1; p=reject"\n' + _MX,
    "lenient.example": '_dmarc TXT "v=DMARC1; p=none"\n' + _MX,
    "between.example": '_dmarc TXT "v=DMARC1; p=quarantine"\n' + _MX,
    "127.in-addr.arpa": "1.1.0 PTR mx.good.example.",
}
_BLACKLISTS = {
    '"zen.example"': 2,
    '"light.example"': 1,
    '"other.example"': 1,
    '"world.example"': 5,
    '"dead.example"': 5,
}
_SETTINGS: dict[str, object] = {
    "banner_seconds": 0.2,
    "greylist_seconds": 1,
    # Whom SPF vouches for, or a name that leads back: all but who is to be put off.
    "known_good": ["example"],
    "callout_domains": ["asked.example", "silent.example"],
    "blacklists": _BLACKLISTS,
    "connections_per_peer": 100,
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Run one gateway for all cases, with a mail host that knows alice."""
    need("nsd")
    need("unbound")
    whole = Whole(
        tmp_path_factory.mktemp("steps"),
        members=("alice", "carol"),
        zones=_ZONES,
        bogus=("bogus.example", "dead.example"),
        gateways=1,
        postfix=False,
        gateway={"exchange": _SETTINGS},
        host={"aliases": {"postmaster": "alice"}},
    )
    whole.gateways[0].on_ipv6 = True
    # Who is asked about senders: it is the Internet's on 127.0.0.1.
    sink = Sink(whole.port, refused=lambda to: to.startswith("nobody@")).start()
    try:
        with whole:
            yield whole.gateways[0]
    finally:
        sink.stop()


def answer(
    gateway: Gateway,
    sender: str,
    to: str = ALICE,
    *,
    helo: str = HELO,
    peer: str = PEER,
    message: bytes = b"",
) -> str:
    """Return the reply to RCPT, or to the message if there is one, or what came first.

    That is: the first refusal, or the last word.
    """
    address = "::1" if ":" in peer else gateway.address
    with smtplib.SMTP(local_hostname=helo, timeout=60, source_address=(peer, 0)) as one:
        one.connect(address, gateway.port)
        one.ehlo(helo)
        replies = [one.mail(sender)]
        if replies[-1][0] == 250:
            replies.append(one.docmd("RCPT", f"TO:<{to}>"))
        if message and replies[-1][0] == 250:
            replies.append(one.data(message))
    return f"{replies[-1][0]} {replies[-1][1].decode()}"


def words(told: str | Verdict) -> str:
    """Return the whole reply of a named refusal; of a text, that."""
    if isinstance(told, str):
        return told
    return f"{told.code} {told.enhanced} {told.text}"


# The name in EHLO (step 1).
HELOS = [
    (HELO, "250"),
    ("mx_1.good.example", "250"),
    (f"[{PEER}]", "250"),
    ("localhost", BAD_HELO),
    ("127.0.1.1", BAD_HELO),
    ("[127.0.1.2]", BAD_HELO),
    ("[IPv6:::1]", BAD_HELO),
    ("[mx.good.example]", BAD_HELO),
    ("mx1.i2pmail.org", HELO_IS_OURS),
    ("MX1.I2Pmail.org", HELO_IS_OURS),
    ("i2pmail.org", HELO_IS_OURS),
    ("mail.i2p", HELO_IS_OURS),
]


@pytest.mark.parametrize(("helo", "told"), HELOS)
def test_helo(gateway: Gateway, helo: str, told: str | Verdict) -> None:
    """A name is a host's own and full, or the client's own address."""
    assert answer(gateway, GOOD, helo=helo).startswith(words(told))


# Envelope senders (steps 2, 3 and 4).
SENDERS = [
    (GOOD, "250"),
    ("", "250"),
    ("a@plain.example", "250"),
    ("a@text.example", NO_SENDER_DOMAIN),
    ("a@nowhere.good.example", NO_SENDER_DOMAIN),
    ("a@nowhere", NO_SENDER_DOMAIN),
    ("a@null.example", SENDER_TAKES_NO_MAIL),
    ("a@bad.bogus.example", SENDER_DOMAIN_UNKNOWN),
    ("a", "55"),
    ("a@[127.0.0.1]", exchange.NO_SENDER_DOMAIN),
    ("alice@mail.i2p", OUR_SENDER),
    ("alice@i2pmail.org", SENDER_IS_OURS),
    ("Nobody@I2Pmail.org", SENDER_IS_OURS),
    ("a@mx1.i2pmail.org", "250"),
    ("a@public.example", "250"),
    ("a@public6.example", "250"),
    ("a@ten.example", PRIVATE_NETWORK),
    ("a@second.example", PRIVATE_NETWORK),
    ("a@six.example", PRIVATE_NETWORK),
    ("a@mapped.example", PRIVATE_NETWORK),
    ("a@nat64.example", PRIVATE_NETWORK),
    ("a@local.example", PRIVATE_NETWORK),
    ("a@shared.example", PRIVATE_NETWORK),
    ("a@alias.example", PRIVATE_NETWORK),
    ("a@number.example", PRIVATE_NETWORK),
    ("a@ns.example", PRIVATE_NETWORK),
    ("known@asked.example", "250"),
    ("nobody@asked.example", SENDER_REFUSED),
    ("nobody@silent.example", "250"),
    ("nobody@unasked.example", "250"),
]


@pytest.mark.parametrize(("sender", "told"), SENDERS)
def test_sender(gateway: Gateway, sender: str, told: str | Verdict) -> None:
    """A sender's domain takes mail on the Internet, and its server knows the sender.

    Three steps have one code: it is their words that tell which of them refused.
    """
    assert answer(gateway, sender).startswith(words(told))


def test_sender_of_ours(gateway: Gateway) -> None:
    """In our domain on the Internet a sender is named by our own gateways alone.

    By SPF: who is one goes on, as far as the greylist; nobody else reaches postmaster.
    """
    for peer, told in ((gateway.address, GREYLISTED), (PEER, SENDER_IS_OURS)):
        assert answer(gateway, ALICE, peer=peer) == words(told)
    told_postmaster = answer(gateway, ALICE, "postmaster@i2pmail.org")
    assert told_postmaster == words(SENDER_IS_OURS)


# A client on IPv6, which is listed: postmaster hears of it, and nobody else.
FROM_IPV6 = [
    ("a@six-peer.example", HELO, "127.0.0.1", ALICE, "250"),
    ("a@six-peer.example", HELO, "::1", "postmaster@i2pmail.org", "250"),
    ("a@six-peer.example", "[IPv6:::1]", "::1", "postmaster@i2pmail.org", "250"),
    ("a@six-peer.example", "[IPv6:::2]", "::1", "postmaster@i2pmail.org", BAD_HELO),
    ("a@six-peer.example", "[127.0.0.1]", "::1", "postmaster@i2pmail.org", BAD_HELO),
    ("a@six-peer.example", HELO, "::1", ALICE, "554 5.7.1"),
    ("a@six.example", HELO, "::1", ALICE, PRIVATE_NETWORK),
    (ALICE, HELO, "::1", "postmaster@i2pmail.org", SENDER_IS_OURS),
]


@pytest.mark.parametrize(("sender", "helo", "peer", "to", "told"), FROM_IPV6)
def test_ipv6(
    gateway: Gateway, sender: str, helo: str, peer: str, to: str, told: str | Verdict
) -> None:
    """An IPv6 client goes through the same steps, and its own lists' form is asked."""
    said = answer(gateway, sender, to, helo=helo, peer=peer)
    assert said.startswith(words(told))
    assert ("zen.example" in said) == (told == "554 5.7.1")


# Who is listed, and by whom (step 5). All are by world.example and dead.example.
PEERS = [
    ("127.0.1.66", "554 5.7.1"),
    ("127.0.1.67", "250"),
    ("127.0.1.68", "250"),
    ("127.0.1.69", "554 5.7.1"),
    ("127.0.1.70", "250"),
    ("127.0.1.71", "250"),
    ("127.0.1.72", "250"),
]


@pytest.mark.parametrize(("peer", "told"), PEERS)
def test_blacklists(gateway: Gateway, peer: str, told: str) -> None:
    """Weights add up; errors, test points that are wrong and silence weigh nothing."""
    assert answer(gateway, GOOD, peer=peer).startswith(told)


def test_greylist(gateway: Gateway) -> None:
    """Who is new waits, who comes back is taken, and stays known; others wait anew."""
    sender, peer = "a@grey.test", "127.0.5.5"
    assert answer(gateway, sender, peer=peer).startswith("451 4.7.1")
    assert answer(gateway, sender, peer=peer).startswith("451 4.7.1")
    time.sleep(1.1)
    assert answer(gateway, sender, peer=peer).startswith("250")
    assert answer(gateway, sender, peer=peer).startswith("250")
    assert answer(gateway, "b@grey.test", peer=peer).startswith("451 4.7.1")
    assert answer(gateway, sender, peer="127.0.9.5").startswith("451 4.7.1")
    other = answer(gateway, sender, "carol@i2pmail.org", peer=peer)
    assert other.startswith("451 4.7.1")


# What every step but the first refuses, and the first (RFC 5321 4.5.1).
TO_POSTMASTER = [
    ("a@nowhere.good.example", HELO, PEER, "250"),
    ("a@ten.example", HELO, PEER, "250"),
    ("nobody@asked.example", HELO, PEER, "250"),
    (GOOD, HELO, "127.0.1.66", "250"),
    ("new@grey.test", HELO, "127.0.5.6", "250"),
    (GOOD, "localhost", PEER, "550 5.7.1"),
]


@pytest.mark.parametrize(("sender", "helo", "peer", "told"), TO_POSTMASTER)
def test_postmaster(
    gateway: Gateway, sender: str, helo: str, peer: str, told: str
) -> None:
    """Whoever is shut out, and is a mail server, can still tell postmaster."""
    for to in ("postmaster@i2pmail.org", "Postmaster"):
        assert answer(gateway, sender, to, helo=helo, peer=peer).startswith(told)
    refused = answer(gateway, sender, helo=helo, peer=peer)
    assert not refused.startswith("250")
    elsewhere = answer(gateway, sender, "postmaster@example.org", helo=helo, peer=peer)
    assert elsewhere.startswith("550 5.7.1")


# Authors whom nobody vouches for but their own domain (step 6, beside the greylist).
AUTHORS = [
    ("a@strict.example", "a@strict.example", "250"),
    (GOOD, "a@strict.example", "550 5.7.1"),
    (GOOD, "a@sub.strict.example", "550 5.7.1"),
    (GOOD, "a@lenient.example", "250"),
    (GOOD, "a@between.example", "250"),
    (GOOD, ALICE, "550 5.7.1"),
    (GOOD, GOOD, "250"),
]


@pytest.mark.parametrize(("sender", "author", "told"), AUTHORS)
def test_dmarc(gateway: Gateway, sender: str, author: str, told: str) -> None:
    """A domain's wish to have forged mail rejected is obeyed; p=none is none."""
    message = f"From: <{author}>\r\nTo: {ALICE}\r\nSubject: x\r\n\r\ntext\r\n"
    assert answer(gateway, sender, message=message.encode()).startswith(told)


# Whom mail is for (open relay, THREATS): nobody but our own members.
RECIPIENTS = [
    (ALICE, "250"),
    ("Alice@I2PMAIL.ORG", "250"),
    ("nobody@i2pmail.org", "550 5.1.1"),
    ("bob@example.org", "550 5.7.1"),
    ("bob%example.org@i2pmail.org", "550"),
    ("example.org!bob@i2pmail.org", "550"),
    ('"bob@example.org"@i2pmail.org', "550"),
    ("@i2pmail.org:bob@example.org", "550 5.7.1"),
    ("@example.org:alice@i2pmail.org", "550 5.7.1"),
    ("alice@mail.i2p", "550 5.7.1"),
    ("alice@[127.0.0.1]", "550 5.7.1"),
    ("alice@mx1.i2pmail.org", "550 5.7.1"),
    ("alice@i2pmail.org.example.org", "550 5.7.1"),
    ("alice@example.org@i2pmail.org", "550"),
    ("alice", "550 5.7.1"),
]


@pytest.mark.parametrize(("to", "told"), RECIPIENTS)
def test_recipient(gateway: Gateway, to: str, told: str) -> None:
    """Nothing is taken for anybody but a member of ours, by its address."""
    assert answer(gateway, GOOD, to).startswith(told)


_EHLO, _MAIL, _RCPT = (
    f"EHLO {HELO}\r\n",
    f"MAIL FROM:<{GOOD}>\r\n",
    f"RCPT TO:<{ALICE}>\r\n",
)
_TEXT = f"From: {GOOD}\r\nSubject: x\r\n\r\n"
# Bursts, each behind the last reply to the one before; what the last reply begins with.
BURSTS = [
    ((_EHLO, _MAIL, _RCPT), "250"),
    ((_EHLO, _MAIL + _RCPT), "250"),
    ((_EHLO, _MAIL + _RCPT + "DATA\r\n", _TEXT + "text\r\n.\r\n"), "250"),
    ((_EHLO + _MAIL,), "554 Commands"),
    ((_EHLO, _MAIL + _RCPT + "DATA\r\n" + _TEXT + "text\r\n.\r\n"), "554 5.5.1"),
    ((f"HELO {HELO}\r\n", _MAIL, _RCPT), "250"),
    ((f"HELO {HELO}\r\n", _MAIL + _RCPT), "554 Commands"),
    ((_MAIL,), "503 "),
    ((_EHLO, _MAIL.replace("\r", "")), "554 5.5.2"),
    ((_EHLO, _MAIL, _RCPT, "DATA\r\n", _TEXT + "a\nb\r\n.\r\n"), "5"),
    ((_EHLO, _MAIL, _RCPT, "DATA\r\n", _TEXT + "a\rb\r\n.\r\n"), "5"),
    ((_EHLO, _MAIL, _RCPT, "DATA\r\n", _TEXT + "a\r\n..\r\nb\r\n.\r\n"), "250"),
    ((_EHLO, _MAIL, _RCPT, "DATA\r\n", _TEXT + "a\n.\n" + _MAIL + "\r\n.\r\n"), "5"),
]


@pytest.mark.parametrize(("bursts", "told"), BURSTS)
def test_manners(gateway: Gateway, bursts: tuple[str, ...], told: str) -> None:
    """Who waits its turn and ends its lines with CRLF is heard, and nobody else."""
    last = ""
    with gateway.wire(PEER) as wire:
        assert wire.reply().startswith("220 ")
        for burst in bursts:
            wire.socket.sendall(burst.encode())
            heads = [line[:4] for line in burst.split("\r\n")]
            # In a message one reply is due; else one for each command.
            due = 1 if burst.startswith("From:") else max(1, len(heads) - 1)
            for _ in range(due):
                last = wire.reply()
                if last.startswith(("5", "354")):
                    break
    assert last.startswith(told), last


def test_early_talker(gateway: Gateway) -> None:
    """Who does not wait for the banner is sent away."""
    with gateway.wire(PEER) as wire:
        wire.socket.sendall(_EHLO.encode())
        assert wire.reply().startswith("554 You spoke")
        assert wire.line() == ""
