"""The parameters of MAIL FROM that a server of ours knows."""

from __future__ import annotations

from collections.abc import Mapping

from postmand.rules.verdict import Verdict

UNKNOWN = Verdict("bad-parameter", 555, "5.5.4", "A parameter is not recognised")

_KNOWN = (b"SIZE", b"BODY", b"SMTPUTF8", b"AUTH")
_BODIES = (b"7BIT", b"8BITMIME")


def declared_size(parameters: Mapping[bytes, bytes | None]) -> int | Verdict:
    """Return the size in octets that MAIL declares, 0 for none.

    Keys are in upper case. A Verdict for what is not known or has a wrong value.
    """
    for name, value in parameters.items():
        if name not in _KNOWN:
            return UNKNOWN
        if not _is_right(name, value):
            text = f"{name.decode()} has a wrong value"
            return Verdict("bad-parameter", 501, "5.5.4", text)
    return int(parameters.get(b"SIZE") or 0)


def _is_right(name: bytes, value: bytes | None) -> bool:
    if name == b"SMTPUTF8":
        return value is None  # RFC 6531
    if not value:
        return False
    if name == b"SIZE":
        return value.isdigit() and len(value) <= 20  # RFC 1870
    if name == b"BODY":
        return value.upper() in _BODIES  # RFC 6152
    return True  # RFC 4954 5: we vouch for nobody but the login
