"""Delivery and disposition reports inside a message (RFC 3464, RFC 8098).

A receipt names the program and the host that wrote it, so its fields pass an allow-list
like all others.
"""

from __future__ import annotations

import re

from postmand.message import headers
from postmand.message.fields import Threads

_FIELDS: dict[bytes, dict[bytes, bytes]] = {
    b"message/delivery-status": {
        b"original-recipient": b"Original-Recipient",
        b"final-recipient": b"Final-Recipient",
        b"action": b"Action",
        b"status": b"Status",
        b"diagnostic-code": b"Diagnostic-Code",
    },
    b"message/disposition-notification": {
        b"original-recipient": b"Original-Recipient",
        b"final-recipient": b"Final-Recipient",
        b"original-message-id": b"Original-Message-ID",
        b"disposition": b"Disposition",
    },
}
KINDS = frozenset(_FIELDS)

_VALUE = re.compile(rb"[ -~]{1,900}+")


def wash(kind: bytes, octets: bytes, threads: Threads) -> list[bytes]:
    """Return the report's field blocks with the listed fields alone."""
    listed = _FIELDS[kind]
    blocks: list[bytes] = []
    text = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for block in text.split(b"\r\n\r\n"):
        kept: list[bytes] = []
        for line in headers.unfolded_lines(block):
            name, _, value = line.partition(b":")
            written = listed.get(name.strip(b" \t").lower())
            value = value.strip(b" \t")
            if written == b"Original-Message-ID":
                value = b" ".join(threads.translated(headers.message_ids(value))[:1])
            if written and _VALUE.fullmatch(value):
                words = value.split()
                kept.append(b"%s: %s\r\n" % (written, headers.fold(written, words)))
        if kept:
            blocks.append(b"".join(kept))
    return [b"\r\n".join(blocks)] if blocks else []
