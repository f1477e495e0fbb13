"""What a value of the configuration must be; each fault says what to write instead."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Any

import attrs

from postmand.config.places import brings_tls, leads_here_only, listens_here_only

# When mail for the Internet leaves (guide 7.4, and one of our own).
DELAYS = ("none", "defer", "batch", "pool")

_PIN = re.compile(r"sha256/[A-Za-z0-9+/]{43}=")
_BITS = re.compile(r"[1-9][0-9]?")
# RFC 2812 2.3.1, of any length that a network may allow.
_NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,63}")
# RFC 2812 1.3.
_CHANNEL = re.compile(r"[#&+!][^\0-\x20,:\x7f]{1,49}")
# RFC 1123 2.1.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IRC_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_/-]*")

# Validators, as attrs calls them; each raises ValueError with the words of the fault.


def between(low: float, high: float) -> Any:
    """Return what takes a number within these bounds."""

    def check(_: object, attribute: attrs.Attribute[float], value: float) -> None:
        if not low <= value <= high:
            raise ValueError(f"{attribute.name} must be between {low} and {high}")

    return check


def named(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a name that is not empty."""
    if not value:
        raise ValueError(f"{attribute.name} must name a directory")


def domain(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a host or domain name in lower case (RFC 1123 2.1)."""
    labels = value.split(".")
    plain = all(
        label
        and not label.startswith("-")
        and not label.endswith("-")
        and label.isascii()
        and label.replace("-", "").isalnum()
        for label in labels
    )
    if not plain or value != value.lower() or len(value) > 253:
        raise ValueError(f'{attribute.name} must be a lower-case name like "mail.i2p"')


def one_of(*words: str) -> Any:
    """Return what takes one of these words."""

    def check(_: object, attribute: attrs.Attribute[str], value: str) -> None:
        if value not in words:
            raise ValueError(f"{attribute.name} must be one of {', '.join(words)}")

    return check


def some_of(*words: str) -> Any:
    """Return what takes one of these words or more, each once."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not value or len(set(value)) < len(value) or not set(value) <= set(words):
            raise ValueError(
                f"{attribute.name} must be some of {', '.join(words)}, each once"
            )

    return check


def endpoints(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take one endpoint string or more."""
    if not value or not all(value):
        raise ValueError(
            f"{attribute.name} must be a list of endpoint strings like "
            '["tcp:2525:interface=127.0.0.1"]'
        )


def key_source(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a place the node's key comes from."""
    kind, _colon, name = value.partition(":")
    if not (value == "passphrase" or (kind in ("file", "credential") and name)):
        raise ValueError(
            f'{attribute.name} must be "credential:NAME" (systemd\'s), "passphrase" '
            '(asked at the start) or "file:PATH" (for development)'
        )


def password_source(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a place a password comes from, or none."""
    kind, _colon, name = value.partition(":")
    if value and not (kind in ("file", "credential") and name):
        raise ValueError(
            f'{attribute.name} must be "file:PATH" or "credential:NAME" (systemd\'s), '
            "and never the password itself"
        )


def pin(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take the pin of a public key, or none."""
    if value and not _PIN.fullmatch(value):
        raise ValueError(
            f'{attribute.name} must be "sha256/" and the base64 of a public key\'s '
            "SHA-256, as the gateway prints it"
        )


def sources(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take addresses to connect from: one of IPv4, one of IPv6, or none."""
    try:
        found = [ip_address(text) for text in value]
    except ValueError:
        found = []
    fit = [
        one
        for one in found
        if not (one.is_unspecified or one.is_multicast or "%" in str(one))
    ]
    versions = {one.version for one in fit}
    if len(fit) != len(value) or len(versions) != len(value):
        raise ValueError(
            f"{attribute.name} must be a list of this machine's addresses, one of IPv4 "
            'and one of IPv6 at most, as in ["203.0.113.25"]'
        )


def delay(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take one of the delays."""
    if value not in DELAYS:
        raise ValueError(f"{attribute.name} must be one of {', '.join(DELAYS)}")


def hours(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take hours of the day, each once."""
    good = value and all(0 <= hour <= 23 for hour in value)
    if not good or len(set(value)) < len(value):
        raise ValueError(
            f"{attribute.name} must be a list of different hours, as in [0, 12]"
        )


def stamps(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take {bits of a stamp: recipients it buys}."""
    for bits, recipients in value.items():
        if not (_BITS.fullmatch(bits) and int(bits) <= 64 and recipients > 0):
            raise ValueError(
                f"{attribute.name} must map bits to recipients, as in {{ 26 = 20 }}"
            )


def client_endpoint(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take an endpoint to connect to; TLS over it is ours to make."""
    if not value:
        raise ValueError(
            f'{attribute.name} must be an endpoint string like "tcp:127.0.0.1:2526"'
        )
    if brings_tls(value):
        raise ValueError(
            f"{attribute.name} must be without TLS of its own, as in "
            '"tcp:127.0.0.1:2526"; pin turns ours on'
        )


def private_endpoint(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take an endpoint to connect to: of this machine, or with TLS that is checked."""
    if not (leads_here_only(value) or value.startswith("tls:")):
        raise ValueError(
            f'{attribute.name} must stay on this machine, as in "tcp:127.0.0.1:6668", '
            'or bring TLS, as in "tls:irc.example.org:6697"'
        )


def nick(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a nick of IRC."""
    if not _NICK.fullmatch(value):
        raise ValueError(f'{attribute.name} must be a nick of IRC, as in "biff"')


def nick_or_none(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a nick of IRC, or none."""
    if value:
        nick(_, attribute, value)


def irc_channels(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take channels of IRC, at least one, each once."""
    named = len(set(map(str.lower, value))) == len(value) > 0
    if not (named and all(map(_CHANNEL.fullmatch, value))):
        raise ValueError(
            f"{attribute.name} must be a list of different channels, as in "
            '["#mail.i2p"]'
        )


def irc_host(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Take a host as IRC shows it, or none."""
    if value and not (len(value) <= 253 and _IRC_HOST.fullmatch(value)):
        raise ValueError(
            f"{attribute.name} must be the host that services have, as in "
            '"services.example"'
        )


def local_endpoints(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take endpoints that nobody outside this machine can come to."""
    for text in value:
        if not listens_here_only(text):
            raise ValueError(
                f"{attribute.name} must stay on this machine, as in "
                '"tcp:9125:interface=127.0.0.1" or "unix:/run/postmand/metrics"'
            )


def hosts(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take the names a browser may ask for: lower case, without a port."""
    if not value or not all(_is_host(name) for name in value):
        raise ValueError(
            f"{attribute.name} must be a list of lower-case names without ports, as in "
            '["localhost", "hq.postman.i2p"]'
        )


def _is_host(name: str) -> bool:
    if name.startswith("["):
        try:
            return name == f"[{IPv6Address(name[1:-1])}]"
        except ValueError:
            return False
    labels = name.split(".")
    return len(name) < 254 and all(_LABEL.fullmatch(label) for label in labels)


def distinct(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Take gateways of which no two are the same."""
    seen = Counter(gateway.endpoint for gateway in value)
    for endpoint, times in seen.items():
        if times > 1:
            raise ValueError(
                f"[{attribute.name}] endpoint: {endpoint} is named twice; remove one"
            )
