"""What OpenPGP tells without any key: times, key ids, program (RFC 9580).

None of it can be removed: a changed signature is a broken one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from postmand.message import transfer
from postmand.message.disclosure.anatomy import Section
from postmand.message.disclosure.clocks import stamp
from postmand.message.disclosure.finding import Finding, found

_ARMOUR = re.compile(
    rb"-----BEGIN PGP (SIGNATURE|MESSAGE|PUBLIC KEY BLOCK)-----[ \t]*\n"
    rb"((?:[A-Za-z]{1,30}: [^\n]{0,200}\n){0,10})[ \t]*\n?"
    rb"([A-Za-z0-9+/=\n \t]{0,200000})"
)
_BLOCKS = 4
_PACKETS = 60
_SUBPACKETS = 60
_SIGNATURE, _KEY, _USER, _SESSION = 2, 6, 13, 1
_CREATED, _ISSUER, _FINGERPRINT = 2, 16, 33


def findings(section: Section, octets: bytes) -> Iterator[Finding]:
    """Yield what the armoured blocks among the octets of a part tell."""
    octets = octets.replace(b"\r\n", b"\n")
    if section.kind == "application/pkcs7-signature":
        note = "the certificate beside an S/MIME signature names its owner"
        yield found("realname", section.place, "S/MIME certificate", note)
    for _, block in zip(range(_BLOCKS), _ARMOUR.finditer(octets), strict=False):
        for line in block[2].split(b"\n"):
            if line.startswith((b"Version:", b"Comment:")):
                note = "the program that signed or encrypted"
                yield found("software", section.place, line, note)
        seen = set()
        for one in _block(block[3], section.place):
            if one.key not in seen:
                seen.add(one.key)
                yield one


def _block(armour: bytes, place: str) -> Iterator[Finding]:
    # The checksum's line begins with the only "=" that another letter follows.
    data = transfer.decode_base64(re.split(rb"\n=[A-Za-z0-9+/]{4}", armour)[0])
    for tag, body in _packets(data):
        if tag == _SIGNATURE:
            yield from _signature(body, place)
        elif tag == _SESSION and body[:1] == b"\x03" and body[1:9].strip(b"\0"):
            shown = f"encrypted to key {body[1:9].hex().upper()}"
            yield found(
                "software", place, shown, "whose key it is, anybody can look up"
            )
        elif tag == _USER:
            note = "whose key it is, as the key itself says"
            yield found("realname", place, body[:200], note)
        elif tag == _KEY and body[:1] in (b"\x04", b"\x06"):
            when = stamp(int.from_bytes(body[1:5], "big"))
            note = "when the key was made"
            yield found("timestamp-in-message-id", place, f"PGP key of {when}", note)


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, body); one of partial length ends it (4.2)."""
    at = 0
    for _ in range(_PACKETS):
        if at + 2 > len(data) or not data[at] & 0x80:
            return
        head = data[at]
        if head & 0x40:
            tag, (size, used) = head & 0x3F, _length(data, at + 1)
            at += 1
        else:
            tag, octets = head >> 2 & 0x0F, 1 << (head & 3)
            if octets > 4:
                size, used = len(data), 0
            else:
                size, used = (
                    int.from_bytes(data[at + 1 : at + 1 + octets], "big"),
                    octets,
                )
            at += 1
        if size < 0:
            return
        yield tag, data[at + used : at + used + size]
        at += used + size


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return (length, octets it took); -1 for a partial or missing one."""
    first = data[at] if at < len(data) else 255
    if first < 192:
        return first, 1
    if first < 224:
        second = data[at + 1] if at + 1 < len(data) else 0
        return ((first - 192) << 8) + second + 192, 2
    if first < 255:
        return -1, 1
    return int.from_bytes(data[at + 1 : at + 5], "big"), 5


def _signature(body: bytes, place: str) -> Iterator[Finding]:
    if body[:1] == b"\x03" and len(body) >= 15:
        yield _time(int.from_bytes(body[3:7], "big"), place)
        yield _issuer(body[7:15], place)
        return
    if body[:1] not in (b"\x04", b"\x05", b"\x06"):
        return
    wide = 4 if body[:1] == b"\x06" else 2
    size = int.from_bytes(body[4 : 4 + wide], "big")
    hashed = body[4 + wide : 4 + wide + size]
    rest = body[4 + wide + size :]
    loose = rest[wide : wide + int.from_bytes(rest[:wide], "big")]
    keyed = False
    for kind, value in (*_subpackets(hashed), *_subpackets(loose)):
        if kind == _CREATED and len(value) == 4:
            yield _time(int.from_bytes(value, "big"), place)
        elif kind == _FINGERPRINT and len(value) > 8:
            keyed = True
            yield _issuer(value[1:], place)
        elif kind == _ISSUER and not keyed:
            yield _issuer(value, place)


def _subpackets(area: bytes) -> list[tuple[int, bytes]]:
    found_: list[tuple[int, bytes]] = []
    at = 0
    while at < len(area) and len(found_) < _SUBPACKETS:
        # 5.2.3.7: as a packet's length, but without partial ones.
        if area[at] < 192:
            size, used = area[at], 1
        elif area[at] < 255:
            size, used = (
                ((area[at] - 192) << 8) + (area[at + 1 : at + 2] or b"\0")[0] + 192,
                2,
            )
        else:
            size, used = int.from_bytes(area[at + 1 : at + 5], "big"), 5
        body = area[at + used : at + used + size]
        if body:
            found_.append((body[0] & 0x7F, body[1:]))
        at += used + max(size, 1)
    return found_


def _time(unix: int, place: str) -> Finding:
    shown = f"PGP signature creation time {stamp(unix)}"
    return found("timestamp-in-message-id", place, shown, "it can not be removed")


def _issuer(key: bytes, place: str) -> Finding:
    name = key.hex().upper()
    shown = f"issuer key fingerprint {name[:8]}…{name[-8:]}"
    return found("software", place, shown, "the key is the same in all you sign")
