"""Crates: mail from the Internet, sealed whole to the mail host by a gateway.

A magic and a version stand in the clear, and the padded lengths of what follows them:
a sealed key, a card (envelope and header block) and the body's stream, as `store.seal`
makes them. Anybody who has the host's public key can seal; a gateway can not open what
it has sealed. Whoever seals may be hostile: what opens is parsed strictly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from struct import Struct

from nacl import bindings

from postmand.inbound import Crate
from postmand.store.padding import FLOOR, padded
from postmand.store.seal import (
    KEY_BYTES,
    Card,
    SealError,
    new_key,
    open_body,
    open_card,
    open_key,
    seal_body,
    seal_card,
    seal_key,
    stored_size,
)

ID_BYTES = 16
"""How long the random id is that lies sealed in a crate."""

# Bounds of what a card holds, in octets.
MOST_ADDRESS = 512
MOST_RECIPIENTS = 1_000
MOST_RESULTS = 65_535
MOST_HEADER = 2_097_152

_MAGIC = b"postmand crate\x00\x01"  # the last octet is the version
_LENGTH = Struct(">I")
_CLEAR = len(_MAGIC) + _LENGTH.size
_SEALED_KEY_BYTES = KEY_BYTES + bindings.crypto_box_SEALBYTES
_CARD_EXTRA = bindings.crypto_aead_xchacha20poly1305_ietf_ABYTES

_BEGINNING = Struct(f">{ID_BYTES}sBHHH")  # id, vouched, recipients, results, sender
_ADDRESS_LENGTH = Struct(">H")
_MOST_ENVELOPE = (
    _BEGINNING.size
    + MOST_RESULTS
    + MOST_ADDRESS
    + MOST_RECIPIENTS * (_ADDRESS_LENGTH.size + MOST_ADDRESS)
)
# An envelope's address is one line; a field's value may be folded (RFC 5322 2.2.3).
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_FOLDED = re.compile(
    rb"[^\x00-\x08\x0a-\x1f\x7f]*+(?>(?:\r\n[ \t][^\x00-\x08\x0a-\x1f\x7f]*+)*)"
)

Opened = tuple[bytes, Crate]
"""A crate and its id: the same for each copy of what was sealed once."""


def sealed_octets(crate: Crate) -> int:
    """Return how many octets `seal` gives for a crate."""
    return _CLEAR + stored_size(_packed_octets(crate), _body_octets(crate.body))


def most_octets(message: int) -> int:
    """Return the most octets of a sealed crate with a message of `message` octets."""
    return _CLEAR + stored_size(_MOST_ENVELOPE + min(message, MOST_HEADER), message)


def seal(crate: Crate, public_key: bytes) -> Iterator[bytes]:
    """Yield a crate sealed to a key, in pieces; beside them one of 64 KiB is held.

    Raises ValueError, before the first piece, for a crate over the bounds above.
    """
    packed, body = _pack(crate), _body_octets(crate.body)
    return _sealed(crate.body, packed, body, public_key)


def _sealed(
    chunks: Sequence[bytes], packed: bytes, body: int, public_key: bytes
) -> Iterator[bytes]:
    key = new_key()
    clear = _MAGIC + _LENGTH.pack(_card_octets(len(packed)))
    yield clear + seal_key(key, public_key)
    yield seal_card(packed, len(packed) + body, clear, key)
    yield from seal_body(chunks, body, key)


def open_crate(
    read: Callable[[int], bytes],
    octets: int,
    public_key: bytes,
    secret_key: bytes,
) -> Opened:
    """Open a crate of `octets`, or raise SealError: never anything else.

    `read(n)` gives the next n octets, fewer only at the end. The body's pieces are
    held, and no more of what is sealed than one of them.
    """
    clear = read(_CLEAR)
    if len(clear) < _CLEAR or not clear.startswith(_MAGIC):
        raise SealError("this is no crate")
    (length,) = _LENGTH.unpack(clear[len(_MAGIC) :])
    if not FLOOR <= length - _CARD_EXTRA <= padded(_MOST_ENVELOPE + MOST_HEADER):
        raise SealError("a crate's card has no such length")
    key = open_key(read(_SEALED_KEY_BYTES), public_key, secret_key)
    if len(key) != KEY_BYTES:
        raise SealError("a crate's key has no such length")
    card = open_card(read(length), clear, key)
    _check_lengths(card, length, octets)
    ident, envelope = _unpack(card.header)
    body = tuple(open_body(read, card.body_size, key))
    return ident, Crate(*envelope, body)


def opener(public_key: bytes, secret_key: bytes) -> Callable[[bytes], Opened | None]:
    """Return what opens crates with the node's key: None for what does not open.

    Blocks for a large one: call it in a thread.
    """

    def open_sealed(sealed: bytes) -> Opened | None:
        try:
            return open_crate(BytesIO(sealed).read, len(sealed), public_key, secret_key)
        except SealError:
            return None

    return open_sealed


def _check_lengths(card: Card, length: int, octets: int) -> None:
    """What the clear tells has to be what follows from the card, to the octet."""
    if (
        card.body_size < 0
        or _card_octets(len(card.header)) != length
        or _CLEAR + stored_size(len(card.header), card.body_size) != octets
    ):
        raise SealError("a crate's lengths do not agree")


def _card_octets(packed: int) -> int:
    """The octets of a sealed card: a message's, less those of an empty one's rest."""
    return stored_size(packed, 0) - stored_size(0, 0) + FLOOR + _CARD_EXTRA


def _body_octets(body: Sequence[bytes]) -> int:
    return sum(map(len, body))


def _packed_octets(crate: Crate) -> int:
    addresses = sum(_ADDRESS_LENGTH.size + len(one) for one in crate.recipients)
    rest = len(crate.sender) + len(crate.results) + len(crate.header)
    return _BEGINNING.size + addresses + rest


def _pack(crate: Crate) -> bytes:
    """Write envelope and header block as they lie in the card."""
    fault = _fault(crate)
    if fault:
        raise ValueError(fault)
    recipients = (_ADDRESS_LENGTH.pack(len(one)) + one for one in crate.recipients)
    beginning = _BEGINNING.pack(
        os.urandom(ID_BYTES),
        crate.vouched,
        len(crate.recipients),
        len(crate.results),
        len(crate.sender),
    )
    return b"".join([beginning, crate.sender, crate.results, *recipients, crate.header])


_Envelope = tuple[bytes, tuple[bytes, ...], bytes, bool, bytes]


def _unpack(packed: bytes) -> tuple[bytes, _Envelope]:
    """Read what _pack() wrote: id, and all of a crate but its body."""
    plain = BytesIO(packed)
    beginning = plain.read(_BEGINNING.size)
    if len(beginning) < _BEGINNING.size:
        raise SealError("a crate's envelope is cut short")
    ident, vouched, count, results_octets, sender_octets = _BEGINNING.unpack(beginning)
    if vouched > 1 or count > MOST_RECIPIENTS:
        raise SealError("a crate's envelope is none")
    sender = _exactly(plain, sender_octets)
    results = _exactly(plain, results_octets)
    recipients = []
    for _ in range(count):
        (octets,) = _ADDRESS_LENGTH.unpack(_exactly(plain, _ADDRESS_LENGTH.size))
        recipients.append(_exactly(plain, octets))
    header = plain.read()
    crate = Crate(sender, tuple(recipients), results, bool(vouched), header, ())
    fault = _fault(crate)
    if fault:
        raise SealError(fault)
    return ident, (sender, crate.recipients, results, crate.vouched, header)


def _exactly(plain: BytesIO, octets: int) -> bytes:
    taken = plain.read(octets)
    if len(taken) != octets:
        raise SealError("a crate's envelope is cut short")
    return taken


def _fault(crate: Crate) -> str:
    """Return what is wrong with a crate but its body: a constant, "" for nothing."""
    if not 0 < len(crate.recipients) <= MOST_RECIPIENTS:
        return "a crate has no recipients, or too many"
    if not all(crate.recipients):
        return "a crate's recipient is empty"
    for address in (crate.sender, *crate.recipients):
        if len(address) > MOST_ADDRESS or _CONTROL.search(address):
            return "a crate's address is none"
    if len(crate.results) > MOST_RESULTS or not _FOLDED.fullmatch(crate.results):
        return "a crate's results are no field's value"
    if len(crate.header) > MOST_HEADER:
        return "a crate's header block is too long"
    return ""
