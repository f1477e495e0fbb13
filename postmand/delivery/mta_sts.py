"""MTA-STS (RFC 8461): what a domain's policy says, and whom it names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

# RFC 8461 3.2: about a year.
_LONGEST = 31_557_600
_PATTERNS = 100
MOST_OCTETS = 65_536

_RECORD = re.compile(r"v=STSv1[ \t]*;(.*)", re.DOTALL)
_ID = re.compile(r"[ \t]*id[ \t]*=[ \t]*([0-9A-Za-z]{1,32})[ \t]*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-9]{3}|.)")
_PAIR = re.compile(rb"[ \t]*([0-9A-Za-z][0-9A-Za-z_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*")
_PATTERN = re.compile(r"(?:\*\.)?[0-9a-z_-]{1,63}(?:\.[0-9a-z_-]{1,63})*")


@frozen
class Policy:
    """A domain's policy: `mode` is "enforce", "testing" or "none".

    `max_age` is how long it holds, in seconds, `patterns` name the MX hosts.
    """

    mode: str
    max_age: int
    patterns: tuple[str, ...]

    @property
    def enforced(self) -> bool:
        """Whether a server that does not meet it gets no mail."""
        return self.mode == "enforce"

    def names(self, host: str) -> bool:
        """Tell whether an MX host is one of the policy's (RFC 8461 4.1)."""
        _, _, parent = host.partition(".")
        return host in self.patterns or f"*.{parent}" in self.patterns


def record_id(texts: Sequence[str]) -> str | None:
    """Return the id in the TXT records of _mta-sts, None where there is no such record.

    More than one is none (RFC 8461 3.1). Records are in presentation form.
    """
    values = [value for value in map(_joined, texts) if value.startswith("v=STSv1")]
    if len(values) != 1:
        return None
    match = _RECORD.fullmatch(values[0])
    if match is None:
        return None
    ids = [found for part in match[1].split(";") if (found := _ID.fullmatch(part))]
    return ids[0][1] if len(ids) == 1 else None


def _joined(text: str) -> str:
    return "".join(_ESCAPE.sub(_plain, part) for part in _STRING.findall(text))


def _plain(match: re.Match[str]) -> str:
    return chr(int(match[1])) if len(match[1]) == 3 else match[1]


def read(octets: bytes) -> Policy | None:
    """Return the policy in a fetched file, None where it is none (RFC 8461 3.2)."""
    if len(octets) > MOST_OCTETS:
        return None
    values: dict[bytes, bytes] = {}
    patterns: list[str] = []
    for line in octets.replace(b"\r\n", b"\n").split(b"\n"):
        match = _PAIR.fullmatch(line)
        if match is None:
            if line.strip():
                return None
            continue
        key, value = match[1], match[2]
        if key == b"mx":
            patterns.append(value.decode("ascii", "replace").lower().removesuffix("."))
        else:
            values.setdefault(key, value)  # RFC 8461 3.2: the first counts
    return _policy(values, patterns)


def _policy(values: dict[bytes, bytes], patterns: list[str]) -> Policy | None:
    mode = values.get(b"mode", b"").decode("ascii", "replace")
    age = values.get(b"max_age", b"")
    if values.get(b"version") != b"STSv1" or not (age.isdigit() and len(age) <= 10):
        return None
    if mode not in ("enforce", "testing", "none"):
        return None
    if not all(map(_PATTERN.fullmatch, patterns)) or len(patterns) > _PATTERNS:
        return None
    if not patterns and mode != "none":
        return None
    return Policy(mode, min(int(age), _LONGEST), tuple(patterns))
