"""DKIM signatures as they come in (RFC 6376), and whose of them are good.

dkimpy reads the tags, canonicalises and checks the keys. Around it stand our bounds:
what the far end wrote decides how long its own expressions and its arithmetic run. The
body is hashed here, in pieces.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Iterable, Iterator

import dkim
from attrs import field, frozen
from dkim.canonicalization import (
    CanonicalizationPolicy,
    InvalidCanonicalizationPolicyError,
)
from dkim.util import InvalidTagValueList, parse_tag_value

from postmand.message.bodyhash import RelaxedHash
from postmand.message.dkim import BodyHash
from postmand.message.questions import host_name

MOST = 5
"""How many signatures of a message are looked at: the uppermost, set last."""

Keys = Callable[[str], list[bytes] | None]
"""Returns the TXT records of a key's name, None where nobody can tell now."""

_FIELD = re.compile(rb"([!-9;-~]++)([ \t]*+:(?>(?:[^\r\n]++|\r\n[ \t])*)\r\n)")
_NAME = b"dkim-signature"
_FIELD_OCTETS = 8_192
_KEY_OCTETS = 4_096
_SIGNED_FIELDS = 200
_MODULUS_BITS = 1024, 4096  # RFC 8301 3.2
_EXPONENT_BITS = 33
_SLOP = 36_000  # of far clocks, in seconds
# dkimpy's expressions take the square of a run of blanks.
_LONG_BLANK = re.compile(rb"\s{100}")
_MOMENT = re.compile(rb"\d{1,12}")
_ALGORITHMS = {b"rsa-sha256": b"rsa", b"ed25519-sha256": b"ed25519"}  # RFC 8301, 8463
# What dkimpy raises for tags and keys that nobody should have written.
_BROKEN = (
    dkim.DKIMException,
    InvalidTagValueList,
    InvalidCanonicalizationPolicyError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
)
# Not in the tree of loggers: what dkimpy tells there names domains.
_SILENT = logging.Logger("dkim", logging.CRITICAL + 1)


@frozen
class Signature:
    """One signature's result, a word of RFC 8601 2.7.1, and whose it says it is.

    `domain` and `selector` are names of the DNS; both are empty where the signature
    names none.
    """

    result: str
    domain: str = ""
    selector: str = ""


class NotReadableError(ValueError):
    """A header block that is not made of well-formed fields alone."""


@frozen
class SignedMessage:
    """A message whose signatures are checked.

    `body` is read once at most, and only where a signature asks for it.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    body: Bodies = field(repr=False)

    @classmethod
    def of(cls, header: bytes, body: Iterable[bytes] | Bodies) -> SignedMessage:
        """Read a block, with or without its final empty line.

        Strictly: two readers that see different fields in one block are a hole.
        """
        bodies = body if isinstance(body, Bodies) else Bodies(body)
        return cls(tuple(_fields(header)), bodies)

    def signatures(self) -> list[tuple[bytes, bytes]]:
        """Return the fields that hold the signatures to look at."""
        found = [one for one in self.fields if one[0].lower() == _NAME]
        return found[:MOST]


class Bodies:
    """A body's hashes under both canonicalisations, made when first asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._digests: dict[bytes, bytes] = {}

    def digest(self, canonicalization: bytes) -> bytes:
        """Return the SHA-256 under b"simple" or b"relaxed"."""
        if not self._digests:
            self.make()
        return self._digests[canonicalization]

    def make(self) -> None:
        """Hash now: from here on nothing of the body is held. Blocks."""
        simple, relaxed = BodyHash(), RelaxedHash()
        for piece in self._pieces:
            simple.update(piece)
            relaxed.update(piece)
        self._pieces = ()
        self._digests = {b"simple": simple.digest(), b"relaxed": relaxed.digest()}


def signers(message: SignedMessage) -> list[tuple[str, str]]:
    """Return the domains that verify() will look for keys at, and the keys' names."""
    read = [_tags(value) for _, value in message.signatures()]
    return [
        (domain, _key_name(domain, selector))
        for _, domain, selector in read
        if domain and selector
    ]


def verify(message: SignedMessage, keys: Keys, now: float | None) -> list[Signature]:
    """Check the uppermost signatures of a message, in their order.

    `now`, in seconds since the epoch, is what expiry is measured by; None: it is not.
    Blocks for arithmetic, and for as long as `keys` does.
    """
    return [_verified(message, one, keys, now) for one in message.signatures()]


def _fields(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, value as it stands, its CRLF included)."""
    place, stop = 0, len(header)
    while place < stop:
        if header.startswith(b"\r\n", place) and place + 2 == stop:
            return
        match = _FIELD.match(header, place)
        if match is None:
            raise NotReadableError("not a header field")
        name, value = match.groups()
        before, _, after = value.partition(b":")
        if before:
            # RFC 5322 4.5 allows it, dkimpy does not, and others differ.
            raise NotReadableError("a blank before the colon")
        yield name, after
        place = match.end()


def _verified(
    message: SignedMessage,
    signature: tuple[bytes, bytes],
    keys: Keys,
    now: float | None,
) -> Signature:
    if _is_burden(signature[1]):
        return Signature("policy")
    tags, domain, selector = _tags(signature[1])
    if not (domain and selector):
        return Signature("neutral")
    try:
        told = _verdict(message, tags, now)
        if told is None:
            told = _with_key(message, signature, tags, keys, domain, selector)
    except _BROKEN:
        told = "neutral"  # RFC 8601 2.7.1: what can not be processed
    return Signature(told, domain, selector)


def _is_burden(value: bytes) -> bool:
    return len(value) > _FIELD_OCTETS or _LONG_BLANK.search(value) is not None


def _tags(value: bytes) -> tuple[dict[bytes, bytes], str, str]:
    """Return a signature's tags, its domain and selector; "" where it has none."""
    if _is_burden(value):
        return {}, "", ""
    try:
        tags: dict[bytes, bytes] = parse_tag_value(value)
    except _BROKEN:
        return {}, "", ""
    return tags, host_name(tags.get(b"d", b"")), host_name(tags.get(b"s", b""))


def _key_name(domain: str, selector: str) -> str:
    return f"{selector}._domainkey.{domain}"


def _verdict(
    message: SignedMessage, tags: dict[bytes, bytes], now: float | None
) -> str | None:
    """Return what is to be said without its key; None where the key decides."""
    moments = {name: tags[name] for name in (b"t", b"x") if name in tags}
    if any(not _MOMENT.fullmatch(moment) for moment in moments.values()):
        return "neutral"
    rest = {name: text for name, text in tags.items() if name not in moments}
    dkim.validate_signature_fields(rest)
    if tags[b"a"] not in _ALGORITHMS or b"l" in tags:
        # RFC 8301 3.1; and what is signed in part is open to be added to (8.2).
        return "policy"
    names = _signed_names(tags)
    if b"from" not in names:  # RFC 6376 5.4
        return "neutral"
    if len(names) > _SIGNED_FIELDS:
        return "policy"
    if now is not None and int(moments.get(b"x", b"9" * 12)) < now - _SLOP:
        return "fail"  # expired
    policy = CanonicalizationPolicy.from_c_value(tags.get(b"c"))
    digest = message.body.digest(policy.body_algorithm.name)
    said = base64.b64decode(re.sub(rb"\s+", b"", tags[b"bh"]))
    return None if said == digest else "fail"


def _with_key(
    message: SignedMessage,
    signature: tuple[bytes, bytes],
    tags: dict[bytes, bytes],
    keys: Keys,
    domain: str,
    selector: str,
) -> str:
    """Fetch the key, and let it decide."""
    records = keys(_key_name(domain, selector))
    if records is None:
        return "temperror"
    key = _key(records, _ALGORITHMS[tags[b"a"]])
    if key is None:
        return "permerror"
    verifier = _Verifier(message.fields, *key)
    return "pass" if verifier.agrees(tags, signature) else "fail"


def _key(records: list[bytes], kind: bytes) -> tuple[object, int, bytes] | None:
    """Return the first usable key (RFC 6376 3.6.1) as dkimpy has it, and its bits."""
    for record in records:
        try:
            found = _read_key(record, kind)
        except _BROKEN:
            continue
        if found is not None:
            return found
    return None


def _read_key(record: bytes, kind: bytes) -> tuple[object, int, bytes] | None:
    if len(record) > _KEY_OCTETS:
        return None
    tags = parse_tag_value(record)
    services = re.split(rb"\s*:\s*", tags.get(b"s", b"*"))
    hashes = re.split(rb"\s*:\s*", tags.get(b"h", b"sha256"))
    if (
        tags.get(b"v", b"DKIM1") != b"DKIM1"
        or tags.get(b"k", b"rsa") != kind
        or not {b"*", b"email"}.intersection(services)
        or b"sha256" not in hashes
        or not tags.get(b"p")  # revoked
    ):
        return None
    plain = b"k=%s; p=%s" % (kind, re.sub(rb"\s+", b"", tags[b"p"]))
    key, bits, found, _ = dkim.evaluate_pk("", plain)
    if found != kind or (kind == b"rsa" and not _is_sound(key, bits)):
        return None
    return key, bits, kind


def _is_sound(key: dict[str, int], bits: int) -> bool:
    """Whether an RSA key is strong enough, and does not cost us seconds."""
    least, most = _MODULUS_BITS
    exponent = key["publicExponent"].bit_length()
    return least <= bits <= most and exponent <= _EXPONENT_BITS


def _signed_names(tags: dict[bytes, bytes]) -> list[bytes]:
    return [name.strip().lower() for name in tags[b"h"].split(b":")]


class _Verifier(dkim.DKIM):  # type: ignore[misc] # dkimpy has no types
    """dkimpy's check of a header's hash with a key we have fetched and weighed."""

    def __init__(
        self,
        fields: tuple[tuple[bytes, bytes], ...],
        key: object,
        bits: int,
        kind: bytes,
    ) -> None:
        super().__init__(logger=_SILENT, minkey=_MODULUS_BITS[0])
        self.headers = [list(one) for one in fields]
        self.pk, self.keysize, self.ktag = key, bits, kind

    def agrees(self, tags: dict[bytes, bytes], signature: tuple[bytes, bytes]) -> bool:
        """Whether the signature is this key's over these fields."""
        # Its body hash has been looked at: without the tag dkimpy does not.
        rest = {name: text for name, text in tags.items() if name != b"bh"}
        return bool(self.verify_sig_process(rest, _signed_names(tags), signature, None))
