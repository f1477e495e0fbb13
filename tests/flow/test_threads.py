"""Replies still thread for both sides, and nobody sees the other's own ids."""

from __future__ import annotations

from tests.flow.corpus import parsed
from tests.flow.house import House

OWN = "<20261122061956.028473@marys-laptop.home.example.org>"
HERS = "<179534.4242.5150@alices-box.example.net>"


def letter(subject: str, message_id: str = "", **more: str) -> bytes:
    """Return a letter with the ids its client gave it."""
    lines = ["From: x@mail.i2p", f"Subject: {subject}"]
    if message_id:
        lines.append(f"Message-ID: {message_id}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "", "text", ""]).encode()


def test_a_conversation(house: House) -> None:
    """Question, answer, answer to the answer: each side sees its own ids again."""
    house.submit("jondoe", ["alice@mail.i2p", "bob@mail.i2p"], letter("question", OWN))
    (alices,) = map(parsed, house.collect("alice"))
    (bobs,) = map(parsed, house.collect("bob"))
    given = alices["Message-ID"]
    assert given == bobs["Message-ID"]
    assert given.endswith("@mail.i2p>")

    answer = letter("answer", HERS, In_Reply_To=given, References=given)
    house.submit("alice", ["jondoe@mail.i2p", "bob@mail.i2p"], answer)
    (jons,) = map(parsed, house.collect("jondoe"))
    (bobs,) = map(parsed, house.collect("bob"))
    assert jons["In-Reply-To"] == jons["References"] == OWN
    assert bobs["In-Reply-To"] == bobs["References"] == given
    hers = bobs["Message-ID"]
    assert jons["Message-ID"] == hers

    again = letter("again", In_Reply_To=hers, References=f"{OWN} {hers}")
    house.submit("jondoe", ["alice@mail.i2p", "bob@mail.i2p"], again)
    (alices,) = map(parsed, house.collect("alice"))
    (bobs,) = map(parsed, house.collect("bob"))
    assert alices["In-Reply-To"] == HERS
    assert alices["References"] == f"{given} {HERS}"
    assert bobs["In-Reply-To"] == hers
    assert bobs["References"] == f"{given} {hers}"


def test_the_same_message_again_has_the_same_id(house: House) -> None:
    """A client that lost the last reply sends again: readers can tell it is one."""
    for _ in range(2):
        house.submit("jondoe", ["alice@mail.i2p"], letter("once", OWN))
    first, second = map(parsed, house.collect("alice"))
    assert first["Message-ID"] == second["Message-ID"]


def test_two_members_with_one_id(house: House) -> None:
    """The same id of two members' clients is given out as two that do not match."""
    for name in ("jondoe", "bob"):
        house.submit(name, ["alice@mail.i2p"], letter("same", OWN))
    first, second = map(parsed, house.collect("alice"))
    assert first["Message-ID"] != second["Message-ID"]


def test_sizes_are_exact_where_ids_are_restored(house: House) -> None:
    """LIST tells the octets of what RETR gives, the restored ids included."""
    house.submit("jondoe", ["alice@mail.i2p"], letter("question", OWN))
    (alices,) = map(parsed, house.collect("alice"))
    given = alices["Message-ID"]
    answer = letter("answer", HERS, In_Reply_To=given, References=given)
    house.submit("alice", ["jondoe@mail.i2p"], answer)
    with house.pop("jondoe") as session:
        told = int(session.list(1).split()[2])  # type: ignore[attr-defined]
        lines = session.retr(1)[1]
        session.dele(1)
    assert told == sum(len(line) + 2 for line in lines)
    assert OWN.encode() in b"\n".join(lines)
