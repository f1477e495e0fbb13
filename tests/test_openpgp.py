"""Published keys: what is kept of one, what is refused, and hostile ones."""

from __future__ import annotations

import base64
import bz2
import time
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysequoia import ArmorKind, Cert, Tsk, armor
from pysequoia.packet import PacketPile

from postmand.store import openpgp
from postmand.store.openpgp import Cleaned, KeyRefusedError

pytestmark = pytest.mark.long

JON = "Jon Doe <jondoe@mail.i2p>"
ADDRESSES = frozenset({"jondoe@mail.i2p", "jondoe@i2pmail.org"})
MOST = 16_384
DAY = 86_400


@cache
def made(*user_ids: str, seconds: int | None = None) -> Tsk:
    """Return a key with its secrets."""
    return Tsk.generate(user_ids=list(user_ids), validity_seconds=seconds)


def public(*user_ids: str, seconds: int | None = None) -> Cert:
    """Return its public half."""
    return made(*user_ids, seconds=seconds).extract_certificate()


def armored(octets: bytes, head: str = "") -> str:
    """Return octets as a public key's armor has them; the checksum is nobody's."""
    data = base64.encodebytes(octets).decode()
    return (
        f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n{head}\n{data}=AAAA\n"
        "-----END PGP PUBLIC KEY BLOCK-----\n"
    )


def clean(text: str, now: float | None = None, most: int = MOST) -> Cleaned:
    """Clean it for jondoe."""
    return openpgp.clean(text, ADDRESSES, time.time() if now is None else now, most)


def refused(text: str, now: float | None = None, most: int = MOST) -> str:
    """Return why it is refused."""
    with pytest.raises(KeyRefusedError) as caught:
        clean(text, now, most)
    return str(caught.value)


def framed(tag: int, body: bytes) -> bytes:
    """Return a packet."""
    return bytes((0xC0 | tag, 0xFF)) + len(body).to_bytes(4, "big") + body


def packets(cert: Cert) -> list[Any]:
    """Return a key's packets."""
    return list(PacketPile.from_bytes(bytes(cert)))


def names(cleaned: Cleaned) -> list[str]:
    """Return the user ids of what is published."""
    return sorted(str(one) for one in Cert.from_bytes(cleaned.octets).user_ids)


def test_own_key_is_kept_whole() -> None:
    """Of a key with nothing foreign in it nothing falls."""
    cert = public(JON)
    cleaned = clean(str(cert))
    assert cleaned.fingerprint == cert.fingerprint
    assert cleaned.octets == bytes(cert)


def test_armor_as_programs_write_it() -> None:
    """With headers, without, with CRLF, in a mail's middle, in either domain."""
    octets = bytes(public("<JonDoe@I2Pmail.ORG>"))
    for text in (
        armored(octets),
        armored(octets, "Version: some-program - 2\nComment: https://a-b.example\n"),
        armored(octets).replace("\n", "\r\n"),
        "Hello -----\n\n" + armored(octets) + "\nBye\n",
        armored(octets).replace("\n\n", "\n").replace("=AAAA\n", ""),
    ):
        assert clean(text).octets == octets


def test_foreign_user_ids_fall() -> None:
    """The other names of its owner are nowhere in what is published."""
    cert = public("Real Name <real@example.org>", JON, "No Address")
    cleaned = clean(str(cert))
    assert names(cleaned) == [JON]
    for word in (b"Real Name", b"example.org", b"No Address"):
        assert word not in cleaned.octets
    assert cleaned.fingerprint == cert.fingerprint


def test_addresses_that_only_look_like_it() -> None:
    """An address in the comment, in front, or longer, is not the account's."""
    for name in (
        "jondoe@mail.i2p <real@example.org>",
        "x <jondoe@mail.i2p.example.org>",
        "x <ajondoe@mail.i2p>",
        "x (jondoe@mail.i2p)",
        "jondoe",
    ):
        assert "no user id" in refused(str(public(name))), name


def test_what_others_signed_falls() -> None:
    """Who vouched for whom is nobody's business."""
    cert, other = packets(public(JON)), packets(public("Eve <eve@mail.i2p>"))
    (at,) = [n for n, one in enumerate(cert) if one.user_id == JON]
    vouched = [*cert[: at + 2], other[2], other[-1], *cert[at + 2 :]]
    octets = b"".join(bytes(one) for one in vouched)
    assert len(octets) > len(bytes(public(JON)))
    assert clean(armored(octets)).octets == bytes(public(JON))


def test_photographs_and_trust_fall() -> None:
    """User attributes, trust packets, markers and padding are not published."""
    parts = [bytes(one) for one in packets(public(JON))]
    photograph = framed(17, b"\x0d\x01\x10\x00\x01\x01" + bytes(4) + b"JPEG!!")
    more = [photograph, framed(12, b"\1\2"), framed(10, b"PGP"), framed(21, b"pad")]
    cleaned = clean(armored(b"".join([*parts[:1], *more[1:], *parts[1:], more[0]])))
    assert cleaned.octets == bytes(public(JON))


def test_name_that_nobody_signed() -> None:
    """A user id put into somebody's key is not that person's."""
    parts = [bytes(one) for one in packets(public("Eve <eve@example.org>"))]
    octets = b"".join([*parts[:2], framed(13, JON.encode()), *parts[2:]])
    assert "no user id" in refused(armored(octets))


def test_names_that_nobody_signed_fall() -> None:
    """Beside a name that is signed, too: it would be free room for anything."""
    parts = [bytes(one) for one in packets(public(JON))]
    more = framed(13, b"free room <jondoe@mail.i2p>")
    cleaned = clean(armored(b"".join([*parts[:2], more, *parts[2:]])))
    assert cleaned.octets == bytes(public(JON))


def _forged(signature: bytes) -> bytes:
    return signature[:-5] + bytes((signature[-5] ^ 1,)) + signature[-4:]


def test_forged_signatures_fall() -> None:
    """What only says that the key's owner signed it, wherever it stands."""
    cert = public(JON)
    parts = packets(cert)
    forged: list[bytes] = []
    for one in parts:
        forged.append(bytes(one))
        if int(one.tag) == 2:
            forged.append(_forged(bytes(one)))
    assert clean(armored(b"".join(forged))).octets == bytes(cert)
    # A subkey with a forged one alone falls with it.
    octets = b"".join([*map(bytes, parts[:-1]), _forged(bytes(parts[-1]))])
    kept = [
        bytes(one) for one in packets(Cert.from_bytes(clean(armored(octets)).octets))
    ]
    assert kept == [bytes(one) for one in parts[:-2]]


def test_few_signatures_for_each_part() -> None:
    """The newest are enough, and what is taken back stays so."""
    key = made(JON)
    cert = key.extract_certificate()
    for seconds in range(1, 9):
        expires = datetime.now(UTC) + timedelta(days=seconds)
        cert = cert.set_expiration(expires, key.certifier())
    before, after = _signatures(bytes(cert)), _signatures(clean(str(cert)).octets)
    assert max(before.values()) > 4
    assert max(after.values()) <= 4
    left = Cert.from_bytes(clean(str(cert)).octets)
    assert left.expiration == cert.expiration


def test_what_is_taken_back_comes_first() -> None:
    """However many newer signatures a part has, a revocation is among those kept."""
    key = made(JON)
    cert = key.extract_certificate()
    (taken_back,) = PacketPile.from_bytes(bytes(cert.revoke(key.certifier())))
    later = cert.set_expiration(datetime.now(UTC) + timedelta(days=9), key.certifier())
    others = [one for one in packets(later) if int(one.tag) == 2]
    assert all(openpgp._weight(taken_back) > openpgp._weight(one) for one in others)
    assert max([taken_back, *others], key=openpgp._weight) is taken_back


def _signatures(octets: bytes) -> dict[bytes, int]:
    """Return how many signatures stand after each part."""
    found: dict[bytes, int] = {}
    part = b""
    for one in PacketPile.from_bytes(octets):
        if int(one.tag) == 2:
            found[part] += 1
        else:
            part = bytes(one)
            found[part] = 0
    return found


def test_name_that_was_taken_back() -> None:
    """A user id that its owner revoked is none."""
    key = made(JON, "x <real@example.org>")
    cert = key.extract_certificate()
    (mine,) = [one for one in cert.user_ids if str(one) == JON]
    taken_back = cert.merge(
        Cert.from_bytes(
            _with_signature(cert, JON, cert.revoke_user_id(mine, _hand(key)))
        )
    )
    assert "no user id" in refused(str(taken_back))


def _hand(key: Tsk) -> Any:
    return key.certifier()


def _with_signature(cert: Cert, name: str, signature: Any) -> bytes:
    parts = packets(cert)
    (at,) = [n for n, one in enumerate(parts) if one.user_id == name]
    octets = [bytes(one) for one in parts]
    return b"".join([*octets[: at + 1], bytes(signature), *octets[at + 1 :]])


def test_revoked() -> None:
    """A key that its owner gave up."""
    key = made(JON)
    cert = key.extract_certificate()
    parts = [bytes(one) for one in packets(cert)]
    octets = b"".join([parts[0], bytes(cert.revoke(_hand(key))), *parts[1:]])
    assert "revoked" in refused(armored(octets))


def test_expired() -> None:
    """By the clock of the node."""
    text = str(public(JON, seconds=DAY))
    now = time.time()
    assert clean(text, now).fingerprint
    assert "expired" in refused(text, now + 2 * DAY)


def test_secret() -> None:
    """In an armor of its own, in a public one's, and beside a public one."""
    key = made(JON)
    secret = armor(bytes(key), ArmorKind.SecretKey)
    for text in (secret, armored(bytes(key)), str(public(JON)) + secret):
        assert "secret" in refused(text)


def test_more_than_one() -> None:
    """Somebody else's key is not published beside one's own."""
    both = bytes(public(JON)) + bytes(public("Eve <eve@mail.i2p>"))
    assert "more than one" in refused(armored(both))


def test_other_things() -> None:
    """What is no key, or broken off, is told so."""
    assert "begins with" in refused("")
    assert "begins with" in refused("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==")
    assert "begins with" in refused(armor(b"x", ArmorKind.Signature))
    for octets in (b"", b"x", bytes(public(JON))[:-1], framed(13, JON.encode())):
        assert "can not be read" in refused(armored(octets))
    assert "version" in refused(armored(framed(6, b"\3" + bytes(20))))


def test_size() -> None:
    """Too long in its armor, or in itself: said before anything is read of it."""
    octets = bytes(public(JON))
    assert clean(armored(octets), most=len(octets)).octets == octets
    assert "octets" in refused(armored(octets), most=len(octets) - 1)
    assert "octets" in refused("-----BEGIN PGP PUBLIC KEY BLOCK-----\n" * 10_000)


def test_nothing_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed packets, which could be of any size, never reach the library."""
    monkeypatch.setattr(openpgp, "Cert", None)
    monkeypatch.setattr(openpgp, "PacketPile", None)
    key, zeros = bytes(public(JON)), bytes(10_000_000)
    for packed in (b"\3" + bz2.compress(zeros), b"\2" + zlib.compress(zeros)):
        for octets in (framed(8, packed), key + framed(8, packed)):
            assert "can not be read" in refused(armored(octets))
    # Of old: without a length, up to the end; and in parts.
    for octets in (b"\xa3\3x", b"\x9b\4", b"\xc6\xe1\4\4", key + b"\xcd\xe0x"):
        assert "can not be read" in refused(armored(octets))


def test_numbers_that_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large moduli and large exponents never reach the library."""
    monkeypatch.setattr(openpgp, "Cert", None)
    head, large = b"\4" + bytes(4), b"\xff" * 4_000

    def number(bits: int) -> bytes:
        return bits.to_bytes(2, "big") + large[: (bits + 7) // 8]

    for body in (
        head + b"\1" + number(8_193) + number(17),
        head + b"\1" + number(4_096) + number(33),
        head + b"\x11" + number(4_097),
        head + b"\x11" + number(4_096) + number(513),
        head + b"\x10" + number(4_097),
        b"\6" + bytes(4) + b"\1" + bytes(4) + number(16_384),
    ):
        assert "larger" in refused(armored(framed(6, body)))


def survives(text: str) -> None:
    """It is cleaned or refused; nothing else is raised."""
    try:
        cleaned = clean(text)
    except KeyRefusedError:
        return
    assert names(cleaned) == [JON]
    assert b"real@example.org" not in cleaned.octets


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_hostile_octets(octets: bytes) -> None:
    """Anything in an armor."""
    survives(armored(octets))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_hostile_text(text: str) -> None:
    """Anything in a form's field."""
    survives(text)
    survives(f"-----BEGIN PGP PUBLIC KEY BLOCK-----{text}{armored(b'')}")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_hostile_changes(data: st.DataObject) -> None:
    """A real key with octets changed, packets exchanged, doubled or left out."""
    cert = public(JON, "x <real@example.org>")
    parts = [bytes(one) for one in packets(cert)]
    order = st.lists(st.sampled_from(parts), max_size=12)
    octets = bytearray(b"".join(data.draw(st.just(parts) | order)))
    for _ in range(data.draw(st.integers(0, 4))):
        if octets:
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(
                st.integers(0, 255)
            )
    survives(armored(bytes(octets)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((2, 6, 13, 14, 17)), st.binary(max_size=80)),
        max_size=10,
    )
)
def test_hostile_packets(parts: list[tuple[int, bytes]]) -> None:
    """Well-framed packets with anything in them, in any order."""
    survives(armored(b"".join(framed(tag, body) for tag, body in parts)))
