"""Sealing: keys, cards, bodies, passwords, recovery codes, and padded sizes."""

from __future__ import annotations

import os
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from postmand.rules.names import BadNameError, check_display_name, check_name
from postmand.store import seal
from postmand.store.padding import FLOOR, padded
from postmand.store.passwords import (
    BadPasswordError,
    Cost,
    Wrapped,
    by_password,
    by_recovery,
    check_password,
    unwrap,
    wrap,
)
from postmand.store.recovery import BadCodeError, new_code, print_code, read_code
from postmand.store.seal import SealError

CHEAP = Cost(1, 8)
UID = bytes(range(16))
KEY = bytes(range(64))
LENGTHS = [0, 1, 1023, 1024, 1025, 65_535, 65_536, 65_537, 131_072, 200_001]


def sealed_body(body: bytes, *cuts: int, key: bytes = KEY) -> list[bytes]:
    """Return the sealed stream of `body`, handed in as chunks cut at `cuts`."""
    edges = [0, *cuts, len(body)]
    chunks = [body[a:b] for a, b in pairwise(edges)]
    return list(seal.seal_body(chunks, len(body), key))


def opened_body(stream: bytes, length: int, key: bytes = KEY) -> bytes:
    """Open a sealed stream."""
    return b"".join(seal.open_body(BytesIO(stream).read, length, key))


# --- sizes


@given(st.integers(min_value=0, max_value=2**40))
def test_padded_is_never_less_and_little_more(size):
    """Padmé's promise: at most 12 % above, from the floor on."""
    result = padded(size)
    assert result >= max(size, FLOOR)
    assert result <= max(size * 1.12, FLOOR)
    assert padded(result) == result


@pytest.mark.long
def test_padded_sizes_are_few():
    """All lengths up to 1 MiB share some two hundred sizes, short ones one."""
    sizes = {padded(n) for n in range(1024 * 1024)}
    assert len(sizes) < 250
    assert {padded(n) for n in range(1025)} == {1024}


@pytest.mark.parametrize("length", LENGTHS)
def test_stored_size_is_what_is_stored(length):
    """The limit counts exactly the octets that sealing makes."""
    pair = bindings.crypto_box_keypair()
    header = b"h" * (length % 3000)
    made = [
        seal.seal_key(KEY, pair[0]),
        seal.seal_card(header, len(header) + length, UID, KEY),
        *sealed_body(os.urandom(length)),
    ]
    assert sum(map(len, made)) == seal.stored_size(len(header), length)


# --- keys and cards


def test_key_opens_with_the_owners_secret_only():
    """A sealed key opens for its recipient, and for no other pair."""
    public, secret = bindings.crypto_box_keypair()
    key = seal.new_key()
    sealed = seal.seal_key(key, public)
    assert seal.open_key(sealed, public, secret) == key
    assert seal.seal_key(key, public) != sealed
    with pytest.raises(SealError):
        seal.open_key(sealed, *bindings.crypto_box_keypair())


def test_tampered_or_short_key_does_not_open():
    """Each octet changed, and each length but the right one, is noticed."""
    public, secret = bindings.crypto_box_keypair()
    sealed = seal.seal_key(KEY, public)
    for at in range(len(sealed)):
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(SealError):
            seal.open_key(bytes(broken), public, secret)
    for wrong in (b"", sealed[:47], sealed[:-1], sealed + b"\0"):
        with pytest.raises(SealError):
            seal.open_key(wrong, public, secret)


def test_card_gives_back_size_and_header():
    """Header block and exact size come back; the body's length follows."""
    card = seal.open_card(seal.seal_card(b"A: b\r\n\r\n", 1008, UID, KEY), UID, KEY)
    assert (card.size, card.header, card.body_size) == (1008, b"A: b\r\n\r\n", 1000)


def test_cards_of_short_headers_have_one_size():
    """A usual header block's length does not show."""
    assert {len(seal.seal_card(b"h" * n, n, UID, KEY)) for n in range(1012)} == {1040}


@pytest.mark.parametrize("tamper", ["octet", "short", "uid", "key", "empty"])
def test_tampered_card_does_not_open(tamper):
    """Changed, cut, given another uid or opened with another key: SealError."""
    card = seal.seal_card(b"h", 1, UID, KEY)
    uid, key = UID, KEY
    if tamper == "octet":
        card = card[:500] + bytes([card[500] ^ 128]) + card[501:]
    elif tamper == "short":
        card = card[:-1]
    elif tamper == "empty":
        card = b""
    elif tamper == "uid":
        uid = bytes(16)
    else:
        key = KEY[32:] + KEY[:32]
    with pytest.raises(SealError):
        seal.open_card(card, uid, key)


# --- bodies


@pytest.mark.parametrize("length", LENGTHS)
def test_body_comes_back(length):
    """Bodies around every edge of a piece come back octet by octet."""
    body = os.urandom(length)
    assert opened_body(b"".join(sealed_body(body)), length) == body


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 150_000), max_size=8))
def test_how_a_body_was_cut_does_not_show(cuts):
    """Chunks of any length give pieces of 64 KiB, and the body they make."""
    body = bytes(150_000)
    made = sealed_body(body, *sorted(cuts))
    assert [len(piece) for piece in made] == [len(p) for p in sealed_body(body)]
    assert opened_body(b"".join(made), len(body)) == body


def test_no_two_sealings_are_alike():
    """The same body under the same key is another stream each time."""
    assert sealed_body(b"x") != sealed_body(b"x")


def test_every_way_to_tamper_with_a_stream():
    """A piece changed, dropped, doubled, swapped, cut or added: SealError."""
    body = os.urandom(200_000)
    head, *pieces = sealed_body(body)
    assert len(pieces) == 4
    a, b, c, d = pieces
    other = sealed_body(body)[1:]
    changed = bytes([b[0] ^ 1]) + b[1:]
    for stream in (
        [head, a, changed, c, d],
        [head, b, a, c, d],
        [head, a, c, d],
        [head, a, b, c],
        [head, a, b, d],
        [head, a, a, b, c, d],
        [head, a, b, c, d, d],
        [head, a, b, c, d, b"\0"],
        [head, a, b, c, d[:-1]],
        [head, a, b, c, d[:10]],
        [head, a, other[1], c, d],
        [head[:-1]],
        [head],
        [a, b, c, d],
        [],
    ):
        with pytest.raises(SealError):
            opened_body(b"".join(stream), len(body))


def test_stream_cut_in_its_padding_does_not_pass():
    """The real octets are all there, the end is not: SealError all the same."""
    length = 64 * 65_536 + 1
    head, *pieces = sealed_body(bytes(length))
    assert len(pieces) > 65
    with pytest.raises(SealError):
        opened_body(b"".join([head, *pieces[:65]]), length)


def test_wrong_key_and_wrong_length():
    """Another key, or a length beyond what is there, is an error."""
    stream = b"".join(sealed_body(b"x" * 1000))
    with pytest.raises(SealError):
        opened_body(stream, 1000, key=KEY[32:] + KEY[:32])
    with pytest.raises(SealError):
        opened_body(stream, 1025)


# --- passwords


def test_wrapped_key_opens_with_its_secret():
    """The right secret opens; a wrong one is None."""
    wrapped = wrap(KEY[:32], b"secret", CHEAP, by_password(7))
    assert unwrap(wrapped, b"secret", CHEAP, by_password(7)) == KEY[:32]
    assert unwrap(wrapped, b"secreT", CHEAP, by_password(7)) is None
    assert unwrap(wrapped, b"secret", Cost(2, 8), by_password(7)) is None


def test_wrapped_key_is_bound_to_account_and_purpose():
    """A row's columns moved to another account or purpose do not open."""
    wrapped = wrap(KEY[:32], b"secret", CHEAP, by_password(7))
    for elsewhere in (by_password(8), by_recovery(7)):
        with pytest.raises(SealError):
            unwrap(wrapped, b"secret", CHEAP, elsewhere)


def test_tampered_wrapped_key_is_an_error_not_a_wrong_password():
    """Who knows the password is told that the store is broken."""
    wrapped = wrap(KEY[:32], b"secret", CHEAP, by_password(7))
    broken = Wrapped(wrapped.salt, wrapped.verifier, wrapped.key[:-1] + b"\0\0")
    with pytest.raises(SealError):
        unwrap(broken, b"secret", CHEAP, by_password(7))


def test_same_password_twice_looks_different():
    """Two accounts with one password share no octet that shows it."""
    one, two = (wrap(KEY[:32], b"secret", CHEAP, by_password(7)) for _ in "ab")
    assert one.salt != two.salt
    assert one.verifier != two.verifier
    assert one.key != two.key


@pytest.mark.parametrize("bad", [b"", b"x" * 1025, b"a\0b", b"a\rb", b"a\nb"])
def test_passwords_no_client_can_send(bad):
    """What USER and PASS cannot carry is refused when it is set."""
    with pytest.raises(BadPasswordError):
        check_password(bad)


def test_any_other_password():
    """Spaces, 8-bit octets and 1024 of them are a password."""
    for good in (b" ", b"\xff\xfe", "Schlüssel".encode(), b"x" * 1024):
        assert check_password(good) == good


# --- recovery codes


@given(st.binary(min_size=20, max_size=20))
def test_code_is_read_as_it_was_printed(code):
    """Eight groups of five come back as the same 160 bits."""
    text = print_code(code)
    assert [len(group) for group in text.split("-")] == [5] * 8
    assert read_code(text) == code


def test_code_may_be_written_as_people_write():
    """Small letters, spaces, no dashes, O for 0, I and L for 1."""
    text = print_code(bytes(19) + b"\x21")
    assert "0" in text
    assert "1" in text
    loose = text.lower().replace("-", "  ").replace("0", "o").replace("1", "l")
    assert read_code(f" {loose}\n") == read_code(text)
    assert read_code(text.replace("-", "")) == read_code(text)


def test_codes_are_random():
    """Two codes differ, and have 160 bits."""
    assert len(new_code()) == 20
    assert new_code() != new_code()


def test_one_wrong_letter_is_named_by_its_group():
    """Every letter in every place, exchanged for every other, is noticed."""
    text = print_code(bytes(range(20)))
    for at, right in enumerate(text):
        if right == "-":
            continue
        for wrong in "0123456789ABCDEFGHJKMNPQRSTVWXYZ*":
            if wrong == right:
                continue
            with pytest.raises(BadCodeError, match=f"group {at // 6 + 1} "):
                read_code(text[:at] + wrong + text[at + 1 :])


def test_neighbours_and_groups_exchanged_are_noticed():
    """The two slips of the pen that people make with whole letters."""
    text = print_code(bytes(range(7, 27)))
    groups = text.split("-")
    for at, (left, right) in enumerate(pairwise(text)):
        if "-" not in (left, right) and left != right:
            with pytest.raises(BadCodeError):
                read_code(text[:at] + right + left + text[at + 2 :])
    for one in range(8):
        for two in range(one):
            swapped = list(groups)
            swapped[one], swapped[two] = groups[two], groups[one]
            with pytest.raises(BadCodeError):
                read_code("-".join(swapped))


@pytest.mark.parametrize("length", [0, 39, 41])
def test_code_of_another_length(length):
    """Letters lost or added are counted for the user."""
    with pytest.raises(BadCodeError, match=f"this has {length}"):
        read_code("0" * length)


# --- names


@pytest.mark.parametrize("name", ["a", "0", "jon.doe", "a-b_c.d", "x" * 64])
def test_good_names(name):
    """What may stand before the @."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("x" * 65, "longer"),
        ("Jondoe", "a-z"),
        ("jön", "a-z"),
        ("a b", "a-z"),
        ("a\n", "a-z"),
        ("a@b", "a-z"),
        (".a", "starts"),
        ("a-", "starts"),
        ("a..b", "two dots"),
        ("postmaster", "operator"),
        ("mailer-daemon", "operator"),
        # With its mail a stranger would get a certificate for the domain.
        *((name, "operator") for name in ("admin", "administrator", "webmaster")),
    ],
)
def test_bad_names_and_why(name, words):
    """Each rule has its own words."""
    with pytest.raises(BadNameError, match=words):
        check_name(name)


def test_display_names():
    """Letters of any script; no line ends, no spaces around, not too long."""
    for good in ("", "Jon Doe", "Жанна Дарк", "x" * 100):
        assert check_display_name(good) == good
    for bad in ("a\r\nBcc: x", "a\0", " a", "a ", "x" * 101, "\u202eevil"):
        with pytest.raises(BadNameError):
            check_display_name(bad)
