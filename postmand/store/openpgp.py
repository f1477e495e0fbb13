"""OpenPGP keys as members publish them: read, judged, and stripped (RFC 9580).

What a key says of other addresses, photographs and who vouched for it is nobody's
business here: it falls. A key is hostile until shown otherwise: its size is bounded
first, and its packets are walked here, so that the library is never given what it would
unpack, nor numbers that would take it long.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from attrs import field, frozen
from pysequoia import Cert
from pysequoia.packet import Packet, PacketPile, SignatureType

_BEGIN, _END = (f"-----{word} PGP PUBLIC KEY BLOCK-----" for word in ("BEGIN", "END"))
_BEGIN_SECRET = "-----BEGIN PGP PRIVATE KEY BLOCK-----"  # noqa: S105 (no secret)

# Base64 and its line ends, an armor's headers and more than enough blank lines.
_TEXT_PER_OCTET = 2
_TEXT_MORE = 2_048

# RFC 9580 5.
_SIGNATURE, _SECRET, _PRIMARY, _SECRET_SUB = 2, 5, 6, 7
_MARKER, _TRUST, _USER_ID, _SUBKEY, _ATTRIBUTE, _PADDING = 10, 12, 13, 14, 17, 21
_PARTS = frozenset({_SIGNATURE, _USER_ID, _SUBKEY, _ATTRIBUTE})
_FALL = frozenset({_MARKER, _TRUST, _PADDING})
_KEYS = frozenset({_PRIMARY, _SUBKEY})
_SECRETS = frozenset({_SECRET, _SECRET_SUB})
_MOST_PACKETS = 200
_MOST_SIGNATURES = 4
# For experiments (4.3): no key that comes here has one.
_LAST = 60
_REVOCATIONS = (
    SignatureType.KeyRevocation,
    SignatureType.SubkeyRevocation,
    SignatureType.CertificationRevocation,
)

# By algorithm (RFC 9580 9.1), how many bits a key's first numbers have at the most: of
# RSA modulus and exponent, of ElGamal the prime, of DSA the prime and the order.
_RSA, _ELGAMAL = (8_192, 32), (4_096,)
_MOST_BITS = {
    **dict.fromkeys((1, 2, 3), _RSA),
    **dict.fromkeys((16, 20), _ELGAMAL),
    17: (4_096, 512),
}
# Where the first number stands in a key: after version, time and algorithm.
_NUMBERS_V4, _NUMBERS_V6 = 6, 10


class KeyRefusedError(Exception):
    """A key that is not published; the text says why, in words for its owner."""


@frozen
class Cleaned:
    """What is published: a fingerprint in lower-case hexadecimal, a binary key."""

    fingerprint: str
    octets: bytes = field(repr=False)


@frozen
class _Part:
    """A component of a key and the signatures that stand after it, as packets."""

    packet: Packet
    signatures: Sequence[Packet]


def clean(text: str, addresses: Collection[str], now: float, most: int) -> Cleaned:
    """Return the key in an armored text, stripped to what is of `addresses`.

    These are lower case. `now` is in seconds since 1970; the key has at most `most`
    octets as it comes. Raises KeyRefusedError, and nothing else. Blocks for some
    milliseconds.
    """
    if len(text) > most * _TEXT_PER_OCTET + _TEXT_MORE:
        raise _too_large(most)
    octets = _dearmored(text)
    if len(octets) > most:
        raise _too_large(most)
    packets = b"".join(_walked(octets))
    try:
        return _stripped(packets, addresses, now)
    except KeyRefusedError:
        raise
    except BaseException as error:
        # What a library in Rust trips over is no Exception.
        ours = isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"
        if not ours or isinstance(error, MemoryError):
            raise
        # Its text may quote the key, and names places in the library.
        raise _garbage() from None


def _stripped(octets: bytes, addresses: Collection[str], now: float) -> Cleaned:
    cert = Cert.from_bytes(octets)
    if cert.is_revoked:
        raise KeyRefusedError("the key is revoked")
    expires = cert.expiration
    if expires is not None and expires <= datetime.fromtimestamp(now, UTC):
        raise KeyRefusedError(f"the key expired on {expires:%d %B %Y}")
    signed = {str(one) for one in cert.user_ids}
    primary, *parts = _parts(PacketPile.from_bytes(_verified(octets)))
    own = [_of_its_own(part, primary.packet) for part in (primary, *parts)]
    kept = [part for part in own if _is_kept(part, addresses, signed)]
    stripped = Cert.from_packets(
        [packet for part in kept for packet in (part.packet, *part.signatures)]
    )
    # Those that the key's owner signed, and did not take back.
    if not stripped.user_ids:
        shown = " or ".join(sorted(addresses))
        raise KeyRefusedError(
            f"the key has no user id of its owner's for {shown}; add one, and export "
            "it again"
        )
    return Cleaned(stripped.fingerprint, bytes(stripped))


def _verified(octets: bytes) -> bytes:
    """Return the packets without signatures that are said to be the key's and are not.

    The library puts those behind all that it knows, and so behind a packet of no kind,
    which comes last of the key's own.
    """
    body = bytes(Cert.from_bytes(octets + _framed_anew(_LAST, b"")))
    at = 0
    while at < len(body):
        tag, start, length = _framed(body, at)
        if tag == _LAST:
            return body[:at]
        at = start + length
    raise _garbage()


def _parts(pile: PacketPile) -> list[_Part]:
    """Return the components in their order, the primary key first."""
    found: list[tuple[Packet, list[Packet]]] = []
    for packet in pile:
        if int(packet.tag) == _SIGNATURE and found:
            found[-1][1].append(packet)
        else:
            found.append((packet, []))
    return [_Part(packet, signatures) for packet, signatures in found]


def _of_its_own(part: _Part, primary: Packet) -> _Part:
    """Return the part without what others signed, and what is not to be passed on.

    Of its owner's signatures it keeps those that take something back, then the newest.
    """
    ours = {primary.fingerprint, primary.key_id}
    signatures = [
        one
        for one in part.signatures
        if (one.issuer_fingerprint or one.issuer_key_id) in ours
        and one.exportable is not False
    ]
    signatures.sort(key=_weight, reverse=True)
    return _Part(part.packet, signatures[:_MOST_SIGNATURES])


def _weight(signature: Packet) -> tuple[bool, datetime]:
    made = signature.signature_created or datetime.fromtimestamp(0, UTC)
    return signature.signature_type in _REVOCATIONS, made


def _is_kept(part: _Part, addresses: Collection[str], signed: Collection[str]) -> bool:
    tag = int(part.packet.tag)
    if tag == _USER_ID:
        is_own = (part.packet.user_id_email or "").lower() in addresses
        return is_own and part.packet.user_id in signed
    if tag == _SUBKEY:
        return bool(part.signatures)
    return tag == _PRIMARY


def _dearmored(text: str) -> bytes:
    """Return the octets of an armored public key (RFC 9580 6.2)."""
    if _BEGIN_SECRET in text:
        raise _secret()
    start = text.find(_BEGIN) + len(_BEGIN)
    end = text.find(_END, start)
    if start < len(_BEGIN) or end < 0:
        raise KeyRefusedError(
            f"this is no public key; one begins with {_BEGIN} and goes on to its END "
            "line"
        )
    lines = [line.strip() for line in text[start:end].strip(" \t\r").split("\n")][1:]
    # Headers end with an empty line; without them there may be none.
    if "" in lines[:-1] and any(":" in line for line in lines[: lines.index("")]):
        lines = lines[lines.index("") :]
    # The checksum is not to be relied on any more (RFC 9580 6.1).
    data = "".join(line for line in lines if not line.startswith("="))
    try:
        return base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise _garbage() from None


def _walked(octets: bytes) -> Iterator[bytes]:
    """Yield the packets of one public key, framed anew; all others are refused."""
    at, count = 0, 0
    while at < len(octets):
        tag, start, length = _framed(octets, at)
        at = start + length
        if at > len(octets) or count == _MOST_PACKETS:
            raise _garbage()
        if tag in _SECRETS:
            raise _secret()
        if tag == _PRIMARY and count:
            raise KeyRefusedError("there is more than one key; send only your own")
        if tag in _FALL:
            continue
        if tag != _PRIMARY and (tag not in _PARTS or not count):
            raise _garbage()
        body = octets[start:at]
        if tag in _KEYS:
            _check_numbers(body)
        count += 1
        yield _framed_anew(tag, body)
    if not count:
        raise _garbage()


def _framed_anew(tag: int, body: bytes) -> bytes:
    return bytes((0xC0 | tag, 0xFF)) + len(body).to_bytes(4, "big") + body


def _framed(octets: bytes, at: int) -> tuple[int, int, int]:
    """Return (tag, start of the body, its length) of the packet at `at`.

    RFC 9580 4.2. Lengths in parts, or up to the end, no key has.
    """
    first, rest = octets[at], octets[at + 1 : at + 6].ljust(5, b"\0")
    if not first & 0x80:
        raise _garbage()
    if first & 0x40:
        tag, size = first & 0x3F, rest[0]
        if size < 192:
            return tag, at + 2, size
        if size < 224:
            return tag, at + 3, (size - 192 << 8) + rest[1] + 192
        if size < 255:
            raise _garbage()
        return tag, at + 6, int.from_bytes(rest[1:5], "big")
    tag, kind = first >> 2 & 0x0F, first & 3
    if kind == 3:
        raise _garbage()
    many: int = 1 << kind
    return tag, at + 1 + many, int.from_bytes(rest[:many], "big")


def _check_numbers(body: bytes) -> None:
    """Refuse numbers with which the library would reckon for long."""
    if len(body) < _NUMBERS_V4 or body[0] not in (4, 6):
        raise KeyRefusedError("the key is of a version that is not taken here")
    at = _NUMBERS_V4 if body[0] == 4 else _NUMBERS_V6
    for most in _MOST_BITS.get(body[5], ()):
        bits = int.from_bytes(body[at : at + 2], "big")
        if bits > most:
            raise KeyRefusedError("the key has numbers larger than are taken here")
        at += 2 + (bits + 7) // 8


def _too_large(most: int) -> KeyRefusedError:
    return KeyRefusedError(
        f"the key has more than {most} octets; export it without others' signatures "
        "and without photographs, as gpg does with --export-options export-minimal"
    )


def _secret() -> KeyRefusedError:
    return KeyRefusedError(
        "this is a secret key, and is not kept here; keep it to yourself, and send the "
        "public one"
    )


def _garbage() -> KeyRefusedError:
    return KeyRefusedError("the key can not be read; export it again, armored")
