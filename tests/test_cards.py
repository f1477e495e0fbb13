"""What a queued message's card holds, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmand.internet import Leg
from postmand.store import cards
from postmand.store.cards import (
    BodyKey,
    SealedCard,
    Waiting,
    opened_leg,
    opened_waiting,
    sealed_card,
)
from postmand.store.seal import SealError, new_key, seal_card, seal_key
from tests.contracts.queue_cases import NODE_KEY
from tests.contracts.queues import a_leg

pytestmark = pytest.mark.long

BODY = BodyKey(new_key(), 12)
WAITING = Waiting(1, "n", (b"r",), ((b"a", b"b"),), b"m")

octets, texts = st.binary(max_size=40), st.text(max_size=8)
numbers = st.integers(0, 2**63 - 1)


@given(
    numbers, st.text(max_size=8), st.lists(octets), st.lists(st.tuples(octets, octets))
)
@settings(max_examples=40, deadline=None)
def test_waiting_cards(account, name, recipients, fields):
    """Whatever a message holds comes out of its card again."""
    waiting = Waiting(account, name, tuple(recipients), tuple(fields), b"<x>")
    card = sealed_card(waiting, BODY, 5, NODE_KEY.public_key)
    assert opened_waiting(card, 5, NODE_KEY) == (waiting, BODY)


@given(numbers, texts, octets, st.lists(octets), numbers)
@settings(max_examples=40, deadline=None)
def test_leg_cards(account, name, header, recipients, until):
    """Whatever a leg holds comes out of its card again."""
    leg = Leg(account, name, b"s", b"d", tuple(recipients), header, until, 3)
    card = sealed_card(leg, BODY, 5, NODE_KEY.public_key)
    assert opened_leg(card, 5, NODE_KEY) == (leg, BODY)


def forged(plain, size=None, key=None):
    """Seal octets as a card: what a program of another version may have written."""
    key = key or new_key()
    size = len(plain) if size is None else size
    return SealedCard(
        seal_key(key, NODE_KEY.public_key),
        seal_card(plain, size, b"queue" + bytes(8), key),
    )


def plain_of(content):
    """Return the octets in a card."""
    return cards._encoded(content, BODY.key)


@pytest.mark.parametrize("content", [WAITING, a_leg()])
def test_malformed_cards(content):
    """A card cut off anywhere, of another kind or with more behind it is refused."""
    plain = plain_of(content)
    opened = opened_leg if isinstance(content, Leg) else opened_waiting
    other = opened_waiting if isinstance(content, Leg) else opened_leg
    assert opened(forged(plain), 0, NODE_KEY)[0] == content
    with pytest.raises(SealError):
        other(forged(plain), 0, NODE_KEY)
    whole = 0
    for cut in range(len(plain)):
        try:
            found, _ = opened(forged(plain[:cut]), 0, NODE_KEY)
        except SealError:
            continue
        whole += 1
        assert found != content
    # A card that ends between two parts may be one with fewer of them: fields of
    # pairs, recipients. What is shorter by less than a part never passes.
    assert whole <= 1
    for wrong in (b"", b"\x03" + plain[1:], plain + b"\0", plain + b"\0\0\0\1"):
        with pytest.raises(SealError):
            opened(forged(wrong), 0, NODE_KEY)
    with pytest.raises(SealError):
        opened(forged(plain, size=len(plain) - 1), 0, NODE_KEY)


def test_a_header_of_fields_cut_in_two():
    """A name without its value is no field."""
    plain = plain_of(WAITING)
    with pytest.raises(SealError):
        opened_waiting(forged(plain[: -len(b"....b")]), 0, NODE_KEY)


def test_keys_of_another_length():
    """Neither the card's key nor the body's in it may be of another length."""
    short = cards._encoded(WAITING, BODY.key[:-1])
    with pytest.raises(SealError):
        opened_waiting(forged(short), 0, NODE_KEY)
    with pytest.raises(SealError):
        opened_waiting(forged(plain_of(WAITING), key=new_key() + b"x"), 0, NODE_KEY)


def test_a_card_tells_nothing_by_its_length():
    """Cards of most messages and legs are of one length."""
    few = sealed_card(WAITING, BODY, 5, NODE_KEY.public_key)
    more = sealed_card(a_leg(b"example.org", b"a", b"b"), BODY, 5, NODE_KEY.public_key)
    assert len(few.card) == len(more.card)
    assert len(few.key) == len(more.key)
