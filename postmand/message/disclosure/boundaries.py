"""What the boundaries between a message's parts tell (RFC 2046 5.1.1)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from postmand.message.disclosure.finding import Finding, found
from postmand.message.disclosure.scene import Scene

_WHERE = "boundary"
_ALPINE = re.compile(rb"(-?\d{1,10})-\d{1,10}-(\d{9,10})=:(\d{1,7})")
_DATED = re.compile(
    rb"(\d{1,2})_([A-Z][a-z]{2})_(\d{4})_(\d\d)_(\d\d)_(\d\d)_([+-]\d{4})"
)
_ALNUM = rb"[0-9A-Za-z]"
# The first that fits names the program; what fits none is still somebody's own shape.
_SHAPES = tuple(
    (re.compile(pattern), program)
    for pattern, program in (
        (rb"MP_/.+", "Claws Mail (MP_/)"),
        (rb"Multipart=_.+", "Sylpheed"),
        (rb"nextPart\d+\..+", "KMail"),
        (rb"=-" + _ALNUM[:-1] + rb"+/_-]{16,28}", "Evolution or Geary"),
        (rb"-{12}\d{24}", "an older Thunderbird"),
        (rb"-{12}" + _ALNUM + rb"{24}", "Thunderbird (12 dashes, 24 characters)"),
        (rb"-{24}[0-9a-f]{16}", "curl"),
        (rb"={15}\d{17,19}==", "Python (15 equals signs, 19 digits)"),
        (rb"--_NmP-.+", "nodemailer"),
        (rb"----=_MIME_BOUNDARY_.+", "swaks (_MIME_BOUNDARY)"),
        (rb"----=_NextPart_.+", "Microsoft Outlook"),
        (rb"----=_Part_\d+_.+", "JavaMail"),
        (rb"Apple-Mail.+", "Apple Mail"),
        (rb"----[0-9A-Z]{30}", "K-9 Mail"),
        (rb"0{8,}[0-9a-f]{12,20}", "Gmail"),
        (rb"_00\d_[0-9A-Za-z_]+", "Microsoft Exchange"),
        (rb"=_[0-9a-f]{32}", "Roundcube"),
        (rb"b\d_" + _ALNUM + rb"{22,64}", "PHPMailer"),
        (rb"[0-9a-f]{60}", "aerc or another program in Go"),
        (_ALNUM[:-1] + rb"+/]{16}", "mutt (16 characters of base64)"),
    )
)


def findings(boundary: bytes, scene: Scene) -> Iterator[Finding]:
    """Yield what one boundary tells."""
    if _ALPINE.fullmatch(boundary):
        yield from _alpine(boundary)
        return
    dated = _DATED.search(boundary)
    if dated:
        day, month, year, hour, minute, second, zone = dated.groups()
        when = b"%s %s %s %s:%s:%s" % (day, month, year, hour, minute, second)
        note = f"your clock, in words: {when.decode('ascii')}"
        yield found("timestamp-in-message-id", _WHERE, dated[0], note)
        if zone.strip(b"+-0"):
            yield found("timezone", _WHERE, zone, "your time zone, in the boundary")
            yield found("timezone", _WHERE, dated[0], "your local time and its zone")
    yield from scene.times(boundary, _WHERE)
    yield from scene.addresses(boundary, _WHERE)
    program = next(
        (name for pattern, name in _SHAPES if pattern.fullmatch(boundary)), ""
    )
    note = f"as {program} makes them" if program else "a shape of its program's own"
    yield found("random-fingerprintable", _WHERE, boundary, note)


def _alpine(boundary: bytes) -> Iterator[Finding]:
    """Read `gethostid()-random-Unix time=:PID`."""
    match = _ALPINE.fullmatch(boundary)
    if match is None:
        return
    note = "Alpine's: gethostid()-random-Unix time=:PID"
    yield found("random-fingerprintable", _WHERE, boundary, note)
    # gethostid() is the address the host name resolves to, its halves swapped.
    number = int(match[1]) & 0xFFFFFFFF
    swapped = (number & 0xFFFF) << 16 | number >> 16
    address = ipaddress.IPv4Address(swapped.to_bytes(4, "little"))
    note = f"gethostid(), which is your machine's address {address}"
    yield found("local-ip", _WHERE, match[1], note)
    note = "the time it was written, as Unix time"
    yield found("timestamp-in-message-id", _WHERE, match[2], note)
    yield found("pid", _WHERE, match[3], "the number of Alpine's process")
