"""How a message lies in the store: a sealed key, a card and a body.

Each copy has two keys of its own, sealed to the recipient's public key. The first
opens the card (header block and exact size), the second the body, a stream of sealed
pieces. Anybody can seal; only the owner's secret key opens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct

from attrs import frozen
from nacl import bindings, exceptions

from postmand.store.padding import padded

PIECE = 64 * 1024
KEY_BYTES = 64
NONCE_BYTES = bindings.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
UID_BYTES = 16

_HALF = KEY_BYTES // 2
_SEALED_KEY_BYTES = KEY_BYTES + bindings.crypto_box_SEALBYTES
_HEAD = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_PIECE_EXTRA = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_CARD_EXTRA = bindings.crypto_aead_xchacha20poly1305_ietf_ABYTES
# A card's key is random and seals this one card: its nonce need not differ.
_NONCE = bytes(NONCE_BYTES)
_SIZES = Struct(">QI")  # exact size of the message; length of the header block

_ZEROS = memoryview(bytes(PIECE))


class SealError(Exception):
    """What was read does not open: a wrong key, or octets lost, changed or swapped."""


@frozen
class Card:
    """An opened card: the message's exact size in octets, and its header block."""

    size: int
    header: bytes

    @property
    def body_size(self) -> int:
        """The exact length of the body in octets."""
        return self.size - len(self.header)


def stored_size(header: int, body: int) -> int:
    """Return the octets kept for a message of these lengths, as limits count them."""
    plain = padded(body)
    pieces = -(-plain // PIECE)
    return (
        _SEALED_KEY_BYTES
        + padded(_SIZES.size + header)
        + _CARD_EXTRA
        + _HEAD
        + plain
        + pieces * _PIECE_EXTRA
    )


def encrypt(plain: bytes, data: bytes, nonce: bytes, key: bytes) -> bytes:
    """Seal octets under a key (XChaCha20-Poly1305), bound to `data`."""
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, data, nonce, key)


def decrypt(sealed: bytes, data: bytes, nonce: bytes, key: bytes) -> bytes:
    """Open what encrypt() sealed, or raise SealError."""
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed, data, nonce, key
        )
    except (exceptions.CryptoError, ValueError) as error:  # ValueError: far too short
        raise SealError("sealed octets do not open") from error


def new_key() -> bytes:
    """Return the two keys of one copy, 64 random octets."""
    return os.urandom(KEY_BYTES)


def seal_key(key: bytes, public_key: bytes) -> bytes:
    """Seal a copy's keys to its recipient."""
    return bindings.crypto_box_seal(key, public_key)


def open_key(sealed: bytes, public_key: bytes, secret_key: bytes) -> bytes:
    """Open a copy's keys, or raise SealError."""
    try:
        return bindings.crypto_box_seal_open(sealed, public_key, secret_key)
    except exceptions.CryptoError as error:
        raise SealError("the sealed key does not open") from error


def seal_card(header: bytes, size: int, uid: bytes, key: bytes) -> bytes:
    """Seal header block and exact size into a padded card, bound to its uid."""
    plain = _SIZES.pack(size, len(header)) + header
    return encrypt(plain.ljust(padded(len(plain)), b"\0"), uid, _NONCE, key[:_HALF])


def open_card(card: bytes, uid: bytes, key: bytes) -> Card:
    """Open a card, or raise SealError."""
    plain = decrypt(card, uid, _NONCE, key[:_HALF])
    size, length = _SIZES.unpack_from(plain)
    return Card(size, plain[_SIZES.size : _SIZES.size + length])


def seal_body(body: Sequence[bytes], length: int, key: bytes) -> Iterator[bytes]:
    """Yield the sealed body: the stream's head, then its pieces.

    `length` is the sum of the chunks of `body`. No more than one piece is held.
    """
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    yield bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key[_HALF:])
    left = padded(length)
    for piece in _pieces(body, left):
        left -= len(piece)
        yield bindings.crypto_secretstream_xchacha20poly1305_push(
            state, piece, None, _MESSAGE if left else _FINAL
        )


def open_body(read: Callable[[int], bytes], length: int, key: bytes) -> Iterator[bytes]:
    """Yield the body of `length` octets, piece by piece, or raise SealError.

    `read(n)` gives the next n octets of the sealed body, fewer only at its end. The
    padding is opened too: a body cut off within it does not pass.
    """
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    opened, tag = b"", _MESSAGE
    try:
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(
            state, read(_HEAD), key[_HALF:]
        )
        while tag != _FINAL:
            piece, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                state, read(PIECE + _PIECE_EXTRA)
            )
            opened, length = piece[:length], length - len(piece[:length])
            if opened:
                yield opened
    except exceptions.CryptoError as error:
        raise SealError("the body does not open") from error
    if length or read(1):
        raise SealError("the body has not the length its card tells")


def _pieces(chunks: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Yield `chunks`, padded with zeros to `total`, in pieces of 64 KiB."""
    piece = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while not piece and len(view) >= PIECE:  # most of a long body: one copy
            total -= PIECE
            yield view[:PIECE].tobytes()
            view = view[PIECE:]
        while len(view) > 0:
            taken = view[: PIECE - len(piece)]
            piece += taken
            view = view[len(taken) :]
            if len(piece) == PIECE:
                total -= PIECE
                yield bytes(piece)
                piece.clear()
    while total > 0:
        piece += _ZEROS[: min(PIECE, total) - len(piece)]
        total -= len(piece)
        yield bytes(piece)
        piece.clear()
