"""The doctor's look at what a gateway has of its own: certificate, sealed mail."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from postmand.admin.finding import Finding, fail, ok, warn
from postmand.config import Config, ConfigError, Exchange
from postmand.delivery.dane import fits
from postmand.gateway_keys import GatewayKeys
from postmand.store import certificates

# A certificate of ninety days is renewed well before.
_SOON = timedelta(days=14)
# Our own have no end (RFC 5280 4.1.2.5).
_NO_END = 9999
_MIB = 1024 * 1024
_FULL = 0.8
# What lies for five days is dropped.
_LONG_DAYS = 3.0
_RENEW = "renew it; a running gateway reads it within a day"


def check_certificate(config: Config) -> Iterator[Finding]:
    """Tell how long the certificate of port 25 is good, and whether it is for us."""
    exchange = config.exchange
    if exchange is None:
        return
    own = config.state / certificates.OWN
    if not exchange.certificate and not own.exists():
        yield warn("certificate: there is none yet", "the first start makes our own")
        return
    try:
        pem = GatewayKeys(config).exchange()
    except ConfigError as error:
        yield fail(f"certificate: {error}", "mend that; nothing else of it was read")
        return
    yield from judged(x509.load_pem_x509_certificates(pem)[0], exchange, time.time())


def judged(
    certificate: x509.Certificate, exchange: Exchange, now: float
) -> Iterator[Finding]:
    """Judge a certificate, `now` being seconds since 1970."""
    what, end = "certificate: " + exchange.host_name, certificate.not_valid_after_utc
    moment = datetime.fromtimestamp(now, UTC)
    if end.year == _NO_END:
        yield ok(f"{what} has our own, without an end")
    elif end <= moment:
        yield fail(f"{what} had one until {end:%Y-%m-%d}", _RENEW)
    elif end - moment < _SOON:
        yield warn(f"{what} has one until {end:%Y-%m-%d} only", _RENEW)
    else:
        yield ok(f"{what} has one until {end:%Y-%m-%d}")
    if not fits(certificate, [exchange.host_name]):
        yield warn(
            f"{what} is not a name in it", "with MTA-STS senders go elsewhere: renew it"
        )


def check_sealed(config: Config) -> Iterator[Finding]:
    """Tell whether sealed mail can be kept, how much lies there, and since when."""
    exchange = config.exchange
    directory = config.state / "sealed"
    if exchange is None or not directory.exists():
        return  # the first start makes it
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield fail(
            f"sealed mail: {directory} can not be read and written",
            "give it to the gateway's user",
        )
        return
    yield from _lying(directory, exchange)


def _lying(directory: Path, exchange: Exchange) -> Iterator[Finding]:
    with os.scandir(directory) as entries:
        states = [one.stat() for one in entries if _is_crate(one)]
    octets = sum(one.st_size for one in states)
    what = (
        f"sealed mail: {len(states)} of {exchange.sealed_messages} messages, "
        f"{octets // _MIB} of {exchange.sealed_bytes // _MIB} MiB"
    )
    fill = max(len(states) / exchange.sealed_messages, octets / exchange.sealed_bytes)
    # What is put there tells its age by nothing but the inode's change.
    days = max((time.time() - one.st_ctime for one in states), default=0.0) / 86_400
    if days > _LONG_DAYS:
        yield warn(
            f"{what}, the oldest for {days:.0f} days",
            "bring the link up; what the mail host puts off for days is dropped",
        )
    elif fill >= 1.0:
        yield fail(f"{what}: full", "bring the link to the mail host up, or make room")
    elif fill > _FULL:
        yield warn(what, "bring the link to the mail host up, or raise the bounds")
    else:
        yield ok(what)


def _is_crate(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and "." not in entry.name
