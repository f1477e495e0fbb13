"""What the card of a queued message holds, and how it is sealed to the node.

Envelope, header, the key of the body and its exact length: all that is not needed to
find a message. A card is written whole and under a new key each time; only who has the
node's secret key opens it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from struct import error as StructError  # noqa: N812 - struct's own name says nothing

from attrs import field, frozen

from postmand.interfaces import Outgoing
from postmand.internet import Leg
from postmand.store.nodekey import NodeKey
from postmand.store.seal import (
    KEY_BYTES,
    SealError,
    new_key,
    open_card,
    open_key,
    seal_card,
    seal_key,
)

# The first octet of a card: what it holds, and in which form. A change of the form
# takes the next numbers, and the old ones stay readable.
_WAITING, _LEG = b"\x01", b"\x02"

_LENGTH = Struct(">I")
_WAITING_HEAD = Struct(">QI")  # account; recipients
_LEG_HEAD = Struct(">QQI")  # account; until; attempts


@frozen
class Waiting:
    """What a card keeps of a message before its release: Outgoing's own fields."""

    account: int
    name: str
    recipients: tuple[bytes, ...]
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    message_id: bytes = field(repr=False)

    @classmethod
    def of(cls, outgoing: Outgoing) -> Waiting:
        """Return what is kept of `outgoing` beside its body and its time."""
        return cls(
            outgoing.account,
            outgoing.name,
            outgoing.recipients,
            outgoing.fields,
            outgoing.message_id,
        )


@frozen
class BodyKey:
    """What opens a body: its key, and its exact length in octets."""

    key: bytes = field(repr=False)
    octets: int


@frozen
class SealedCard:
    """A card as a row keeps it: its key, sealed to the node, and the card itself."""

    key: bytes
    card: bytes


def sealed_card(
    content: Waiting | Leg, body: BodyKey, item: int, public_key: bytes
) -> SealedCard:
    """Seal a card under a new key, bound to its item."""
    plain, key = _encoded(content, body.key), new_key()
    size = len(plain) + body.octets
    return SealedCard(
        seal_key(key, public_key), seal_card(plain, size, _bound(item), key)
    )


def opened_waiting(
    sealed: SealedCard, item: int, node_key: NodeKey
) -> tuple[Waiting, BodyKey]:
    """Open the card of a message before its release, or raise SealError."""
    parts, octets = _opened(sealed, item, node_key, _WAITING)
    try:
        head, key, name, message_id, *rest = parts
        account, count = _WAITING_HEAD.unpack(head)
        recipients, pairs = rest[:count], rest[count:]
        fields = tuple(zip(pairs[::2], pairs[1::2], strict=True))
        content = Waiting(account, name.decode(), tuple(recipients), fields, message_id)
    except (ValueError, StructError) as error:
        raise _malformed() from error
    if len(recipients) != count:
        raise _malformed()
    return content, _body_key(key, octets)


def opened_leg(sealed: SealedCard, item: int, node_key: NodeKey) -> tuple[Leg, BodyKey]:
    """Open the card of a leg, or raise SealError."""
    parts, octets = _opened(sealed, item, node_key, _LEG)
    try:
        head, key, name, sender, domain, header, *recipients = parts
        account, until, attempts = _LEG_HEAD.unpack(head)
        leg = Leg(
            account=account,
            name=name.decode(),
            sender=sender,
            domain=domain,
            recipients=tuple(recipients),
            header=header,
            until=until,
            attempts=attempts,
        )
    except (ValueError, StructError) as error:
        raise _malformed() from error
    return leg, _body_key(key, octets)


def _encoded(content: Waiting | Leg, key: bytes) -> bytes:
    name = content.name.encode()
    if isinstance(content, Leg):
        head = _LEG_HEAD.pack(content.account, content.until, content.attempts)
        parts = (head, key, name, content.sender, content.domain, content.header)
        return _LEG + _joined((*parts, *content.recipients))
    head = _WAITING_HEAD.pack(content.account, len(content.recipients))
    pairs = (part for pair in content.fields for part in pair)
    first = (head, key, name, content.message_id)
    return _WAITING + _joined((*first, *content.recipients, *pairs))


def _opened(
    sealed: SealedCard, item: int, node_key: NodeKey, kind: bytes
) -> tuple[list[bytes], int]:
    """Return the parts of a card of this kind, and the length of the body."""
    key = open_key(sealed.key, node_key.public_key, node_key.secret_key)
    if len(key) != KEY_BYTES:
        raise _malformed()
    card = open_card(sealed.card, _bound(item), key)
    if card.header[:1] != kind or card.body_size < 0:
        raise _malformed()
    return list(_split(card.header, 1)), card.body_size


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(octets for part in parts for octets in (_size(part), part))


def _size(part: bytes) -> bytes:
    return _LENGTH.pack(len(part))


def _split(octets: bytes, at: int) -> Iterator[bytes]:
    """Yield what _joined() joined, from `at` on; SealError unless it ends with it."""
    while at < len(octets):
        start = at + _LENGTH.size
        if start > len(octets):
            raise _malformed()
        (length,) = _LENGTH.unpack_from(octets, at)
        at = start + length
        if at > len(octets):
            raise _malformed()
        yield octets[start:at]


def _body_key(key: bytes, octets: int) -> BodyKey:
    if len(key) != KEY_BYTES:
        raise _malformed()
    return BodyKey(key, octets)


def _bound(item: int) -> bytes:
    return b"queue" + item.to_bytes(8, "big")


def _malformed() -> SealError:
    return SealError("a queued message's card is not of a form that is known")
