"""Washing: any client's message in, the one shape all mail of this node has out.

It is an allow-list over bytes. `parse` reads a message with all its breakage, `wash`
writes anew what is on the lists: nothing passes because it was not understood. What it
does to each kind of part is said in `parts`, to each field in `fields`.

Between the two stands the caller, who looks up which of `Draft.thread_ids` are own.
Date, Message-ID and trace fields are not made here: see `restamp` and `trace`.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from postmand.message import content_ids, fields, headers
from postmand.message.fields import Identity, Threads
from postmand.message.headers import Header
from postmand.message.limits import Limits, MessageError
from postmand.message.mime import Body, Part, Reader
from postmand.message.parts import Random, Writer

__all__ = ["Draft", "Identity", "Limits", "MessageError", "Washed", "parse", "wash"]

_THREAD_IDS = 1_000
_ONE_CHUNK = 65_536


@frozen
class Draft:
    """A message as it was handed in, read but not yet washed.

    `client_id` is the Message-ID its client gave it (brackets included), None where it
    is missing, malformed or over 250 octets. `thread_ids` are all ids the wash may
    replace, at most 1,000; an id that is not among them does not leave.
    """

    client_id: bytes | None
    thread_ids: tuple[bytes, ...]
    header: Header = field(repr=False)
    root: Part = field(repr=False)
    content_ids: frozenset[bytes] = field(repr=False)


@frozen
class Washed:
    """A message with nothing in it that depends on its client or on time.

    `fields` are (name, folded body) in canonical order, without Date and Message-ID.
    `body` is in chunks of CRLF lines; unless it is empty it ends with CRLF.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    body: tuple[bytes, ...] = field(repr=False)


def parse(raw: bytes, limits: Limits, *, clean: bool = False) -> Draft:
    """Read a message; raise MessageError where it is over a limit, and for that only.

    Lines may end with CRLF or LF; `clean` says that they are known to end with CRLF and
    that no bare CR is there either, as behind `wire.DataScan`.
    """
    body = Body.of_message(raw, limits, clean=clean)
    header = body.header
    reader = Reader(limits)
    root = reader.part(body)
    client_id = headers.message_id(header.first(b"message-id"))
    ids = dict.fromkeys([] if client_id is None else [client_id])
    ids.update(dict.fromkeys(header.ids(b"in-reply-to", b"references")))
    ids.update(reader.ids)
    return Draft(
        client_id,
        tuple(ids)[:_THREAD_IDS],
        header,
        root,
        content_ids.in_use(root),
    )


def wash(
    draft: Draft, identity: Identity, threads: Mapping[bytes, bytes], rng: Random
) -> Washed:
    """Write the message anew, from `identity`.

    `threads` maps those of the draft's thread ids that are own to the ids given out for
    them. `rng` makes boundaries and Content-IDs: `random.SystemRandom()`, or a seeded
    one in tests.
    """
    known = Threads(threads, frozenset(draft.thread_ids))
    writer = Writer(identity, known, rng, draft.content_ids)
    written = writer.write(draft.root, top=True)
    head = (
        *fields.submitted(draft.header, identity, known),
        (b"MIME-Version", b"1.0"),
        *written.fields,
    )
    return Washed(head, chunked(written.chunks))


def chunked(chunks: list[bytes]) -> tuple[bytes, ...]:
    """Join what is small: a short body is one chunk."""
    if sum(map(len, chunks)) <= _ONE_CHUNK:
        return (b"".join(chunks),) if chunks else ()
    return tuple(chunks)
