"""SPF (RFC 7208): whether a machine may send for a domain.

The record is read and weighed by pyspf. What it asks goes through `Questions`, and
where it departs from the RFC, or asks for more than we need, it is put right here.
"""

from __future__ import annotations

from typing import Any

import spf
from attrs import frozen

from postmand.message.questions import Questions, can_be_asked, host_name

# RFC 7208 3.4 wants 450 octets; what is much longer is a burden, not a policy.
_LONGEST_RECORD = 4_096
_ADDRESSES = 64
_LONGEST_HELO = 255
_NAMES = 10  # RFC 7208 4.6.4: names behind MX, and PTR


@frozen
class Spf:
    """What SPF says: `result` is a word of RFC 7208 2.6, `domain` whose record it is.

    `identity` is "mailfrom", or "helo" for the null sender. Without a domain there was
    nothing to ask for.
    """

    result: str
    domain: str = ""
    identity: str = "mailfrom"


def check(
    peer_ip: str, helo: bytes, sender: bytes, questions: Questions, now: float
) -> Spf:
    """Ask whether the machine at `peer_ip` may send for `sender` (b"" is the null one).

    Blocks while it asks.
    """
    local, domain, identity = _identity(helo, sender)
    if "." not in domain:
        return Spf("none", "", identity)
    told = helo[:_LONGEST_HELO].decode("ascii", "replace")
    query = _Query(questions, peer_ip, local, domain, told, now)
    try:
        result = query.check()[0]
    except _BROKEN:
        # pyspf stumbled over what the record says: whose it is has to mend it.
        result = "permerror"
    return Spf(result, domain, identity)


_BROKEN = (spf.AmbiguityWarning, ValueError, LookupError, AttributeError, TypeError)


def _identity(helo: bytes, sender: bytes) -> tuple[str, str, str]:
    """Return (local part, domain, which identity) of what is checked (2.4)."""
    if not sender:
        return "postmaster", host_name(helo), "helo"
    local, _, domain = sender.rpartition(b"@")
    name = local.decode("utf-8", "replace") or "postmaster"  # 4.3
    return name, host_name(domain), "mailfrom"


class _Query(spf.query):  # type: ignore[misc] # pyspf has no types
    """pyspf's evaluation of one message, with a DNS of its own.

    Its module's own look-up is a global: nothing here touches it, so any number of
    threads may check at the same time.
    """

    def __init__(
        self,
        questions: Questions,
        peer_ip: str,
        local: str,
        domain: str,
        helo: str,
        now: float,
    ) -> None:
        super().__init__(i=peer_ip, s=f"{local}@{domain}", h=helo, strict=True)
        # As we read the address: a quoted local part may hold an @.
        self.l, self.o, self.d = local, domain, domain
        self.t = str(int(now))
        self._questions = questions
        # A record may ask for the same twice.
        self._known: dict[tuple[str, str], list[Any]] = {}

    def dns(
        self,
        name: str,
        qtype: str,
        cnames: object = None,  # noqa: ARG002 - the resolver follows them
        ignore_void: bool = False,
    ) -> list[Any]:
        """Return the values of a name's records in pyspf's shapes."""
        asked = str(name).removesuffix(".").lower()
        if not can_be_asked(asked):
            return []
        known = self._known.get((asked, qtype))
        if known is None:
            known = self._known[asked, qtype] = self._asked(asked, qtype)
        if not known and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError("too many void lookups")
        return list(known)

    def _asked(self, name: str, kind: str) -> list[Any]:
        if kind == "TXT":
            texts = self._questions.txt(name)
            if texts is None:
                raise spf.TempError("DNS")
            return [_record(text) for text in texts]
        records = self._questions(name, kind)
        if records.status == "failed":
            raise spf.TempError("DNS")
        if kind == "MX":
            return [_exchange(text) for text in records.texts]
        return list(records.texts[:_ADDRESSES])

    def dns_mx(self, domainname: str) -> list[Any]:
        """Return the addresses of a domain's mail servers.

        One without an address of the family asked for is no void term (4.6.4): else
        `mx` would fail for whoever sends over IPv6.
        """
        names = self.dns(domainname, "MX")
        if len(names) > _NAMES:
            raise spf.PermError("too many MX records")
        return [
            address
            for _, name in sorted(names)
            for address in self.dns(name, self.A, ignore_void=True)
        ]

    def validated_ptrs(self) -> list[str]:
        """Return the names of the peer that lead back to it (5.5).

        An error of DNS is no match, and of many names the first ten count.
        """
        found: list[str] = []
        try:
            names = self.dns_ptr(self.i)[:_NAMES]
        except spf.TempError:
            return found
        for name in map(str, names):
            try:
                addresses = self.dns(name, self.A, ignore_void=True)
            except spf.TempError:
                continue
            if self.cidrmatch(addresses, self.cidrmax):
                found.append(name.removesuffix(".").lower())
        return found

    def get_explanation(self, spec: str) -> None:
        """Ask for no explanation: words of the far end that nobody is shown."""


def _record(text: bytes) -> list[bytes]:
    if len(text) > _LONGEST_RECORD and spf.RE_SPF.match(text):
        raise spf.PermError("record too long")
    return [text]


def _exchange(text: str) -> tuple[int, str]:
    preference, _, name = text.partition(" ")
    return int(preference), name
