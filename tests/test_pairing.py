"""The texts that a mail host and a gateway tell each other once."""

from __future__ import annotations

import base64
import hashlib

import pytest

from postmand.link import new_identity, pin_of
from postmand.pairing import GatewayText, HostText, PairingError, key_octets, read

PIN = pin_of(new_identity())
KEY = bytes(range(32))
HOST = HostText(PIN, KEY)
GATEWAY = GatewayText(PIN, "mx.i2pmail.org")


def checked(text: str) -> str:
    """Return a text with a check that fits it."""
    return f"{text}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@pytest.mark.parametrize("told", [HOST, GATEWAY])
def test_round_trip(told: HostText | GatewayText) -> None:
    """What is told is read, and stands on one line without blanks."""
    assert str(told).split() == [str(told)]
    assert read(str(told)) == told


def test_words() -> None:
    """A text tells its kind and its version, so that later ones can be told apart."""
    assert str(HOST) == checked(
        f"postmand-host:1:{PIN}:{base64.b64encode(KEY).decode()}"
    )
    assert str(GATEWAY) == checked(f"postmand-gateway:1:{PIN}:mx.i2pmail.org")


@pytest.mark.parametrize("told", [HOST, GATEWAY])
def test_wrapped(told: HostText | GatewayText) -> None:
    """A mail client may wrap it, quote none of it, and indent."""
    text = str(told)
    assert read(f"  {text[:30]}\r\n\t{text[30:77]} \n{text[77:]}\n") == told


@pytest.mark.parametrize("told", [HOST, GATEWAY])
def test_damaged(told: HostText | GatewayText) -> None:
    """One wrong character anywhere, or one that is missing, is found."""
    text = str(told)
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        for wrong in (text[:place] + other, text[:place]):
            with pytest.raises(PairingError, match=r"copy the whole|damaged"):
                read(wrong + text[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        str(HOST)[:-9],
        f"{HOST}:more",
        checked(f"postmand-host:2:{PIN}:{base64.b64encode(KEY).decode()}"),
        checked(f"postmand-relay:1:{PIN}:mx.i2pmail.org"),
        checked(f"postmand-host:1:sha256/short=:{base64.b64encode(KEY).decode()}"),
        checked(f"postmand-gateway:1:{PIN}:MX.i2pmail.org"),
        checked(f'postmand-gateway:1:{PIN}:mx"x'),
        checked(f"postmand-gateway:1:{PIN}:{'a' * 254}"),
    ],
    ids=lambda text: text.partition(":sha256")[0],  # the rest is random
)
def test_none(text: str) -> None:
    """What is no pairing text of ours is not believed, whatever its check says."""
    with pytest.raises(PairingError, match="this is no pairing text"):
        read(text)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_key_of_another_length(key: bytes) -> None:
    """A key that mail can not be sealed to is none."""
    text = base64.b64encode(key).decode()
    with pytest.raises(PairingError, match="pair anew"):
        key_octets(text)
    with pytest.raises(PairingError, match="pair anew"):
        read(checked(f"postmand-host:1:{PIN}:{text}"))


def test_key() -> None:
    """The key's octets, from base64 and from nothing else."""
    assert key_octets(base64.b64encode(KEY).decode()) == KEY
    for text in ("not base64!", KEY.hex()):
        with pytest.raises(PairingError):
            key_octets(text)
