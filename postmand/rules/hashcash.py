"""Hashcash stamps, version 1: read, weighed, priced and made. Pure, as all rules.

`1:bits:date:resource:ext:rand:counter`, as hashcash(1) of Debian and hashcash.org
describe it. A stamp is worth the bits it claims, and its SHA-1 over all its octets must
begin with at least as many zero bits. Its exact octets are what is spent: another
writing of it has another hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from random import Random

from attrs import field, frozen

from postmand.config import Quota

MAX_STAMP = 512
"""The longest stamp in octets: the longest resource, and room for an extension."""

MOST_BITS = 160

DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_HASH_BYTES = 20
_RANDOM_BYTES = 12
_SHAPE = re.compile(
    rb"1:(?P<bits>[0-9]{1,3})"
    rb":(?P<date>[0-9]{6}(?:[0-9]{4}(?:[0-9]{2})?)?)"
    rb":(?P<resource>[!-9;-~]+)"
    rb":(?P<ext>[!-9;-~]*)"
    rb":(?P<rand>[A-Za-z0-9+/=]*)"
    rb":(?P<counter>[A-Za-z0-9+/=]+)"
)
_OTHER_VERSION = re.compile(rb"[0-9]+:")

# A stretch of tries: the last three digits of the counter, in hexadecimal.
STRETCH = 4096
_TAILS = tuple(b"%03x" % number for number in range(STRETCH))


class StampError(Exception):
    """A stamp that is worth nothing here. `reason` is a short kebab-case name."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@frozen
class Stamp:
    """A stamp that was weighed. `bits` are those it claims, and has.

    After `expires_day` (days since 1970-01-01 UTC) no stamp of its date is taken, even
    by a clock set back a day: so long it must be known that it was spent.
    """

    octets: bytes = field(repr=False)
    bits: int
    expires_day: int


@frozen
class Prices:
    """What a stamp's bits buy, in recipients."""

    recipients_by_bits: Mapping[int, int]

    @classmethod
    def from_config(cls, quota: Quota) -> Prices:
        """Return what the config file says."""
        return cls({int(bits): many for bits, many in quota.stamps.items()})

    @property
    def least_bits(self) -> int | None:
        """The fewest bits that buy something; None where nothing is sold."""
        return min(self.recipients_by_bits, default=None)

    def recipients(self, bits: int) -> int:
        """Return what so many bits buy; raises StampError "too-few-bits"."""
        least = self.least_bits
        if least is None:
            raise StampError("too-few-bits", "stamps buy nothing on this node")
        if bits < least:
            raise StampError(
                "too-few-bits",
                f"the stamp has {bits} bits, and the smallest that buys has {least}",
            )
        return self.recipients_by_bits[
            max(one for one in self.recipients_by_bits if one <= bits)
        ]


def resource(name: str, domain: str) -> bytes:
    """Return what a stamp for the quota of this account is made out to."""
    return f"quota/{name}@{domain}".lower().encode("ascii")


def weigh(stamp: bytes, resource: bytes, now: float, days: int) -> Stamp:
    """Return the stamp, or raise StampError with the reason why it is worth nothing.

    `resource` is what it must be made out to, octet by octet. Its date, of which only
    the day counts, is at most `days` from the UTC day of `now`: it may have been made
    by a clock of another zone. Reasons: too-long, wrong-version, malformed,
    wrong-resource, in-the-future, too-old, lying-bits.
    """
    if len(stamp) > MAX_STAMP:
        raise StampError("too-long", f"a stamp has at most {MAX_STAMP} octets")
    shape = _SHAPE.fullmatch(stamp)
    if shape is None:
        raise _misshapen(stamp)
    day = _day(shape["date"])
    if shape["resource"] != resource:
        raise StampError(
            "wrong-resource",
            "the stamp is made out to something else; here it must be "
            f"{resource.decode('ascii', 'replace')}",
        )
    _check_day(day, int(now // DAY), days)
    claimed, real = int(shape["bits"]), zero_bits(stamp)
    if claimed > real:
        raise StampError(
            "lying-bits", f"the stamp claims {claimed} bits, and its hash has {real}"
        )
    return Stamp(stamp, claimed, day + days + 1)


def zero_bits(stamp: bytes) -> int:
    """Return how many zero bits the SHA-1 of these octets begins with, exactly."""
    digest = hashlib.sha1(stamp, usedforsecurity=False).digest()
    return 8 * _HASH_BYTES - int.from_bytes(digest, "big").bit_length()


def challenge(resource: bytes, bits: int, now: float, random: Random) -> bytes:
    """Return a stamp that lacks its counter, dated with the UTC day of `now`.

    Raises ValueError for a resource or bits of which no stamp can be made.
    """
    day = datetime.fromtimestamp(now, UTC).strftime("%y%m%d").encode()
    salt = base64.b64encode(random.randbytes(_RANDOM_BYTES))
    begun = b"1:%d:%b:%b::%b:" % (bits, day, resource, salt)
    whole = begun + b"0" * 16  # no counter becomes longer
    if not 1 <= bits <= MOST_BITS:
        raise ValueError(f"a stamp has 1 to {MOST_BITS} bits, not {bits}")
    if len(whole) > MAX_STAMP or not _SHAPE.fullmatch(whole):
        raise ValueError("no stamp can be made out to this")
    return begun


def search(begun: bytes, bits: int, first: int, stretches: int) -> bytes | None:
    """Try `stretches` of `STRETCH` counters from the stretch `first` on.

    Returns a stamp of `bits` that begins with the challenge `begun`, or None.
    """
    # As octets a hash with enough zeros is one below this.
    limit = (1 << (8 * _HASH_BYTES - bits)).to_bytes(_HASH_BYTES, "big")
    for stretch in range(first, first + stretches):
        head = hashlib.sha1(begun + b"%x" % stretch, usedforsecurity=False)
        copy = head.copy
        for tail in _TAILS:
            trial = copy()
            trial.update(tail)
            if trial.digest() < limit:
                return begun + b"%x" % stretch + tail
    return None


def mint(
    resource: bytes,
    bits: int,
    now: float,
    random: Random,
    progress: Callable[[int, int], None] | None = None,
    stretches: int = 64,
) -> bytes:
    """Make a stamp of `bits` or more; on average that takes 2**bits tries.

    Each `stretches` it calls `progress(tries so far, tries on average)`. What was tried
    tells nothing of what is still to be tried.
    """
    begun = challenge(resource, bits, now, random)
    first = 0
    while (stamp := search(begun, bits, first, stretches)) is None:
        first += stretches
        if progress is not None:
            progress(first * STRETCH, 1 << bits)
    return stamp


def _misshapen(stamp: bytes) -> StampError:
    if _OTHER_VERSION.match(stamp) and not stamp.startswith(b"1:"):
        return StampError(
            "wrong-version", "the stamp is not of version 1; it must begin with 1:"
        )
    return StampError(
        "malformed", "this is no stamp; one reads 1:bits:date:resource:ext:rand:counter"
    )


def _day(digits: bytes) -> int:
    """Return the day of YYMMDD[hhmm[ss]], in days since 1970-01-01."""
    pairs = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    try:
        moment = datetime(2000 + pairs[0], *pairs[1:])  # type: ignore[arg-type]
    except ValueError:
        raise StampError("malformed", "the stamp's date is none") from None
    return moment.date().toordinal() - _EPOCH


def _check_day(day: int, today: int, days: int) -> None:
    if day > today + days:
        raise StampError("in-the-future", "the stamp's date is still to come")
    if day < today - days:
        within = f"{days} day" if days == 1 else f"{days} days"
        raise StampError(
            "too-old",
            f"the stamp is too old: its date must be within {within} of today's in UTC",
        )
