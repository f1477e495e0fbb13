"""Names on IRC: what is one, and which are the same; the server says what case is."""

from __future__ import annotations

import enum
import re
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
        """Return the mapping a server names; for an unknown name ASCII's.

        That is the finest: who is taken for two is told nothing of the other's, who is
        taken for one might be.
        """
        for mapping in cls:
            if mapping.value == name.lower():
                return mapping
        return cls.ASCII


_UPPER = string.ascii_uppercase.encode()
_LOWER = string.ascii_lowercase.encode()
_TABLES = {
    CaseMapping.ASCII: bytes.maketrans(_UPPER, _LOWER),
    CaseMapping.RFC1459: bytes.maketrans(_UPPER + b"[]\\^", _LOWER + b"{}|~"),
    CaseMapping.STRICT: bytes.maketrans(_UPPER + b"[]\\", _LOWER + b"{}|"),
}


# No mask, no channel, no list, nothing that a server would read as something else.
# Other characters are the network's affair.
_NICK = re.compile(rb"[^\x00-\x20\x7f:!@,*?.#&$+~%][^\x00-\x20\x7f!@,*?.#$]{0,63}")


def is_nick(name: bytes) -> bool:
    """Tell whether somebody can be called so; a server has a dot in its name."""
    return _NICK.fullmatch(name) is not None


def fold(name: bytes, mapping: CaseMapping) -> bytes:
    """Return the one spelling that all spellings of a name have in common."""
    return name.translate(_TABLES[mapping])


def plain(nick: bytes) -> bytes:
    """Return a nick as accounts are compared by: its letters small, no more.

    Services may tell apart what their server takes for one nick, and have an account
    for each; none takes a finer view than this.
    """
    return fold(nick, CaseMapping.ASCII)
