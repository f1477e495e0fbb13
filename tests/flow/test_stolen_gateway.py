"""Who has stolen a gateway's key speaks to members, and for none of them.

A mail host runs as it is started; the gateway is paired with it, and is never started:
whoever has its keys needs nothing else of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import frozen

from postmand.config import load
from postmand.inbound import Crate
from postmand.message.dkim import Signer, SigningKey, new_key
from postmand.pairing import key_octets
from postmand.store.crates import seal
from postmand.store.nodekeys import DKIM, open_node_keys
from tests.flow.abroad import QUICK, record
from tests.flow.house import House, free_port
from tests.flow.outpost import Gateway
from tests.flow.program import LOCAL
from tests.link_office import bdat
from tests.world.stolen import Line, as_gateway

BODY = b"Pay at once.\r\n"
STRANGER = b"eve@good.example"
# Bob, as a reader takes the address for his.
BOB = [
    *("bob@i2pmail.org", "bob@mail.i2p", "BOB@Mail.I2P."),
    *("bob@mail\u00ad.i2p", "bob@mail\u200b.i2p", "bob@mail\u3002i2p"),
    *("bob@\uff4dail.i2p", "bob@i2pmail.org\ufe0f", "bob@ma\u034fil.i2p"),
]


@frozen
class Theft:
    """A mail host, a session with it under a stolen key, and what it seals with."""

    house: House
    line: Line
    host_key: bytes
    dkim: SigningKey

    def brings(self, header: bytes, sender: bytes = STRANGER) -> str:
        """Have the host take a crate for alice; return its reply."""
        said = b"mx1.i2pmail.org; dkim=pass header.d=i2pmail.org; dmarc=pass"
        to = (b"alice@mail.i2p",)
        crate = Crate(sender, to, said, False, header, (BODY,))
        self.line.link.sendall(bdat(b"".join(seal(crate, self.host_key))))
        return self.line.reply()

    def got(self) -> list[bytes]:
        """Return what has come for alice."""
        return self.house.collect("alice")


@pytest.fixture(scope="module")
def theft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theft]:
    """Run the mail host, with the members that a thief would like to be."""
    base, port = tmp_path_factory.mktemp("stolen"), free_port()
    (base / "host").mkdir()
    inbound = {"listen": [f"tcp:{port}:interface={LOCAL}"]}
    house = House(base / "host", **{**QUICK, "inbound": inbound})
    house.add("alice", "bob", "carol")
    record(house)
    gateway = Gateway(base / "gateway", "127.0.0.21", free_port(), port).pair(house)
    stolen = load(str(gateway.config)).link
    assert stolen
    config = load(str(house.config))
    keys = open_node_keys(config.database, config.node.key, config.state, None)
    dkim = keys.get(DKIM)
    assert dkim
    house.start()
    try:
        with as_gateway(gateway) as line:
            host_key, key = key_octets(stolen.host_key), SigningKey.from_octets(dkim)
            yield Theft(house, line, host_key, key)
    finally:
        house.stop()


def header(author: str, name: str = "") -> bytes:
    """Return a message's header block."""
    told = f'"{name}" <{author}>' if name else f"<{author}>"
    return f"From: {told}\r\nTo: alice@mail.i2p\r\nSubject: bill\r\n\r\n".encode()


@pytest.mark.parametrize("author", BOB)
def test_from_a_member(theft: Theft, author: str) -> None:
    """No message says that a member wrote it who did not sign it."""
    forged = Signer(b"i2pmail.org", b"mail", new_key()).sign(header(author), BODY)
    for block in (
        header(author),
        forged + header(author),
        b"From: <%s>\r\n" % STRANGER + header(author),
        header(author).replace(b"From: ", b"From: <%s>, " % STRANGER),
    ):
        assert theft.brings(block, author.encode())[:9] == "550 5.7.1"
    assert theft.got() == []


@pytest.mark.parametrize("sender", BOB)
def test_sent_by_a_member(theft: Theft, sender: str) -> None:
    """No envelope says that a member sent what a stranger wrote, or another member."""
    signer = theft.dkim.signer("i2pmail.org")
    carol = header("carol@i2pmail.org")
    for block in (header(STRANGER.decode()), signer.sign(carol, BODY) + carol):
        assert theft.brings(block, sender.encode())[:3] == "250"
        (message,) = theft.got()
        assert message.startswith(b"Return-Path: <>\r\n")
        assert b"bob" not in message.lower()


@pytest.mark.parametrize("name", BOB)
def test_named_as_a_member(theft: Theft, name: str) -> None:
    """Nor does a stranger's name show a member's address."""
    assert theft.brings(header(STRANGER.decode(), name))[:3] == "250"
    (message,) = theft.got()
    assert b"\r\nFrom: eve@good.example\r\n" in message
    assert message.startswith(b"Return-Path: <eve@good.example>\r\n")


def test_signed_by_a_member(theft: Theft) -> None:
    """The neighbour: what a member signed comes home as that member's."""
    bob = header("bob@i2pmail.org")
    signed = theft.dkim.signer("i2pmail.org").sign(bob, BODY) + bob
    assert theft.brings(signed, b"bob@i2pmail.org")[:3] == "250"
    (message,) = theft.got()
    assert message.startswith(b"Return-Path: <bob@mail.i2p>\r\n")
    assert b"\r\nFrom: bob@mail.i2p\r\n" in message
    # Changed by a word it is nobody's.
    assert theft.brings(signed.replace(b"bill", b"gift"), b"")[:3] == "550"
    assert theft.got() == []
