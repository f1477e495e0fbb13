"""The messages the load generators send: text lines of prose under a plain header."""

from __future__ import annotations

import base64

_LINE = b"It was a dark night; the rain fell in torrents, and the wind was violent.\r\n"
_HEADER = (
    b"Subject: the weather in London\r\n"
    b"Date: Mon, 01 Jan 2024 12:00:00 +0100\r\n"
    b"User-Agent: Letters/1.0 (X11; Linux x86_64)\r\n"
    b"MIME-Version: 1.0\r\n"
)
_TEXT = b"Content-Type: text/plain; charset=UTF-8; format=flowed\r\n\r\n"
_MIXED = (
    b'Content-Type: multipart/mixed; boundary="=-edge-of-a-part"\r\n\r\n'
    b"--=-edge-of-a-part\r\n" + _TEXT + b"The picture is attached.\r\n"
    b"--=-edge-of-a-part\r\n"
    b'Content-Type: image/jpeg; name="rain.jpg"\r\n'
    b'Content-Disposition: attachment; filename="rain.jpg"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n"
)
_CLOSE = b"--=-edge-of-a-part--\r\n"
# What of a message's size is its own: sender, recipient, Message-ID.
_OWN = 120


def tail(size: int, *, attachment: bool = False) -> bytes:
    """Return what all messages of `size` octets (nearly) have in common, with the dot.

    The body is text, or with `attachment` a short text and an attachment in base64.
    """
    room = size - _OWN - len(_HEADER)
    if not attachment:
        lines = max(1, (room - len(_TEXT)) // len(_LINE))
        return _HEADER + _TEXT + _LINE * lines + b".\r\n"
    room = max(1, (room - len(_MIXED) - len(_CLOSE)) // 78)
    octets = bytes(range(256)) * (room * 57 // 256 + 1)
    coded = base64.encodebytes(octets[: room * 57]).replace(b"\n", b"\r\n")
    return _HEADER + _MIXED + coded + _CLOSE + b".\r\n"


def letter(sender: bytes, recipient: bytes, number: int, common: bytes) -> bytes:
    """Return a whole message with its dot; `number` makes its Message-ID unique."""
    return b"From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%d@desk.example>\r\n%s" % (
        sender,
        recipient,
        number,
        common,
    )
