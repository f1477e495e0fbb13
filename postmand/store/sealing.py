"""Copies into rows: each recipient's copy is sealed by itself."""

from __future__ import annotations

import os
from collections.abc import Sequence

from postmand.interfaces import Copy
from postmand.store.bodies import Bodies
from postmand.store.rows import Arrival
from postmand.store.seal import (
    UID_BYTES,
    new_key,
    seal_body,
    seal_card,
    seal_key,
    stored_size,
)


def copy_size(copy: Copy) -> tuple[int, int]:
    """Return the length of a copy's body, and the octets kept for the whole copy."""
    body = sum(map(len, copy.body))
    return body, stored_size(len(copy.header), body)


def arrivals(bodies: Bodies, copies: Sequence[Copy], file_bytes: int) -> list[Arrival]:
    """Seal every copy. Bodies over `file_bytes` become files, synced but not named.

    A long body is sealed piece by piece, whatever its length. Raises OSError if a file
    cannot be written: then none is left.
    """
    sealed: list[Arrival] = []
    try:
        for copy in copies:
            sealed.append(_arrival(bodies, copy, file_bytes))  # noqa: PERF401 - undone below
    except BaseException:
        bodies.remove(arrival_files(sealed))
        raise
    return sealed


def arrival_files(sealed: Sequence[Arrival]) -> list[str]:
    """Return the names of the files that arrivals have made."""
    return [arrival.file for arrival in sealed if arrival.file is not None]


def _arrival(bodies: Bodies, copy: Copy, file_bytes: int) -> Arrival:
    recipient = copy.recipient
    length, stored = copy_size(copy)
    uid, key = os.urandom(UID_BYTES), new_key()
    pieces = seal_body(copy.body, length, key)
    file = body = None
    if length > file_bytes:
        file = bodies.write(pieces)
    else:
        body = b"".join(pieces)
    return Arrival(
        account=recipient.account,
        name=recipient.name,
        uid=uid,
        padded_bytes=stored,
        file=file,
        sealed_key=seal_key(key, recipient.public_key),
        card=seal_card(copy.header, len(copy.header) + length, uid, key),
        body=body,
    )
