"""An OpenPGP key as text that can be mailed and pasted (RFC 9580 6). Pure."""

from __future__ import annotations

import base64

_LINE = 64
# RFC 9580 6.1: optional today, looked for by older programs.
_CRC_START = 0xB704CE
_CRC_POLYNOMIAL = 0x1864CFB


def armored(octets: bytes) -> bytes:
    """Return a public key in ASCII armor."""
    text = base64.b64encode(octets)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    check = base64.b64encode(_crc24(octets).to_bytes(3, "big"))
    return b"\n".join(
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----",
            b"",
            *lines,
            b"=" + check,
            b"-----END PGP PUBLIC KEY BLOCK-----",
            b"",
        )
    )


def _crc24(octets: bytes) -> int:
    crc = _CRC_START
    for octet in octets:
        crc ^= octet << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc
