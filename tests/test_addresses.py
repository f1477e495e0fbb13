"""Which addresses lie on the Internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.dns.addresses import MALFORMED, PUBLIC, Networks, embedded

_PLACES = {
    "8.8.8.8": PUBLIC,
    "11.0.0.1": PUBLIC,
    "172.15.255.255": PUBLIC,
    "172.32.0.0": PUBLIC,
    "100.63.255.255": PUBLIC,
    "100.128.0.0": PUBLIC,
    "169.253.255.255": PUBLIC,
    "192.0.1.0": PUBLIC,
    "223.255.255.255": PUBLIC,
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "127.0.0.1": "loopback",
    "127.255.255.255": "loopback",
    "10.255.255.255": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.0.1": "private",
    "169.254.169.254": "link-local",
    "100.64.0.1": "shared",
    "192.0.2.1": "documentation",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "192.0.0.1": "reserved",
    "192.88.99.1": "reserved",
    "198.18.0.1": "reserved",
    "198.19.255.255": "reserved",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "2a00::1": PUBLIC,
    "2001:4860::8888": PUBLIC,
    "::": "unspecified",
    "::1": "loopback",
    "fc00::1": "private",
    "fdff::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "link-local",
    "ff02::1": "multicast",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "2001::1": "reserved",  # Teredo
    "2001:20::1": "reserved",  # ORCHIDv2
    "100::1": "reserved",
    "5f00::1": "reserved",
    "4000::1": "reserved",
    "64:ff9b:1::808:808": "reserved",
    "::ffff:8.8.8.8": PUBLIC,
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:0.0.0.0": "unspecified",
    "::10.0.0.1": "private",
    "::ffff:0:10.0.0.1": "private",
    "64:ff9b::8.8.8.8": PUBLIC,
    "64:ff9b::192.168.1.1": "private",
    "64:ff9b::127.0.0.1": "loopback",
    "2002:808:808::1": PUBLIC,
    "2002:a00:1::1": "private",
    "2002:7f00:1::": "loopback",
    "2002:c0a8:101::1": "private",
    "": MALFORMED,
    "localhost": MALFORMED,
    "127.1": MALFORMED,
    "0177.0.0.1": MALFORMED,
    "2130706433": MALFORMED,
    "10.0.0.0/8": MALFORMED,
    "[::1]": MALFORMED,
}


@pytest.mark.parametrize("address", _PLACES)
def test_place(address: str) -> None:
    """Each address lies where its registry says, or where it leads to."""
    assert Networks().place(address) == _PLACES[address]
    assert Networks().public(address) == (_PLACES[address] == PUBLIC)


def test_own() -> None:
    """Our own address is ours in whatever form it is written."""
    networks = Networks(own=["11.0.0.25", "2a00::25"], allowed=["11.0.0.0/8"])
    for text in ("11.0.0.25", "::ffff:11.0.0.25", "2002:b00:19::1", "2A00:0::25"):
        assert networks.place(text) == "own", text
    assert networks.place("11.0.0.26") == PUBLIC


def test_allowed() -> None:
    """A network of tests is public, and what lies beside it is not."""
    networks = Networks(allowed=["127.66.0.0/16", "fd00:66::/32"])
    assert networks.place("127.66.1.2") == PUBLIC
    assert networks.place("::ffff:127.66.1.2") == PUBLIC
    assert networks.place("127.67.1.2") == "loopback"
    assert networks.place("fd00:66::1") == PUBLIC
    assert networks.place("fd00:67::1") == "private"


def test_names_no_network() -> None:
    """What is no network in the settings is told at once."""
    with pytest.raises(ValueError, match="does not appear"):
        Networks(allowed=["localhost"])


@given(st.ip_addresses())
def test_stricter_than_the_library(address: IPv4Address | IPv6Address) -> None:
    """Nothing is public that Python's own tables keep from the Internet.

    But for what leads on to an IPv4 address, where the library's versions differ.
    """
    if Networks().public(str(address)) and not embedded(address):
        assert address.is_global


@given(st.integers(0, 2**32 - 1))
def test_no_way_round(number: int) -> None:
    """An IPv4 address that is not public is not public inside an IPv6 one."""
    address = str(ip_address(number))
    forms = [f"::ffff:{address}", f"64:ff9b::{address}", f"2002:{number >> 16:x}:"]
    forms[2] += f"{number & 0xFFFF:x}::1"
    for form in forms:
        assert Networks().place(form) == Networks().place(address)
