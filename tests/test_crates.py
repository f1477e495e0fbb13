"""Crates: sealed by anybody, opened by the host alone, parsed as a stranger's."""

from __future__ import annotations

import random
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest
from attrs import evolve
from nacl.public import PrivateKey

from postmand.inbound import Crate
from postmand.store import crates, seal
from postmand.store.padding import padded
from postmand.store.seal import SealError

SECRET = PrivateKey.generate()
HOST = bytes(SECRET.public_key), bytes(SECRET)
OTHER = PrivateKey.generate()
CRATE = Crate(
    b"carol@example.org",
    (b"alice@mail.i2p", b"bob@mail.i2p"),
    b"mx.i2pmail.org;\r\n spf=pass smtp.mailfrom=example.org",
    True,
    b"From: carol@example.org\r\nSubject: Grapefruit\r\n\r\n",
    (b"Hello,\r\n", b"", b"how are you?\r\n"),
)


def sealed(crate: Crate = CRATE) -> bytes:
    return b"".join(crates.seal(crate, HOST[0]))


def opened(octets: bytes, keys: tuple[bytes, bytes] = HOST) -> tuple[bytes, Crate]:
    return crates.open_crate(BytesIO(octets).read, len(octets), *keys)


def same(one: Crate, other: Crate) -> bool:
    bodies = b"".join(one.body), b"".join(other.body)
    return bodies[0] == bodies[1] and evolve(one, body=()) == evolve(other, body=())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sender": b""},
        {"recipients": tuple(b"u%d@mail.i2p" % n for n in range(1_000))},
        {"vouched": False, "results": b""},
        {"header": b"\r\n", "body": ()},
        {"header": b"X" * crates.MOST_HEADER},
        {"body": (b"y" * (64 * 1024 - 1), b"z" * 200_000)},
    ],
)
def test_there_and_back(change: dict[str, Any]) -> None:
    """What was sealed is opened, whatever its size; its sealed size was foretold."""
    crate = evolve(CRATE, **change)
    octets = sealed(crate)
    assert len(octets) == crates.sealed_octets(crate)
    ident, back = opened(octets)
    assert same(back, crate)
    assert len(ident) == crates.ID_BYTES


def test_id() -> None:
    """The id is of what was sealed once: the same message sealed again has another."""
    octets = sealed()
    assert opened(octets)[0] == opened(octets)[0]
    assert opened(octets)[0] != opened(sealed())[0]


def test_nothing_in_the_clear() -> None:
    """No word of envelope, header or body is seen, and not the exact size."""
    octets = sealed()
    for word in (b"carol", b"alice", b"mail.i2p", b"Grapefruit", b"Hello", b"spf"):
        assert word not in octets
    longer = evolve(CRATE, header=CRATE.header + b"X: y\r\n", body=(b"Hi\r\n",))
    assert len(sealed(longer)) == len(octets)
    assert sealed()[20:] != octets[20:]


def test_another_key() -> None:
    """Another's key opens nothing, and the sealing end has none that would."""
    keys = bytes(OTHER.public_key), bytes(OTHER)
    with pytest.raises(SealError):
        opened(sealed(), keys)
    assert crates.opener(*keys)(sealed()) is None


def test_opener() -> None:
    """What a server is given opens crates, and answers None to all else."""
    found = crates.opener(*HOST)(sealed())
    assert found is not None
    assert same(found[1], CRATE)
    assert crates.opener(*HOST)(b"EHLO") is None


def test_streams() -> None:
    """A large body is sealed piece by piece: none is much larger than 64 KiB."""
    read = []

    class Body(list[bytes]):
        def __iter__(self) -> Any:
            for chunk in super().__iter__():
                read.append(len(chunk))
                yield chunk

    crate = evolve(CRATE, body=Body([b"x" * 10_000] * 200))
    pieces = crates.seal(crate, HOST[0])
    del read[:]
    first = [next(pieces) for _ in range(4)]
    assert sum(read) <= 2 * seal.PIECE
    assert max(map(len, [*first, *pieces])) <= seal.PIECE + 64


def test_every_cut() -> None:
    """A crate cut short anywhere, or with octets behind it, does not open."""
    octets = sealed()
    cuts = {*range(200), *range(200, len(octets), 37), len(octets) - 1}
    for cut in cuts:
        with pytest.raises(SealError):
            opened(octets[:cut])
    with pytest.raises(SealError):
        opened(octets + b"\0")


def test_every_change() -> None:
    """A changed octet is found wherever it stands."""
    octets = sealed()
    for place in (*range(200), *range(200, len(octets), 29)):
        changed = bytearray(octets)
        changed[place] ^= 0x40
        with pytest.raises(SealError):
            opened(bytes(changed))


def test_garbage() -> None:
    """Whatever a stranger sends is a SealError and nothing else."""
    rng = random.Random(4)
    clear = sealed()[:20]
    for _ in range(300):
        junk = rng.randbytes(rng.randrange(4_000))
        for octets in (junk, clear + junk):
            with pytest.raises(SealError):
                opened(octets)


def test_a_card_without_end() -> None:
    """A length in the clear is bounded before so much is read."""
    asked = []

    def read(octets: int) -> bytes:
        asked.append(octets)
        return source.read(octets)

    source = BytesIO(sealed()[:16] + b"\xff\xff\xff\xff" + sealed()[20:])
    with pytest.raises(SealError):
        crates.open_crate(read, 5_000, *HOST)
    assert sum(asked) < 1_000


def hostile(packed: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    """Seal, with the right key, what no gateway of ours would."""
    key = seal.new_key()
    plain = 12 + len(packed)
    clear = sealed()[:16] + (padded(plain) + 16).to_bytes(4, "big")
    size = len(packed) + len(body) if size is None else size
    card = seal.seal_card(packed, size, clear, key)
    pieces: Iterable[bytes] = seal.seal_body([body], len(body), key)
    return b"".join([clear, seal.seal_key(key, HOST[0]), card, *pieces])


def packed(
    vouched: int = 0, count: int = 1, results: bytes = b"", sender: bytes = b"s@x"
) -> bytes:
    lengths = count.to_bytes(2, "big"), len(results), len(sender)
    octets = bytes(16) + bytes([vouched]) + lengths[0]
    octets += lengths[1].to_bytes(2, "big") + lengths[2].to_bytes(2, "big")
    return octets + sender + results + b"\0\x03a@m\r\n"


def test_hostile_is_like_ours() -> None:
    """The hostile sealer's crate opens while it lies about nothing."""
    ident, crate = opened(hostile(packed()))
    assert ident == bytes(16)
    assert (crate.sender, crate.recipients, crate.header) == (
        b"s@x",
        (b"a@m",),
        b"\r\n",
    )


@pytest.mark.parametrize(
    "octets",
    [
        hostile(b""),
        hostile(packed()[:10]),
        hostile(packed()[:24]),
        hostile(packed(vouched=2)),
        hostile(packed(count=0)),
        hostile(packed(count=1_001)),
        hostile(packed(count=2)),
        hostile(packed(count=65_535)),
        hostile(packed(sender=b"s@x\r\nBcc: y")),
        hostile(packed(sender=b"s" * 513)),
        hostile(packed(results=b"x; none\r\nBcc: y")),
        hostile(packed(results=b"x; none\nBcc: y")),
        hostile(packed(results=b"x; none\r\n")),
        hostile(packed(), size=5),
        hostile(packed(), size=2**63),
        hostile(packed(), size=len(packed()) + 5_000, body=b"x"),
        hostile(packed(), size=len(packed()) + 1, body=b"x" * 5_000),
        hostile(packed()[:-7] + b"\0\0\r\n"),
    ],
)
def test_hostile(octets: bytes) -> None:
    """A sealed lie, that only a stolen gateway can tell, is a SealError as well."""
    with pytest.raises(SealError):
        opened(octets)


def test_a_key_too_short() -> None:
    """A sealed key of another length is no reason for another exception."""
    octets = sealed()
    short = seal.seal_key(b"k" * 10, HOST[0])
    with pytest.raises(SealError):
        opened(octets[:20] + short.ljust(112, b"\0") + octets[132:])


@pytest.mark.parametrize(
    "change",
    [
        {"recipients": ()},
        {"recipients": (b"",)},
        {"recipients": (b"a@m",) * 1_001},
        {"recipients": (b"a@m\n",)},
        {"sender": b"s" * 513},
        {"results": b"r" * 65_536},
        {"results": b"r\nx"},
        {"header": b"h" * (crates.MOST_HEADER + 1)},
    ],
)
def test_over_the_bounds(change: dict[str, Any]) -> None:
    """What the host would not open is not sealed: a fault of ours, told at once."""
    with pytest.raises(ValueError, match="crate"):
        crates.seal(evolve(CRATE, **change), HOST[0])


def test_most_octets() -> None:
    """The bound on a sealed crate is never below what a message of that size needs."""
    recipients = tuple(b"%d@%s" % (n, b"m" * 500) for n in range(1_000))
    for size in (0, 1_000, 70_000, 3_000_000):
        for header in (0, min(size, crates.MOST_HEADER)):
            crate = evolve(
                CRATE,
                sender=b"s" * 512,
                recipients=recipients,
                results=b"r" * 65_535,
                header=b"h" * header,
                body=(b"b" * (size - header),),
            )
            assert crates.sealed_octets(crate) <= crates.most_octets(size)
