"""What holds for every washed message, and a loop that tries to break it.

`fuzz` is for a nightly target; the unit tests use the checks and a short run of it.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from postmand.message.address import Address
from postmand.message.mime import Forwarded, Multipart, Part, Sealed
from postmand.message.restamp import compose
from postmand.message.sanitizer import (
    Draft,
    Identity,
    Limits,
    MessageError,
    Washed,
    parse,
    wash,
)
from tests.long_run import run

CORPUS = Path(__file__).parent / "data" / "corpus"
JONDOE = Address(b"jondoe", b"mail.i2p")
ME = Identity(JONDOE, "", frozenset((JONDOE, Address(b"jondoe", b"i2pmail.org"))))
DATE = b"Sun, 22 Nov 2026 15:21:00 +0000"
MESSAGE_ID = b"<given-out@mail.i2p>"

ALWAYS = (
    b"Date From To Subject Message-ID MIME-Version Content-Type"
    b" Content-Transfer-Encoding"
).split()
ORDER = (
    b"Date From To Cc Subject Message-ID In-Reply-To References MIME-Version"
    b" Content-Type Content-Transfer-Encoding Content-Disposition"
).split()
REASONS = {
    "header-too-long",
    "too-many-fields",
    "too-many-parts",
    "nested-too-deep",
    "too-many-parameters",
    "line-too-long",
}
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def washed(
    raw: bytes,
    *,
    identity: Identity = ME,
    threads: dict[bytes, bytes] | None = None,
    seed: int = 1,
    limits: Limits | None = None,
) -> bytes:
    """Return the whole message as it leaves."""
    draft = parse(raw, limits or Limits())
    return whole(wash(draft, identity, threads or {}, random.Random(seed)))


def whole(message: Washed) -> bytes:
    """Return header block and body of a washed message."""
    header = compose(message, date=DATE, message_id=MESSAGE_ID)
    return header + b"".join(message.body)


def names(message: bytes) -> list[bytes]:
    """Return the names of a composed message's top fields, in order."""
    block = message[: message.index(b"\r\n\r\n")]
    lines = re.sub(rb"\r\n[ \t]", b" ", block).split(b"\r\n")
    return [line.partition(b":")[0] for line in lines]


def has_sealed(part: Part | None) -> bool:
    """Tell whether a part is, or holds, one that stays byte-exact."""
    if isinstance(part, Sealed):
        return True
    if isinstance(part, Multipart):
        return any(has_sealed(child) for child in part.parts)
    return isinstance(part, Forwarded) and has_sealed(part.root)


def check(raw: bytes) -> Draft | None:
    """Wash hostile input and check all that is promised; None where it is refused.

    Only a MessageError may come out, and what leaves is canonical, clean and stays the
    same when it is washed again.
    """
    try:
        draft = parse(raw, Limits())
    except MessageError as error:
        if error.reason in REASONS:
            return None
        raise
    message = whole(wash(draft, ME, {}, random.Random(1)))
    found = names(message)
    assert found == [name for name in ORDER if name in found], found
    assert set(ALWAYS) <= set(found), found
    assert not _BARE.search(message), "bare CR, bare LF or NUL"
    assert message.endswith(b"\r\n")
    header = message.partition(b"\r\n\r\n")[0]
    checked = header if has_sealed(draft.root) else message
    assert checked.isascii(), "8-bit octets outside a sealed part"
    assert max(map(len, checked.split(b"\r\n"))) <= 998, "a long line"
    assert washed(message) == message, "not idempotent"
    return draft


_TOKENS = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff\xfe",
    b"--",
    b'"',
    b"(",
    b")",
    b"<",
    b">",
    b"@",
    b";",
    b":",
    b",",
    b"=",
    b"\\",
    b"=?utf-8?q?=0D=0ABcc:_x?=",
    b"=?utf-8?b?w7w=?= =?utf-8?b?w7w=?=",
    b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n",
    b"\r\nContent-Type: message/rfc822\r\n",
    b"\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n--s\r\n",
    b"\r\nContent-Type: text/html\r\nContent-ID: <a@b>\r\n\r\n<img src=cid:a@b>",
    b"\r\nContent-Type: multipart/related; start=<a@b>; boundary=r\r\n\r\n--r\r\n",
    b"\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n",
    b"\r\nContent-Transfer-Encoding: base64\r\n",
    b"\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    b"\r\nContent-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%BC\r\n",
    b"\r\nX-Leak : secret\r\n",
    b'\r\nTo: a:b@c, "d" <e@f>;,,(x)g@h\r\n',
    "\r\nTo: Jörg <jörg@exämple.org>\r\n".encode(),
    b"\r\nReferences: <a@b> <c@d>\r\n",
    b" charset=iso-2022-jp",
    b" charset=utf-16",
    b"\x1b$B",
)


def mutate(raw: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return the message with some of its octets, lines or parts changed."""
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(raw) + 1)
        other = min(len(raw), place + rng.randrange(200))
        choice = rng.randrange(8)
        if choice == 0:
            raw = raw[:place] + bytes((rng.randrange(256),)) + raw[place + 1 :]
        elif choice == 1:
            raw = raw[:place] + raw[other:]
        elif choice == 2:
            raw = raw[:place] + raw[place:other] * rng.randint(2, 4) + raw[other:]
        elif choice == 3:
            donor = rng.choice(others)
            begin = rng.randrange(len(donor))
            raw = (
                raw[:place] + donor[begin : begin + rng.randrange(2_000)] + raw[place:]
            )
        elif choice == 4:
            lines = raw.split(b"\r\n")
            rng.shuffle(head := lines[:12])
            raw = b"\r\n".join(head + lines[12:])
        elif choice == 5:
            raw = raw[:place]
        else:
            raw = raw[:place] + rng.choice(_TOKENS) + raw[place:]
    return raw


def corpus() -> dict[str, bytes]:
    """Return the captured messages by name."""
    paths = sorted(CORPUS.glob("*/message.eml"))
    return {path.parent.name: path.read_bytes() for path in paths}


def fuzz(iterations: int, seed: int) -> None:
    """Check `iterations` mutated corpus messages; the same seed tries the same ones.

    A failing message is in the AssertionError's notes.
    """
    rng = random.Random(seed)
    messages = list(corpus().values())
    for number in range(iterations):
        raw = mutate(rng.choice(messages), messages, rng)
        try:
            check(raw)
        except BaseException as error:
            error.add_note(f"seed {seed}, iteration {number}: {raw!r}")
            raise


if __name__ == "__main__":
    run(fuzz, 1_000_000, "messages")
