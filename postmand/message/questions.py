"""What authentication asks of DNS: names that can be asked for, and not too many.

The far end chooses what is asked: each message has a purse of questions and of time,
and what is asked beyond it counts as a failure of DNS, never as an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import dns.exception
import dns.rdata
import idna
from attrs import define, field

from postmand.inbound import Records

if TYPE_CHECKING:
    from dns.rdtypes.ANY.TXT import TXT

Ask = Callable[[str, str], Records]
"""Asks for (name, kind) and waits for the answer: to be called in a thread."""

_LABEL = r"[0-9a-z_](?>(?:[0-9a-z_-]{0,61}[0-9a-z_])?)"
_NAME = re.compile(rf"(?>(?:{_LABEL}\.)*){_LABEL}")
# What a macro of SPF makes of a local part may hold anything that prints.
_ASKABLE = re.compile(r"(?>(?:[!-\-/-\[\]-~]{1,63}+\.)*)[!-\-/-\[\]-~]{1,63}+")
_LONGEST_NAME = 253
_FAILED = Records("failed")
_NO_NAME = Records("none", exists=False)


def host_name(octets: bytes) -> str:
    """Return a domain as DNS has it, in lower-case ASCII; "" for what is no name.

    An internationalised one is in A-labels (RFC 5891). Address literals are no names.
    """
    try:
        name = octets.decode("utf-8").removesuffix(".").lower()
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode("ascii").lower()
    except (UnicodeDecodeError, idna.IDNAError):
        return ""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return ""
    return name


def can_be_asked(name: str) -> bool:
    """Whether a name, without a trailing dot, can stand in a question.

    Other octets than those of a host may, too.
    """
    return len(name) <= _LONGEST_NAME and _ASKABLE.fullmatch(name) is not None


@define
class Questions:
    """The questions one message may cost: so many, and none after `until`.

    `seconds` is the clock of `until`.
    """

    _ask: Ask
    _seconds: Callable[[], float]
    _until: float
    _left: int
    _known: dict[tuple[str, str], Records] = field(factory=dict, init=False)

    def __call__(self, name: str, kind: str) -> Records:
        """Ask, once for each; "failed" where nothing may be asked any more."""
        if not can_be_asked(name):
            return _NO_NAME
        known = self._known.get((name, kind))
        if known is not None:
            return known
        if self._left <= 0 or self._seconds() > self._until:
            return _FAILED
        self._left -= 1
        self._known[name, kind] = told = self._ask(name, kind)
        return told

    def txt(self, name: str) -> list[bytes] | None:
        """Return the TXT records of a name, each one's strings joined.

        None where DNS failed: nobody knows what is there.
        """
        records = self(name, "TXT")
        if records.status == "failed":
            return None
        return [octets for octets in map(_octets, records.texts) if octets]


def _octets(text: str) -> bytes:
    """Return a TXT record's octets (RFC 7208 3.3); b"" for what is none."""
    try:
        record = cast("TXT", dns.rdata.from_text("IN", "TXT", text))
    except dns.exception.DNSException:
        return b""
    return b"".join(record.strings)
