"""Names on IRC are the same in either case, and the server says what case is."""

from __future__ import annotations

import enum
import string


class CaseMapping(enum.Enum):
    r"""How a server compares nicks and channels: CASEMAPPING of its 005.

    RFC 1459 2.2 takes {}|~ for the lower case of []\^; in the strict variant ~ and ^
    differ.
    """

    ASCII = b"ascii"
    RFC1459 = b"rfc1459"
    STRICT = b"strict-rfc1459"

    @classmethod
    def named(cls, name: bytes) -> CaseMapping:
        """Return the mapping a server names; for an unknown name RFC 1459's."""
        for mapping in cls:
            if mapping.value == name.lower():
                return mapping
        return cls.RFC1459


_UPPER = string.ascii_uppercase.encode()
_LOWER = string.ascii_lowercase.encode()
_TABLES = {
    CaseMapping.ASCII: bytes.maketrans(_UPPER, _LOWER),
    CaseMapping.RFC1459: bytes.maketrans(_UPPER + b"[]\\^", _LOWER + b"{}|~"),
    CaseMapping.STRICT: bytes.maketrans(_UPPER + b"[]\\", _LOWER + b"{}|"),
}


def fold(name: bytes, mapping: CaseMapping) -> bytes:
    """Return the one spelling that all spellings of a name have in common."""
    return name.translate(_TABLES[mapping])
